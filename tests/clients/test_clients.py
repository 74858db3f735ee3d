"""Clients that public generators make from the served document compile, and use the service.

Each program in tests/clients/scenario/ does the same with one client. Its arguments are the service's URL and a user.
Those of openapi-generator do not use the URL: it is in the clients, since it is in the document that was served.

1. It starts a guest's cart, and adds product 42 for 131072.01 and product 2**53 - 1 for 9999999.99, one unit of each.
2. It reads the cart.
3. It sets product 42 to 3 units if the line is as it was read, and then to 4 units with the same ETag: 412.
4. It adds 999 units of product 42: 409.
5. It adds a unit of the other product twice with one ``Idempotency-Key``.
6. It merges the guest's cart into the user's.
7. It reads the analytics of all carts.

Then it prints what it saw, ``SEEN``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import openapi_generator_cli
import pytest

from cart.commands import engines
from tests.support.node import packages
from tests.support.project import ROOT, missing
from tests.support.running import serving

pytestmark = pytest.mark.slow

SCENARIO = Path(__file__).with_name("scenario")
TYPESCRIPT = ROOT / "clients" / "typescript"
JAR = Path(openapi_generator_cli.__file__).with_name("openapi-generator.jar")
GO_PACKAGES = Path("/usr/share/gocode")  # Debian's
TSC_OPTIONS = {"strict": True, "target": "ES2022", "module": "NodeNext", "lib": ["ES2022", "DOM"], "outDir": "out"}
SEEN = {
    "ids": ["42", "9007199254740991"],
    "prices": ["131072.01", "9999999.99"],
    "total": "10131072.00",
    "set": 3,
    "conflict": 3,  # the quantity of the problem's `current`
    "limit": 999,
    "repeats": [2, 2],
    "merged": [2, "20393216.01"],  # lines of the receipt, total of the cart: 3 * 131072.01 + 2 * 9999999.99
    "units": 0,  # nothing counts beside moto, which has no streams
}


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    process = subprocess.run(
        command, cwd=cwd, env=os.environ | environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"
    return process.stdout


def python_program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def openapi_generator(language: str, document: Path, folder: Path, *options: str) -> None:
    run(
        *(python_program("openapi-generator-cli"), "generate", "-i", document, "-g", language, "-o", folder, *options),
        "--global-property=apiTests=false,modelTests=false,apiDocs=false,modelDocs=false",
        cwd=document.parent,
    )


def require(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed (on Debian: apt-get install {package})")
    return str(path)


# --- Each of these generates and compiles a client in a folder, and returns the command that carries out the scenario.


def openapi_fetch(document: Path, folder: Path) -> list[str]:
    options = ("--default-non-nullable=false", "--output=schema.ts")  # else members with a default must be sent
    run(folder / "node_modules/.bin/openapi-typescript", document, *options, cwd=folder)
    return compile_typescript(folder, "openapi_fetch.ts")


def typescript_fetch(document: Path, folder: Path) -> list[str]:
    options = "--additional-properties=importFileExtension=.js"
    openapi_generator("typescript-fetch", document, folder / "client", options)
    return compile_typescript(folder, "typescript_fetch.ts")


def compile_typescript(folder: Path, script: str) -> list[str]:
    shutil.copy(SCENARIO / script, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": TSC_OPTIONS}))
    run(folder / "node_modules/.bin/tsc", cwd=folder)
    return ["node", f"out/{Path(script).stem}.js"]


def httpx_client(document: Path, folder: Path) -> list[str]:
    path = f"{python_program('ruff').parent}{os.pathsep}{os.environ['PATH']}"  # it formats what it wrote
    command = [python_program("openapi-python-client"), "generate", "--meta=none", "--fail-on-warning"]
    run(*command, f"--path={document}", f"--output-path={folder / 'cart_httpx'}", cwd=folder, PATH=path)
    return check_python(folder, "httpx_client.py")


def urllib3_client(document: Path, folder: Path) -> list[str]:
    openapi_generator("python", document, folder, "--package-name=cart_urllib3")
    return check_python(folder, "urllib3_client.py")


def check_python(folder: Path, script: str) -> list[str]:
    shutil.copy(SCENARIO / script, folder)
    run(sys.executable, "-m", "mypy", f"--config-file={SCENARIO}/mypy.ini", script, cwd=folder)
    return [sys.executable, script]


def java(document: Path, folder: Path) -> list[str]:
    """The generator's jar contains the libraries that the client needs, except for one annotation.

    With one object for all parameters, a new optional parameter of the API breaks no caller.
    """
    javac = require("javac", "default-jdk-headless")
    options = "openApiNullable=false,hideGenerationTimestamp=true,useSingleRequestParameter=true"
    openapi_generator("java", document, folder / "client", "--library=native", f"--additional-properties={options}")
    sources = [*(folder / "client/src/main").rglob("*.java"), *SCENARIO.rglob("*.java")]
    run(javac, "-nowarn", "-cp", JAR, "-d", folder / "classes", *sources, cwd=folder)
    return ["java", "-cp", f"classes{os.pathsep}{JAR}", "Scenario"]


def go(document: Path, folder: Path) -> list[str]:
    """It needs one library, which Debian packages."""
    program = require("go", "golang-go")
    if not (GO_PACKAGES / "src/gopkg.in/validator.v2").exists():
        missing("a package of Go is not installed (on Debian: apt-get install golang-gopkg-validator.v2-dev)")
    openapi_generator("go", document, folder / "src/cart_client")
    (folder / "src/scenario").mkdir()
    shutil.copy(SCENARIO / "scenario.go", folder / "src/scenario")
    run(program, "build", "scenario", cwd=folder, GO111MODULE="off", GOPATH=f"{folder}{os.pathsep}{GO_PACKAGES}")
    return ["./scenario"]


def kotlin(document: Path, folder: Path) -> list[str]:
    """Its libraries are not to be had here, so it is generated, but not compiled."""
    openapi_generator("kotlin", document, folder)
    return []


CLIENTS: list[Callable[[Path, Path], list[str]]] = [
    openapi_fetch,
    typescript_fetch,
    httpx_client,
    urllib3_client,
    java,
    go,
]
names = [client.__name__ for client in CLIENTS]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log"
    environ = {"DYNAMODB_TABLE_NAME": f"clients-{os.getpid()}", "LOG_LEVEL": "WARNING"}
    with engines.moto() as moto_url, serving(moto_url, log, **environ) as url:
        yield url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def builds(url: str, folder: Path) -> Iterator[dict[str, Future[list[str]]]]:
    """Generate and compile all clients, as many at the same time as there are processors."""
    document = folder / "openapi.json"
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=20) as response:
        document.write_bytes(response.read())
    installed = packages(TYPESCRIPT)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {}
        for client in [*CLIENTS, kotlin]:
            own = folder / client.__name__
            own.mkdir()
            (own / "node_modules").symlink_to(installed)
            futures[client.__name__] = pool.submit(client, document, own)
        yield futures


@pytest.mark.parametrize("name", names)
def test_generated_client_compiles_and_uses_the_service(name: str, url: str, folder: Path, builds) -> None:
    command = builds[name].result()
    seen = run(*command, url, f"user-{uuid.uuid4().hex}", cwd=folder / name)
    assert json.loads(seen) == SEEN


def test_generated_kotlin_has_large_enough_numbers_and_no_class_twice(folder: Path, builds) -> None:
    builds["kotlin"].result()
    sources = {path.stem: path.read_text() for path in (folder / "kotlin").rglob("models/*.kt")}
    assert "val version: kotlin.Long," in sources["Line"]
    assert "val productId: kotlin.Long," in sources["Line"]
    assert "val price: kotlin.Double," in sources["Line"]
    assert not [name for name, source in sources.items() if re.search(r"kotlin\.Float\b", source)]
    classes = re.findall(r"^(?:data|enum)? ?class (\w+)", "\n".join(sources.values()), re.MULTILINE)
    assert len(classes) == len(set(map(str.lower, classes))) > 30

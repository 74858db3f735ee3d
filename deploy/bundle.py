"""Build the folders that Zappa packs for Lambda, with nothing but what runs there.

Zappa packs the whole working folder and the whole virtual environment. So ``make``, which Zappa calls before it packs
(`prebuild_script`), builds clean ones in ``.build`` and has Zappa use them. This module imports only the standard
library: Zappa loads it by its path.
"""

import compileall
import gzip
import json
import os
import py_compile
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

BUILD = Path(".build")
APP = BUILD / "app"  # becomes the working folder
VENV = BUILD / "venv"  # becomes the virtual environment
PAGES = "cart/*/pages"
COMMANDS = Path("cart") / "commands"  # not shipped
ENTRY = Path("deploy") / "entry.py"  # becomes a module next to the package `cart`

# The parts of Zappa that its handler needs; of Zappa's dependencies it needs only durationpy
ZAPPA_RUNTIME = {"__init__.py", "asgi.py", "handler.py", "middleware.py", "utilities.py", "wsgi.py"}

# Of packaging, its users (apispec, webargs) import only packaging.version
PACKAGING_RUNTIME = {"__init__.py", "version.py"}

# Packages of requirements.txt that Lambda does not need: the server, and those for AUTH_MODE=jwt. API Gateway does both
NOT_INSTALLED = {
    *("gunicorn", "gevent", "greenlet", "zope-event", "zope-interface"),
    *("pyjwt", "cryptography", "cffi", "pycparser"),
}

# Paths in site-packages to delete. A pattern that matches nothing stops the build: the library has changed, so the
# pattern must be checked
PRUNED = [
    "bin",
    "boto3/data/[!d]*",
    "boto3/examples",
    "botocore/data/*/*/examples-1.json",
    "botocore/data/dynamodb/2011-12-05",
    "botocore/data/events/2014-02-03",
    "flask_swagger_ui/dist/swagger-ui.js",
    "flask_swagger_ui/dist/swagger-ui-standalone-preset.js",
    "flask_swagger_ui/templates",
    "s3transfer/crt.py",
    "s3transfer/processpool.py",
    "dateutil/rrule.py",
    "simplejson/tests",
    "urllib3/contrib/emscripten",
    "werkzeug/debug",
    "dateutil/zoneinfo",
    "*/py.typed",
    "*/*.pyi",
    "*.dist-info/licenses",
    "*.dist-info/RECORD",
    "zappa-*.dist-info/METADATA",
]
SERVICES = {"dynamodb", "events"}
BOTOCORE_KEPT = SERVICES | {"endpoints.json", "partitions.json", "_retry.json", "sdk-default-configuration.json"}


def make() -> None:
    """Build both folders, and make them the working folder and the virtual environment of this process.

    :raise SystemExit: Zappa runs on another Python version than the function, or a package cannot be installed
    """
    runtime, architecture = _target()
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if running != runtime:
        raise SystemExit(f"cart: the function runs on {runtime}, so Zappa must run on it too; this is {running}")
    shutil.rmtree(BUILD, ignore_errors=True)
    packages = VENV / "lib" / runtime / "site-packages"
    _install(packages, runtime.removeprefix("python"), architecture)
    _prune(packages)
    _slim_botocore(packages / "botocore" / "data")
    _slim_metadata(packages)
    _copy_app(packages)
    for tree in (packages, APP):
        _compile(tree)
    sys.path.append(str(Path.cwd()))  # Zappa imports its `callbacks` from here; they are not shipped
    os.environ["VIRTUAL_ENV"] = str(VENV.resolve())
    os.chdir(APP)


def _target() -> tuple[str, str]:
    """Return runtime and architecture. Zappa does not say which stage it packs, so they are the same for all stages."""
    stages = json.loads(Path("zappa_settings.json").read_text())
    for name in ("runtime", "architecture"):
        if differing := sorted(stage for stage in stages.keys() - {"base"} if name in stages[stage]):
            raise SystemExit(f"cart: {name} is set in stage {', '.join(differing)}; the build reads only that of base")
    return stages["base"]["runtime"], stages["base"]["architecture"]


def _install(packages: Path, python: str, architecture: str) -> None:
    """Install the wheels for Lambda's platform, which may differ from this machine's.

    Without dependencies: requirements.txt lists them all.
    """
    platform = "manylinux2014_" + {"x86_64": "x86_64", "arm64": "aarch64"}[architecture]
    lines = [line.split("#")[0].strip() for line in Path("requirements.txt").read_text().splitlines()]
    requirements = [line for line in lines if line and line.split("==")[0] not in NOT_INSTALLED]
    requirements += [f"{name}=={version(name)}" for name in ("zappa", "durationpy")]
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    pip += ["--target", str(packages), "--platform", platform, "--python-version", python, "--only-binary=:all:"]
    if subprocess.run([*pip, *requirements], check=False).returncode:
        raise SystemExit(f"cart: pip could not install requirements.txt for {platform} and Python {python}")


def _prune(packages: Path) -> None:
    kept = {"botocore/data": BOTOCORE_KEPT, "packaging": PACKAGING_RUNTIME, "zappa": ZAPPA_RUNTIME}
    paths = [path for folder, names in kept.items() for path in (packages / folder).iterdir() if path.name not in names]
    for pattern in PRUNED:
        matched = list(packages.glob(pattern))
        if not matched:
            raise SystemExit(f"cart: nothing matches {pattern} of deploy/bundle.py")
        paths += matched
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _slim_botocore(data: Path) -> None:
    """Delete what botocore reads at every start but does not use: other services' endpoints, and documentation."""
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: service for name, service in partition["services"].items() if name in SERVICES}
    (data / "endpoints.json").write_text(json.dumps(endpoints))
    for packed in data.glob("*/*/service-2.json.gz"):
        model = json.loads(gzip.decompress(packed.read_bytes()), object_hook=_without_documentation)
        packed.with_suffix("").write_text(json.dumps(model))
        packed.unlink()


def _slim_metadata(packages: Path) -> None:
    """Delete each package's description: only the version, in the header of its metadata, is read."""
    for metadata in packages.glob("*.dist-info/METADATA"):
        head, _, _ = metadata.read_text().partition("\n\n")
        metadata.write_text(f"{head}\n")


def _without_documentation(node: dict[str, Any]) -> dict[str, Any]:
    if isinstance(node.get("documentation"), str):
        del node["documentation"]
    return node


def _copy_app(packages: Path) -> None:
    """Copy the app, and Zappa's handler: Zappa would copy that, too, but not compile it."""
    for source in [Path("wsgi.py"), *Path("cart").rglob("*.py")]:
        if COMMANDS not in source.parents:
            (APP / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, APP / source)
    shutil.copy(ENTRY, APP)
    for pattern in ("*.html", "*.css", "*.js", "*.LICENSE"):
        for source in Path().glob(f"{PAGES}/{pattern}"):
            (APP / source).parent.mkdir(exist_ok=True)
            shutil.copy(source, APP / source)
    shutil.copy(packages / "zappa" / "handler.py", APP)


def _compile(tree: Path) -> None:
    """Compile all modules to bytecode that Python accepts without comparing dates: files in the zip are dated 1980.

    Zappa adds ``__init__.py`` to every folder without one; those are created here, so that they are compiled, too.
    """
    for folder in {source.parent for source in tree.rglob("*.py")} - {tree}:
        (folder / "__init__.py").touch()
    compiled = compileall.compile_dir(
        tree,
        quiet=1,
        stripdir=str(tree),
        prependdir="/var/task",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit(f"cart: {tree} does not compile")

"""clients/typescript has the types of the served document, its tests pass, and its package works as its README says."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import sync_playwright

from cart.commands import engines
from tests.support.browser import FLAGS
from tests.support.node import packages
from tests.support.project import ROOT, missing
from tests.support.running import serving

pytestmark = pytest.mark.slow

SOURCE = ROOT / "clients" / "typescript"
RUNTIME = ("openapi-fetch", "openapi-typescript-helpers")  # the packages that npm installs with the client


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log"
    environ = {"DYNAMODB_TABLE_NAME": f"typescript-{os.getpid()}", "LOG_LEVEL": "WARNING"}
    with engines.moto() as moto_url, serving(moto_url, log, **environ) as url:
        yield url


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the client with its packages installed."""
    project = tmp_path_factory.mktemp("client") / "typescript"
    shutil.copytree(SOURCE, project, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (project / "node_modules").symlink_to(packages(SOURCE))
    return project


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    process = subprocess.run(
        command, cwd=cwd, env=os.environ | environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"
    return process.stdout


def test_types_are_those_of_the_served_document(project, url):
    run("npm", "run", "generate", "--", f"{url}/openapi.json", cwd=project)
    for path in (SOURCE / "src" / "generated").iterdir():
        generated = project / "src" / "generated" / path.name
        assert path.read_text() == generated.read_text(), "run `npm run generate` in clients/typescript"


def test_npm_test_passes(project, url):
    output = run("npm", "test", cwd=project, CART_URL=url)
    counts = {name: int(count) for name, count in re.findall(r"(pass|fail|skipped) (\d+)$", output, re.MULTILINE)}
    assert counts.pop("pass") > 15, output
    assert counts == {"fail": 0, "skipped": 0}, output


@pytest.fixture(scope="module")
def shop(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packed client as npm installs it, and the program of its README, compiled: readme.js."""
    shop = tmp_path_factory.mktemp("shop")
    installed = shop / "node_modules"
    installed.mkdir()
    run("npm", "pack", f"--pack-destination={shop}", cwd=project)
    with tarfile.open(shop / "cart-client-0.1.0.tgz") as archive:
        archive.extractall(shop, filter="data")
    (shop / "package").rename(installed / "cart-client")
    for name in RUNTIME:
        (installed / name).symlink_to(packages(SOURCE) / name)
    (program,) = re.findall(r"```ts\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)
    (shop / "readme.ts").write_text(program)
    (shop / "package.json").write_text('{"type": "module"}')
    options = ("--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
    run(packages(SOURCE) / ".bin" / "tsc", *options, "readme.ts", cwd=shop)
    return shop


def use(shop: Path, url: str, user: str) -> None:
    """Write the program as shop.js, for a service and a user."""
    program = (shop / "readme.js").read_text()
    (shop / "shop.js").write_text(program.replace("http://127.0.0.1:8000", url).replace("user123", user))


def test_packed_client_does_what_its_readme_shows(shop, url, user):
    use(shop, url, user)
    assert run("node", "shop.js", cwd=shop) == "1 units\n"


def test_packed_client_works_in_a_browser(shop, moto_url, user, tmp_path):
    """The page is of another origin than the service, which must let it send and read the headers that it uses."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("no Chromium is installed (on Debian: apt-get install chromium)")
    imports = {
        "cart-client": "/node_modules/cart-client/dist/src/client.js",
        "openapi-fetch": "/node_modules/openapi-fetch/dist/index.mjs",
    }
    (shop / "index.html").write_text(f"""<!doctype html><title>Shop</title><link rel="icon" href="data:,">
        <script type="importmap">{json.dumps({"imports": imports})}</script>
        <script type="module">await import("/shop.js"); console.log("done");</script>""")
    environ = {"DYNAMODB_TABLE_NAME": f"browser-{os.getpid()}", "LOG_LEVEL": "WARNING"}
    with (
        files_served(shop) as origin,
        serving(moto_url, tmp_path / "log", CORS_ORIGINS=origin, **environ) as url,
        sync_playwright() as playwright,
    ):
        use(shop, url, user)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        lines: list[str] = []
        page.on("console", lambda message: lines.append(message.text))
        page.on("pageerror", lambda error: lines.append(str(error)))
        with page.expect_console_message(lambda message: message.text == "done"):
            page.goto(origin)
        browser.close()
    assert lines == ["1 units", "done"]


@contextmanager
def files_served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on loopback; the value is the URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

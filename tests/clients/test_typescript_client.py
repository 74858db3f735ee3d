"""clients/typescript has the types of the served document, its tests pass, and its package works as its README says."""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cart.commands import engines
from tests.support.node import node_modules
from tests.support.project import ROOT
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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the client with its packages installed."""
    project = tmp_path / "typescript"
    shutil.copytree(SOURCE, project, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (project / "node_modules").symlink_to(node_modules(SOURCE))
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


def test_packed_client_does_what_its_readme_shows(project, url, tmp_path):
    shop = tmp_path / "shop"
    packages = shop / "node_modules"
    packages.mkdir(parents=True)
    run("npm", "pack", f"--pack-destination={tmp_path}", cwd=project)
    with tarfile.open(tmp_path / "cart-client-0.1.0.tgz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "package").rename(packages / "cart-client")
    for name in RUNTIME:
        (packages / name).symlink_to(node_modules(SOURCE) / name)
    (program,) = re.findall(r"```ts\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)
    (shop / "shop.ts").write_text(program.replace("http://127.0.0.1:8000", url))
    (shop / "package.json").write_text('{"type": "module"}')
    options = ("--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
    run(node_modules(SOURCE) / ".bin" / "tsc", *options, "shop.ts", cwd=shop)
    assert run("node", "shop.js", cwd=shop) == "1 units\n"

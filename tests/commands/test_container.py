"""Dockerfile.local and compose.yaml: buildah builds and starts the image without a Docker engine.

The base image cannot be pulled here. debootstrap makes a substitute with what Dockerfile.local needs from the real one:
Debian 12, Python 3.11, pip, and no compiler.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import yaml

from cart.commands import engines
from cart.config import Config
from tests.support.project import ROOT, missing
from tests.support.running import request, wait_for_health
from tests.support.stores import CUP

BASE = "python:3.11-slim"
DEBOOTSTRAP = ["debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-pip", "bookworm"]
DEBIAN = "http://deb.debian.org/debian"
PREPARE = """
rm -rf usr/lib/python3*/EXTERNALLY-MANAGED var/cache/apt/* var/lib/apt/lists/*
ln -s python3 usr/bin/python
"""
COMPILERS = ("cc", "gcc", "c++", "g++", "clang", "ld", "as", "make")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
SETTINGS_OF_THE_HOST = [path for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]  # for pip


@dataclass
class Buildah:
    """buildah with storage for this test alone."""

    storage: Path

    def command(self, *words: str | Path) -> list[str | Path]:
        return ["buildah", "--root", self.storage / "root", "--runroot", self.storage / "run", *words]

    def environ(self) -> dict[str, str]:
        own = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot", "BUILDAH_FORMAT": "docker"}
        return os.environ | own | {"PATH": PATH, "TMPDIR": str(self.storage)}

    def call(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        process = subprocess.run(
            self.command(*words),
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or process.returncode == 0, process.stdout + process.stderr
        return process

    def build(self, context: Path, tag: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        volumes = [f"--volume={path}:{path}:ro" for path in SETTINGS_OF_THE_HOST]
        file = ROOT / "Dockerfile.local"
        return self.call("bud", "--pull=never", *volumes, "--file", file, "--tag", tag, context, check=check)


def debian_mirror() -> str:
    """Return the mirror that apt uses on this machine, or Debian's own."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    lines = [line for path in sources if path.is_file() for line in path.read_text().splitlines()]
    uris = [re.match(r"(?:deb\s.*|URIs:.*\s)(https?://\S+/debian)/?(?:\s|$)", line) for line in lines]
    return next((uri[1] for uri in uris if uri), DEBIAN)


def base_archive() -> Path:
    """Return the archive of the base image's files; it is made once and kept in the user's cache folder."""
    recipe = hashlib.sha256(repr((DEBOOTSTRAP, PREPARE)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cart"
    archive = cache / f"{BASE.replace(':', '-')}-{recipe}.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            root = Path(scratch, "root")
            environ = os.environ | {"PATH": PATH}
            process = subprocess.run(
                [*DEBOOTSTRAP, root, debian_mirror()], env=environ, capture_output=True, text=True, check=False
            )
            assert process.returncode == 0, process.stdout + process.stderr
            subprocess.run(["sh", "-ec", PREPARE], cwd=root, check=True)
            subprocess.run(["tar", "--create", "--file", "../base.tar", "."], cwd=root, check=True)
            Path(scratch, "base.tar").replace(archive)
    return archive


@pytest.fixture(scope="module")
def buildah(tmp_path_factory) -> Iterator[Buildah]:
    """buildah that holds the base image."""
    tools = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool, path=PATH) is None]
    if tools:
        missing(f"building the image needs {' and '.join(tools)} (on Debian: apt-get install {' '.join(tools)})")
    if os.geteuid() != 0:
        missing("building the image needs root, for debootstrap")
    storage = tmp_path_factory.mktemp("buildah")
    tool = Buildah(storage)
    try:
        container = tool.call("from", "scratch").stdout.strip()
        tool.call("add", container, base_archive(), "/")
        tool.call("config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", container)
        tool.call("commit", "--rm", container, f"docker.io/library/{BASE}")
        yield tool
    finally:
        tool.call("rm", "--all", check=False)
        shutil.rmtree(storage)


@pytest.fixture(scope="module")
def container(buildah) -> str:
    """A container of the image that Dockerfile.local builds."""
    buildah.build(ROOT, "cart")
    return buildah.call("from", "--pull=never", "cart").stdout.strip()


@pytest.fixture(scope="module")
def image(buildah, container) -> dict:
    """The settings of the image, as Docker reads them."""
    return json.loads(buildah.call("inspect", container).stdout)["Docker"]["config"]


def descendants(pid: int) -> list[int]:
    children = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [process for child in children for process in (child, *descendants(child))]


def user_ids(pid: int) -> set[str]:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:")]
    return set(line.split()[1:])


@pytest.mark.slow
def test_image_has_the_documented_parts_and_settings(buildah, container, image):
    assert f"\nFROM {BASE}\n" in (ROOT / "Dockerfile.local").read_text()
    assert list(image["ExposedPorts"]) == ["8000/tcp"]
    assert image["User"] == "10001:10001"
    python = buildah.call("run", container, "--", "python", "--version").stdout
    assert python.startswith(f"Python {BASE.removeprefix('python:').removesuffix('-slim')}.")
    packages = json.loads(buildah.call("run", container, "--", "pip", "list", "--format=json").stdout)
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    versions = {re.sub(r"[._]", "-", package["name"].lower()): package["version"] for package in packages}
    assert versions.items() >= pinned.items()
    assert not {"pytest", "moto", "zappa"} & versions.keys()


@pytest.mark.slow
def test_image_has_no_compiler(buildah, container):
    search = 'for name; do command -v "$name"; done; true'
    paths = buildah.call("run", container, "--", "sh", "-c", search, "sh", "python", *COMPILERS).stdout.split()
    assert paths == ["/usr/bin/python"]


@pytest.mark.slow
def test_package_that_must_be_compiled_fails_the_build(buildah, tmp_path):
    shutil.copy(ROOT / "wsgi.py", tmp_path)
    shutil.copytree(ROOT / "cart", tmp_path / "cart")
    (tmp_path / "requirements.txt").write_text("gunicorn-h1c==0.6.10\n")
    process = buildah.build(tmp_path, "compiled", check=False)
    assert process.returncode != 0
    assert "Failed to build gunicorn-h1c" in process.stdout
    assert re.search(r"No such file or directory: '\S*gcc'", process.stderr)


@pytest.mark.slow
def test_container_becomes_ready_and_ends_gracefully(buildah, container, image, moto_url, tmp_path):
    port = str(engines.free_port())
    settings = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "WEB_CONCURRENCY": "3"}
    settings |= {"DYNAMODB_ENDPOINT_URL": moto_url, "DYNAMODB_TABLE_NAME": "container"}
    variables = [f"--env={name}={value}" for name, value in settings.items()]
    command = buildah.command("run", *variables, container, "--", *image["Cmd"], "--host", "127.0.0.1", "--port", port)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=buildah.environ(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    probe = [
        "run",
        container,
        "--",
        *(word.replace(":8000/", f":{port}/") for word in image["Healthcheck"]["Test"][1:]),
    ]
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_health(url, process, log)
        assert request("GET", f"{url}/health/ready")[0] == 200
        services = [pid for pid in descendants(process.pid) if "gunicorn" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert {user for pid in services for user in user_ids(pid)} == {"10001"}
        assert request("POST", f"{url}/cart/u/items", CUP)[0] == 201
        assert request("GET", f"{url}/openapi.json")[0] == 200
        for path in ("/analytics", "/analytics/assets/uplot.js"):
            with urllib.request.urlopen(f"{url}{path}") as page:
                assert page.read()
        assert buildah.call(*probe, check=False).returncode == 0
        os.kill(services[0], signal.SIGTERM)  # to the workers' parent, as Docker does
        assert process.wait(30) == 0
        assert buildah.call(*probe, check=False).returncode != 0
    finally:
        engines.stop(process)
    assert log.read_text().count("Booting worker") == 3


def test_compose_connects_service_and_engine():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    cart, dynamodb = compose["services"]["cart"], compose["services"]["dynamodb"]
    assert cart["build"]["dockerfile"] == "Dockerfile.local"
    assert cart["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    assert cart["environment"]["DYNAMODB_ENDPOINT_URL"] == "http://dynamodb:8000"
    analytics = compose["services"]["analytics"]
    assert analytics["command"] == ["flask", "--app", "wsgi", "analytics", "follow"]
    assert analytics["environment"] == cart["environment"]
    version = dynamodb["image"].removeprefix("amazon/dynamodb-local:")
    assert f"DynamoDB Local {version}" in (ROOT / "cart" / "commands" / "engines.py").read_text()
    volume = dynamodb["volumes"][0].split(":")
    assert volume[0] in compose["volumes"]
    assert volume[1] in dynamodb["command"]


def test_compose_passes_every_setting():
    environment = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["cart"]["environment"]
    of_the_engine = {"DYNAMODB_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    of_aws = {"AWS_REGION", "EVENT_BUS_NAME"}  # of no use with the engine's credentials
    settings = {field.name.upper() for field in fields(Config)} - of_the_engine - of_aws
    assert environment.keys() == settings | of_the_engine
    assert {name: environment[name] for name in settings} == {name: f"${{{name}:-}}" for name in settings}

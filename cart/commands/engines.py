"""Run a DynamoDB engine on this machine in its own process, for `flask serve`, tests and benchmarks."""

import base64
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cart.commands.supervisor import stop

HOST = "127.0.0.1"
START_WITHIN_SECONDS = 60

# This npm package contains AWS's own distribution of DynamoDB Local 1.25.1, unmodified
PACKAGE = "amplify-dynamodb-simulator@2.9.30"
PACKAGE_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="


DATA_FOLDER = Path(".cart-data")
ENDPOINT_FILE = "endpoint"  # in the data folder: the running engine's URL; a run that crashes does not delete it


class EngineMissing(Exception):
    """The engine cannot run here. The message is one line that says what to install."""


Popen = Callable[..., subprocess.Popen[bytes]]


class Engine(NamedTuple):
    """The command that runs an engine.

    :ivar url: the endpoint of the engine
    :ivar environment: variables that are added to those of this process
    :ivar folder: the working folder, None for that of this process
    """

    name: str
    url: str
    command: list[str]
    environment: dict[str, str] = {}
    folder: Path | None = None


def ministack_engine(data_folder: Path | None = None, port: int | None = None) -> Engine:
    """Return the command that runs ministack's DynamoDB and streams.

    :param data_folder: where its tables are kept; None: in memory
    :param port: None: any free one
    :raise EngineMissing: ministack is not installed
    """
    if importlib.util.find_spec("ministack") is None:
        raise EngineMissing("ministack is not installed; run pip install -r requirements-run.txt")
    port = port or free_port()
    environment = {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,dynamodbstreams",
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": "1" if data_folder else "0",
        "STATE_DIR": str(data_folder.resolve()) if data_folder else "",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }
    # -P: else Python would find the modules of the script's folder before those of the standard library
    command = [sys.executable, "-P", str(Path(__file__).with_name("ministack_server.py"))]
    return Engine("ministack", _url(port), command, environment)


def dynamodb_local_engine(data_folder: Path | None = None, port: int | None = None) -> Engine:
    """Return the command that runs DynamoDB Local; download its distribution if it is not in the cache folder.

    :param data_folder: where its tables are kept; None: in memory
    :param port: None: any free one
    :raise EngineMissing: Java is not installed, or the distribution cannot be downloaded
    """
    if shutil.which("java") is None:
        raise EngineMissing("DynamoDB Local needs Java 11 or newer (on Debian: apt-get install default-jre-headless)")
    folder = _distribution()
    port = port or free_port()
    if data_folder:
        data_folder.mkdir(parents=True, exist_ok=True)
    keep = ["-dbPath", str(data_folder.resolve())] if data_folder else ["-inMemory"]
    command = ["java", f"-Djava.library.path={folder}/DynamoDBLocal_lib", "-jar", f"{folder}/DynamoDBLocal.jar"]
    return Engine("DynamoDB Local", _url(port), [*command, "-sharedDb", "-port", str(port), *keep], folder=folder)


def moto_engine(port: int | None = None) -> Engine:
    """Return the command that runs moto server, with its tables in memory. Only for tests with one client at a time.

    :param port: None: any free one
    :raise EngineMissing: moto is not installed
    """
    if importlib.util.find_spec("moto") is None:
        raise EngineMissing("moto is not installed; run pip install -r requirements-dev.txt")
    port = port or free_port()
    return Engine("moto server", _url(port), [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)])


def _popen_in_own_session(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True, **options)


def start(engine: Engine, popen: Popen = _popen_in_own_session) -> subprocess.Popen[bytes]:
    """Start an engine and wait until it accepts connections.

    :param popen: starts the process, with the parameters of ``subprocess.Popen``
    :raise EngineMissing: it ends, or does not listen within ``START_WITHIN_SECONDS``; the message quotes its output
    """
    with tempfile.TemporaryFile() as log:
        environment = os.environ | engine.environment
        process = popen(engine.command, stdout=log, stderr=log, cwd=engine.folder, env=environment)
        if not wait_until_listens(engine.url, START_WITHIN_SECONDS, lambda: process.poll() is None):
            stop(process)
            log.seek(0)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
            errors = [line for line in lines if "Error" in line or "Exception" in line] or lines[-1:]
            raise EngineMissing(f"{engine.name} did not start: {errors[0] if errors else 'it printed nothing'}")
    return process


@contextmanager
def running(engine: Engine) -> Iterator[str]:
    """Run an engine while the ``with`` block runs; the value is its endpoint URL."""
    process = start(engine)
    try:
        yield engine.url
    finally:
        stop(process)


def ministack(data_folder: Path | None = None, port: int | None = None) -> AbstractContextManager[str]:
    """Run ministack, see ``running``."""
    return running(ministack_engine(data_folder, port))


def dynamodb_local(data_folder: Path | None = None, port: int | None = None) -> AbstractContextManager[str]:
    """Run DynamoDB Local, see ``running``."""
    return running(dynamodb_local_engine(data_folder, port))


def moto(port: int | None = None) -> AbstractContextManager[str]:
    """Run moto server, see ``running``."""
    return running(moto_engine(port))


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def free_port() -> int:
    """Return a port on ``HOST`` that no process listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until_listens(url: str, seconds: float, is_alive: Callable[[], bool] = lambda: True) -> bool:
    """Wait until a server accepts connections.

    :param is_alive: tells whether the server still runs; the wait ends if it does not
    :return: whether it accepts connections
    """
    parts = urlsplit(url)
    address = (parts.hostname or HOST, parts.port or (443 if parts.scheme == "https" else 80))
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline or not is_alive():
                return False
            time.sleep(0.1)
        else:
            return True


def running_endpoint_url() -> str | None:
    """Return the URL of the engine that `make run` has started in this folder, None if none listens."""
    try:
        url = (DATA_FOLDER / ENDPOINT_FILE).read_text().strip()
    except OSError:
        return None
    return url if wait_until_listens(url, 0) else None


def cache_folder() -> Path:
    """Return the folder in which downloads are kept for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cart"


def _distribution() -> Path:
    """Return the folder that has DynamoDBLocal.jar; it is downloaded once to the user's cache folder."""
    cache = cache_folder()
    folder = cache / PACKAGE / "emulator"
    if not (folder / "DynamoDBLocal.jar").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _fetch(Path(scratch))
            with suppress(OSError):  # another process has put it there meanwhile
                (Path(scratch) / "package").rename(cache / PACKAGE)
    return folder


def _fetch(scratch: Path) -> None:
    if shutil.which("npm") is None:
        raise EngineMissing("npm, which downloads DynamoDB Local, is not installed (on Debian: apt-get install npm)")
    npm = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=scratch, capture_output=True, text=True, check=False)
    archives = list(scratch.glob("*.tgz"))
    if npm.returncode or not archives:
        raise EngineMissing(f"npm could not download {PACKAGE}: {npm.stderr.strip().splitlines()[-1:]}")
    digest = hashlib.sha512(archives[0].read_bytes()).digest()
    if base64.b64encode(digest).decode() != PACKAGE_SHA512:
        raise EngineMissing(f"{PACKAGE} is not the expected package: its sha512 differs")
    with tarfile.open(archives[0]) as archive:
        members = [member for member in archive if member.name.startswith("package/emulator/")]
        # Python before 3.11.4 has no filters; the archive is safe, since its digest was compared
        options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(scratch, members=members, **options)  # noqa: S202

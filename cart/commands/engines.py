"""DynamoDB on this machine, as a process of its own: moto server or DynamoDB Local. For `flask serve` and tests."""

import base64
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
START_WITHIN_SECONDS = 60
STOP_WITHIN_SECONDS = 10

# This npm package carries AWS's own distribution of DynamoDB Local 1.25.1, unmodified.
PACKAGE = "amplify-dynamodb-simulator@2.9.30"
PACKAGE_SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="


class EngineMissing(Exception):
    """The engine cannot run here. The message is one line that says what to install."""


@contextmanager
def moto(port: int | None = None) -> Iterator[str]:
    """Run moto server, which keeps its tables in memory; the value is its endpoint URL.

    :raise EngineMissing: moto is not installed, or does not start
    """
    if importlib.util.find_spec("moto") is None:
        raise EngineMissing("moto is not installed; run pip install -r requirements-dev.txt")
    port = port or free_port()
    with _running("moto server", [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], port) as url:
        yield url


@contextmanager
def dynamodb_local(data_folder: Path | None = None, port: int | None = None) -> Iterator[str]:
    """Run DynamoDB Local; the value is its endpoint URL.

    :param data_folder: where its tables are kept, or None for in memory
    :raise EngineMissing: there is no Java, or the distribution cannot be had
    """
    if shutil.which("java") is None:
        raise EngineMissing("DynamoDB Local needs Java 11 or newer (on Debian: apt-get install default-jre-headless)")
    folder = _distribution()
    port = port or free_port()
    if data_folder:
        data_folder.mkdir(parents=True, exist_ok=True)
    keep = ["-dbPath", str(data_folder.resolve())] if data_folder else ["-inMemory"]
    command = ["java", f"-Djava.library.path={folder}/DynamoDBLocal_lib", "-jar", f"{folder}/DynamoDBLocal.jar"]
    with _running("DynamoDB Local", [*command, "-sharedDb", "-port", str(port), *keep], port, cwd=folder) as url:
        yield url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until_listens(url: str, seconds: float, is_alive: Callable[[], bool] = lambda: True) -> bool:
    """Whether a server takes connections at ``url`` within the time, and while it is alive."""
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


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, kindly at first, and then whatever of its session is left."""
    try:
        process.terminate()
        process.wait(STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _running(name: str, command: list[str], port: int, cwd: Path | None = None) -> Iterator[str]:
    url = f"http://{HOST}:{port}"
    with tempfile.TemporaryFile() as log:
        # in a session of its own, so that Ctrl-C in a terminal reaches us alone and we end things in order
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd, start_new_session=True)
        try:
            if not wait_until_listens(url, START_WITHIN_SECONDS, lambda: process.poll() is None):
                log.seek(0)
                lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
                telling = [line for line in lines if "Error" in line or "Exception" in line] or lines[-1:]
                raise EngineMissing(f"{name} did not start: {telling[0] if telling else 'it said nothing'}")
            yield url
        finally:
            stop(process)


def _distribution() -> Path:
    """The folder with DynamoDBLocal.jar; fetched once, and kept in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cart"
    folder = cache / PACKAGE / "emulator"
    if not (folder / "DynamoDBLocal.jar").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _fetch(Path(scratch))
            with suppress(OSError):  # another process may have been quicker
                (Path(scratch) / "package").rename(cache / PACKAGE)
    return folder


def _fetch(scratch: Path) -> None:
    if shutil.which("npm") is None:
        raise EngineMissing("DynamoDB Local is fetched by npm, which is not here (on Debian: apt-get install npm)")
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=scratch, capture_output=True, text=True, check=False
    )
    archives = list(scratch.glob("*.tgz"))
    if packed.returncode or not archives:
        raise EngineMissing(f"npm could not fetch {PACKAGE}: {packed.stderr.strip().splitlines()[-1:]}")
    digest = hashlib.sha512(archives[0].read_bytes()).digest()
    if base64.b64encode(digest).decode() != PACKAGE_SHA512:
        raise EngineMissing(f"{PACKAGE} is not the package that was expected: its sha512 differs")
    with tarfile.open(archives[0]) as archive:
        members = [one for one in archive if one.name.startswith("package/emulator/")]
        # Python before 3.11.4 has no filters; the digest has already vouched for the archive
        safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(scratch, members=members, **safely)  # noqa: S202

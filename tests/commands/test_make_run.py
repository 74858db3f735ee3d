"""`make run` as a user types it: what it keeps, and how it ends."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cart.commands import engines
from tests.support.processes import all_started, descendants, still_running
from tests.support.project import ROOT
from tests.support.running import request, wait_for_health, wait_until_counted
from tests.support.stores import CUP

pytestmark = pytest.mark.slow

PROCESSES = 7  # serve, its guardian, the engine, the counting process, gunicorn and its two workers
ENDS_WITHIN_SECONDS = 40


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make run` reads; its .venv is the environment of the tests and counts as up to date."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("Makefile", "wsgi.py", "requirements.txt", "requirements-run.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
        os.utime(folder / name, (0, 0))
    shutil.copytree(ROOT / "cart", folder / "cart", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "flask"):
        (folder / ".venv" / "bin" / name).symlink_to(Path(sys.executable).with_name(name))
    (folder / ".venv" / ".ready-run").touch()
    return folder


class Run:
    """A `make run` that has answered its first request."""

    def __init__(self, folder: Path, *variables: str, **environ: str) -> None:
        self.port = engines.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"log-{self.port}"
        command = ["make", "run", f"PORT={self.port}", *variables]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=os.environ | environ, stdout=output, stderr=output, start_new_session=True
            )
        wait_for_health(self.url, self.process, self.log)
        self.started = all_started(self.process.pid, PROCESSES)

    def add(self, user: str = "u") -> int:
        """Add two cups, and return how many are in the line now."""
        status, _, line = request("POST", f"{self.url}/cart/{user}/items", CUP)
        assert status == 201
        return line["quantity"]

    def process_of(self, words: str) -> int:
        """Return the first process id of a run whose command line has these words."""
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in self.started}
        return min(pid for pid, line in lines.items() if words in line)

    def wait_until_ended(self) -> int:
        """Wait until make and all that it started have ended; return make's status."""
        status = self.process.wait(ENDS_WITHIN_SECONDS)
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while remaining := still_running(self.started):
            assert time.monotonic() < deadline, remaining
            time.sleep(0.1)
        return status


@contextmanager
def running(folder: Path, *variables: str, **environ: str) -> Iterator[Run]:
    run = Run(folder, *variables, **environ)
    try:
        yield run
    finally:
        for pid in run.started | {run.process.pid}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.wait()


def serve_process_of(run: Run) -> int:
    return run.process_of("serve --from-make")


def test_carts_and_counts_are_kept_from_run_to_run(clone):
    for quantity in (2, 4):
        with running(clone) as run:
            assert run.add() == quantity
            wait_until_counted(run.url, quantity)
            os.kill(serve_process_of(run), signal.SIGINT)
            assert run.wait_until_ended() == 0
    log = run.log.read_text()
    assert f"in {clone / '.cart-data'} (ministack, http://127.0.0.1:" in log
    assert "Traceback" not in log
    assert not (clone / ".cart-data" / "endpoint").exists()


def test_add_just_before_the_end_is_counted(clone):
    with running(clone) as run:
        run.add()
        os.kill(serve_process_of(run), signal.SIGINT)
        assert run.wait_until_ended() == 0
    with running(clone) as run:
        assert request("GET", f"{run.url}/analytics/summary")[2]["totals"]["units"] == 2
        assert "counting again what carts hold" not in run.log.read_text()


@pytest.mark.parametrize("killed", ["make", "serve", "group"])
def test_killed_run_leaves_no_process_and_loses_no_cart(clone, killed):
    with running(clone) as run:
        run.add()
        if killed == "make":
            os.kill(run.process.pid, signal.SIGKILL)
        elif killed == "serve":
            os.kill(serve_process_of(run), signal.SIGKILL)
        else:
            os.killpg(run.process.pid, signal.SIGKILL)
        assert run.wait_until_ended() != 0
    with running(clone) as run:
        assert run.add() == 4
        wait_until_counted(run.url, 4)
    assert ("counting again what carts hold" in run.log.read_text()) == (
        killed != "make"
    )  # `serve` notices that make was killed


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("ministack_server.py", "The engine, ministack,"),
        ("analytics follow", "The counting process"),
        ("gevent.monkey", "gunicorn"),
    ],
)
def test_end_of_one_process_ends_all_and_a_line_names_it(clone, words, name):
    with running(clone) as run:
        os.kill(run.process_of(words), signal.SIGKILL)
        assert run.wait_until_ended() == 2  # make's status for a failed command
        log = run.log.read_text()
    assert f"cart: {name} ended with status -9; all other processes of this command are stopped\n" in log
    assert log.count("cart: ") == 1
    assert "Traceback" not in log


def test_killed_engine_loses_at_most_ten_seconds(clone):
    with running(clone) as run:
        run.add()
        time.sleep(10)
        os.kill(run.process_of("ministack_server.py"), signal.SIGKILL)
        run.wait_until_ended()
    with running(clone) as run:
        assert run.add() == 4
        wait_until_counted(run.url, 4)


def test_second_run_with_the_same_data_folder_is_refused(clone):
    with running(clone) as run:
        port = str(engines.free_port())
        second = subprocess.run(
            ["make", "run", f"PORT={port}"], cwd=clone, capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 2
        folder = clone / ".cart-data"
        refusal = f"cart: {folder} is in use by another run; stop that one, or set DATA= to another folder\n"
        assert second.stderr.startswith(refusal)
        assert second.stdout == ""
        assert run.add() == 2
        with running(clone, "DATA=elsewhere") as third:
            assert third.add() == 2


def test_run_in_memory_leaves_no_folder(clone):
    with running(clone, "DATA=memory") as run:
        run.add()
        wait_until_counted(run.url, 2)
        os.kill(serve_process_of(run), signal.SIGTERM)
        assert run.wait_until_ended() == 0
    assert "in memory" in run.log.read_text()
    assert not (clone / ".cart-data").exists()


def test_ctrl_c_in_a_terminal_ends_with_status_0(clone):
    """A terminal sends SIGINT to its foreground group. If make were in it, it would exit with 130 and an error."""
    port = engines.free_port()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(clone)
        os.execvp("make", ["make", "run", f"PORT={port}"])
    output = b""
    started: set[int] = set()
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    try:
        while piece := read(terminal, deadline):
            output += piece
            if b"Booting worker" in output and not started:
                started = all_started(pid, PROCESSES)
                os.write(terminal, b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, output.decode()
    finally:
        os.close(terminal)
        for process in still_running(started):
            os.kill(process, signal.SIGKILL)
    assert b"***" not in output, output.decode()
    assert b"Traceback" not in output, output.decode()
    assert still_running(started) == set()


def read(terminal: int, deadline: float) -> bytes:
    """Return what a terminal prints next; nothing once all its processes have ended."""
    while not select.select([terminal], [], [], 0.1)[0]:
        assert time.monotonic() < deadline, "it does not end"
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_nohup_make_run_continues_after_its_terminal_closes(clone):
    port = engines.free_port()
    with (clone / "log").open("wb") as output:
        process = subprocess.Popen(
            ["nohup", "make", "run", f"PORT={port}"],
            cwd=clone,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_health(f"http://127.0.0.1:{port}", process, clone / "log")
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        assert request("GET", f"http://127.0.0.1:{port}/health")[0] == 200
        started = descendants(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while remaining := still_running(started):
        assert time.monotonic() < deadline, remaining
        time.sleep(0.1)


def test_help_lists_every_target():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert sorted(name for line in listed.splitlines() for name in line[:36].split()) == sorted(targets)


def test_python_variable_is_not_ignored(clone, tmp_path):
    """A Python that cannot serve is refused, although there is a .venv."""
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    process = subprocess.run(
        ["make", "run", f"PYTHON={old}"], cwd=clone, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 2
    assert "cart: needs Python 3.11 or newer; set PYTHON, for example PYTHON=python3.11\n" in process.stderr

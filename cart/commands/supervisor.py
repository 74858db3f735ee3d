"""Processes that run together and end together: the engine, the counting process and gunicorn of `make run`."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, NamedTuple, NoReturn

LOOK_EVERY_SECONDS = 0.2
STOP_WITHIN_SECONDS = 15


class Ended(NamedTuple):
    """The process that ended first."""

    name: str
    status: int


class Supervisor:
    """Starts processes, waits until one of them ends, and stops the others, the one that was started last first.

    A guardian process does the same where this process is killed: it reads from a pipe whose other end closes then.
    """

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._to_guardian = _start_guardian()

    def start(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own: a terminal's Ctrl-C reaches this process alone."""
        process = subprocess.Popen(command, start_new_session=True, **options)
        self._processes[name] = process
        self._to_guardian.write(f"{process.pid}\n")
        self._to_guardian.flush()
        return process

    def wait(self, is_over: Callable[[], bool]) -> Ended | None:
        """Wait until a process ends and return which, or None when ``is_over`` returns True."""
        while not is_over():
            for name, process in self._processes.items():
                if (status := process.poll()) is not None:
                    return Ended(name, status)
            time.sleep(LOOK_EVERY_SECONDS)
        return None

    def stop(self) -> None:
        """Stop what still runs, in order: each process may use those that were started before it until its end."""
        for process in reversed(self._processes.values()):
            stop(process)
        self._to_guardian.write("done\n")
        self._to_guardian.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that leads a session: SIGTERM, then SIGKILL to whatever of its session is there after a while."""
    try:
        process.terminate()
        process.wait(STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _kill_session(process.pid)
        process.wait()


def _start_guardian() -> IO[str]:
    """Fork the guardian; the value is the writing end of its pipe."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        _guard(os.fdopen(reading))
    os.close(reading)
    return os.fdopen(writing, "w")


def _guard(pipe: IO[str]) -> NoReturn:
    """Read process ids until the pipe closes, then stop those processes unless the last line is ``done``."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    lines = pipe.read().split()
    if lines[-1:] != ["done"]:
        for pid in reversed([int(line) for line in lines]):
            _stop_stranger(pid)
    os._exit(0)


def _stop_stranger(pid: int) -> None:
    """Stop a process that is not this one's child, as ``stop`` does."""
    deadline = time.monotonic() + STOP_WITHIN_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(LOOK_EVERY_SECONDS)
    _kill_session(pid)


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)

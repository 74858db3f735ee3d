"""Processes that run together and end together: the engine, the counting process and gunicorn of `make run`."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, NamedTuple, NoReturn

POLL_SECONDS = 0.2
STOP_WITHIN_SECONDS = 15


class Ended(NamedTuple):
    """The process that ended first."""

    name: str
    status: int


class Supervisor:
    """Starts processes, waits until one of them ends, and stops the others, the last started first.

    A guardian process stops them if this process is killed: it reads a pipe, whose other end closes then.
    """

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._to_guardian = _start_guardian()

    def start(self, name: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in its own session: a terminal's Ctrl-C then reaches only this process.

        :param name: for messages
        :param options: of ``subprocess.Popen``
        """
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
            time.sleep(POLL_SECONDS)
        return None

    def stop(self) -> None:
        """Stop the processes that still run, the last started first: each may use those started before it."""
        for process in reversed(self._processes.values()):
            stop(process)
        self._to_guardian.write("done\n")
        self._to_guardian.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a session's first process by SIGTERM, then kill all processes of the session that still run.

    The process has ``STOP_WITHIN_SECONDS`` to end.
    """
    try:
        process.terminate()
        process.wait(STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _kill_session(process.pid)
        process.wait()


def _start_guardian() -> IO[str]:
    """Fork the guardian process, and return the end of its pipe to write to."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.close(write_end)
        _guard(os.fdopen(read_end))
    os.close(read_end)
    return os.fdopen(write_end, "w")


def _guard(pipe: IO[str]) -> NoReturn:
    """Read process ids until the pipe closes, then stop those processes unless the last line is ``done``."""
    os.setsid()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    lines = pipe.read().split()
    if lines[-1:] != ["done"]:
        for pid in reversed([int(line) for line in lines]):
            _stop_other(pid)
    os._exit(0)


def _stop_other(pid: int) -> None:
    """Stop a process that is not a child of this one, as ``stop`` does."""
    deadline = time.monotonic() + STOP_WITHIN_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(POLL_SECONDS)
    _kill_session(pid)


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)

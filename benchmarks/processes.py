"""Run processes, and end each of them with all its children before the call returns."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

Command = list[str | Path]


class Deadline:
    """The remaining time of the whole run."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds

    def check(self) -> None:
        if time.monotonic() > self.at:
            sys.exit(f"cold_start: not done within {self.seconds:.0f} seconds; is the machine busy?")


class Running:
    """A process in its own session, so that it can be ended together with its children."""

    def __init__(self, command: Command, environment: Mapping[str, str], folder: Path | None = None) -> None:
        self.name = " ".join(str(part) for part in command[:4])
        self.output = tempfile.TemporaryFile()  # noqa: SIM115  closed by close()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
            start_new_session=True,
        )

    def texts(self) -> tuple[str, str]:
        """Return what an ended process wrote to stdout and stderr.

        :raise SystemExit: the process failed
        """
        written = []
        for file in (self.output, self.errors):
            file.seek(0)
            written.append(file.read().decode(errors="replace"))
        if self.process.returncode:
            said = "\n".join(written).strip().splitlines()[-15:]
            sys.exit("\n".join([f"cold_start: {self.name} ... failed ({self.process.returncode}):", *said]))
        return written[0], written[1]

    def close(self) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()
        self.errors.close()


def run(
    command: Command, environment: Mapping[str, str], deadline: Deadline, folder: Path | None = None
) -> tuple[str, str]:
    """Run a command to its end, and return its stdout and stderr."""
    running = Running(command, environment, folder)
    try:
        _wait(running, deadline)
        return running.texts()
    finally:
        running.close()


def seconds_of(command: Command, environment: Mapping[str, str], deadline: Deadline) -> float:
    """Return the time from before the start of a process until after its end.

    It waits without a timeout, since Python's wait with a timeout polls only every 50 ms.
    """
    deadline.check()
    started = time.perf_counter()
    running = Running(command, environment)
    too_long = threading.Timer(deadline.at - time.monotonic(), running.process.kill)
    too_long.start()
    try:
        running.process.wait()
        seconds = time.perf_counter() - started
        deadline.check()
        running.texts()
    finally:
        too_long.cancel()
        running.close()
    return seconds


def run_all(
    commands: Iterable[Command], environment: Mapping[str, str], deadline: Deadline, at_once: int
) -> list[tuple[str, str]]:
    """Run commands, several at a time, and return the stdout and stderr of each, in the order of the commands."""
    started: list[Running] = []
    try:
        for command in commands:
            while sum(one.process.poll() is None for one in started) >= at_once:
                deadline.check()
                time.sleep(0.05)
            started.append(Running(command, environment))
        for one in started:
            _wait(one, deadline)
        return [one.texts() for one in started]
    finally:
        for one in started:
            one.close()


def _wait(running: Running, deadline: Deadline) -> None:
    while True:
        deadline.check()
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(timeout=1)
            return

"""Run the command `flask serve`, which `make run` and the container use."""

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import click

from cart.commands import engines
from cart.commands.cli import create_table_or_fail, fail
from cart.commands.supervisor import Supervisor
from cart.config import Config
from cart.http.extensions import get_config

LOCK_FILE = "lock"
WAIT_FOR_CRASHED_RUN_SECONDS = 20  # the engine of a crashed run saves and ends within this time

FLASK = [sys.executable, "-m", "flask", "--app", "wsgi"]
ENGINES: dict[str, Callable[[Path | None], engines.Engine]] = {
    "ministack": engines.ministack_engine,
    "dynamodb-local": engines.dynamodb_local_engine,
}


def serve(host: str, port: int, engine: str | None, data: str, wait_seconds: int, from_make: bool) -> None:
    """Start an engine unless the table is elsewhere, create the table, and serve the API until a signal ends it.

    :param engine: one of ``ENGINES``; ``aws`` to start none; None for the default
    :param data: the folder in which the engine keeps its tables, or ``memory``
    :param wait_seconds: for how long to wait until ``DYNAMODB_ENDPOINT_URL`` answers
    :param from_make: make has started this process: end when make ends
    """
    engine = engine or ("aws" if get_config().dynamodb_endpoint_url else "ministack")
    _handle_signals()
    _fail_if_port_is_taken(host, port)
    gunicorn = gunicorn_command(host, port)
    if engine == "aws" and not from_make:
        _prepare_table(wait_seconds)
        _print_addresses(host, port, _data_location())
        sys.stdout.flush()
        os.execv(gunicorn[0], gunicorn)  # gunicorn replaces this process, so that it receives the signals itself
    parent = os.getppid()
    with ExitStack() as stack:
        stack.enter_context(_exit_0_on_interrupt())
        if from_make:
            stack.enter_context(_foreground_of_terminal())
        folder = None if data == "memory" or engine == "aws" else stack.enter_context(_locked_folder(Path(data)))
        supervisor = Supervisor()
        stack.callback(supervisor.stop)
        if engine == "aws":
            _prepare_table(wait_seconds)
            location = _data_location()
        else:
            location = _start_engine(supervisor, engine, folder)
            crashed = _write_endpoint_file(stack, folder)
            follow = ["analytics", "follow", *(["--rebuild-first"] if crashed else [])]
            supervisor.start("The counting process", [*FLASK, *follow])
        supervisor.start("gunicorn", gunicorn)
        _print_addresses(host, port, location)
        ended = supervisor.wait(lambda: from_make and os.getppid() != parent)
        if ended:
            fail(f"{ended.name} ended with status {ended.status}; all other processes of this command are stopped")


def gunicorn_command(host: str, port: int) -> list[str]:
    """Return gunicorn's command. It applies gevent's patches first: after the import of boto3 they would break TLS."""
    patched = [sys.executable, "-m", "gevent.monkey", "--module", "gunicorn"]
    return [*patched, "-c", "python:cart.commands.gunicorn_conf", "--bind", f"{host}:{port}", "wsgi:app"]


def _handle_signals() -> None:
    """Raise KeyboardInterrupt at SIGINT, SIGTERM and SIGHUP.

    A process that a script starts with ``&`` ignores SIGINT; this one does not. SIGTERM and SIGHUP stay ignored if they
    are, as by ``nohup``.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:
            signal.signal(signal_number, _interrupt)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def _exit_0_on_interrupt() -> Iterator[None]:
    """Exit with status 0 if a signal ended the command."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(0)


@contextmanager
def _foreground_of_terminal() -> Iterator[None]:
    """Receive Ctrl-C instead of make, which would exit with status 130 and print an error.

    A terminal sends Ctrl-C to its foreground process group: this process moves to its own group and makes that the
    foreground one.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield  # no terminal, so no Ctrl-C
        return
    group = os.getpgrp()
    if os.tcgetpgrp(terminal) != group or os.getpid() == group:
        yield  # in the background, or not started by make
        return
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # sent to a background process that calls tcsetpgrp
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z would stop this process, and make would wait for ever
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        with suppress(OSError):  # make has ended
            os.tcsetpgrp(terminal, group)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[Path]:
    """Create the data folder and lock it, so that no other run uses it at the same time.

    The guardian process inherits the lock. If this process crashes, it holds the lock until the engine has saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+") as lock:
        deadline = time.monotonic() + WAIT_FOR_CRASHED_RUN_SECONDS
        while not _try_lock(lock):
            if _is_running(lock) or time.monotonic() > deadline:
                fail(f"{folder.resolve()} is in use by another run; stop that one, or set DATA= to another folder")
            time.sleep(0.2)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_running(lock: IO[str]) -> bool:
    """Tell whether the process whose id is in the lock file still runs."""
    lock.seek(0)
    try:
        os.kill(int(lock.read() or 0), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _start_engine(supervisor: Supervisor, name: str, folder: Path | None) -> str:
    """Start the engine, set the environment to use it, and create the table; return where the data is, as text."""
    try:
        engine = ENGINES[name](folder / name if folder else None)
        engines.start(engine, partial(supervisor.start, f"The engine, {engine.name},"))
    except engines.EngineMissing as error:
        fail(str(error))
    _set_environment(engine.url)
    create_table_or_fail(Config.from_env())
    location = f"in {folder.resolve()}" if folder else "in memory: it is lost when this ends"
    return f"{location} ({engine.name}, {engine.url})"


def _write_endpoint_file(stack: ExitStack, folder: Path | None) -> bool:
    """Write the engine's URL to a file that is deleted when this ends; return whether the last run crashed.

    A run that crashes does not delete its file.
    """
    if not folder:
        return False
    file = folder / engines.ENDPOINT_FILE
    crashed = file.exists()
    file.write_text(os.environ["DYNAMODB_ENDPOINT_URL"] + "\n")
    stack.callback(file.unlink, missing_ok=True)
    return crashed


def _set_environment(endpoint_url: str) -> None:
    """Set the environment of this process and its children to use the engine, and never an AWS account."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ |= {
        "DYNAMODB_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _prepare_table(wait_seconds: int) -> None:
    """Wait until the engine at DYNAMODB_ENDPOINT_URL answers, if that is set, and create the table."""
    endpoint_url = get_config().dynamodb_endpoint_url
    if endpoint_url and not engines.wait_until_listens(endpoint_url, wait_seconds):
        fail(f"no DynamoDB answers at {endpoint_url}")
    create_table_or_fail(get_config())


def _data_location() -> str:
    return f"in {get_config().dynamodb_endpoint_url or 'your AWS account, ' + get_config().aws_region}"


def _fail_if_port_is_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"port {port} on {host} cannot be used ({error.strerror}); choose another with PORT=")


def _print_addresses(host: str, port: int, location: str) -> None:
    name = "localhost" if host == "0.0.0.0" else host  # noqa: S104
    click.echo(f"Data:       {location}")
    click.echo(f"API:        http://{name}:{port}/cart/user123")
    click.echo(f"Swagger UI: http://{name}:{port}/docs")
    click.echo(f"Analytics:  http://{name}:{port}/analytics")

"""The command `flask serve`, which `make run` and the container start."""

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
from cart.commands.cli import app_config, create_table_or_fail, fail
from cart.commands.supervisor import Supervisor
from cart.config import Config

LOCK_FILE = "lock"
WAIT_FOR_CRASHED_RUN_SECONDS = 20  # its engine saves and ends within this time

FLASK = [sys.executable, "-m", "flask", "--app", "wsgi"]
ENGINES: dict[str, Callable[[Path | None], engines.Engine]] = {
    "ministack": engines.ministack_engine,
    "dynamodb-local": engines.dynamodb_local_engine,
}


def serve(host: str, port: int, engine: str | None, data: str, wait_seconds: int, from_make: bool) -> None:
    """Start the engine if one is wanted, create the table, and serve the API until a signal ends it.

    :param engine: one of ``ENGINES``, ``aws`` for none, None for the default
    :param data: the folder in which the engine keeps its tables, or ``memory``
    :param from_make: started by make: end when make ends
    """
    engine = engine or ("aws" if app_config().dynamodb_endpoint_url else "ministack")
    _listen_to_signals()
    _refuse_taken_port(host, port)
    gunicorn = gunicorn_command(host, port)
    if engine == "aws" and not from_make:
        _prepare_table(wait_seconds)
        _print_addresses(host, port, _place_of_data())
        sys.stdout.flush()
        os.execv(gunicorn[0], gunicorn)  # gunicorn takes this process's place, and gets its signals itself
    parent = os.getppid()
    with ExitStack() as stack:
        stack.enter_context(_own_exit_status())
        if from_make:
            stack.enter_context(_foreground_of_terminal())
        folder = None if data == "memory" or engine == "aws" else stack.enter_context(_locked_folder(Path(data)))
        supervisor = Supervisor()
        stack.callback(supervisor.stop)
        if engine == "aws":
            _prepare_table(wait_seconds)
            place = _place_of_data()
        else:
            place = _start_engine(supervisor, engine, folder)
            crashed = _note_endpoint(stack, folder)
            follow = ["analytics", "follow", *(["--rebuild-first"] if crashed else [])]
            supervisor.start("The counting process", [*FLASK, *follow])
        supervisor.start("gunicorn", gunicorn)
        _print_addresses(host, port, place)
        ended = supervisor.wait(lambda: from_make and os.getppid() != parent)
        if ended:
            fail(f"{ended.name} ended with status {ended.status}, so all that was started here is stopped")


def gunicorn_command(host: str, port: int) -> list[str]:
    """Return gunicorn's command. gevent's patches come first: applied after boto3's import they would break TLS."""
    patched = [sys.executable, "-m", "gevent.monkey", "--module", "gunicorn"]
    return [*patched, "-c", "python:cart.commands.gunicorn_conf", "--bind", f"{host}:{port}", "wsgi:app"]


def _listen_to_signals() -> None:
    """End at SIGINT, also where a script's ``&`` ignores it, at SIGTERM, and at SIGHUP unless ``nohup`` ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) is not signal.SIG_IGN:
            signal.signal(end, _interrupt)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def _own_exit_status() -> Iterator[None]:
    """Exit with status 0 where the user ended the command; a second signal does not cut the stopping short."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(0)


@contextmanager
def _foreground_of_terminal() -> Iterator[None]:
    """Take Ctrl-C from make, which would exit with status 130 and an error of its own.

    A terminal sends it to one process group: this process moves to a group of its own and makes that the terminal's.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield  # no terminal: whoever signals make decides what make does
        return
    group = os.getpgrp()
    if os.tcgetpgrp(terminal) != group or os.getpid() == group:
        yield  # in the background, or not under make
        return
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # which a process in the background gets for tcsetpgrp
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
    """Make the data folder and lock it, so that no other run uses it at the same time.

    The lock is inherited by the guardian, which holds it until the engine of a crashed run has saved.
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
    """Return whether the process whose id is in the lock file is there."""
    lock.seek(0)
    try:
        os.kill(int(lock.read() or 0), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _start_engine(supervisor: Supervisor, name: str, folder: Path | None) -> str:
    """Start the engine, point this process and its children at it, create the table; return where its data is."""
    try:
        engine = ENGINES[name](folder / name if folder else None)
        engines.start(engine, partial(supervisor.start, f"The engine, {engine.name},"))
    except engines.EngineMissing as error:
        fail(str(error))
    _point_environment_at(engine.url)
    create_table_or_fail(Config.from_env())
    kept = f"in {folder.resolve()}" if folder else "in memory: it is lost when this ends"
    return f"{kept} ({engine.name}, {engine.url})"


def _note_endpoint(stack: ExitStack, folder: Path | None) -> bool:
    """Write the engine's URL to the data folder while this runs; return whether a crashed run left one there."""
    if not folder:
        return False
    note = folder / engines.ENDPOINT_FILE
    crashed = note.exists()
    note.write_text(os.environ["DYNAMODB_ENDPOINT_URL"] + "\n")
    stack.callback(note.unlink, missing_ok=True)
    return crashed


def _point_environment_at(endpoint_url: str) -> None:
    """For this process and its children: the engine here, and never by mistake the account of a profile."""
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
    """Wait for the engine that DYNAMODB_ENDPOINT_URL names, and create the table."""
    endpoint_url = app_config().dynamodb_endpoint_url
    if endpoint_url and not engines.wait_until_listens(endpoint_url, wait_seconds):
        fail(f"no DynamoDB answers at {endpoint_url}")
    create_table_or_fail(app_config())


def _place_of_data() -> str:
    return f"in {app_config().dynamodb_endpoint_url or 'your AWS account, ' + app_config().aws_region}"


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"port {port} on {host} cannot be used ({error.strerror}); choose another with PORT=")


def _print_addresses(host: str, port: int, place: str) -> None:
    name = "localhost" if host == "0.0.0.0" else host  # noqa: S104
    click.echo(f"Data:       {place}")
    click.echo(f"API:        http://{name}:{port}/cart/user123")
    click.echo(f"Swagger UI: http://{name}:{port}/docs")
    click.echo(f"Analytics:  http://{name}:{port}/analytics")

"""The commands: `flask table create` and `status`, `flask monitoring create`, `flask prices resume`,
`flask analytics rebuild` and `follow`, `flask serve`.

What a command needs is imported when it runs: the app imports this module at every cold start.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from cart.config import Config
from cart.dynamodb.client import AWS_ERRORS, connect
from cart.dynamodb.table import CartTable
from cart.errors import Problem

DATA_FOLDER = Path(".dynamodb-local")

table_group = AppGroup("table", help="Make or look at the DynamoDB table.")
monitoring_group = AppGroup("monitoring", help="Watch a stage in CloudWatch.")
prices_group = AppGroup("prices", help="The changes of prices that are under way.")
analytics_group = AppGroup("analytics", help="What all carts hold.")


def init_app(app: Flask) -> None:
    app.cli.add_command(table_group)
    app.cli.add_command(monitoring_group)
    app.cli.add_command(prices_group)
    app.cli.add_command(analytics_group)
    app.cli.add_command(serve)


@table_group.command("create")
def create_table() -> None:
    """Make the table if need be, and bring its TTL and recovery in line. Can be run again at any time."""
    with _one_line_for_errors():
        _create_table(_config())


@table_group.command("status")
def table_status() -> None:
    """Print what the table is; exit 1 where it is not what it must be."""
    from cart.commands import provision

    config = _config()
    with _one_line_for_errors():
        client = connect(config, patient=True)
        try:
            found = provision.aspects(client, config.dynamodb_table_name)
        except client.exceptions.ResourceNotFoundException:
            _fail(f"there is no table {config.dynamodb_table_name}; flask --app wsgi table create makes it")
        items, size_bytes = CartTable(client, config).size()
    different = provision.differences(found)
    for aspect, value in found.items():
        wanted = f"  DIFFERS, must be {provision.WANTED[aspect]}" if aspect in different else ""
        click.echo(f"{aspect + ':':<12}{value}{wanted}")
    click.echo(f"{'items:':<12}{items}\n{'size:':<12}{size_bytes} bytes")
    sys.exit(1 if different else 0)


@monitoring_group.command("create")
@click.option("--retention-days", default=30, show_default=True, help="How long the function's logs are kept.")
@click.option("--topic-arn", help="The SNS topic that hears of an alarm.")
def create_monitoring(retention_days: int, topic_arn: str | None) -> None:
    """Make the stage's dashboard and alarms, and set how long its logs are kept. Can be run again at any time."""
    from cart.commands import monitoring

    with _one_line_for_errors():
        monitoring.create(_config(), retention_days, topic_arn, click.echo)


@prices_group.command("resume")
def resume_prices() -> None:
    """Go on with every price change that nobody is at, until all are done; exit 1 where one is not."""
    from cart.dynamodb.table import get_table
    from cart.prices import job_rows, jobs

    table, bus = get_table(), jobs.get_bus()
    with _one_line_for_errors():
        left = [job for job in job_rows.unfinished_jobs(table) if job.is_left]
        for one in left:
            jobs.run(table, bus, one.job_id)
        after = [job for one in left if (job := job_rows.job(table, one.job_id))]
    for job in after:
        click.echo(f"{job.job_id} product {job.product_id}: {job.status}, {job.seen} lines seen, {job.changed} changed")
    sys.exit(1 if any(job.is_left for job in after) else 0)


@analytics_group.command("rebuild")
def rebuild_analytics() -> None:
    """Count what carts hold anew, from the table, and say how far it was from what had been counted.

    Shoppers and the stream go on meanwhile. What was not counted yet differs too: on a quiet table all that is left is
    drift. What happened on each day stays as it is. One that was cut off is gone on with by the next.
    """
    from cart.analytics.counter import Bookkeeper
    from cart.commands.rebuild import Rebuild

    config = _config()
    with _one_line_for_errors():
        client = connect(config, patient=True)
        rebuild = Rebuild(Bookkeeper(client, config))
        rows = 2 * CartTable(client, config).size()[0]  # each is looked at twice; DynamoDB counts every six hours
        with click.progressbar(length=max(rows, 1), label="Rows", width=0) as bar:
            for looked_at in rebuild.run():
                bar.update(looked_at)
        for of, differing, lines, units, value in rebuild.drift():
            click.echo(f"{of + ' that differed:':<24}{differing}, by {lines:+} lines, {units:+} units, {value:+.2f}")


@analytics_group.command("follow")
def follow_stream() -> None:
    """Count what the table's stream brings, until told to stop: where no Lambda is subscribed to it."""
    from cart.analytics.counter import Bookkeeper
    from cart.commands.follow import Stream, follow

    config = _config()
    with _one_line_for_errors():
        client = connect(config, patient=True)
        arn = client.describe_table(TableName=config.dynamodb_table_name)["Table"].get("LatestStreamArn")
        if not arn:
            _fail(f"table {config.dynamodb_table_name} has no stream; flask --app wsgi table create turns it on")
        click.echo(f"Counting the changes of {config.dynamodb_table_name}; Ctrl-C ends it")
        follow(Stream(connect(config, patient=True, service="dynamodbstreams"), arn), Bookkeeper(client, config))


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--engine",
    type=click.Choice(["moto", "dynamodb-local", "aws"]),
    help="Run moto or DynamoDB Local beside the service, or use what DYNAMODB_ENDPOINT_URL or your AWS "
    "credentials reach.  [default: aws where DYNAMODB_ENDPOINT_URL is set, else moto]",
)
@click.option("--wait-seconds", default=0, help="How long to wait for an engine that is not there yet.")
def serve(host: str, port: int, engine: str | None, wait_seconds: int) -> None:
    """Make sure of the table and serve the API with gunicorn."""
    config = _config()
    engine = engine or ("aws" if config.dynamodb_endpoint_url else "moto")
    _listen_to_signals()
    try:
        _refuse_taken_port(host, port)
        with _engine(engine) as endpoint_url, _one_line_for_errors():
            if endpoint_url:
                _point_environment_at(endpoint_url)
                config = Config.from_env()
            _wait_for(config.dynamodb_endpoint_url, wait_seconds)
            _create_table(config, with_stream=engine != "moto")
            _say_where(host, port, engine)
            _run_gunicorn(host, port, supervised=endpoint_url is not None, counting=engine == "dynamodb-local")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _listen_to_signals() -> None:
    """End at INT, also where a script's ``&`` has it ignored, at TERM, and at HUP unless ``nohup`` has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) is not signal.SIG_IGN:
            signal.signal(end, lambda number, _: sys.exit(128 + number))


def _config() -> Config:
    config: Config = current_app.extensions["cart_config"]
    return config


def _fail(message: str) -> NoReturn:
    click.echo(f"cart: {message}", err=True)
    sys.exit(1)


@contextmanager
def _one_line_for_errors() -> Iterator[None]:
    try:
        yield
    except (*AWS_ERRORS, TimeoutError) as error:
        _fail(" ".join(str(error).split()))
    except Problem as problem:
        _fail(str(problem.description))


def _create_table(config: Config, with_stream: bool = True) -> None:
    from cart.commands import provision

    name = config.dynamodb_table_name
    different = provision.create(connect(config, patient=True), name, click.echo, with_stream)
    if different:
        listed = "; ".join(f"{key} is {found}, must be {provision.WANTED[key]}" for key, found in different.items())
        _fail(f"table {name} differs and cannot be changed in place: {listed}")
    click.echo(f"Table {name}: ready")


def _refuse_taken_port(host: str, port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            _fail(f"port {port} on {host} cannot be had ({error.strerror}); choose another with PORT=")


@contextmanager
def _engine(name: str) -> Iterator[str | None]:
    """Run the engine; the value is its endpoint URL, None where the user brings one."""
    from cart.commands import engines

    running: dict[str, AbstractContextManager[str | None]] = {
        "moto": engines.moto(),
        "dynamodb-local": engines.dynamodb_local(DATA_FOLDER),
        "aws": nullcontext(),
    }
    try:
        with running[name] as endpoint_url:
            yield endpoint_url
    except engines.EngineMissing as error:
        _fail(str(error))


def _point_environment_at(endpoint_url: str) -> None:
    """For this process and gunicorn: the engine here, and never by mistake the account of a profile."""
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


def _wait_for(endpoint_url: str | None, wait_seconds: int) -> None:
    from cart.commands import engines

    if endpoint_url and not engines.wait_until_listens(endpoint_url, wait_seconds):
        _fail(f"no DynamoDB answers at {endpoint_url}")


def _say_where(host: str, port: int, engine: str) -> None:
    endpoint_url = os.environ.get("DYNAMODB_ENDPOINT_URL")
    kept = {
        "moto": f"in memory (moto, {endpoint_url}): they go away when this ends",
        "dynamodb-local": f"in {DATA_FOLDER.resolve()} (DynamoDB Local, {endpoint_url})",
        "aws": f"in {endpoint_url or 'your AWS account, ' + _config().aws_region}",
    }
    shown = "localhost" if host == "0.0.0.0" else host  # noqa: S104
    click.echo(f"Data:       {kept[engine]}")
    click.echo(f"API:        http://{shown}:{port}/cart/user123")
    click.echo(f"Swagger UI: http://{shown}:{port}/docs")
    click.echo(f"Analytics:  http://{shown}:{port}/analytics")


def gunicorn_command(host: str, port: int) -> list[str]:
    """gevent's patches come first: to boto3's TLS, once imported, they would do harm."""
    patched = [sys.executable, "-m", "gevent.monkey", "--module", "gunicorn"]
    return [*patched, "-c", "python:cart.commands.gunicorn_conf", "--bind", f"{host}:{port}", "wsgi:app"]


def _run_gunicorn(host: str, port: int, supervised: bool, counting: bool) -> None:
    """Serve until told to stop. Unsupervised, gunicorn takes this process's place and gets its signals itself.

    :param counting: the changes of carts, too, in a process beside it
    """
    command = gunicorn_command(host, port)
    sys.stdout.flush()
    if not supervised:
        os.execv(command[0], command)
    from cart.commands import engines

    commands = [command]
    if counting:
        commands.append([sys.executable, "-m", "flask", "--app", "wsgi", "analytics", "follow"])
    processes = [subprocess.Popen(one, start_new_session=True) for one in commands]
    try:
        sys.exit(processes[0].wait())
    finally:
        for process in processes:
            engines.stop(process)

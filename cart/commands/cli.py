"""Command line: `flask table`, `monitoring`, `prices`, `analytics` and `serve`.

Each command imports what it needs when it runs: the app imports this module at every start.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from botocore.exceptions import NoCredentialsError
from flask import Flask
from flask.cli import AppGroup

from cart.config import Config
from cart.dynamodb.client import CREDENTIALS, connect
from cart.dynamodb.failures import AWS_ERRORS
from cart.errors import Problem
from cart.http.extensions import get_config

table_group = AppGroup("table", help="Create or check the DynamoDB table.")
monitoring_group = AppGroup("monitoring", help="Dashboard and alarms of a stage in CloudWatch.")
prices_group = AppGroup("prices", help="Price changes that are not finished.")
analytics_group = AppGroup("analytics", help="The counts of what all carts hold.")


def init_app(app: Flask) -> None:
    """Add the commands to an app."""
    app.cli.add_command(table_group)
    app.cli.add_command(monitoring_group)
    app.cli.add_command(prices_group)
    app.cli.add_command(analytics_group)
    app.cli.add_command(serve_command)


@table_group.command("create")
def create_table() -> None:
    """Create the table, or correct the TTL, recovery and stream of an existing one. Can be run at any time."""
    create_table_or_fail(get_config())


@table_group.command("status")
def table_status() -> None:
    """Print the table's properties. Exits with 1 if the table does not exist or one differs from what it must be."""
    from cart.commands import provision

    config = get_config()
    with one_line_for_errors():
        client = connect(config, boto_defaults=True)
        table = describe_table_or_fail(client, config.dynamodb_table_name)
        properties = provision.properties(client, config.dynamodb_table_name)
    different = provision.differences(properties)
    for name, value in properties.items():
        remark = f"  DIFFERS, must be {provision.REQUIRED[name]}" if name in different else ""
        click.echo(f"{name + ':':<12}{value}{remark}")
    click.echo(f"{'items:':<12}{table['ItemCount']}\n{'size:':<12}{table['TableSizeBytes']} bytes")
    sys.exit(1 if different else 0)


@monitoring_group.command("create")
@click.option("--retention-days", default=30, show_default=True, help="How many days the function's logs are kept.")
@click.option("--topic-arn", help="The SNS topic that is notified of alarms.")
def create_monitoring(retention_days: int, topic_arn: str | None) -> None:
    """Create or update a dashboard and alarms, and set how long logs are kept.

    The stage is ENVIRONMENT. The metrics are those of METRICS_NAMESPACE, by default Cart. Can be run at any time.
    """
    from cart.commands import monitoring

    with one_line_for_errors(without_credentials=f"dashboards and alarms are created in AWS: set {CREDENTIALS}"):
        monitoring.create(get_config(), retention_days, topic_arn, click.echo)


@prices_group.command("resume")
def resume_prices() -> None:
    """Continue every price change that no worker is working on, until it is done. Exits with 1 if one is not done."""
    from cart.http.extensions import get_bus, get_table
    from cart.prices import job_rows, jobs

    table, bus = get_table(), get_bus()
    with one_line_for_errors():
        describe_table_or_fail(connect(get_config(), boto_defaults=True), table.name)
        job_ids = [job.job_id for job in job_rows.unfinished_jobs(table) if job.is_idle]
        for job_id in job_ids:
            jobs.run(table, bus, job_id)
        results = [job for job_id in job_ids if (job := job_rows.read_job(table, job_id))]
    for job in results:
        click.echo(f"{job.job_id} product {job.product_id}: {job.status}, {job.seen} lines seen, {job.changed} changed")
    sys.exit(1 if any(job.is_idle for job in results) else 0)


@analytics_group.command("rebuild")
def rebuild_analytics() -> None:
    """Count again what carts hold, from the table, and print what was corrected.

    Shoppers can continue meanwhile. Changes that the stream has not brought yet differ too; on a quiet table every
    difference is an error that is now corrected. The figures of the days are not changed. If it is interrupted, the
    next run continues.
    """
    from cart.analytics.counter import Bookkeeper
    from cart.commands.rebuild import Rebuild, describe

    config = get_config()
    with one_line_for_errors():
        client = connect(config, boto_defaults=True)
        table = describe_table_or_fail(client, config.dynamodb_table_name)
        rows = 2 * table["ItemCount"]  # each row is read twice; DynamoDB updates its count every six hours
        rebuild = Rebuild(Bookkeeper(client, config))
        with click.progressbar(length=max(rows, 1), label="Rows", width=0) as bar:
            for scanned_rows in rebuild.run():
                bar.update(scanned_rows)
        corrections = [drift for drift in rebuild.drift() if drift.differing]
    for drift in corrections:
        click.echo(f"Corrected {describe(drift)}")
    if not corrections:
        click.echo("Nothing differed: the counts are what the carts hold")


@analytics_group.command("follow")
@click.option("--rebuild-first", is_flag=True, help="First run `analytics rebuild`.")
@click.pass_context
def follow_stream(context: click.Context, rebuild_first: bool) -> None:
    """Read the table's stream and count its changes, until Ctrl-C or SIGTERM.

    On AWS the Lambda function does this. Elsewhere run this next to the service.
    """
    from cart.analytics.counter import Bookkeeper
    from cart.commands.follow import Stream, StreamUnreadable, follow

    is_over = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: is_over.set())
    if rebuild_first:
        click.echo("The last run crashed: counting again what carts hold")
        context.invoke(rebuild_analytics)
    config = get_config()
    with one_line_for_errors():
        client = connect(config, boto_defaults=True)
        arn = describe_table_or_fail(client, config.dynamodb_table_name).get("LatestStreamArn")
        if not arn:
            fail(f"table {config.dynamodb_table_name} has no stream; run flask --app wsgi table create to turn it on")
        click.echo(f"Counting the changes of {config.dynamodb_table_name}; Ctrl-C ends it")
        stream = Stream(connect(config, boto_defaults=True, service="dynamodbstreams"), arn)
        try:
            follow(stream, Bookkeeper(client, config), is_over)
        except Problem:
            if not is_over.is_set():  # else the engine was stopped too; the next start counts the remaining changes
                raise
        except StreamUnreadable as error:
            if not is_over.is_set():
                fail(f"the stream of table {config.dynamodb_table_name} cannot be read: {error}")


def _port_or_fail(_: click.Context, __: click.Parameter, text: str) -> int:
    """Return the port, or exit with one line, without the usage that click would print."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        fail(f"PORT={text} must be a whole number from 1 to 65535")
    return int(text)


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default="8000", show_default=True, callback=_port_or_fail, help="The port to listen on.")
@click.option(
    "--engine",
    type=click.Choice(["ministack", "dynamodb-local", "aws"]),
    help="The DynamoDB to use. ministack and dynamodb-local are started next to the service; aws is the one at "
    "DYNAMODB_ENDPOINT_URL or, if that is unset, in your AWS account.  [default: aws if DYNAMODB_ENDPOINT_URL is set, "
    "else ministack]",
)
@click.option(
    "--data",
    default=".cart-data",
    show_default=True,
    help="The folder in which the engine keeps its tables; 'memory' keeps none.",
)
@click.option(
    "--wait-seconds", default=0, help="How long to wait until DYNAMODB_ENDPOINT_URL answers.", show_default=True
)
@click.option("--from-make", is_flag=True, hidden=True, help="Started by make: end when make ends.")
def serve_command(host: str, port: int, engine: str | None, data: str, wait_seconds: int, from_make: bool) -> None:
    """Start a DynamoDB engine if needed, create the table, and serve the API with gunicorn."""
    from cart.commands.serve import serve

    serve(host, port, engine, data, wait_seconds, from_make)


def fail(message: str) -> NoReturn:
    """Print one line to stderr and exit with status 1."""
    click.echo(f"cart: {message}", err=True)
    sys.exit(1)


@contextmanager
def one_line_for_errors(without_credentials: str = "") -> Iterator[None]:
    """Print an error of DynamoDB or AWS as one line, and exit with status 1.

    :param without_credentials: the line if there are no credentials, for commands that need AWS itself, not an engine
    """
    try:
        yield
    except NoCredentialsError:
        fail(without_credentials or _what_to_set())
    except (*AWS_ERRORS, TimeoutError) as error:
        fail(" ".join(str(error).split()))
    except Problem as problem:
        fail(problem.detail)


def _what_to_set() -> str:
    """Return the message for an environment with neither an engine nor credentials."""
    from cart.commands.engines import running_endpoint_url

    url = running_endpoint_url()
    engine = f"={url}, the engine of `make run`" if url else " to the URL of an engine (`make run` starts one)"
    return f"no DynamoDB to connect to: set DYNAMODB_ENDPOINT_URL{engine}, or {CREDENTIALS}"


def describe_table_or_fail(client: Any, name: str) -> dict[str, Any]:
    """Return the result of DescribeTable; print one line and exit with status 1 if the table does not exist."""
    try:
        table: dict[str, Any] = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        fail(f"there is no table {name}; run flask --app wsgi table create to create it")
    return table


def create_table_or_fail(config: Config) -> None:
    """Create the table, or correct what can be changed; print one line and exit with status 1 if the rest differs."""
    from cart.commands import provision

    name = config.dynamodb_table_name
    with one_line_for_errors():
        different = provision.create(connect(config, boto_defaults=True), name, click.echo)
    if different:
        listed = "; ".join(f"{key} is {value}, must be {provision.REQUIRED[key]}" for key, value in different.items())
        fail(f"table {name} differs and cannot be changed in place: {listed}")
    click.echo(f"Table {name}: ready")

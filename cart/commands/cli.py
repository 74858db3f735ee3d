"""The commands: `flask table create` and `status`, `flask monitoring create`, `flask prices resume`,
`flask analytics rebuild` and `follow`, `flask serve`.

What a command needs is imported when it runs: the app imports this module at every cold start.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from cart.config import Config
from cart.dynamodb.client import AWS_ERRORS, connect
from cart.dynamodb.table import CartTable
from cart.errors import Problem

table_group = AppGroup("table", help="Make or look at the DynamoDB table.")
monitoring_group = AppGroup("monitoring", help="Watch a stage in CloudWatch.")
prices_group = AppGroup("prices", help="The changes of prices that are under way.")
analytics_group = AppGroup("analytics", help="What all carts hold.")


def init_app(app: Flask) -> None:
    app.cli.add_command(table_group)
    app.cli.add_command(monitoring_group)
    app.cli.add_command(prices_group)
    app.cli.add_command(analytics_group)
    app.cli.add_command(serve_command)


@table_group.command("create")
def create_table() -> None:
    """Make the table if need be, and bring its TTL and recovery in line. Can be run again at any time."""
    create_table_or_fail(app_config())


@table_group.command("status")
def table_status() -> None:
    """Print what the table is; exit 1 where it is not what it must be."""
    from cart.commands import provision

    config = app_config()
    with one_line_for_errors():
        client = connect(config, patient=True)
        try:
            found = provision.aspects(client, config.dynamodb_table_name)
        except client.exceptions.ResourceNotFoundException:
            fail(f"there is no table {config.dynamodb_table_name}; flask --app wsgi table create makes it")
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

    with one_line_for_errors():
        monitoring.create(app_config(), retention_days, topic_arn, click.echo)


@prices_group.command("resume")
def resume_prices() -> None:
    """Go on with every price change that nobody is at, until all are done; exit 1 where one is not."""
    from cart.http.extensions import get_bus, get_table
    from cart.prices import job_rows, jobs

    table, bus = get_table(), get_bus()
    with one_line_for_errors():
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

    config = app_config()
    with one_line_for_errors():
        client = connect(config, patient=True)
        rebuild = Rebuild(Bookkeeper(client, config))
        rows = 2 * CartTable(client, config).size()[0]  # each is looked at twice; DynamoDB counts every six hours
        with click.progressbar(length=max(rows, 1), label="Rows", width=0) as bar:
            for looked_at in rebuild.run():
                bar.update(looked_at)
        for of, differing, lines, units, value in rebuild.drift():
            click.echo(f"{of + ' that differed:':<24}{differing}, by {lines:+} lines, {units:+} units, {value:+.2f}")


@analytics_group.command("follow")
@click.option("--rebuild-first", is_flag=True, help="First do what `analytics rebuild` does.")
@click.pass_context
def follow_stream(context: click.Context, rebuild_first: bool) -> None:
    """Count the changes that the table's stream brings, until SIGINT or SIGTERM: where no Lambda does it."""
    from cart.analytics.counter import Bookkeeper
    from cart.commands.follow import Stream, follow

    is_over = threading.Event()
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, lambda *_: is_over.set())
    if rebuild_first:
        click.echo("The last run did not end in order: counting what carts hold anew")
        context.invoke(rebuild_analytics)
    config = app_config()
    with one_line_for_errors():
        client = connect(config, patient=True)
        arn = client.describe_table(TableName=config.dynamodb_table_name)["Table"].get("LatestStreamArn")
        if not arn:
            fail(f"table {config.dynamodb_table_name} has no stream; flask --app wsgi table create turns it on")
        click.echo(f"Counting the changes of {config.dynamodb_table_name}; Ctrl-C ends it")
        stream = Stream(connect(config, patient=True, service="dynamodbstreams"), arn)
        try:
            follow(stream, Bookkeeper(client, config), is_over)
        except AWS_ERRORS:
            if not is_over.is_set():  # else the engine was stopped too: what it still has is counted at the next start
                raise


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--engine",
    type=click.Choice(["ministack", "dynamodb-local", "aws"]),
    help="Run ministack or DynamoDB Local beside the service, or use what DYNAMODB_ENDPOINT_URL or your AWS "
    "credentials reach.  [default: aws where DYNAMODB_ENDPOINT_URL is set, else ministack]",
)
@click.option(
    "--data",
    default=".cart-data",
    show_default=True,
    help="The folder in which the engine keeps its tables, or 'memory' to keep none.",
)
@click.option("--wait-seconds", default=0, help="How long to wait for an engine that does not answer yet.")
@click.option("--from-make", is_flag=True, hidden=True, help="Started by make: end when make ends.")
def serve_command(host: str, port: int, engine: str | None, data: str, wait_seconds: int, from_make: bool) -> None:
    """Create the table if it is not there, and serve the API with gunicorn."""
    from cart.commands.serve import serve

    serve(host, port, engine, data, wait_seconds, from_make)


def app_config() -> Config:
    """Return the settings of the app whose command runs."""
    config: Config = current_app.extensions["cart_config"]
    return config


def fail(message: str) -> NoReturn:
    """Print one line to stderr and exit with status 1."""
    click.echo(f"cart: {message}", err=True)
    sys.exit(1)


@contextmanager
def one_line_for_errors() -> Iterator[None]:
    """Turn what DynamoDB or AWS refuses into one line, and exit with status 1."""
    try:
        yield
    except (*AWS_ERRORS, TimeoutError) as error:
        fail(" ".join(str(error).split()))
    except Problem as problem:
        fail(problem.detail)


def create_table_or_fail(config: Config) -> None:
    """Create the table, or bring what can be changed in line; exit 1 with one line where something else differs."""
    from cart.commands import provision

    name = config.dynamodb_table_name
    with one_line_for_errors():
        different = provision.create(connect(config, patient=True), name, click.echo)
    if different:
        listed = "; ".join(f"{key} is {found}, must be {provision.WANTED[key]}" for key, found in different.items())
        fail(f"table {name} differs and cannot be changed in place: {listed}")
    click.echo(f"Table {name}: ready")

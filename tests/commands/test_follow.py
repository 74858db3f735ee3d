"""`flask analytics follow` counts the table's stream where there is no Lambda."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from cart import create_app
from cart.analytics.counter import Bookkeeper
from cart.analytics.totals import Aggregates, Totals
from cart.commands import engines
from cart.commands.follow import BATCH_RECORDS, Stream, count_new_records
from cart.errors import Throttled
from tests.support.project import ROOT
from tests.support.records import history, image
from tests.support.stores import CUP, Store, make_store

pytestmark = pytest.mark.slow

COUNTED_WITHIN_SECONDS = 30
ROUNDS = 3
USERS = [f"user{number}" for number in range(BATCH_RECORDS // 2)]
COMMAND = [sys.executable, "-m", "flask", "--app", "wsgi", "analytics", "follow"]


def environment(store: Store) -> dict[str, str]:
    return os.environ | {
        "DYNAMODB_ENDPOINT_URL": store.config.dynamodb_endpoint_url or "",
        "DYNAMODB_TABLE_NAME": store.config.dynamodb_table_name,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }


def wait_for(aggregates: Aggregates, expected: Totals) -> None:
    deadline = time.monotonic() + COUNTED_WITHIN_SECONDS
    while (totals := aggregates.totals()) != expected:
        assert time.monotonic() < deadline, totals
        time.sleep(0.1)


def lines_of(store: Store) -> list[dict[str, Any]]:
    return [row for user in USERS for row in store.rows(user)]


def test_changes_are_counted_once_although_the_command_is_killed(dynamodb_local_url):
    store = make_store("dynamodb-local", dynamodb_local_url, with_stream=True)
    client, aggregates = create_app(store.config).test_client(), Aggregates(store.client, store.config)
    first_day = datetime.now(UTC).date()
    for user in USERS[:ROUNDS]:
        process = subprocess.Popen(COMMAND, cwd=ROOT, env=environment(store), start_new_session=True)
        try:
            for shopper in USERS:
                assert client.post(f"/cart/{shopper}/items", json=CUP).status_code == 201
            assert client.delete(f"/cart/{user}").status_code == 204
            lines = lines_of(store)
            units = sum(int(row["quantity"]["N"]) for row in lines)
            wait_for(aggregates, Totals(len(lines), units, Decimal("19.99") * units))
        finally:
            os.kill(process.pid, signal.SIGKILL)  # at any moment of its work
            engines.stop(process)
    days = aggregates.days(first_day, datetime.now(UTC).date())
    assert sum(day.units_added for day in days) == ROUNDS * len(USERS) * CUP["quantity"]
    assert sum(day.carts_cleared for day in days) == ROUNDS


def test_table_without_a_stream_prints_one_line(moto_store):
    process = subprocess.run(
        COMMAND, cwd=ROOT, env=environment(moto_store), capture_output=True, text=True, check=False
    )
    name = moto_store.config.dynamodb_table_name
    assert process.returncode == 1
    assert process.stderr == f"cart: table {name} has no stream; run flask --app wsgi table create to turn it on\n"


def test_sigint_and_sigterm_end_it_in_the_background_of_a_script(dynamodb_local_url):
    """A script's shell makes processes that it starts with ``&`` ignore SIGINT."""
    store = make_store("dynamodb-local", dynamodb_local_url, with_stream=True)
    for end in (signal.SIGINT, signal.SIGTERM):
        script = f"{shlex.join(COMMAND)} & echo $!; wait $!"
        shell = subprocess.Popen(
            ["sh", "-c", script],
            cwd=ROOT,
            env=environment(store),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            pid = int(shell.stdout.readline())
            assert "Counting the changes" in shell.stdout.readline()
            os.kill(pid, end)
            output, _ = shell.communicate(timeout=30)
        finally:
            shell.kill()
        assert (shell.returncode, output) == (0, "")


def run(url: str, table: str = "of-the-stub") -> tuple[int, str]:
    environ = {"DYNAMODB_ENDPOINT_URL": url, "DYNAMODB_TABLE_NAME": table}
    process = subprocess.run(
        COMMAND, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=60, check=False
    )
    return process.returncode, process.stdout.partition("\n")[
        2
    ] + process.stderr  # without the first line, which says what the command does


@contextmanager
def engine_that_answers(status: int, body: str) -> Iterator[str]:
    """Run an engine whose table has a stream, and which sends this answer to requests to DynamoDB Streams."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            table = {"Table": {"TableName": "of-the-stub", "LatestStreamArn": f"arn:aws:dynamodb:::{'x' * 40}"}}
            is_stream = self.headers["X-Amz-Target"].startswith("DynamoDBStreams")
            text = body if is_stream else json.dumps(table)
            self.send_response(status if is_stream else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def refusal(code: str) -> str:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "Not for you"})


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, refusal("UnknownOperationException"), r".*UnknownOperationException.*Not for you"),
        (400, refusal("AccessDeniedException"), r".*AccessDeniedException.*Not for you"),
        (404, "<html>\n<p>Not here</p>\n</html>", r".*404.*DescribeStream.*"),
        (404, "x" * 5000, r".{10,300}"),
        (200, "<html>\n<p>Hello</p>\n</html>", "an answer of AWS is not a JSON object"),
        (200, "{}", "an answer of AWS has no StreamDescription"),
        (
            200,
            '{"StreamDescription": {"StreamViewType": "KEYS_ONLY", "Shards": []}}',
            "it holds KEYS_ONLY, must hold NEW_AND_OLD_IMAGES",
        ),
    ],
)
def test_unreadable_stream_prints_one_line(status, body, reason):
    with engine_that_answers(status, body) as url:
        exit_status, output = run(url)
    assert exit_status == 1
    assert re.fullmatch(rf"cart: the stream of table of-the-stub cannot be read: {reason}\n", output), output


def test_stream_without_whole_rows_prints_one_line(moto_url):
    """moto's record of an added line has only its keys."""
    store = make_store("moto", moto_url, with_stream=True)
    assert create_app(store.config).test_client().post("/cart/u/items", json=CUP).status_code == 201
    name = store.config.dynamodb_table_name
    reason = "its records hold keys instead of whole rows; use ministack or DynamoDB Local"
    assert run(moto_url, name) == (1, f"cart: the stream of table {name} cannot be read: {reason}\n")


class Streams:
    """A client of a stream of two shards, in two pages, whose iterators expire once."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records = {"a": records, "b": []}
        self.expired = False

    def describe_stream(self, ExclusiveStartShardId: str = "", **_: str) -> Any:
        shard = "b" if ExclusiveStartShardId else "a"
        next_page = {} if ExclusiveStartShardId else {"LastEvaluatedShardId": "a"}
        return {"StreamDescription": {"Shards": [{"ShardId": shard}], **next_page}}

    def get_shard_iterator(self, ShardId: str, ShardIteratorType: str, **_: str) -> Any:
        assert ShardIteratorType == "TRIM_HORIZON"
        return {"ShardIterator": f"{ShardId} 0"}

    def get_records(self, ShardIterator: str, Limit: int) -> Any:
        shard, start = ShardIterator.split()
        if start != "0" and not self.expired:
            self.expired = True
            raise ClientError({"Error": {"Code": "ExpiredIteratorException"}}, "GetRecords")
        records = self.records[shard][int(start) : int(start) + Limit]
        return {"Records": records, "NextShardIterator": f"{shard} {int(start) + len(records)}"}


def test_expired_iterator_is_renewed(moto_store):
    stream = Stream(Streams([*history([image(1), image(3)])]), "arn/stream/1")
    bookkeeper = Bookkeeper(moto_store.client, moto_store.config)
    with create_app(moto_store.config).app_context():
        for _ in range(3):
            count_new_records(stream, bookkeeper)
    assert bookkeeper.totals() == Totals(1, 3, Decimal("59.97"))


def test_no_change_is_skipped_while_dynamodb_throttles(moto_store, monkeypatch, capsys):
    """The command ends, and its next start reads the same records."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    bookkeeper = Bookkeeper(moto_store.client, moto_store.config)
    streams = Streams([*history([image(4)], user="fay")])
    streams.expired = True
    units = bookkeeper.totals().units
    with create_app(moto_store.config).app_context():
        with monkeypatch.context() as patch:
            patch.setattr(bookkeeper, "count", Mock(side_effect=Throttled))
            with pytest.raises(Throttled):
                count_new_records(Stream(streams, "arn/stream/3"), bookkeeper)
        count_new_records(Stream(streams, "arn/stream/3"), bookkeeper)
    assert bookkeeper.totals().units == units + 4
    assert "given up" not in capsys.readouterr().out


def test_invalid_change_is_logged_and_skipped(moto_store, monkeypatch, capsys):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    invalid, *valid = history([image(1), image(2)], user="eve")
    streams = Streams([invalid | {"dynamodb": invalid["dynamodb"] | {"NewImage": {}}}, *valid])
    streams.expired = True
    bookkeeper = Bookkeeper(moto_store.client, moto_store.config)
    units = bookkeeper.totals().units
    with create_app(moto_store.config).app_context():
        count_new_records(Stream(streams, "arn/stream/2"), bookkeeper)
    assert bookkeeper.totals().units == units + 2
    assert "1 changes are given up" in capsys.readouterr().out


def test_row_that_has_only_its_key_ends_nothing(moto_store, capsys):
    """Another program wrote it. It counts as no line, and the changes after it are counted."""
    keys_alone, last = history([image(1), image(2)], user="gus")
    keys = keys_alone["dynamodb"]["Keys"]
    streams = Streams([*history([image(1)], user="hal")])
    streams.expired = True
    stream, bookkeeper = Stream(streams, "arn/stream/4"), Bookkeeper(moto_store.client, moto_store.config)
    units = bookkeeper.totals().units
    with create_app(moto_store.config).app_context():
        count_new_records(stream, bookkeeper)
        for record in (keys_alone | {"dynamodb": keys_alone["dynamodb"] | {"NewImage": keys}}, last):
            streams.records["a"].append(record)
            count_new_records(stream, bookkeeper)
    assert bookkeeper.totals().units == units + 1 + 2
    assert "given up" not in capsys.readouterr().out

"""Something that is not an AWS service or the catalogue answers; connections are lost; retries end."""

import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cart import create_app
from cart.bus import Bus
from cart.commands.follow import Stream, StreamUnreadable
from cart.config import Config
from cart.dynamodb.client import call, connect
from cart.dynamodb.failures import AWS_ERRORS, Failure, NotAnAnswer, failure_of
from cart.dynamodb.retries import (
    MAX_ATTEMPTS,
    RETRY_COST,
    RETRY_TOKENS,
    TIMEOUT_COST,
    Retries,
    RetryBudget,
    retry_budget,
)
from cart.dynamodb.table import CartTable
from cart.errors import OutcomeUnknown, Unavailable
from tests.support.raw_server import Request, raw_server, response
from tests.support.stores import CUP

pytestmark = pytest.mark.slow

TRANSPORTS = pytest.mark.parametrize("transport", ["direct", "botocore"])
PORTAL = {"a page": b"<h1>Welcome</h1>", "an object": b"{}", "a list": b"[]", "a string": b'"x"', "nothing": b""}
EVERYTHING: list[tuple[str, str, Any]] = [
    ("GET", "/health/ready", None),
    ("GET", "/cart/u", None),
    ("GET", "/cart/u/saved", None),
    ("POST", "/cart/u/items", CUP),
    ("PUT", "/cart/u/items/1", {"quantity": 2}),
    ("DELETE", "/cart/u/items/1", None),
    ("DELETE", "/cart/u", None),
    ("POST", "/cart/u/shares", {"access": "view"}),
    ("GET", "/cart/u/shares", None),
    ("DELETE", "/cart/u/shares/" + "0" * 64, None),
    ("PUT", "/products/1/price", {"price": 2}),
    ("GET", "/products/1/carts", None),
    ("POST", "/cart/u/merge", {"source_user_id": "v"}),
    ("GET", "/analytics/summary", None),
]


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")


def config_of(url: str | None, transport: str = "direct", **settings: Any) -> Config:
    return Config(dynamodb_endpoint_url=url, dynamodb_transport=transport, log_level="CRITICAL", **settings)


@TRANSPORTS
@pytest.mark.parametrize("body", PORTAL.values(), ids=PORTAL.keys())
def test_answers_that_are_not_from_dynamodb_are_errors(transport, body):
    with raw_server(lambda _: response(body)) as server:
        app = create_app(config_of(server.url, transport))
        for method, path, data in EVERYTHING:
            answer = app.test_client().open(path, method=method, json=data)
            assert answer.status_code == 503, (method, path)
        app.extensions["cart_table"].client.close()


@TRANSPORTS
@pytest.mark.parametrize("body", PORTAL.values(), ids=PORTAL.keys())
def test_write_answered_by_something_else_has_unknown_outcome(transport, body):
    """It is sent once; a transaction, which DynamoDB would recognize, is sent three times."""
    with raw_server(lambda _: response(body)) as server:
        client = connect(config_of(server.url, transport))
        for operation, attempts in (
            *(("update_item", 1), ("delete_item", 1), ("batch_write_item", 1)),
            *(("transact_write_items", 3), ("query", 3), ("get_item", 3), ("batch_get_item", 3)),
        ):
            server.requests.clear()
            with pytest.raises(Unavailable) as raised:
                call(client, operation, **PARAMS[operation])
            is_write = operation in ("update_item", "delete_item", "batch_write_item", "transact_write_items")
            assert isinstance(raised.value, OutcomeUnknown) == is_write
            assert len(server.requests) == attempts
        client.close()


KEY = {"user_id": {"S": "u"}, "item_id": {"S": "ITEM#1"}}
PARAMS: dict[str, dict[str, Any]] = {
    "query": {"TableName": "t", "KeyConditionExpression": "user_id = :u"},
    "get_item": {"TableName": "t", "Key": KEY},
    "update_item": {"TableName": "t", "Key": KEY},
    "delete_item": {"TableName": "t", "Key": KEY},
    "batch_get_item": {"RequestItems": {"ttt": {"Keys": [KEY]}}},
    "batch_write_item": {"RequestItems": {"ttt": [{"DeleteRequest": {"Key": KEY}}]}},
    "transact_write_items": {"TransactItems": [{"Delete": {"TableName": "t", "Key": KEY}}]},
}
SEVERAL = ("batch_get_item", "batch_write_item", "transact_write_items")


@TRANSPORTS
@pytest.mark.parametrize("operation", PARAMS)
@pytest.mark.parametrize(
    "consumed",
    [None, 1, "x", [], [{}], [{"CapacityUnits": 1.5}], ["x"], {}, {"CapacityUnits": 1.5}, {"CapacityUnits": "x"}],
    ids=json.dumps,
)
def test_consumed_capacity_of_a_wrong_type_is_an_error(transport, operation, consumed):
    accepted: list[Any] = [[], [{"CapacityUnits": 1.5}]] if operation in SEVERAL else [{}, {"CapacityUnits": 1.5}]
    if consumed == {} and operation in SEVERAL and (transport == "botocore" or operation == "batch_get_item"):
        accepted, consumed_as_read = [{}], []  # boto3 reads an empty object as an empty list
    else:
        consumed_as_read = consumed
    with raw_server(lambda _: response(json.dumps({"ConsumedCapacity": consumed}).encode())) as server:
        client = connect(config_of(server.url, transport))
        if consumed in accepted:
            assert call(client, operation, **PARAMS[operation])["ConsumedCapacity"] == consumed_as_read
        else:
            with pytest.raises(Unavailable):
                call(client, operation, **PARAMS[operation])
        client.close()


@TRANSPORTS
@pytest.mark.parametrize(
    ("body", "is_answer"),
    [
        ({"Responses": {"ttt": []}, "UnprocessedKeys": {}}, True),
        ({"Responses": {"ttt": []}}, False),
        ({"UnprocessedKeys": {}}, False),
    ],
)
def test_a_batch_get_without_capacity_is_judged_by_its_members(transport, body, is_answer):
    """ministack leaves the capacity of this operation out."""
    with raw_server(lambda _: response(json.dumps(body).encode())) as server:
        client = connect(config_of(server.url, transport))
        if is_answer:
            assert call(client, "batch_get_item", **PARAMS["batch_get_item"])["Responses"] == {"ttt": []}
        else:
            with pytest.raises(Unavailable):
                call(client, "batch_get_item", **PARAMS["batch_get_item"])
        client.close()


@TRANSPORTS
@pytest.mark.parametrize("body", [*PORTAL.values(), b'{"Table": {}}', b'{"Table": []}'])
def test_table_description_from_something_else_is_an_error(transport, body):
    """DescribeTable has no ReturnConsumedCapacity by which an answer could be recognized."""
    with raw_server(lambda _: response(body)) as server:
        config = config_of(server.url, transport)
        table = CartTable(connect(config), config)
        with pytest.raises(AWS_ERRORS) as raised:
            table.size()
        assert failure_of(raised.value) is Failure.UNCERTAIN
        table.client.close()


@pytest.mark.parametrize(
    "body", [*PORTAL.values(), b'{"Entries": {}}', b'{"Entries": []}', b'{"Entries": [{}]}', b'{"Entries": [null]}']
)
def test_event_counts_as_sent_only_if_eventbridge_answers(monkeypatch, body):
    with raw_server(lambda _: response(body)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        bus = Bus(config_of(None))
        client = bus.client  # made first: on a busy machine that alone takes the second in which a retry is decided
        with pytest.raises(Unavailable):
            bus.send([bus.step("job")])
        assert len(server.requests) == MAX_ATTEMPTS
        client.close()


SHARDS = b'{"StreamDescription": {"Shards": [{"ShardId": "shardId-000000000000000000001"}]}}'


@pytest.mark.parametrize(
    "answers",
    [
        *([body] for body in PORTAL.values()),
        [b'{"StreamDescription": {}}'],
        [SHARDS, b"{}"],
        [
            SHARDS,
            b'{"ShardIterator": "i"}',
            b"{}",
        ],
    ],
)
def test_stream_answer_from_something_else_is_an_error(answers):
    remaining = list(answers)
    with raw_server(lambda _: response(remaining.pop(0))) as server:
        streams = connect(config_of(server.url), boto_defaults=True, service="dynamodbstreams")
        with pytest.raises(StreamUnreadable):
            Stream(streams, "arn:aws:dynamodb:us-east-1:1:table/t/stream/1").read()
        streams.close()
    assert not remaining


DEEP = b"[" * 30_000


@pytest.mark.parametrize("body", [*PORTAL.values(), DEEP, b'{"product_id": 1e999}', b"\xff", b'{"product_id": 42}'])
def test_catalogue_answer_from_something_else_is_no_product(body):
    with raw_server(lambda _: response(body)) as server:
        app = create_app(config_of("http://127.0.0.1:9", catalog_url=server.url))
        answer = app.test_client().post("/cart/u/items", json={"product_id": 42, "quantity": 1})
        assert answer.status_code == 409, answer.get_data(as_text=True)
        assert answer.get_json(force=True)["type"] == "urn:cart:problem:product-unreadable"
        server.close_connections()


# Connections that a firewall or NAT has dropped without closing them


@TRANSPORTS
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_dropped_connections_cost_no_read_and_at_most_one_write(transport, method):
    """40 idle connections are dropped without a FIN, as by a NAT after 350 s."""
    dropped, all_busy, old = threading.Event(), threading.Barrier(40), set()

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def answer(request: Request) -> Any:
        if not dropped.is_set():
            old.add(request.connection)
            all_busy.wait(10)
        elif request.connection in old:
            return reset
        return response(PAGE if request.headers["x-amz-target"].endswith("Query") else UPDATED)

    with raw_server(answer) as server:
        app = create_app(config_of(server.url, transport))

        def ask(_: int) -> int:
            if method == "GET" or not dropped.is_set():
                return app.test_client().get("/cart/u").status_code
            return app.test_client().post("/cart/u/items", json=CUP).status_code

        with ThreadPoolExecutor(40) as pool:
            assert list(pool.map(ask, range(40))) == [200] * 40
        dropped.set()
        statuses = [ask(number) for number in range(4)]
        app.extensions["cart_table"].client.close()
    assert statuses == ([200] * 4 if method == "GET" else [503, 201, 201, 201])


PAGE = b'{"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": {"CapacityUnits": 0.5}}'
UPDATED = json.dumps(
    {
        "Attributes": {
            "product_id": {"N": "42"},
            "product_name": {"S": "Espresso cup"},
            "quantity": {"N": "2"},
            "price": {"N": "19.99"},
            "added_at": {"S": "2026-01-01T00:00:00.000000Z"},
            "updated_at": {"S": "2026-01-02T00:00:00.000000Z"},
            "version": {"N": "1"},
            "ttl": {"N": "4102444800"},
        },
        "ConsumedCapacity": {"CapacityUnits": 1},
    }
).encode()


# Retries


def error(kind: str, status: str = "400 Bad Request") -> bytes:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "no"}
    return response(json.dumps(body).encode(), status)


@TRANSPORTS
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (error("ProvisionedThroughputExceededException"), 429),
        (error("InternalServerError", "500 Internal Server Error"), 503),
    ],
    ids=["throttled", "broken"],
)
def test_retries_end_when_all_requests_fail(transport, answer, status):
    """20 callers make 4 reads each: 80 requests, and as many retries as the process has tokens for."""
    with raw_server(lambda _: answer) as server:
        app = create_app(config_of(server.url, transport))
        with ThreadPoolExecutor(20) as pool:
            statuses = pool.map(lambda _: app.test_client().get("/cart/u").status_code, range(80))
            assert Counter(statuses) == {status: 80}
        app.extensions["cart_table"].client.close()
        assert len(server.requests) == 80 + RETRY_TOKENS // RETRY_COST


def test_contention_spends_no_retry_tokens():
    answers = iter([*[error("TransactionConflictException")] * 5, response(UPDATED)])
    with raw_server(lambda _: next(answers)) as server:
        client = connect(config_of(server.url))
        call(client, "update_item", **PARAMS["update_item"])
        assert len(server.requests) == 6
        client.close()
    assert retry_budget.take(RETRY_TOKENS)  # no token was spent


@pytest.mark.parametrize("failure", [Failure.THROTTLED, Failure.NOT_SENT, Failure.UNCERTAIN])
def test_failing_operation_is_tried_three_times(failure):
    retries = Retries()
    assert [retries.wait(failure), retries.wait(failure), retries.wait(failure)] == [True, True, False]


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.DEFECT, Failure.CONDITION, Failure.CANCELLED])
def test_permanent_failure_is_not_retried(failure):
    assert not Retries().wait(failure)


def test_successful_retry_returns_its_tokens():
    retries = Retries()
    retries.wait(Failure.UNCERTAIN, "ReadTimeoutError")
    assert not retry_budget.take(RETRY_TOKENS - TIMEOUT_COST + 1)
    retries.succeeded()
    assert retry_budget.take(RETRY_TOKENS)
    Retries().succeeded()
    assert retry_budget.take(1)
    assert not retry_budget.take(1)


def test_spent_budget_stops_retries_but_not_contention():
    assert retry_budget.take(RETRY_TOKENS)
    started = time.monotonic()
    assert not Retries().wait(Failure.THROTTLED)
    assert time.monotonic() - started < 0.5
    assert Retries().wait(Failure.CONTENTION)


def test_budget_never_exceeds_its_initial_size():
    budget = RetryBudget()
    budget.give_back(10)
    assert budget.take(RETRY_TOKENS)
    assert not budget.take(1)


def test_invalid_answer_may_mean_that_the_write_was_applied():
    assert failure_of(NotAnAnswer("x")) is Failure.UNCERTAIN

"""What a client sees when DynamoDB fails; no change is made twice or lost."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.handlers import BUILTIN_HANDLERS

from cart.commands import engines
from tests.support.faults import BROKEN, GARBLED, LOST, REFUSED, SLOW, THROTTLED, client_error
from tests.support.faulty_client import failing, hooked
from tests.support.project import missing
from tests.support.running import request, serving
from tests.support.stores import CUP

ENGINES = ["moto", "dynamodb-local"]  # two are enough, since the failures are made before the engine
LIMIT_SECONDS = 5


def add(client, user):
    return client.post(f"/cart/{user}/items", json=CUP)


def assert_problem(response, status: int, name: str) -> None:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.get_json(force=True)["type"] == f"urn:cart:problem:{name}"
    assert int(response.headers["Retry-After"]) > 0
    assert "secret" not in response.get_data(as_text=True)
    assert "test-" not in response.get_data(as_text=True)  # the table's name


@pytest.mark.parametrize("error", [LOST, SLOW, BROKEN, GARBLED], ids=["lost", "slow", "broken", "garbled"])
@pytest.mark.parametrize("applied", [True, False])
def test_write_with_lost_answer_is_not_sent_again(client, user, table, error, applied):
    for quantity, operation, call in (
        (2, "UpdateItem", lambda: add(client, user)),
        (3, "UpdateItem", lambda: client.put(f"/cart/{user}/items/42", json={"quantity": 3})),
        (0, "DeleteItem", lambda: client.delete(f"/cart/{user}/items/42")),
        (0, "BatchWriteItem", lambda: client.delete(f"/cart/{user}")),
    ):
        if operation == "BatchWriteItem":
            add(client, user)
        before = client.get(f"/cart/{user}").json["total_items"]
        with failing(table, operation, [error], applied) as calls:
            assert_problem(call(), 503, "outcome-unknown")
        assert len(calls) == 1
        after = client.get(f"/cart/{user}").json["total_items"]
        assert after == (
            quantity if applied else before
        )  # once or not at all; the answer says that the outcome is unknown
        assert call().status_code in (200, 201, 204, 404)


@pytest.mark.parametrize("error", [REFUSED, THROTTLED], ids=["refused", "throttled"])
def test_add_that_was_not_applied_is_sent_again(client, user, table, error):
    with failing(table, "UpdateItem", [error, error]) as calls:
        assert add(client, user).status_code == 201
    assert len(calls) == 3
    assert client.get(f"/cart/{user}").json["total_items"] == 2


@pytest.mark.parametrize("error", [LOST, SLOW, BROKEN, GARBLED, REFUSED, THROTTLED])
@pytest.mark.parametrize("applied", [False, True])
def test_failed_read_is_sent_again(client, user, table, error, applied):
    add(client, user)
    with failing(table, "Query", [error, error], applied) as calls:
        assert client.get(f"/cart/{user}").json["total_items"] == 2
    assert len(calls) == 3


def test_long_throttling_is_429(client, user, table):
    started = time.monotonic()
    with failing(table, "UpdateItem", [THROTTLED] * 100):
        assert_problem(add(client, user), 429, "throttled")
    assert time.monotonic() - started < LIMIT_SECONDS


@pytest.mark.parametrize("error", [client_error("AccessDeniedException", 400), client_error("Whatever", 400)])
def test_permanent_refusal_is_503_without_retry(client, user, table, error):
    with failing(table, "UpdateItem", [error] * 100) as calls:
        assert_problem(add(client, user), 503, "unavailable")
    assert len(calls) == 1


def test_defect_of_the_service_is_500_without_details(client, user, table):
    with failing(table, "UpdateItem", [client_error("ValidationException", 400)]):
        response = add(client, user)
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    problem = response.get_json(force=True)
    assert problem["type"] == "urn:cart:problem:internal-error"
    assert "secret" not in str(problem)


@pytest.mark.slow
def test_request_with_slow_calls_ends_in_time(client, user, store, table):
    """Each of four calls takes 1.4 seconds: the request is refused in time, and a repeat finishes it."""
    for product_id in range(1, 61):
        store.put(user, product_id)
    started = time.monotonic()
    with hooked(table, "before", lambda **_: time.sleep(1.4)):
        assert_problem(client.delete(f"/cart/{user}"), 503, "unavailable")
    assert time.monotonic() - started < LIMIT_SECONDS
    assert 0 < len(store.rows(user)) < 60
    assert client.delete(f"/cart/{user}").status_code == 204
    assert store.rows(user) == []


def test_missing_table_is_503(client, user, table, monkeypatch):
    monkeypatch.setattr(table, "name", "test-nothing")
    assert_problem(client.get("/health/ready"), 503, "unavailable")
    assert_problem(client.get(f"/cart/{user}"), 503, "unavailable")
    assert client.get("/health").status_code == 200


def test_unprocessed_items_are_sent_again(client, user, store, table):
    for product_id in range(1, 31):
        store.put(user, product_id)
    sizes: list[int] = []

    def process_three(params, **_):
        """Process only three of the batch, as DynamoDB does when it is short of capacity."""
        (requests,) = params["RequestItems"].values()
        sizes.append(len(requests))
        process_three.unprocessed = {table.name: requests[3:]} if len(sizes) < 6 else {}
        if process_three.unprocessed:
            return params | {"RequestItems": {table.name: requests[:3]}}
        return params

    def report(answer, **_):
        answer["UnprocessedItems"] = process_three.unprocessed

    with (
        hooked(table, "change", process_three, "BatchWriteItem"),
        hooked(table, "after", report, "BatchWriteItem"),
    ):
        assert client.delete(f"/cart/{user}").status_code == 204
    assert sizes == [25, 22, 19, 16, 13, 10, 6]  # 30 lines, and the row that records the clear in the stream
    assert store.rows(user) == []


def test_clear_with_unprocessed_items_is_429_and_can_be_repeated(client, user, store, table):
    for product_id in range(1, 31):
        store.put(user, product_id)

    def process_one(params, **_):
        ((name, requests),) = params["RequestItems"].items()
        process_one.unprocessed = {name: requests[1:]}
        return params | {"RequestItems": {name: requests[:1]}}

    def report(answer, **_):
        answer["UnprocessedItems"] = process_one.unprocessed

    with (
        hooked(table, "change", process_one, "BatchWriteItem"),
        hooked(table, "after", report, "BatchWriteItem"),
    ):
        assert_problem(client.delete(f"/cart/{user}"), 429, "throttled")
    assert 0 < len(store.rows(user)) < 30
    assert client.delete(f"/cart/{user}").status_code == 204
    assert store.rows(user) == []


REQUESTS = [("GET", "", None), ("POST", "/items", CUP), ("PUT", "/items/42", {"quantity": 3}), ("DELETE", "", None)]


def assert_503_in_time(url: str) -> None:
    def ask(sent: tuple[str, str, Any]) -> None:
        method, path, body = sent
        started = time.monotonic()
        status, headers, problem = request(method, f"{url}/cart/u{path}", body)
        assert status == 503
        assert time.monotonic() - started < LIMIT_SECONDS
        assert int(headers["Retry-After"]) > 0
        assert problem["type"] in ("urn:cart:problem:unavailable", "urn:cart:problem:outcome-unknown")

    with ThreadPoolExecutor() as pool:  # requests mostly wait
        list(pool.map(ask, REQUESTS))
    assert request("GET", f"{url}/health/ready")[0] == 503
    assert request("GET", f"{url}/health")[0] == 200


@pytest.mark.slow
def test_service_recovers_when_the_engine_comes_back(tmp_path):
    """With the engine stopped or hung, answers are 503 in time; afterwards the service works without a restart."""
    port = engines.free_port()
    try:
        with engines.dynamodb_local(tmp_path / "data", port) as endpoint, serving(endpoint, tmp_path / "log") as url:
            assert request("POST", f"{url}/cart/u/items", CUP)[0] == 201
            engine = listener(port)
            os.kill(engine, signal.SIGSTOP)
            try:
                assert_503_in_time(url)
            finally:
                os.kill(engine, signal.SIGCONT)
            assert request("GET", f"{url}/health/ready")[0] == 200
            os.kill(engine, signal.SIGKILL)
            time.sleep(1)
            assert_503_in_time(url)
            with engines.dynamodb_local(tmp_path / "data", port):
                deadline = time.monotonic() + 20  # Java's first answer after its start can take long
                while request("GET", f"{url}/health/ready")[0] != 200:
                    assert time.monotonic() < deadline
                assert request("POST", f"{url}/cart/u2/items", CUP)[0] == 201
                assert request("GET", f"{url}/cart/u2")[2]["total_items"] == 2
    except engines.EngineMissing as error:
        missing(str(error))


def listener(port: int) -> int:
    """Return the id of the child process whose command line has this port."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        words = command.read_bytes().split(b"\0")
        if str(port).encode() in words and b"java" in words[0]:
            return int(command.parent.name)
    raise AssertionError(f"no DynamoDB Local on port {port}")


def test_no_botocore_handler_for_dynamodb_is_left_out():
    """The kept handlers have no order; the others belong to another service, or to documentation."""
    for event, _, *order in BUILTIN_HANDLERS:
        kind, _, target = event.partition(".")
        if not target or target.startswith("dynamodb"):
            assert not order, event
        else:
            assert kind == "docs" or target.split(".")[0] in OTHER_SERVICES, event


OTHER_SERVICES = {name for name in boto3.Session().get_available_services() if name != "dynamodb"} | {
    "lex-runtime-v2",
    "s3-control",
}

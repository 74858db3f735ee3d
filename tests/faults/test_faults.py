"""What a client sees when DynamoDB fails, and that nothing is done twice or lost by it."""

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

ENGINES = ["moto", "dynamodb-local"]  # two are enough, as the failures are made on this side of the engine
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
def test_a_write_whose_answer_was_lost_is_not_sent_again(client, user, table, error, applied):
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
        assert after == (quantity if applied else before)  # once or not at all, and the client was told to look
        assert call().status_code in (200, 201, 204, 404)


@pytest.mark.parametrize("error", [REFUSED, THROTTLED], ids=["refused", "throttled"])
def test_an_add_that_was_not_applied_is_sent_again(client, user, table, error):
    with failing(table, "UpdateItem", [error, error]) as calls:
        assert add(client, user).status_code == 201
    assert len(calls) == 3
    assert client.get(f"/cart/{user}").json["total_items"] == 2


@pytest.mark.parametrize("error", [LOST, SLOW, BROKEN, GARBLED, REFUSED, THROTTLED])
@pytest.mark.parametrize("applied", [False, True])
def test_a_read_is_repeated(client, user, table, error, applied):
    add(client, user)
    with failing(table, "Query", [error, error], applied) as calls:
        assert client.get(f"/cart/{user}").json["total_items"] == 2
    assert len(calls) == 3


def test_throttled_for_long_is_429(client, user, table):
    started = time.monotonic()
    with failing(table, "UpdateItem", [THROTTLED] * 100):
        assert_problem(add(client, user), 429, "throttled")
    assert time.monotonic() - started < LIMIT_SECONDS


@pytest.mark.parametrize("error", [client_error("AccessDeniedException", 400), client_error("Whatever", 400)])
def test_a_refusal_that_will_not_pass_is_503_at_once(client, user, table, error):
    with failing(table, "UpdateItem", [error] * 100) as calls:
        assert_problem(add(client, user), 503, "unavailable")
    assert len(calls) == 1


def test_a_defect_of_ours_is_a_500_that_says_nothing(client, user, table):
    with failing(table, "UpdateItem", [client_error("ValidationException", 400)]):
        response = add(client, user)
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    problem = response.get_json(force=True)
    assert problem["type"] == "urn:cart:problem:internal-error"
    assert "secret" not in str(problem)


def test_a_request_ends_in_time_even_if_each_call_is_slow(client, user, store, table):
    """Four calls of 1.4 seconds each: what cannot be done in time is refused in time, and can be asked for again."""
    for product_id in range(1, 61):
        store.put(user, product_id)
    started = time.monotonic()
    with hooked(table, "before", lambda **_: time.sleep(1.4)):
        assert_problem(client.delete(f"/cart/{user}"), 503, "unavailable")
    assert time.monotonic() - started < LIMIT_SECONDS
    assert 0 < len(store.rows(user)) < 60
    assert client.delete(f"/cart/{user}").status_code == 204
    assert store.rows(user) == []


def test_a_table_that_is_not_there_is_503(client, user, table, monkeypatch):
    monkeypatch.setattr(table, "name", "test-nothing")
    assert_problem(client.get("/health/ready"), 503, "unavailable")
    assert_problem(client.get(f"/cart/{user}"), 503, "unavailable")
    assert client.get("/health").status_code == 200


def test_unprocessed_items_are_sent_again(client, user, store, table):
    for product_id in range(1, 31):
        store.put(user, product_id)
    sizes: list[int] = []

    def take_only_three(params, **_):
        """Keep all but three of the batch back, as DynamoDB does when it is short of capacity."""
        (requests,) = params["RequestItems"].values()
        sizes.append(len(requests))
        take_only_three.kept = {table.name: requests[3:]} if len(sizes) < 6 else {}
        if take_only_three.kept:
            return params | {"RequestItems": {table.name: requests[:3]}}
        return params

    def report(answer, **_):
        answer["UnprocessedItems"] = take_only_three.kept

    with (
        hooked(table, "change", take_only_three, "BatchWriteItem"),
        hooked(table, "after", report, "BatchWriteItem"),
    ):
        assert client.delete(f"/cart/{user}").status_code == 204
    assert sizes == [25, 22, 19, 16, 13, 10, 6]  # 30 lines, and the row that tells of the clear
    assert store.rows(user) == []


def test_items_that_stay_unprocessed_are_429_and_clear_can_be_run_again(client, user, store, table):
    for product_id in range(1, 31):
        store.put(user, product_id)

    def take_only_one(params, **_):
        ((name, requests),) = params["RequestItems"].items()
        take_only_one.kept = {name: requests[1:]}
        return params | {"RequestItems": {name: requests[:1]}}

    def report(answer, **_):
        answer["UnprocessedItems"] = take_only_one.kept

    with (
        hooked(table, "change", take_only_one, "BatchWriteItem"),
        hooked(table, "after", report, "BatchWriteItem"),
    ):
        assert_problem(client.delete(f"/cart/{user}"), 429, "throttled")
    assert 0 < len(store.rows(user)) < 30
    assert client.delete(f"/cart/{user}").status_code == 204
    assert store.rows(user) == []


ASKED = [("GET", "", None), ("POST", "/items", CUP), ("PUT", "/items/42", {"quantity": 3}), ("DELETE", "", None)]


def assert_503_in_time(url: str) -> None:
    def ask(one: tuple[str, str, Any]) -> None:
        method, path, body = one
        started = time.monotonic()
        status, headers, problem = request(method, f"{url}/cart/u{path}", body)
        assert status == 503
        assert time.monotonic() - started < LIMIT_SECONDS
        assert int(headers["Retry-After"]) > 0
        assert problem["type"] in ("urn:cart:problem:unavailable", "urn:cart:problem:outcome-unknown")

    with ThreadPoolExecutor() as pool:  # most of it is waiting
        list(pool.map(ask, ASKED))
    assert request("GET", f"{url}/health/ready")[0] == 503
    assert request("GET", f"{url}/health")[0] == 200


def test_the_engine_stops_and_comes_back(tmp_path):
    """Stopped, and hung: 503 in time; and service again with no restart of ours."""
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
                deadline = time.monotonic() + 20  # a Java that has just begun can take long over its first answer
                while request("GET", f"{url}/health/ready")[0] != 200:
                    assert time.monotonic() < deadline
                assert request("POST", f"{url}/cart/u2/items", CUP)[0] == 201
                assert request("GET", f"{url}/cart/u2")[2]["total_items"] == 2
    except engines.EngineMissing as error:
        missing(str(error))


def listener(port: int) -> int:
    """The id of the child process whose command line has this port."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        words = command.read_bytes().split(b"\0")
        if str(port).encode() in words and b"java" in words[0]:
            return int(command.parent.name)
    raise AssertionError(f"no DynamoDB Local on port {port}")


def test_no_handler_of_botocore_that_matters_to_dynamodb_is_left_out():
    """Those that are kept say nothing of their order; those that are not name another service, or are documentation."""
    for event, _, *order in BUILTIN_HANDLERS:
        where, _, what = event.partition(".")
        if not what or what.startswith("dynamodb"):
            assert not order, event
        else:
            assert where == "docs" or what.split(".")[0] in OTHERS, event


OTHERS = {name for name in boto3.Session().get_available_services() if name != "dynamodb"} | {
    "lex-runtime-v2",
    "s3-control",
}

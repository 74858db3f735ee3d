"""A request whose process dies at any of its DynamoDB requests, and that is made again, ends right."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from test_faults import LOST, SLOW, THROTTLED, client_error, failing, hooked

from conftest import CUP

BEFORE, AFTER = "before", "after"
MOMENTS = [BEFORE, AFTER]
ADDED = CUP | {"quantity": 3}
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93"'}
BASE = {"new": 0, "known": 2, "expired": 0}  # units that are there before
BATCH_ROWS = 25


class Died(BaseException):
    """The process is gone: nothing in the service may catch this."""


@contextmanager
def dying(table, moment: str, point: int) -> Iterator[None]:
    """Die at the request of this number, before it is sent or after it was carried out."""
    numbers = count()

    def die(**_: Any) -> None:
        if next(numbers) == point:
            raise Died

    with hooked(table, f"{moment}-call.dynamodb", die):
        yield


def deaths(table, user: str, act: Callable[[str], Any], prepare: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Prepare a cart and die in ``act`` on it, at each possible point; the values are the cart's user and the point."""
    for moment in MOMENTS:
        for point in count():
            one = f"{user}-{moment}-{point}"
            prepare(one)
            with dying(table, moment, point):
                try:
                    act(one)
                except Died:
                    pass
                else:
                    break  # it has no request of this number
            yield one, f"{moment} request {point}"
        assert point > 0


def prepare_line(store, user: str, state: str) -> None:
    if state != "new":
        store.put(user, 42, ttl={"N": "1" if state == "expired" else "4102444800"})


def lines(store, user: str) -> list[dict[str, Any]]:
    return [row for row in store.rows(user) if row["item_id"]["S"].startswith("ITEM#")]


@pytest.mark.parametrize("rows", [0, 3, BATCH_ROWS + 5])
def test_clear(client, user, store, table, rows):
    def clear(one: str):
        return client.delete(f"/cart/{one}")

    def fill(one: str) -> None:
        for product_id in range(1, rows + 1):
            store.put(one, product_id)

    points = []
    for one, point in deaths(table, user, clear, fill):
        points.append(point)
        assert clear(one).status_code == 204, point
        assert store.rows(one) == [], point
    assert len(points) == 2 * (1 + -(-rows // BATCH_ROWS))


@pytest.mark.parametrize("rows", [1, 3, 101])  # the last takes two transactions
def test_clear_with_if_match(client, user, store, table, rows, monkeypatch):
    """Run again as the protocol wants it: where the first run has changed the cart, with the ETag of what is left."""
    if store.engine == "moto":
        # moto copies its tables at each transaction: one of 100 rows takes it longer than the service waits
        monkeypatch.setattr("cart.table.TRANSACTION_ROWS", 2)
        rows = min(rows, 3)
    etags = {}

    def fill(one: str) -> None:
        for product_id in range(1, rows + 1):
            store.put(one, product_id)
        etags[one] = client.get(f"/cart/{one}").headers["ETag"]

    def clear(one: str):
        return client.delete(f"/cart/{one}", headers={"If-Match": etags[one]})

    for one, point in deaths(table, user, clear, fill):
        left = len(store.rows(one))
        assert left in (rows, 1, 0), point  # by whole transactions
        again = clear(one)
        assert again.status_code == (204 if left == rows else 412), point
        if again.status_code == 412:
            assert len(again.get_json(force=True)["current"]["items"]) == left, point
            etags[one] = client.get(f"/cart/{one}").headers["ETag"]
            assert clear(one).status_code == 204, point
        assert store.rows(one) == [], point


@pytest.mark.parametrize("state", BASE)
def test_add_with_a_key(client, user, store, table, state):
    def add(one: str):
        return client.post(f"/cart/{one}/items", json=ADDED, headers=KEY)

    for one, point in deaths(table, user, add, lambda one: prepare_line(store, one, state)):
        applied = any(int(row["quantity"]["N"]) == BASE[state] + 3 for row in lines(store, one))
        again, third = add(one), add(one)
        assert (again.status_code, third.status_code) == (201, 201), point
        assert ("Idempotency-Replayed" in again.headers) == applied, point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert again.json == third.json, point
        for name in ("Location", "ETag"):
            assert again.headers[name] == third.headers[name], point
        (row,) = lines(store, one)
        assert int(row["quantity"]["N"]) == again.json["quantity"] == BASE[state] + 3, point
        assert row["version"]["N"] == str(again.json["version"]), point
        assert len(store.rows(f"IDEMPOTENCY#{one}")) == 1, point


@pytest.mark.parametrize("state", BASE)
def test_add_without_a_key(client, user, store, table, state):
    """The first, which nobody was answered, is there once or not; the second always is."""

    def add(one: str):
        return client.post(f"/cart/{one}/items", json=ADDED)

    for one, point in deaths(table, user, add, lambda one: prepare_line(store, one, state)):
        rows = [row for row in lines(store, one) if row["ttl"]["N"] != "1"]
        stored = int(rows[0]["quantity"]["N"]) if rows else 0
        assert stored in (BASE[state], BASE[state] + 3), point
        again = add(one)
        assert again.status_code == 201, point
        (row,) = lines(store, one)
        assert int(row["quantity"]["N"]) == again.json["quantity"] == stored + 3, point
        assert row["version"]["N"] == str(again.json["version"]), point
        assert client.get(f"/cart/{one}").json["total_items"] == stored + 3, point


# What the client is told must be true of what was done: the other half of a request that ends in the middle.


@pytest.mark.parametrize("operation", ["Query", "DeleteItem"])
@pytest.mark.parametrize("error", [THROTTLED, SLOW, client_error("AccessDeniedException", 400)])
def test_an_add_whose_line_cannot_be_counted_or_taken_back_is_not_called_undone(
    client, user, store, table, operation, error, monkeypatch
):
    if operation == "DeleteItem":
        monkeypatch.setattr(table, "max_lines", 0)
    with failing(table, operation, [error] * 100):
        told = client.post(f"/cart/{user}/items", json=ADDED)
    assert len(lines(store, user)) == 1
    assert (told.status_code, told.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")


@pytest.mark.parametrize("first", [LOST, SLOW])
@pytest.mark.parametrize("then", [THROTTLED, client_error("AccessDeniedException", 400)])
def test_a_transaction_that_may_have_been_applied_is_not_called_undone(client, user, store, table, first, then):
    store.put(user, 42)
    etag = client.get(f"/cart/{user}").headers["ETag"]
    with (
        failing(table, "TransactWriteItems", [first], applied=True) as calls,
        hooked(table, "before-call.dynamodb.TransactWriteItems", lambda **_: fail_if(calls, then)),
    ):
        told = client.delete(f"/cart/{user}", headers={"If-Match": etag})
    assert store.rows(user) == []
    assert (told.status_code, told.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")


def fail_if(calls: list[str], error: Exception) -> None:
    if calls:
        raise error

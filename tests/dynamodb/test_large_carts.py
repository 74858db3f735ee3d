"""Carts with more lines than a transaction has room for: DynamoDB gets no request that it refuses.

A cart can have more than ``CART_MAX_LINES`` lines: by adds with keys that race, or since the setting was lowered.
"""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cart import create_app
from cart.dynamodb.table import BATCH_ROWS, TRANSACTION_ROWS
from cart.model.validation import Product
from tests.support.faults import REFUSED, THROTTLED
from tests.support.faulty_client import hooked
from tests.support.problems import KEY, problem
from tests.support.stores import CUP, Store

ETERNAL = {"ttl": {"N": "4102444800"}, "version": {"N": "1"}}
CHANGE = {
    "current_price": {"N": "2"},
    "price_changed_at": {"S": "2026-01-02T00:00:00.000000Z"},
    "price_changed_from": {"N": "1"},
}
NO_PRODUCTS = "http://127.0.0.1:9"
Lists = dict[str, dict[int, int]]


def fill(store: Store, user: str, lines: int, saved: int = 0, **attributes: Any) -> None:
    """Put lines of one unit at 1.00 into the table."""
    rows = [
        {"user_id": {"S": user}, "item_id": {"S": f"{prefix}#{number}"}, "product_id": {"N": str(number)}}
        | {"product_name": {"S": "Espresso cup"}, "quantity": {"N": "1"}, "price": {"N": "1"}}
        | {name: {"S": "2026-01-01T00:00:00.000000Z"} for name in ("added_at", "updated_at", "priced_at")}
        | ETERNAL
        | {name: value() if callable(value) else value for name, value in attributes.items()}
        for prefix, total in (("ITEM", lines), ("SAVED", saved))
        for number in range(1, total + 1)
    ]
    table = store.config.dynamodb_table_name
    for start in range(0, len(rows), BATCH_ROWS):
        puts = [{"PutRequest": {"Item": row}} for row in rows[start : start + BATCH_ROWS]]
        assert not store.client.batch_write_item(RequestItems={table: puts})["UnprocessedItems"]


def lists(store: Store, user: str) -> Lists:
    """Return the units of each line by list and product, read without the service."""
    places: Lists = {"ITEM": {}, "SAVED": {}}
    for row in store.rows(user):
        place, _, product_id = row["item_id"]["S"].partition("#")
        places[place][int(product_id)] = int(row["quantity"]["N"])
    return places


def units(*carts: Lists) -> int:
    return sum(sum(lines.values()) for cart in carts for lines in cart.values())


@contextmanager
def request_sizes(app: Flask) -> Iterator[Counter[str]]:
    """Count the writes of several rows, and assert that DynamoDB takes as many."""
    requests: Counter[str] = Counter()

    def check(operation: str, params: dict[str, Any], **_: Any) -> None:
        requests[operation] += 1
        if operation == "TransactWriteItems":
            keys = [tuple((action.get("Key") or action["Item"])[name]["S"] for name in ("user_id", "item_id"))
                    for entry in params["TransactItems"] for action in entry.values()]  # fmt: skip
            assert 1 <= len(keys) == len(set(keys)) <= TRANSACTION_ROWS
        if operation == "BatchWriteItem":
            assert 1 <= sum(map(len, params["RequestItems"].values())) <= BATCH_ROWS

    with hooked(app.extensions["cart_table"], "before", check):
        yield requests


def merge(client: FlaskClient, user: str, headers: dict[str, str]) -> Any:
    return client.post(f"/cart/{user}/merge", json={"source_user_id": f"{user}-source"}, headers=headers)


def until_answered(request: Callable[[], Any]) -> Any:
    """Repeat a request that takes longer than the service waits: an engine's first transactions, or a busy machine."""
    for _ in range(10):
        if (answer := request()).status_code != 503:
            break
    return answer


@pytest.fixture(scope="module")
def app(real_store) -> Flask:
    app = create_app(real_store.config)
    user = uuid.uuid4().hex
    fill(real_store, f"{user}-source", 100)
    assert until_answered(lambda: merge(app.test_client(), user, {})).status_code == 200
    return app


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()


pytestmark = pytest.mark.parametrize("real_store", ["ministack", "dynamodb-local"], indirect=True)
LINES = pytest.mark.parametrize("lines", [100, 101, 200])
KEYS = pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])


@LINES
@KEYS
def test_merge_of_a_large_cart(app, client, real_store, user, lines, headers):
    fill(real_store, f"{user}-source", lines, lines)
    fill(real_store, user, 3, 5)
    with request_sizes(app):
        receipt = merge(client, user, headers)
    assert receipt.status_code == 200
    assert len(receipt.json["lines"]) == 2 * lines
    after, source = lists(real_store, user), lists(real_store, f"{user}-source")
    assert units(after, source) == 2 * lines + 8
    assert {place: len(after[place]) for place in after} == dict.fromkeys(after, 100)
    assert {place: len(source[place]) for place in source} == dict.fromkeys(source, lines - 100)
    if headers:
        again = merge(client, user, headers)
        assert (again.data, again.headers["Idempotency-Replayed"]) == (receipt.data, "true")


@LINES
@KEYS
def test_merge_into_a_large_cart(app, client, real_store, user, lines, headers):
    """Every line joins one that is there; so no limit of lines stops it."""
    fill(real_store, f"{user}-source", lines, lines)
    fill(real_store, user, lines, lines)
    with request_sizes(app):
        receipt = merge(client, user, headers)
    assert receipt.status_code == 200
    assert {line["rule"] for line in receipt.json["lines"]} == {"sum"}
    assert receipt.json["cart"]["total_items"] == 2 * lines
    assert units(lists(real_store, user)) == 4 * lines
    assert real_store.rows(f"{user}-source") == []


@LINES
@KEYS
def test_copy_of_a_large_cart(app, client, real_store, user, lines, headers):
    fill(real_store, f"{user}-source", lines, lines)
    token = client.post(f"/cart/{user}-source/shares", json={}).json["token"]
    with request_sizes(app):
        receipt = client.post(f"/cart/{user}/copy", json={"share_token": token}, headers=headers)
    assert receipt.status_code == 200
    assert len(receipt.json["lines"]) == lines
    after = lists(real_store, user)
    assert (len(after["ITEM"]), len(after["SAVED"])) == (100, 0)
    assert units(lists(real_store, f"{user}-source")) == 2 * lines


@LINES
@KEYS
@pytest.mark.parametrize(("is_sold", "saved"), [(True, 0), (False, 0), (False, 200)])
def test_fix_of_a_large_cart(client, real_store, user, lines, headers, saved, is_sold, monkeypatch):
    """Each line changes its price, or moves to the saved list as long as that has room or the same product."""
    app = create_app(replace(real_store.config, catalog_url=NO_PRODUCTS))

    def products(_: Any, product_ids: Any) -> dict[int, Any]:
        return {number: Product(number, "Cup", Decimal(2), 9) if is_sold else "discontinued" for number in product_ids}

    monkeypatch.setattr("cart.carts.catalog.Catalog.products", products)
    fill(real_store, user, lines, saved)
    with request_sizes(app):
        receipt = app.test_client().post(f"/cart/{user}/validate?fix=true", headers=headers)
    assert receipt.status_code == 200
    after = lists(real_store, user)
    assert units(after) == lines + saved
    moved = 0 if is_sold else lines if saved else 100
    assert len(after["ITEM"]) == lines - moved
    assert (
        Counter(line["fix"]["action"] for line in receipt.json["lines"])
        == Counter({"changed": lines} if is_sold else {"saved_for_later": moved, "left": lines - moved}) - Counter()
    )
    assert receipt.json["cart"] == client.get(f"/cart/{user}?include=saved").json


@LINES
@pytest.mark.parametrize("if_match", [True, False])
def test_accept_in_a_large_cart(app, client, real_store, user, lines, if_match):
    fill(real_store, user, lines, lines, **CHANGE)
    headers = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]} if if_match else {}
    with request_sizes(app) as requests:
        accepted = client.post(f"/cart/{user}/price-changes/accept", headers=headers)
    assert (accepted.status_code, accepted.json["price_changes"]) == (200, 0)
    assert requests["TransactWriteItems"] == -(-lines // TRANSACTION_ROWS)
    assert accepted.json == client.get(f"/cart/{user}").json
    assert accepted.json["total_price"] == 2 * lines
    assert all("current_price" in line for line in client.get(f"/cart/{user}/saved").json["items"])


@LINES
@pytest.mark.parametrize("if_match", [True, False])
def test_clear_of_a_large_cart(app, client, real_store, user, lines, if_match):
    fill(real_store, user, lines, lines)
    headers = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]} if if_match else {}
    with request_sizes(app):
        assert client.delete(f"/cart/{user}", headers=headers).status_code == 204
    after = lists(real_store, user)
    assert (len(after["ITEM"]), len(after["SAVED"])) == (0, lines)
    assert len(real_store.rows(f"CLEARED#{user}")) == 1


@LINES
@KEYS
def test_single_lines_of_a_large_cart(app, client, real_store, user, lines, headers):
    """What adds no line is possible, however many there are."""
    fill(real_store, user, lines, lines)
    with request_sizes(app):
        added = client.post(f"/cart/{user}/items", json=CUP | {"product_id": 1}, headers=headers)
        assert (added.status_code, added.json["quantity"]) == (201, 3)
        assert client.put(f"/cart/{user}/items/1", json={"quantity": 2}).status_code == 200
        moved = client.post(f"/cart/{user}/items/1/save-for-later", headers=dict.fromkeys(headers, "2"))
        assert (moved.status_code, moved.json["quantity"]) == (200, 3)
        new = client.post(f"/cart/{user}/items", json=CUP | {"product_id": 900}, headers=dict.fromkeys(headers, "3"))
        back = client.post(f"/cart/{user}/saved/1/move-to-cart", headers=dict.fromkeys(headers, "4"))
        assert client.delete(f"/cart/{user}/items/2").status_code == 204
    refused = (409, "lines-limit")
    assert new.status_code == 201 if lines == 100 else problem(new) == refused
    assert problem(back) == refused


def test_limit_of_lines_that_was_lowered(real_store, user):
    """A cart keeps what it has; only new lines are refused."""
    app = create_app(replace(real_store.config, cart_max_lines=30))
    client = app.test_client()
    fill(real_store, user, 120, 120, **CHANGE)
    fill(real_store, f"{user}-source", 200, 200)
    with request_sizes(app):
        assert len(client.get(f"/cart/{user}").json["items"]) == 120
        assert client.post(f"/cart/{user}/price-changes/accept").json["price_changes"] == 0
        assert problem(client.post(f"/cart/{user}/items", json=CUP | {"product_id": 900})) == (409, "lines-limit")
        assert client.post(f"/cart/{user}/items", json=CUP | {"product_id": 1}).json["quantity"] == 3
        assert client.put(f"/cart/{user}/items/1", json={"quantity": 1}).json["quantity"] == 1
        receipt = merge(client, user, KEY).json
        assert Counter(line["reason"] for line in receipt["lines"]) == {None: 240, "lines-limit": 160}
        assert units(lists(real_store, user)) == 480
        assert client.delete(f"/cart/{user}").status_code == 204


# --- changes in the middle of several transactions


@contextmanager
def after_first_transaction(app: Flask, act: Callable[[], None]) -> Iterator[None]:
    numbers = count()

    def act_once(**_: Any) -> None:
        if next(numbers) == 1:
            act()

    with hooked(app.extensions["cart_table"], "before", act_once, "TransactWriteItems"):
        yield


def fail_with(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [THROTTLED, REFUSED], ids=["throttled", "away"])
def test_half_done_accept_is_repeated(app, client, real_store, user, error, monkeypatch):
    monkeypatch.setattr("cart.dynamodb.retries.RETRY_FOR_SECONDS", 0)
    fill(real_store, user, 150, **CHANGE)
    path = f"/cart/{user}/price-changes/accept"
    with after_first_transaction(app, fail_with(error)):
        assert problem(client.post(path)) == (503, "outcome-unknown")
    assert client.get(f"/cart/{user}").json["price_changes"] == 50
    assert client.post(path).json["price_changes"] == 0


@pytest.mark.parametrize("if_match", [True, False])
def test_price_that_changes_during_a_long_accept_is_accepted_only_without_if_match(
    app, client, real_store, user, if_match
):
    """With If-Match, no price is accepted that was not read; the other lines are."""
    fill(real_store, user, 150, **CHANGE)
    headers = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]} if if_match else {}

    def change() -> None:
        newer = CHANGE | {"current_price": {"N": "7"}, "version": {"N": "2"}, "price": {"N": "1"}}
        real_store.put(user, 99, **ETERNAL | newer)  # the last line in the order of the table's keys

    with after_first_transaction(app, change):
        accepted = client.post(f"/cart/{user}/price-changes/accept", headers=headers)
    assert accepted.status_code == 200
    assert accepted.json == client.get(f"/cart/{user}").json
    prices = {line["product_id"]: line["price"] for line in accepted.json["items"]}
    assert Counter(prices.values()) == {2: 149, (1 if if_match else 7): 1}
    assert accepted.json["price_changes"] == if_match


@pytest.mark.parametrize("error", [THROTTLED, REFUSED], ids=["throttled", "away"])
def test_half_done_clear_is_repeated(app, client, real_store, user, error, monkeypatch):
    monkeypatch.setattr("cart.dynamodb.retries.RETRY_FOR_SECONDS", 0)
    fill(real_store, user, 150)
    headers = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]}
    with after_first_transaction(app, fail_with(error)):
        assert problem(client.delete(f"/cart/{user}", headers=headers)) == (503, "outcome-unknown")
    assert len(real_store.rows(user)) == 51
    real_store.put(user, 900, **ETERNAL)  # it is added before the repeat, and stays
    assert client.delete(f"/cart/{user}", headers=headers).status_code == 204
    assert lists(real_store, user)["ITEM"].keys() == {900}
    assert problem(client.delete(f"/cart/{user}", headers=headers)) == (412, "version-conflict")


def test_line_that_changes_before_a_clear_is_repeated_stays(app, client, real_store, user, monkeypatch):
    monkeypatch.setattr("cart.dynamodb.retries.RETRY_FOR_SECONDS", 0)
    fill(real_store, user, 150)
    headers = {"If-Match": client.get(f"/cart/{user}").headers["ETag"]}
    with after_first_transaction(app, fail_with(REFUSED)):
        assert problem(client.delete(f"/cart/{user}", headers=headers)) == (503, "outcome-unknown")
    real_store.put(user, 150, **ETERNAL | {"version": {"N": "2"}, "quantity": {"N": "8"}})
    for _ in range(2):
        refused = client.delete(f"/cart/{user}", headers=headers)
        assert problem(refused) == (412, "version-conflict")
        assert lists(real_store, user)["ITEM"] == {150: 8}
        assert refused.get_json(force=True)["current"] == client.get(f"/cart/{user}").json


def test_line_that_changes_during_a_long_clear_stays(app, client, real_store, user):
    fill(real_store, user, 150)
    cart = client.get(f"/cart/{user}")
    last = cart.json["items"][-1]["product_id"]

    def change() -> None:
        real_store.put(user, last, **ETERNAL | {"version": {"N": "2"}, "quantity": {"N": "8"}})

    with after_first_transaction(app, change):
        refused = client.delete(f"/cart/{user}", headers={"If-Match": cart.headers["ETag"]})
    assert problem(refused) == (412, "version-conflict")
    assert refused.get_json(force=True)["current"] == client.get(f"/cart/{user}").json
    assert lists(real_store, user)["ITEM"] == {last: 8}


@pytest.mark.parametrize("tag", ["x" * 5000, "é", "0" * 24, "0" * 48])
def test_clear_with_any_other_etag_is_refused(client, real_store, user, tag):
    fill(real_store, user, 2)
    assert problem(client.delete(f"/cart/{user}", headers={"If-Match": f'"{tag}"'})) == (412, "version-conflict")


# --- the size of a record


def test_longest_receipt_fits_into_its_row(app, client, real_store, user):
    """400 lines in the receipt and in the cart, with names that no compression can shorten."""
    characters = random.Random(1)

    def name() -> dict[str, str]:
        return {"S": "".join(chr(characters.randrange(0x10000, 0x10FFFF)) for _ in range(200))}

    fill(real_store, f"{user}-source", 200, 200, product_name=name, priced_at={"S": "2026-02-01T00:00:00.000000Z"})
    fill(real_store, user, 200, 200, product_name=name)
    first = until_answered(lambda: merge(client, user, KEY))
    assert first.status_code == 200
    again = merge(client, user, KEY)
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert len(first.data) > 2_000_000
    assert {(line["place"], line["product_id"]) for line in first.json["lines"]} == {
        (place, number) for place in ("cart", "saved") for number in range(1, 201)
    }
    (record,) = real_store.rows(f"IDEMPOTENCY#{user}")
    assert 200_000 < len(record["body"]["B"]) < 300_000
    assert real_store.rows(f"{user}-source") == []

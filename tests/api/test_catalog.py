"""With a catalogue, names, prices and stock come from it; when it fails, nothing is written."""

import json
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from itertools import chain

import pytest

from cart import create_app
from cart.carts import catalog
from cart.config import Config, ConfigError
from cart.errors import CatalogUnavailable
from tests.support.capacity import billed
from tests.support.concurrency import at_once
from tests.support.problems import KEY, problem
from tests.support.products_service import (
    answers_after,
    answers_with,
    ends_inside_body,
    for_first_requests,
    hangs,
    on_details,
    on_inventory,
    resets_connection,
    sends_byte_by_byte,
    sends_gigabyte,
)
from tests.support.project import ROOT
from tests.support.running import Caller, serving
from tests.support.stores import CUP

LIMIT_SECONDS = 5
TOKEN = "s3cret.token-of/the+shop=="
GOOD = '{"product_id": 42, "name": "Moka pot", "price": 19.99}'


@pytest.fixture
def app(store, products):
    """An app without a cache, so that changes of the catalogue are visible at once."""
    return create_app(replace(store.config, catalog_url=products.url, catalog_cache_seconds=0))


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def on_moto(moto_store, products):
    """A client on moto, for tests that do not depend on the engine."""

    def client(**settings):
        return create_app(replace(moto_store.config, **{"catalog_url": products.url} | settings)).test_client()

    return client


def add(client, user, place="items", headers=None, **body):
    return client.post(f"/cart/{user}/{place}", json={"product_id": 42, "quantity": 1} | body, headers=headers)


# --- adding items


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
@pytest.mark.parametrize("place", ["items", "saved"])
@pytest.mark.parametrize("sent_values", [{}, {"price": 1, "product_name": "Cheap"}])
def test_name_and_price_come_from_the_catalogue(client, user, products, headers, place, sent_values):
    products.sell(42, "1234.50", name="Kaffeekanne № 1 ☕")
    answer = add(client, user, place, headers, quantity=2, **sent_values)
    assert answer.status_code == 201
    lines = client.get(f"/cart/{user}?include=saved").json["items" if place == "items" else "saved"]
    assert lines == [answer.json]
    assert answer.json["product_name"] == "Kaffeekanne № 1 ☕"
    assert answer.json["price"] == Decimal("1234.50")
    assert answer.json["subtotal"] == Decimal(2469)
    assert sorted(products.paths) == ["/products/42", "/products/42/inventory"]


def test_ignored_values_must_still_be_valid(client, user, products, store):
    products.sell()
    for invalid in ({"price": "1"}, {"price": -1}, {"product_name": ""}, {"discount": 1}):
        assert problem(add(client, user, **invalid)) == (422, "invalid-input")
    assert problem(client.post(f"/cart/{user}/items", json={})) == (422, "invalid-input")
    assert store.rows(user) == products.requests == []


def test_name_and_price_are_required_without_a_catalogue(moto_store, user):
    client = create_app(moto_store.config).test_client()
    answer = add(client, user)
    assert problem(answer) == (422, "invalid-input")
    missing = ["Missing data for required field."]
    assert answer.get_json(force=True)["errors"] == {"product_name": missing, "price": missing}
    assert client.post(f"/cart/{user}/items", json=CUP).status_code == 201


def test_new_price_applies_to_the_whole_line(client, user, products):
    products.sell(price="10.00")
    add(client, user)
    products.sell(price="12.34", name="Moka pot, blue")
    line = add(client, user, quantity=2).json
    assert (line["quantity"], line["price"], line["product_name"]) == (3, Decimal("12.34"), "Moka pot, blue")


@pytest.mark.parametrize("price", ["0.01", "9999999.99", "20", "20.0", "20.10", "1e1", "0.07"])
def test_money_is_exact(on_moto, user, products, price):
    products.sell(price=price)
    assert add(on_moto(), user, quantity=3).json["subtotal"] == Decimal(price) * 3


def test_long_name_is_truncated(on_moto, user, products):
    products.sell(name="é" * 255)
    assert add(on_moto(), user).json["product_name"] == "é" * 200


def test_catalogue_rules_apply_through_a_share_link(client, user, products):
    products.sell(stock=3)
    token = client.post(f"/cart/{user}/shares", json={"access": "edit"}).json["token"]

    def add_shared(**body):
        return client.post(f"/shared/{token}/items", json={"product_id": 42, "quantity": 1} | body)

    assert add_shared(price=1, product_name="Cheap").json["price"] == Decimal("19.99")
    assert problem(add_shared(quantity=3)) == (409, "insufficient-stock")
    assert problem(client.put(f"/shared/{token}/items/42", json={"quantity": 4})) == (409, "insufficient-stock")
    assert problem(add_shared(product_id=7)) == (404, "product-not-found")


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
def test_unknown_product_is_404(client, user, products, store, headers):
    for place in ("items", "saved"):
        answer = add(client, user, place, headers, **CUP)
        assert problem(answer) == (404, "product-not-found")
        assert answer.get_json(force=True)["detail"] == "The catalogue has no product 42."
    assert store.rows(user) == store.rows(f"IDEMPOTENCY#{user}") == []


# --- stock


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
def test_line_cannot_exceed_the_stock(client, user, products, store, headers):
    products.sell(stock=5)
    refused = add(client, user, headers=headers, quantity=6)
    assert problem(refused) == (409, "insufficient-stock")
    assert refused.get_json(force=True)["available"] == 5
    assert refused.get_json(force=True)["errors"] == {"quantity": ["At most 5."]}
    assert store.rows(user) == []
    assert add(client, user, quantity=3).status_code == 201
    refused = add(client, user, headers=headers, quantity=3)
    assert problem(refused) == (409, "insufficient-stock")
    assert refused.get_json(force=True)["available"] == 5
    assert refused.get_json(force=True)["errors"] == {"quantity": ["At most 2 more."]}
    assert add(client, user, headers=headers, quantity=2).json["quantity"] == 5


def test_expired_line_does_not_count_against_the_stock(client, user, products, store):
    products.sell(stock=5)
    store.put(user, 42, quantity={"N": "5"}, ttl={"N": "1"})
    assert problem(add(client, user, quantity=6)) == (409, "insufficient-stock")
    assert add(client, user, quantity=5).json["quantity"] == 5


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
@pytest.mark.parametrize(
    ("stock", "kind"), [(10**9, "quantity-limit"), (999, "quantity-limit"), (998, "insufficient-stock")]
)
def test_lower_of_stock_and_maximum_is_named(client, user, products, headers, stock, kind):
    products.sell(stock=stock)
    add(client, user, quantity=998)
    assert problem(add(client, user, headers=headers, quantity=2)) == (409, kind)


def test_put_cannot_exceed_the_stock(client, user, products):
    products.sell(stock=9)
    add(client, user, quantity=9)
    products.sell(stock=5)
    refused = client.put(f"/cart/{user}/items/42", json={"quantity": 10})
    assert problem(refused) == (409, "insufficient-stock")
    body = refused.get_json(force=True)
    assert (body["available"], body["quantity"], body["errors"]) == (5, 9, {"quantity": ["At most 9."]})
    assert client.get(f"/cart/{user}").json["total_items"] == 9
    for quantity in (9, 8, 5, 2, 5):  # 8 are more than the stock, but not more than the line has
        assert client.put(f"/cart/{user}/items/42", json={"quantity": quantity}).json["quantity"] == quantity
    refused = client.put(f"/cart/{user}/items/42", json={"quantity": 6})
    assert problem(refused) == (409, "insufficient-stock")
    assert refused.get_json(force=True)["errors"] == {"quantity": ["At most 5."]}
    assert problem(client.put(f"/cart/{user}/items/43", json={"quantity": 1})) == (404, "product-not-found")
    products.sell(43)
    assert problem(client.put(f"/cart/{user}/items/43", json={"quantity": 1})) == (404, "line-not-found")


def test_quantity_above_the_stock_can_be_lowered_by_put(client, user, table, store, products):
    """A merge can leave 10 units where 5 are in stock. One request to DynamoDB decides."""
    products.sell(stock=5)
    store.put(user, 42, quantity={"N": "10"}, version={"N": "7"})
    token = client.post(f"/cart/{user}/shares", json={"access": "edit"}).json["token"]
    with billed(table) as bill:
        lowered = client.put(f"/cart/{user}/items/42", json={"quantity": 8}, headers={"If-Match": '"7"'})
    assert (lowered.status_code, lowered.json["quantity"]) == (200, 8)
    assert bill.operations == ["UpdateItem"]
    assert client.put(f"/shared/{token}/items/42", json={"quantity": 7}).json["quantity"] == 7
    etag = client.get(f"/cart/{user}").json["items"][0]["version"]
    for path in (f"/shared/{token}", f"/cart/{user}"):
        for headers in ({}, {"If-Match": "*"}, {"If-Match": f'"{etag}"'}):
            with billed(table) as bill:
                refused = client.put(f"{path}/items/42", json={"quantity": 8}, headers=headers)
            assert problem(refused) == (409, "insufficient-stock")
            assert refused.get_json(force=True)["quantity"] == 7
            assert bill.operations[-1:] == ["UpdateItem"]
        for quantity in (6, 8):  # the old version is refused first, whatever the quantity
            stale = client.put(f"{path}/items/42", json={"quantity": quantity}, headers={"If-Match": '"7"'})
            assert problem(stale) == (412, "version-conflict")
    store.expire(user)
    assert problem(client.put(f"/cart/{user}/items/42", json={"quantity": 8})) == (404, "line-not-found")


def test_concurrent_puts_above_the_stock_only_lower(real_store, user, products):
    """Each PUT that is answered 200 was not above the quantity before it: the last one is the lowest."""
    products.sell(stock=5)
    real_store.put(user, 42, quantity={"N": "40"})
    app = create_app(replace(real_store.config, catalog_url=products.url))

    def put(number: int) -> list[tuple[int, int]]:
        client = app.test_client()
        quantities = [40 - 8 * step - number for step in range(4)]
        answers = [client.put(f"/cart/{user}/items/42", json={"quantity": quantity}) for quantity in quantities]
        return [(answer.json["version"], answer.json["quantity"]) for answer in answers if answer.status_code == 200]

    changes = sorted(chain(*at_once(8, put)))
    quantities = [quantity for _, quantity in changes]
    assert len(changes) >= 4
    assert quantities == sorted(quantities, reverse=True)
    assert app.test_client().get(f"/cart/{user}").json["total_items"] == quantities[-1]


def test_saved_line_need_not_be_in_stock(client, user, products):
    products.sell(stock=0)
    assert add(client, user, "saved", quantity=7).json["quantity"] == 7
    assert problem(add(client, user)) == (409, "insufficient-stock")


def test_product_without_inventory_has_no_stock(client, user, products):
    products.sell(stock=None)
    refused = add(client, user)
    assert problem(refused) == (409, "insufficient-stock")
    assert refused.get_json(force=True)["available"] == 0
    assert add(client, user, "saved").status_code == 201


@pytest.mark.parametrize("keyed", [False, True])
def test_concurrent_adds_never_exceed_the_stock(real_store, user, products, keyed):
    """8 threads add, 20 units are in stock: the condition of the write limits them, not a read before it."""
    products.sell(stock=20)
    app = create_app(replace(real_store.config, catalog_url=products.url))

    def add_four_times(number: int) -> list[int]:
        client = app.test_client()
        keys = [{"Idempotency-Key": f"{number}-{step}"} if keyed else {} for step in range(4)]
        return [add(client, user, headers=key).status_code for key in keys]

    answers = list(chain(*at_once(8, add_four_times)))
    added_count = answers.count(201)
    assert app.test_client().get(f"/cart/{user}").json["total_items"] == added_count <= 20
    assert set(answers) <= {201, 409, 429}
    assert keyed or sorted(answers) == [201] * 20 + [409] * 12


# --- once for each key


def test_repeat_returns_the_first_answer_whatever_the_catalogue_answers(client, user, products):
    products.sell(stock=3)
    first_answer = add(client, user, headers=KEY, quantity=2)
    assert first_answer.status_code == 201

    def assert_replayed() -> None:
        again = add(client, user, headers=KEY, quantity=2)
        assert (again.status_code, again.data) == (201, first_answer.data)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert problem(add(client, user, headers=KEY, quantity=1)) == (422, "idempotency-key-reused")
        assert client.get(f"/cart/{user}").json["total_items"] == 2

    products.sell(price="99.00", name="Dearer", stock=99)
    assert_replayed()
    products.sell(stock=0)
    assert_replayed()
    products.discontinue()
    assert_replayed()
    products.fault = answers_with("", 500)
    assert_replayed()


# --- the catalogue fails


WRITES = [("POST", "items", {}), ("POST", "saved", KEY), ("PUT", "items/42", {})]


def assert_refused(client, user, products, capsys, why: str, writes) -> None:
    """Assert that each write is a 503 whose reason is in the log and not in the answer."""
    product = {"product_id": 42, "quantity": 1}
    for method, path, headers in writes:
        capsys.readouterr()
        body = product if method == "POST" else {"quantity": 1}
        started = time.monotonic()
        refused = client.open(f"/cart/{user}/{path}", method=method, json=body, headers=headers)
        assert time.monotonic() - started < LIMIT_SECONDS
        assert problem(refused) == (503, "catalog-unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert "127.0.0.1" not in refused.get_data(as_text=True)
        log = capsys.readouterr().out
        assert why in log
        assert TOKEN not in log


@pytest.fixture
def assert_failure_is_handled(on_moto, user, products, moto_store, capsys):
    """Return ``check(fault, reason)``, which asserts that writes are refused, nothing is written, and reads work."""

    def check_fault(fault, why: str, writes=WRITES) -> None:
        client = on_moto(catalog_cache_seconds=0, catalog_token=TOKEN)
        moto_store.put(user, 42)
        products.sell()
        products.fault = fault
        before = moto_store.rows(user)
        assert_refused(client, user, products, capsys, why, writes)
        assert moto_store.rows(user) == before
        assert moto_store.rows(f"IDEMPOTENCY#{user}") == []
        assert client.get(f"/cart/{user}?include=saved").json["total_items"] == 2
        products.fault = None
        assert add(client, user).status_code == 201

    return check_fault


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (resets_connection, "Connection"),
        (ends_inside_body, "of http"),
        (answers_with("", 500), "500 of"),
        (answers_with("", 503), "503 of"),
        (answers_with("", 429), "429 of"),
        (answers_with("", 401), "401 of"),
        (answers_with("", 403), "403 of"),
        (answers_with("", 501), "501 of"),
        (on_inventory(answers_with("", 500)), "500 of"),
    ],
)
def test_failing_catalogue_is_503_and_nothing_is_written(assert_failure_is_handled, fault, why):
    assert_failure_is_handled(fault, why)


@pytest.mark.parametrize(
    "fault",
    [hangs, on_inventory(hangs), answers_after(1), sends_byte_by_byte("body"), sends_byte_by_byte("headers")],
    ids=["hangs", "inventory hangs", "late", "drips a body", "drips headers"],
)
@pytest.mark.slow
def test_slow_catalogue_is_503(assert_failure_is_handled, fault, monkeypatch):
    monkeypatch.setattr(catalog, "ANSWER_BY_SECONDS", 0.4)
    assert_failure_is_handled(fault, "The catalogue gave no usable answer")


def test_hanging_catalogue_is_503_in_time(assert_failure_is_handled):
    """It uses all the time that it has."""
    assert_failure_is_handled(hangs, "The catalogue gave no usable answer", WRITES[:1])


def test_catalogue_that_accepts_no_connection_is_503_in_time(on_moto, user, capsys):
    """Its queue is full of other connections, so it answers no SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as connections:
        for _ in range(3):
            connection = connections.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(listener.getsockname())
        client = on_moto(catalog_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        started = time.monotonic()
        assert problem(add(client, user)) == (503, "catalog-unavailable")
        assert time.monotonic() - started < LIMIT_SECONDS
        assert "connect timeout=" in capsys.readouterr().out


def details(**changes: str) -> str:
    members = {"product_id": "42", "name": '"Moka pot"', "price": "19.99"} | changes
    return "{" + ", ".join(f'"{name}": {text}' for name, text in members.items() if text) + "}"


def stock(text: str) -> str:
    return f'{{"stock_quantity": {text}}}'


@pytest.fixture
def assert_unreadable(on_moto, user, products, moto_store, capsys):
    """Return ``check(fault, reason)``, which asserts that only the product with the fault is refused."""

    def check_fault(fault, why: str) -> None:
        client = on_moto(catalog_token=TOKEN)
        moto_store.put(user, 42)
        before = moto_store.rows(user)
        products.sell()
        products.sell(7)
        products.fault = lambda handler: handler.path.startswith("/products/42") and fault(handler)
        for method, path, headers in WRITES:
            capsys.readouterr()
            body = {"quantity": 1} if method == "PUT" else {"product_id": 42, "quantity": 1}
            refused = client.open(f"/cart/{user}/{path}", method=method, json=body, headers=headers)
            assert problem(refused) == (409, "product-unreadable")
            assert "Retry-After" not in refused.headers
            assert "product 42" in refused.get_json(force=True)["detail"]
            assert "127.0.0.1" not in refused.get_data(as_text=True)
            lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            (logged,) = [line["message"] for line in lines if line["level"] == "ERROR"]
            assert logged.startswith("The catalogue's data of product 42 cannot be understood: ")
            assert why in logged
            assert TOKEN not in logged
        assert products.paths.count("/products/42") == len(WRITES)  # a retry would get the same answer
        assert moto_store.rows(user) == before
        assert moto_store.rows(f"IDEMPOTENCY#{user}") == []
        assert add(client, user, product_id=7).status_code == 201
        products.fault = None
        assert add(client, user).status_code == 201  # nothing of it was cached

    return check_fault


@pytest.mark.parametrize(
    "body",
    [
        *("", "null", "[]", '"no"', "<html></html>", "{", GOOD + "x", "[" * 60_000, "9" * 60_000),
        *(details(price=price) for price in ("19.999", "-1", "NaN", "Infinity", "1e9", "1e999999")),
        *(details(price=price) for price in ("true", "null", "[1]", "", "10000000", "9" * 5000)),
        *(details(price=f'"{price}"') for price in ("", "free", "1,000", "1.000,00", "1e3", "010", "+1", " 1", "١")),
        *(details(price=f'"{price}"') for price in ("19.999", "-1", "NaN", "9" * 5000, "$10")),
        *(details(name=name) for name in ("", "null", "7", '""', '" "', r'"\u0000\n"', r'"\ud800"')),
        *(details(name=name) for name in (r'"\u200b\u2060"', r'"\u3164\n\ud800"', r'"\u2800 \ufeff"')),
        *(details(product_id=product_id) for product_id in ("", "43", '"43"', "null", "42.5")),
        b"\xff" + GOOD.encode(),
        GOOD.replace("}", ', "price": 1.00}'),
    ],
    ids=lambda body: str(body[:40]),
)
def test_details_that_cannot_be_understood_make_the_product_unreadable(assert_unreadable, body):
    is_other = '"product_id": 43' in str(body) or '"product_id": "43"' in str(body)
    assert_unreadable(on_details(answers_with(body)), "the id of product 43" if is_other else "ProductSchema")


@pytest.mark.parametrize("text", ["1.5", "true", "NaN", "[]", '"many"', '"1,000"', '"1e3"', '"1.5"', "9" * 5000])
def test_stock_that_cannot_be_understood_makes_the_product_unreadable(assert_unreadable, text):
    assert_unreadable(on_inventory(answers_with(stock(text))), "InventorySchema")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (answers_with("", 204), "204 of"),
        (answers_with("", 400), "400 of"),
        (answers_with("", 406), "406 of"),
        (answers_with(GOOD, 302, Location="/products/42"), "302 of"),
        (on_inventory(answers_with("{}")), "InventorySchema"),
        (sends_gigabyte, "over 65536 bytes"),
        (answers_with(" " * 70_000 + GOOD), "over 65536 bytes"),
    ],
)
def test_answer_of_another_form_makes_the_product_unreadable(assert_unreadable, fault, why):
    assert_unreadable(fault, why)


@pytest.mark.parametrize(
    ("price", "read"),
    [
        *(('"10.00"', "10.00"), ('"10"', "10.00"), ('"0.1"', "0.10"), ('"19.990"', "19.99"), ("5.0", "5.00")),
        *(("0", "0.00"), ("0.0", "0.00"), ('"0"', "0.00"), ("-0.0", "0.00"), ('"-0"', "0.00")),
    ],
)
def test_unambiguous_price_is_read(on_moto, user, products, price, read):
    client = on_moto()
    products.sell()
    products.fault = on_details(answers_with(details(price=price)))
    added = add(client, user, quantity=2)
    assert added.status_code == 201
    assert f'"price": {read}, "subtotal": {Decimal(read) * 2}' in added.text
    assert f'"price": {read}, "subtotal": {Decimal(read) * 2}' in client.get(f"/cart/{user}").text


@pytest.mark.parametrize("product_id", ['"42"', "42.0", '"42.0"'])
def test_unambiguous_product_id_is_read(on_moto, user, products, product_id):
    products.sell()
    products.fault = on_details(answers_with(details(product_id=product_id)))
    assert add(on_moto(), user).json["product_id"] == 42


@pytest.mark.parametrize(
    ("text", "units"),
    [
        *(("5", 5), ('"5"', 5), ("5.0", 5), ('"5.0"', 5), ("0", 0), ('"0"', 0)),
        *(("null", 0), ("-1", 0), ("-3.0", 0), ('"-1"', 0)),
    ],
)
def test_unambiguous_stock_is_read(on_moto, user, products, text, units):
    client = on_moto()
    products.sell()
    products.fault = on_inventory(answers_with(stock(text)))
    refused = add(client, user, quantity=units + 1)
    assert problem(refused) == (409, "insufficient-stock")
    assert refused.get_json(force=True)["available"] == units


def test_stock_has_no_upper_limit(on_moto, user, products):
    products.sell(stock=10**30)
    assert add(on_moto(), user, quantity=999).status_code == 201


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (r"Pot\nblue", "Pot blue"),
        (r"Pot\r\n\tblue\u0085", "Pot blue"),
        (r"Pot\u2028blue\u2029green", "Pot blue green"),
        (r"  Pot  blue ", "Pot  blue"),
        (r"Pot \ud83d", "Pot"),
        (r"\ud83d\ude00 Pot", "\U0001f600 Pot"),
        ("x" * 199 + " y", "x" * 199),
        (r"\n" * 300 + "Pot", "Pot"),
    ],
)
def test_name_is_cleaned(on_moto, user, products, name, read):
    products.sell()
    products.fault = on_details(answers_with(details(name=f'"{name}"')))
    assert add(on_moto(), user).json["product_name"] == read


def test_product_that_is_gone_is_unknown(client, user, products):
    products.sell()
    products.fault = answers_with("", 410)
    assert problem(add(client, user)) == (404, "product-not-found")


def test_free_product_is_free_everywhere(client, user, store, products):
    """Only the catalogue can say so: a client's own price of 0 is refused."""
    products.sell(price="0")
    for catalogue in (True, False):
        app = client if catalogue else create_app(store.config).test_client()
        assert problem(app.post(f"/cart/{user}/items", json=CUP | {"price": 0})) == (422, "invalid-input")
    assert add(client, user, quantity=3).json["subtotal"] == 0
    store.put(user, 7)
    products.sell(7)
    cart = client.get(f"/cart/{user}").json
    assert (cart["total_items"], cart["total_price"]) == (5, Decimal("39.98"))
    assert client.post(f"/cart/{user}/validate").json["valid"] is True
    line = client.post(f"/cart/{user}/items/42/save-for-later").json
    assert (line["quantity"], line["price"], line["subtotal"]) == (3, 0, 0)
    client.post(f"/cart/{user}/saved/42/move-to-cart")
    receipt = client.post(f"/cart/{user}-2/merge", json={"source_user_id": user}).json
    assert receipt["lines"][1]["source"] == receipt["lines"][1]["result"] == {"quantity": 3, "price": 0}
    assert receipt["cart"]["total_price"] == Decimal("39.98")
    products.sell(price="5.00")
    (check,) = [line for line in client.post(f"/cart/{user}-2/validate").json["lines"] if line["product_id"] == 42]
    assert check["problems"] == [{"type": "price_changed", "old": 0, "new": 5}]


@pytest.mark.parametrize("fault", [resets_connection, ends_inside_body, answers_with("", 500), answers_with("", 503)])
def test_single_failure_is_retried(on_moto, user, products, fault):
    products.sell()
    products.fault = on_details(for_first_requests(1, fault))
    assert add(on_moto(), user).status_code == 201
    assert products.paths.count("/products/42") == 2


def test_reads_and_removals_send_no_catalogue_request(client, user, store, products):
    store.put(user, 42)
    store.put(user, 42, item_id={"S": "SAVED#42"})
    token = client.post(f"/cart/{user}/shares", json={"access": "edit"}).json["token"]
    for method, path in (
        ("GET", f"/cart/{user}"),
        ("GET", f"/cart/{user}?include=saved"),
        ("GET", f"/cart/{user}/saved"),
        ("GET", f"/shared/{token}"),
        ("POST", f"/cart/{user}/items/42/save-for-later"),
        ("POST", f"/cart/{user}/saved/42/move-to-cart"),
        ("DELETE", f"/cart/{user}/items/42"),
        ("DELETE", f"/cart/{user}"),
    ):
        assert client.open(path, method=method).status_code in (200, 204), path
    assert products.requests == []


def test_missing_catalogue_is_503(on_moto, user, products, moto_store):
    client = on_moto(catalog_url="http://127.0.0.1:1")
    assert problem(add(client, user)) == (503, "catalog-unavailable")
    assert moto_store.rows(user) == []


def test_time_limits_leave_time_for_the_write():
    """A look-up that succeeds after its whole time is still followed by a write."""
    assert catalog.ANSWER_BY_SECONDS < catalog.LAST_START_SECONDS
    assert catalog.ANSWER_BY_SECONDS >= catalog.READ_TIMEOUT_SECONDS


def test_late_but_timely_answer_is_used(on_moto, user, products):
    products.sell()
    products.fault = answers_after(1.8)
    assert add(on_moto(), user).status_code == 201


# --- requests to the catalogue


def test_answers_are_cached_for_the_configured_time(on_moto, user, products, monkeypatch):
    products.sell(price="10.00")
    client = on_moto(catalog_cache_seconds=30)
    for _ in range(3):
        assert add(client, user).json["price"] == 10
    client.put(f"/cart/{user}/items/42", json={"quantity": 5})
    assert len(products.requests) == 2
    products.sell(price="11.00")
    now = time.monotonic()
    monkeypatch.setattr("cart.carts.catalog.time.monotonic", lambda: now + 29)
    assert add(client, user).json["price"] == 10
    monkeypatch.setattr("cart.carts.catalog.time.monotonic", lambda: now + 31)
    assert add(client, user).json["price"] == 11
    assert len(products.requests) == 4


def test_unknown_product_is_not_cached(on_moto, user, products):
    client = on_moto()
    assert problem(add(client, user)) == (404, "product-not-found")
    products.sell()
    assert add(client, user).status_code == 201


def test_cache_has_a_maximum_size(on_moto, user, products, monkeypatch):
    monkeypatch.setattr("cart.carts.catalog.MAX_CACHED_PRODUCTS", 3)
    client = on_moto()
    cached = client.application.extensions["cart_catalog"]._cache
    for product_id in (1, 2, 3, 1, 4, 5):
        products.sell(product_id)
        add(client, user, product_id=product_id)
    assert list(cached) == [3, 4, 5]


def test_connections_are_reused(on_moto, user, products):
    client = on_moto(catalog_cache_seconds=0)
    products.sell(stock=99)
    for _ in range(20):
        assert add(client, user).status_code == 201
    products.fault = answers_with("", 404)
    for _ in range(20):
        assert problem(add(client, user)) == (404, "product-not-found")
    assert products.connections <= catalog.LOOKUPS_AT_ONCE


def test_parallel_requests_are_limited(on_moto, products):
    app = on_moto().application
    for product_id in range(1, 31):
        products.sell(product_id, stock=product_id)
    products.fault = answers_after(0.02)
    with app.app_context():
        products_by_id = app.extensions["cart_catalog"].products([*range(1, 31), 99])
    assert products_by_id.pop(99) == "discontinued"
    assert {product_id: product.stock for product_id, product in products_by_id.items()} == {n: n for n in range(1, 31)}
    assert 1 < products.most_at_once <= catalog.LOOKUPS_AT_ONCE


def test_requests_after_the_deadline_are_not_sent(on_moto, products):
    """A cart of 100 lines needs 200 requests. The first ones are too slow: the others must not fill the queue."""
    app = on_moto().application
    products.fault = hangs
    with app.app_context(), pytest.raises(CatalogUnavailable):
        app.extensions["cart_catalog"].products(range(1, 101))
    assert len(products.requests) <= 2 * catalog.LOOKUPS_AT_ONCE


def test_token_and_request_id_are_sent(on_moto, user, products, capsys):
    client = on_moto(catalog_token=TOKEN)
    products.sell()
    add(client, user, headers={"X-Request-ID": "abc"})
    for _, headers in products.requests:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["X-Request-ID"] == "abc"
    assert TOKEN not in capsys.readouterr().out
    products.requests.clear()
    add(on_moto(), user)
    assert not any("Authorization" in headers for _, headers in products.requests)


def test_refused_token_setting_is_not_printed():
    with pytest.raises(ConfigError) as refused:
        Config.from_env({"CATALOG_TOKEN": "s3cret\nX-Evil: 1"})
    assert "CATALOG_TOKEN=(a secret)" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_base_path_of_the_url_is_kept(on_moto, user, products):
    client = on_moto(catalog_url=f"{products.url}/api/v1/")
    products.fault = answers_with(GOOD)
    assert problem(add(client, user)) == (409, "product-unreadable")  # the same answer for the stock
    assert sorted(products.paths) == ["/api/v1/products/42", "/api/v1/products/42/inventory"]


def test_openapi_document_states_the_required_fields(on_moto, moto_store):
    def item(client):
        document = json.loads(client.get("/openapi.json").data)
        return document["components"]["schemas"]["Item"]["required"]

    assert sorted(item(on_moto())) == ["product_id", "quantity"]
    off = create_app(moto_store.config).test_client()
    assert sorted(item(off)) == ["price", "product_id", "product_name", "quantity"]


IMPORTED = "import sys; import wsgi; print('cart.carts.catalog' in sys.modules, *sorted(sys.modules))"


def test_catalogue_module_is_imported_only_if_configured():
    """urllib3 is imported by botocore."""

    def imported(**environ: str) -> set[str]:
        command = [sys.executable, "-c", IMPORTED]
        environ |= {"AWS_EC2_METADATA_DISABLED": "true"}
        process = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        return set(process.stdout.split())

    off, on = imported(), imported(CATALOG_URL="http://127.0.0.1:1")
    assert "cart.carts.catalog" not in off
    assert on - off == {"cart.carts.catalog", "cart.model.validation", "True"}


def test_catalogue_works_in_forked_workers(dynamodb_local_url, tmp_path, products):
    """gunicorn forks its workers from one app: each must have its own connections and threads."""
    products.sell(stock=500)
    environ = {"CATALOG_URL": products.url, "CATALOG_TOKEN": TOKEN, "CATALOG_CACHE_SECONDS": "0"}
    environ |= {"DYNAMODB_TABLE_NAME": f"forked-{uuid.uuid4().hex[:8]}"}
    with serving(dynamodb_local_url, tmp_path / "log", **environ) as url:
        body = {"product_id": 42, "quantity": 1}

        def add_five(number: int) -> list[int]:
            caller = Caller(url)
            answers = [caller.ask("POST", "/cart/u/items", body) for _ in range(5)]
            caller.connection.close()
            return [answer.status for answer in answers if answer]

        assert list(chain(*at_once(16, add_five))) == [201] * 80
        products.fault = answers_with("", 401)
        caller = Caller(url)
        assert caller.ask("POST", "/cart/u/items", body).problem == "catalog-unavailable"
        assert caller.ask("GET", "/cart/u").body["total_items"] == 80
        caller.connection.close()
    log = (tmp_path / "log").read_text()
    assert "The catalogue gave no usable answer: 401 of" in log
    assert TOKEN not in log

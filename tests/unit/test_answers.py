"""The fast paths of the schemas accept the same input and write the same bytes as marshmallow."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from flask import current_app
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from cart import create_app
from cart.carts.fast_json import cart_json, cart_json_of, line_json, plain_item, plain_quantity
from cart.carts.schemas import CartAndSavedSchema, CartSchema, ItemSchema, LineSchema, QuantitySchema
from cart.config import Config
from cart.dynamodb.rows import line_values, projected_line_of
from cart.model.lines import Cart, CartAndSaved, Line, PriceChange, cart_of

APP = create_app(Config(log_level="WARNING"))


@pytest.fixture(autouse=True)
def context():
    with APP.app_context():
        yield


TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")
PRICES = st.decimals("0.01", "9999999.99", places=2)


def line_as_read(product_id: int, name: str, quantity: int, price: Decimal, added_at: str, version: int) -> Line:
    """Return a line as read from a row; its price can have any number of trailing zeros."""
    numbers = {"product_id": product_id, "quantity": quantity, "version": version, "price": f"{price:f}"}
    row = {attribute: {"N": str(number)} for attribute, number in numbers.items()}
    return projected_line_of(row | {"product_name": {"S": name}, "added_at": {"S": added_at}})


LINE_PRICES = PRICES | PRICES.map(Decimal.normalize) | st.integers(1, 9_999_999).map(Decimal)
PLAIN_LINES = st.builds(
    line_as_read,
    st.integers(1, 2**53 - 1),
    st.text(min_size=1, max_size=200),
    st.integers(1, 1_000_000),
    LINE_PRICES,
    TIMES,
    st.integers(1, 2**63),
)


def with_change(line: Line, price: Decimal, changed_at: str, of_its_price: bool) -> Line:
    return replace(line, change=PriceChange(price, changed_at, line.price if of_its_price else line.price + 1))


LINES = PLAIN_LINES | st.builds(with_change, PLAIN_LINES, LINE_PRICES, TIMES, st.booleans())
USERS = st.text(min_size=1, max_size=128)


def dumped_by_marshmallow(schema, value) -> str:
    return current_app.json.dumps(schema().dump(value))


@given(LINES)
def test_line_is_dumped_as_by_its_schema(line):
    assert line_json(line) == dumped_by_marshmallow(LineSchema, line)


@given(USERS, st.lists(LINES, max_size=5), st.lists(LINES, max_size=5))
def test_cart_is_dumped_as_by_its_schema(user_id, items, saved):
    assert cart_json(Cart(user_id, items)) == dumped_by_marshmallow(CartSchema, Cart(user_id, items))
    both = CartAndSaved(user_id, items, saved)
    assert cart_json(both) == dumped_by_marshmallow(CartAndSavedSchema, both)


CARTS = st.lists(LINES, max_size=6, unique_by=lambda line: line.product_id)


@given(USERS, CARTS)
def test_cart_dumped_from_rows_is_the_same(user_id, lines):
    rows = [line_values(line) for line in lines]
    for row in rows:
        row["price"]["N"] = f"{Decimal(row['price']['N']).normalize():f}"  # as DynamoDB returns it
    cart = cart_of(user_id, lines)
    assert cart_json_of(user_id, rows) == (cart_json(cart), cart.etag)


@pytest.mark.parametrize(
    ("change", "is_shown"),
    [
        (None, None),
        (PriceChange(Decimal(2), "2026-01-01T00:00:00.000000Z", Decimal(1)), Decimal(2)),
        (PriceChange(Decimal(1), "2026-01-01T00:00:00.000000Z", Decimal(1)), None),  # the price changed back
        (PriceChange(Decimal(2), "2026-01-01T00:00:00.000000Z", Decimal(3)), None),  # the line got another price later
    ],
)
def test_price_change_is_shown_only_if_the_price_differs(change, is_shown):
    line = Line(1, "Cup", 1, Decimal("1.00"), "2026-01-01T00:00:00.000000Z", 1, change=change)
    assert line.current_price == is_shown
    assert ("current_price" in json.loads(line_json(line))) == (is_shown is not None)
    assert Cart("u", [line, line]).price_changes == (2 if is_shown else 0)


def loaded(schema, body):
    """Return what the schema loads, or None if it refuses."""
    try:
        return schema().load(body)
    except ValidationError:
        return None


NUMBERS = st.one_of(
    st.integers(-5, 2000),
    st.sampled_from([2**53 - 1, 2**53, 10_000_000, 9_999_999]),
    st.decimals("-1", "10000001", places=2),
    st.decimals("-1", "10000001", places=4),
    st.sampled_from([Decimal(text) for text in ("1E2", "2.0", "1E-2", "9999999.990", "0", "-0", "NaN", "Infinity")]),
)
ODD = st.none() | st.booleans() | st.floats() | st.lists(st.integers(), max_size=1) | st.text(max_size=3)
NAMES = st.text(max_size=3) | st.sampled_from([" ", "a" * 200, "a" * 201, "a\x7f", "a b", "\ud800", "é", "a\n"])
FIELDS = {"product_id": NUMBERS | ODD, "product_name": NAMES | ODD, "quantity": NUMBERS | ODD, "price": NUMBERS | ODD}
ITEMS = st.fixed_dictionaries(
    {"product_id": NUMBERS, "product_name": NAMES, "quantity": NUMBERS, "price": NUMBERS}
) | st.fixed_dictionaries({}, optional=FIELDS | {"extra": ODD})


@given(ITEMS | ODD)
def test_item_is_loaded_as_by_its_schema(body):
    if (plain := plain_item(body)) is not None:
        assert plain == loaded(ItemSchema, body)
        assert str(plain["price"]) == str(loaded(ItemSchema, body)["price"])
        assert [type(plain[name]) for name in FIELDS] == [int, str, int, Decimal]


@given(st.fixed_dictionaries({}, optional={"quantity": NUMBERS | ODD, "extra": ODD}) | ODD)
def test_quantity_is_loaded_as_by_its_schema(body):
    if (plain := plain_quantity(body)) is not None:
        assert plain == loaded(QuantitySchema, body)


@pytest.mark.parametrize("price", ["19.99", "19.9", "19", "0.01", "9999999.99"])
def test_usual_items_take_the_fast_path(price):
    """Otherwise the fast path would not be used, and no test would fail."""
    text = f'{{"product_id": 42, "product_name": "Espresso cup", "quantity": 2, "price": {price}}}'
    body = current_app.json.loads(text)
    assert plain_item(body) == loaded(ItemSchema, body)
    assert plain_quantity({"quantity": 3}) == {"quantity": 3}


def test_schema_errors_are_kept():
    answer = APP.test_client().post("/cart/u/items", json={"product_id": 0, "quantity": 1000, "price": "1", "x": 1})
    assert json.loads(answer.data)["errors"].keys() == {"product_id", "product_name", "quantity", "price", "x"}

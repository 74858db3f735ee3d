"""The faster loads and dumps of the schemas do what marshmallow does: the same value or messages, the same text."""

import json
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from flask import current_app
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from cart import create_app
from cart.carts.receipt_schemas import MovedLineSchema
from cart.carts.schemas import (
    CartAndSavedSchema,
    CartQuerySchema,
    CartSchema,
    ItemSchema,
    LineSchema,
    QuantityRequestSchema,
    SharedCart,
    SharedCartSchema,
)
from cart.config import Config
from cart.dynamodb.rows import StoredCart, line_values, projected_line_of
from cart.dynamodb.shares import Share
from cart.http.fields import NAME_PATTERN, UNDOCUMENTED_INVISIBLE, check_printable
from cart.http.schema import JsonSchema
from cart.model.lines import CART, Cart, CartAndSaved, Line, PriceChange, cart_of
from cart.model.transfer import Move

APP = create_app(Config(log_level="WARNING"))
APP_WITH_CATALOG = create_app(Config(log_level="WARNING", catalog_url="http://127.0.0.1:9"))


@pytest.fixture(autouse=True)
def context():
    with APP.app_context():
        yield


TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")
PRICES = st.decimals("0.01", "9999999.99", places=2)


def line_as_read(product_id: int, name: str, quantity: int, price: Decimal, added_at: str, version: int) -> Line:
    """Of a row whose price is written with as many zeros as it happens to be."""
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


def dumped_by_marshmallow(schema: JsonSchema, value) -> str:
    return current_app.json.dumps(schema.dump(value))


@given(LINES)
def test_line_is_dumped_as_by_marshmallow(line):
    assert LineSchema().fast_dumps(line) == dumped_by_marshmallow(LineSchema(), line)


@given(LINES, st.integers(0, 1000))
def test_moved_line_is_dumped_as_by_marshmallow(line, cut):
    move = Move(CART, line, None, None, "move", line, cut)
    assert MovedLineSchema().fast_dumps(move) == dumped_by_marshmallow(MovedLineSchema(), move)


@given(USERS, st.lists(LINES, max_size=5), st.lists(LINES, max_size=5))
def test_cart_is_dumped_as_by_marshmallow(user_id, items, saved):
    cart, both = Cart(user_id, items), CartAndSaved(user_id, items, saved)
    assert CartSchema().fast_dumps(cart) == dumped_by_marshmallow(CartSchema(), cart)
    assert CartSchema().fast_dumps(both) == dumped_by_marshmallow(CartSchema(), both)
    assert CartAndSavedSchema().fast_dumps(cart) == dumped_by_marshmallow(CartAndSavedSchema(), cart)
    assert CartAndSavedSchema().fast_dumps(both) == dumped_by_marshmallow(CartAndSavedSchema(), both)


@given(st.lists(LINES, max_size=5), st.sampled_from(["view", "edit"]), TIMES, st.integers(0, 2**31))
def test_shared_cart_is_dumped_as_by_marshmallow(items, access, created_at, ttl):
    shared = SharedCart(Share("ab12", "owner", access, created_at, ttl), Cart("owner", items))
    assert SharedCartSchema().fast_dumps(shared) == dumped_by_marshmallow(SharedCartSchema(), shared)


CARTS = st.lists(LINES, max_size=6, unique_by=lambda line: line.product_id)


@given(USERS, CARTS)
def test_cart_dumped_from_rows_is_the_same(user_id, lines):
    rows = [line_values(line) for line in lines]
    for row in rows:
        row["price"]["N"] = f"{Decimal(row['price']['N']).normalize():f}"  # as DynamoDB has it
    cart, stored, schema = cart_of(user_id, lines), StoredCart(user_id, rows), CartAndSavedSchema()
    assert schema.fast_dumps(stored) == schema.fast_dumps(cart)
    assert dumped_by_marshmallow(schema, stored) == dumped_by_marshmallow(schema, cart)
    assert stored.etag == cart.etag


@given(st.lists(LINES, max_size=3))
def test_dumps_leaves_lists_to_marshmallow(lines):
    expected = current_app.json.dumps([LineSchema().dump(line) for line in lines])
    assert LineSchema().dumps(lines, many=True) == LineSchema(many=True).dumps(lines) == expected


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (None, None),
        (PriceChange(Decimal(2), "2026-01-01T00:00:00.000000Z", Decimal(1)), Decimal(2)),
        (PriceChange(Decimal(1), "2026-01-01T00:00:00.000000Z", Decimal(1)), None),  # it went back
        (PriceChange(Decimal(2), "2026-01-01T00:00:00.000000Z", Decimal(3)), None),  # the line was given another since
    ],
)
def test_price_change_is_shown_only_if_the_price_differs(change, shown):
    line = Line(1, "Cup", 1, Decimal("1.00"), "2026-01-01T00:00:00.000000Z", 1, change=change)
    assert line.current_price == shown
    assert ("current_price" in json.loads(LineSchema().dumps(line))) == (shown is not None)
    assert Cart("u", [line, line]).price_changes == (2 if shown else 0)


def loaded(load, body):
    """What a load returns, with its types; or the messages with which it refuses."""
    try:
        value = load(body)
    except ValidationError as error:
        return error.messages
    return {name: (type(member), str(member)) for name, member in value.items()}


NUMBERS = st.one_of(
    st.integers(-5, 2000),
    st.sampled_from([2**53 - 1, 2**53, 10_000_000, 9_999_999]),
    st.decimals("-1", "10000001", places=2),
    st.decimals("-1", "10000001", places=4),
    st.sampled_from([Decimal(text) for text in ("1E2", "2.0", "1E-2", "9999999.990", "0", "-0", "NaN", "Infinity")]),
)
ODD = st.none() | st.booleans() | st.floats() | st.lists(st.integers(), max_size=1) | st.text(max_size=3)
INVISIBLE = st.text(" \u00ad\u200b\u2060\u2800\u3164\ufe0f\ufeff\U000e0001", max_size=3)
NAMES = (
    st.text(max_size=3) | INVISIBLE | st.sampled_from([" ", "a" * 200, "a" * 201, "a\x7f", "a b", "\ud800", "é", "a\n"])
)
FIELDS = {"product_id": NUMBERS | ODD, "product_name": NAMES | ODD, "quantity": NUMBERS | ODD, "price": NUMBERS | ODD}
ITEMS = st.fixed_dictionaries(
    {"product_id": NUMBERS, "product_name": NAMES, "quantity": NUMBERS, "price": NUMBERS}
) | st.fixed_dictionaries({}, optional=FIELDS | {"extra": ODD})


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), min_size=1, max_size=3) | INVISIBLE)
def test_pattern_of_names_is_the_rule(name):
    def is_printable() -> bool:
        try:
            check_printable(name)
        except ValidationError:
            return False
        return True

    if not re.search(f"[{UNDOCUMENTED_INVISIBLE}]", name):
        assert bool(re.search(NAME_PATTERN, name)) == is_printable()


def assert_loads_as_marshmallow(schema: JsonSchema, body) -> None:
    assert loaded(schema.load, body) == loaded(lambda data: Schema.load(schema, data), body)


@given(ITEMS | ODD)
def test_item_is_loaded_as_by_marshmallow(body):
    assert_loads_as_marshmallow(ItemSchema(), body)
    with APP_WITH_CATALOG.app_context():
        assert_loads_as_marshmallow(ItemSchema(), body)


@given(st.fixed_dictionaries({}, optional={"quantity": NUMBERS | ODD, "extra": ODD}) | ODD)
def test_quantity_is_loaded_as_by_marshmallow(body):
    assert_loads_as_marshmallow(QuantityRequestSchema(), body)


@pytest.mark.parametrize("price", ["19.99", "19.9", "19", "0.01", "9999999.99"])
def test_usual_items_take_the_fast_path(price):
    """Else nothing would be gained, and nobody would see it."""
    text = f'{{"product_id": 42, "product_name": "Espresso cup", "quantity": 2, "price": {price}}}'
    body = current_app.json.loads(text)
    assert ItemSchema().fast_load(body) == ItemSchema().load(body)
    assert QuantityRequestSchema().fast_load({"quantity": 3}) == {"quantity": 3}


def subclasses(base: type[JsonSchema]):
    for schema in base.__subclasses__():
        yield schema
        yield from subclasses(schema)


def test_schemas_that_are_skipped_for_an_empty_query_load_nothing_from_it():
    skipped = [schema for schema in subclasses(JsonSchema) if schema.loads_nothing]
    assert CartQuerySchema in skipped
    assert [schema().load({}) for schema in skipped] == [{}] * len(skipped)


def test_every_fast_schema_is_compared_here():
    fast = {schema for schema in subclasses(JsonSchema) if {"fast_load", "fast_dumps"} & vars(schema).keys()}
    loads, dumps = {ItemSchema, QuantityRequestSchema}, {LineSchema, CartSchema, CartAndSavedSchema, SharedCartSchema}
    assert fast == loads | dumps | {MovedLineSchema}
    others = {schema for schema in subclasses(JsonSchema) if schema not in fast}
    inherited = [
        schema
        for schema in others
        if (schema.fast_load, schema.fast_dumps) != (JsonSchema.fast_load, JsonSchema.fast_dumps)
    ]
    assert inherited == []  # it would leave out what the subclass adds


def test_messages_are_those_of_marshmallow():
    answer = APP.test_client().post("/cart/u/items", json={"product_id": 0, "quantity": 1000, "price": "1", "x": 1})
    assert json.loads(answer.data)["errors"].keys() == {"product_id", "product_name", "quantity", "price", "x"}

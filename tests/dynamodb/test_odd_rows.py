"""Rows of lines that older versions wrote, or that another program has changed, never make a cart unreadable."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cart import create_app
from cart.analytics.counter import Bookkeeper
from cart.commands.rebuild import Rebuild
from cart.dynamodb.table import CartTable
from cart.prices.job_rows import Holder, Job, live_lines, record_price
from tests.support.capacity import billed
from tests.support.price_changes import NEW, T1, T2
from tests.support.problems import KEY
from tests.support.stores import CUP, Store, make_store

ENGINES = ["dynamodb-local"]  # moto cannot compare a text with a number
MEMBERS = (
    *("product_id", "product_name", "quantity", "price", "priced_at", "added_at", "updated_at", "version"),
    *("ttl", "current_price", "price_changed_at", "price_changed_from"),
)
CHANGE = {"current_price": {"N": "21.5"}, "price_changed_at": {"S": T1}, "price_changed_from": {"N": "19.99"}}
PLAIN = {"product_name": "Espresso cup", "quantity": 2, "price": Decimal("19.99"), "version": 1}
NONE = None  # the row shows no line

# What the row of product 42 has instead of its usual attributes (None: nothing), and what the cart shows of it
OLD_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the first version": ({"version": {"N": "3"}}, {"version": 3}),
    "before prices had a time": ({"priced_at": None}, {}),
    "a whole price": ({"price": {"N": "20"}}, {"price": Decimal(20)}),
    "a price change": (CHANGE, {"current_price": Decimal("21.50"), "price_changed_at": T1}),
}
ODD_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "no version": ({"version": None}, {"version": 0}),
    "a version as text": ({"version": {"S": "7"}}, {"version": 0}),
    "no added_at": ({"added_at": None}, {"added_at": "2026-01-01T00:00:00.000000Z"}),
    "no times": (dict.fromkeys(("added_at", "updated_at", "priced_at")), {"added_at": "1970-01-01T00:00:00.000000Z"}),
    "no updated_at": ({"updated_at": None}, {}),
    "no name": ({"product_name": None}, {"product_name": "Product 42"}),
    "a number as name": ({"product_name": {"N": "7"}}, {"product_name": "7"}),
    "no product": ({"product_id": None}, {}),
    "a quantity as text": ({"quantity": {"S": "3"}}, NONE),
    "a quantity with a fraction": ({"quantity": {"N": "2.5"}}, {"quantity": 2}),
    "a price as text": ({"price": {"S": "5"}}, NONE),
    "a price in E notation": ({"price": {"N": "1E+1"}}, {"price": Decimal(10)}),
    "a price of many decimals": ({"price": {"N": "19.98765432109876"}}, {"price": Decimal("19.99")}),
    "half a price change": (CHANGE | {"price_changed_from": None}, {}),
    "a price change of another form": (CHANGE | {"price_changed_at": {"N": "1"}}, {}),
    "no price": ({"price": None}, NONE),
    "too high a price": ({"price": {"N": "1" + "0" * 37}}, NONE),
    "no quantity": ({"quantity": None}, NONE),
    "null as quantity": ({"quantity": {"NULL": True}}, NONE),
    "no ttl": ({"ttl": None}, NONE),
    "a ttl as text": ({"ttl": {"S": "4102444800"}}, NONE),
    "nothing but its key and ttl": (dict.fromkeys(name for name in MEMBERS if name != "ttl"), NONE),
    "nothing but its key": (dict.fromkeys(MEMBERS), NONE),
}
ALL_ROWS = OLD_ROWS | ODD_ROWS
# DynamoDB counts up no text, and the conditions of a write do not look at the types of members
WRITABLE = ALL_ROWS.keys() - {
    *("a version as text", "a price as text", "a quantity as text", "null as quantity", "too high a price"),
    "a price change of another form",
}
NOT_LINES = ({"item_id": {"S": "ITEM#blue"}, "product_id": None}, {"item_id": {"S": "PROFILE"}, "price": None})


def put(store: Store, user: str, number: int, place: str = "ITEM", /, **attributes: Any) -> None:
    """Put a line into the table, without the attributes that are None."""
    numbers = {"product_id": number, "quantity": 2, "price": "19.99", "version": 1, "ttl": 4102444800}
    row = {"user_id": {"S": user}, "item_id": {"S": f"{place}#{number}"}, "product_name": {"S": "Espresso cup"}}
    row |= {name: {"N": str(value)} for name, value in numbers.items()}
    row |= {name: {"S": "2026-01-01T00:00:00.000000Z"} for name in ("added_at", "updated_at", "priced_at")}
    item = {name: value for name, value in (row | attributes).items() if value}
    store.client.put_item(TableName=store.config.dynamodb_table_name, Item=item)


def fill(store: Store, user: str, name: str, place: str = "ITEM") -> dict[int, dict[str, Any]]:
    """Put a row of ALL_ROWS beside usual lines and rows that are none; return what is to be shown, by product."""
    attributes, members = ALL_ROWS[name]
    put(store, user, 42, place, **attributes)
    for product_id in (7, 43):
        put(store, user, product_id, place)
    for other in NOT_LINES:
        put(store, user, 5, **other)
    return {7: PLAIN, 43: PLAIN} | ({} if members is None else {42: PLAIN | members})


def assert_shown(items: list[dict[str, Any]], expected: dict[int, dict[str, Any]]) -> None:
    assert sorted(item["product_id"] for item in items) == sorted(expected)
    for item in items:
        members = expected[item["product_id"]]
        assert {name: item[name] for name in members} == members
        assert item["subtotal"] == item["price"] * item["quantity"]
        assert ("current_price" in item) == ("current_price" in members)


def units(items: list[dict[str, Any]]) -> dict[int, int]:
    return {item["product_id"]: item["quantity"] for item in items}


@pytest.mark.parametrize("name", ALL_ROWS)
def test_every_reader_shows_the_same(app, client, user, store, table, products, name, capsys):
    expected = fill(store, user, name)
    capsys.readouterr()
    with billed(table) as bill:
        answer = client.get(f"/cart/{user}")
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert bill.operations == ["Query", "Query"]  # the second one reads all attributes
    warnings = [line["message"] for line in logged if line["level"] == "WARNING"]
    assert len(warnings) == len(set(warnings)) >= 1
    assert answer.status_code == 200
    cart = answer.json
    assert_shown(cart["items"], expected)
    assert cart["total_price"] == sum(item["subtotal"] for item in cart["items"])

    fill(store, user, name, "SAVED")
    both = client.get(f"/cart/{user}?include=saved").json
    assert_shown(both.pop("saved"), expected)
    assert both == cart
    assert_shown(client.get(f"/cart/{user}/saved").json["items"], expected)
    token = client.post(f"/cart/{user}/shares", json={}).json["token"]
    assert client.get(f"/shared/{token}").json["items"] == cart["items"]
    holding = live_lines(table, 42, [Holder(user, "cart")])
    assert [line.quantity for _, line in holding] == [expected[42]["quantity"] for _ in holding] * (42 in expected)

    checking = create_app(replace(store.config, catalog_url=products.url, catalog_cache_seconds=0)).test_client()
    for product_id in (7, 42, 43):
        products.sell(product_id, "9.99", 1)
    assert units(checking.post(f"/cart/{user}/validate").json["lines"]) == units(cart["items"])
    assert checking.post(f"/cart/{user}/validate?fix=true").json["valid"] is True
    assert client.get(f"/cart/{user}").json["total_items"] == len(expected)


@pytest.mark.parametrize("name", OLD_ROWS)
def test_rows_of_older_versions_cost_one_read(client, user, store, table, name, capsys):
    put(store, user, 42, **OLD_ROWS[name][0])
    capsys.readouterr()
    with billed(table) as bill:
        assert_shown(client.get(f"/cart/{user}").json["items"], {42: PLAIN | OLD_ROWS[name][1]})
    assert bill.operations == ["Query"]
    assert "WARNING" not in capsys.readouterr().out


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
@pytest.mark.parametrize("name", sorted(WRITABLE))
def test_add_counts_on_from_what_is_shown(client, user, store, name, headers):
    before = fill(store, user, name).get(42, {"quantity": 0})["quantity"]
    added = client.post(f"/cart/{user}/items", json=CUP | {"quantity": 4}, headers=headers)
    assert (added.status_code, added.json["quantity"]) == (201, before + 4)
    assert added.json in client.get(f"/cart/{user}").json["items"]
    assert added.json["version"] > 0


@pytest.mark.parametrize("name", sorted(WRITABLE))
def test_put_and_price_change_reach_what_is_shown(client, user, store, name):
    is_shown = 42 in fill(store, user, name)
    changed = client.put(f"/cart/{user}/items/42", json={"quantity": 5})
    assert changed.status_code == (200 if is_shown else 404)
    if is_shown:
        assert changed.json in client.get(f"/cart/{user}").json["items"]
    recorded = record_price(CartTable(store.client, store.config), Job("j", 42, NEW, T2, T2), Holder(user, "cart"))
    assert recorded == (changed.json["price"] if is_shown else None)
    assert client.get(f"/cart/{user}").json["price_changes"] == is_shown
    accepted = client.post(f"/cart/{user}/price-changes/accept").json
    assert accepted["price_changes"] == 0
    assert [line["price"] for line in accepted["items"] if line["product_id"] == 42] == [NEW] * is_shown


@pytest.mark.parametrize("name", ALL_ROWS)
def test_lines_move_as_they_are_shown(client, user, store, name):
    expected = fill(store, user, name)
    saved = client.post(f"/cart/{user}/items/42/save-for-later")
    assert saved.status_code == (200 if 42 in expected else 404)
    if 42 in expected:
        assert client.post(f"/cart/{user}/saved/42/move-to-cart").json["quantity"] == expected[42]["quantity"]
    for source, target in ((user, f"{user}-2"), (f"{user}-2", f"{user}-3")):
        if target == f"{user}-3":
            fill(store, target, name)
        merged = client.post(f"/cart/{target}/merge", json={"source_user_id": source})
        assert merged.status_code == 200
        assert merged.json["cart"] == client.get(f"/cart/{target}?include=saved").json
        assert client.get(f"/cart/{source}").json["items"] == []
    assert units(merged.json["cart"]["items"]) == {number: 2 * line["quantity"] for number, line in expected.items()}


@pytest.mark.parametrize("name", ALL_ROWS)
def test_cart_is_cleared_and_lines_are_removed(client, user, store, name):
    fill(store, user, name)
    for line in client.get(f"/cart/{user}").json["items"]:
        headers = {"If-Match": f'"{line["version"]}"'}
        assert client.delete(f"/cart/{user}/items/{line['product_id']}", headers=headers).status_code == 204
    fill(store, user, name)
    etag = client.get(f"/cart/{user}").headers["ETag"]
    assert client.delete(f"/cart/{user}", headers={"If-Match": etag}).status_code == 204
    assert client.get(f"/cart/{user}").json["items"] == []
    fill(store, user, name)
    assert client.delete(f"/cart/{user}").status_code == 204
    assert [row["item_id"]["S"] for row in store.rows(user)] == ["PROFILE"]


def test_rebuild_of_the_analytics_counts_what_carts_show(store):
    """An expired line counts until DynamoDB deletes it."""
    alone = make_store(store.engine, store.config.dynamodb_endpoint_url)
    client = create_app(alone.config).test_client()
    total = 0
    for number, name in enumerate(ALL_ROWS):
        user = f"user-{number}"
        fill(alone, user, name)
        if "ttl" in name:
            client.delete(f"/cart/{user}/items/42")
        total += client.get(f"/cart/{user}").json["total_price"]
    bookkeeper = Bookkeeper(alone.client, alone.config)
    assert list(Rebuild(bookkeeper).run())
    assert bookkeeper.totals().value == total


def test_guest_id_is_not_logged_whole(client, store, capsys):
    guest = client.post("/cart").json["user_id"]
    put(store, guest, 42, product_name=None)
    assert client.get(f"/cart/{guest}").json["items"][0]["product_name"] == "Product 42"
    log = capsys.readouterr().out
    assert "The row ITEM#42 of user guest-#" in log
    assert guest not in log

"""The five operations on a cart as a client sees them, on all engines."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from flask.testing import FlaskClient

from cart import create_app
from cart.dynamodb.table import CartTable
from tests.support.stores import CUP, Store


def add(client: FlaskClient, user: str, **changes):
    return client.post(f"/cart/{user}/items", json=CUP | changes)


def test_unknown_cart_is_empty(client, user):
    response = client.get(f"/cart/{user}")
    assert response.status_code == 200
    assert response.json == {"user_id": user, "items": [], "total_items": 0, "total_price": 0, "price_changes": 0}


def test_add_returns_the_line_and_its_location(client, user):
    response = add(client, user)
    assert response.status_code == 201
    assert response.headers["Location"] == f"/cart/{user}/items/42"
    assert response.mimetype == "application/json"
    line = response.json
    assert response.headers["ETag"] == f'"{line.pop("version")}"'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("added_at"))
    assert line == CUP | {"price": Decimal("19.99"), "subtotal": Decimal("39.98")}


def test_adding_the_same_product_again_adds_the_quantities(client, user):
    first = add(client, user).json
    second = add(client, user, quantity=3, price=18.5, product_name="Cup").json
    assert second["quantity"] == 5
    assert second["added_at"] == first["added_at"]
    assert (second["product_name"], second["price"]) == ("Cup", Decimal("18.5"))
    cart = client.get(f"/cart/{user}").json
    assert cart["items"] == [second]
    assert (cart["total_items"], cart["total_price"]) == (5, Decimal("92.5"))


def test_items_are_in_the_order_in_which_they_were_added(client, user):
    order = [10, 2, 33, 1, 100, 9]
    for product_id in order:
        add(client, user, product_id=product_id)
    add(client, user, product_id=2)
    client.put(f"/cart/{user}/items/10", json={"quantity": 7})
    assert [line["product_id"] for line in client.get(f"/cart/{user}").json["items"]] == order


def test_put_replaces_the_quantity(client, user):
    added = add(client, user).json
    response = client.put(f"/cart/{user}/items/42", json={"quantity": 5})
    assert response.status_code == 200
    changed = {"quantity": 5, "subtotal": Decimal("99.95"), "version": added["version"] + 1}
    assert response.json == added | changed
    assert client.get(f"/cart/{user}").json["items"] == [response.json]


@pytest.mark.parametrize("method", ["put", "delete"])
def test_put_or_delete_of_a_missing_line_creates_no_row(client: FlaskClient, user: str, store: Store, method: str):
    response = getattr(client, method)(f"/cart/{user}/items/7", json={"quantity": 1})
    assert response.status_code == {"put": 404, "delete": 204}[method]
    assert store.rows(user) == []
    assert client.get(f"/cart/{user}").json["items"] == []


def test_put_on_an_unknown_line_is_404(client, user):
    problem = client.put(f"/cart/{user}/items/7", json={"quantity": 1}).json
    assert problem["type"] == "urn:cart:problem:line-not-found"


def test_second_remove_is_204_too(client, user):
    add(client, user)
    for _ in range(2):
        response = client.delete(f"/cart/{user}/items/42")
        assert (response.status_code, response.data) == (204, b"")
        assert "Content-Type" not in response.headers
    assert client.get(f"/cart/{user}").json["items"] == []


def test_clear_changes_no_other_cart(client, user):
    add(client, user)
    add(client, user + "2")
    for _ in range(2):
        response = client.delete(f"/cart/{user}")
        assert (response.status_code, response.data) == (204, b"")
    assert client.get(f"/cart/{user}").json["items"] == []
    assert client.get(f"/cart/{user}2").json["total_items"] == 2


def test_cart_of_120_lines_is_cleared(client, user, store):
    for product_id in range(1, 121):
        store.put(user, product_id)
    assert client.get(f"/cart/{user}").json["total_items"] == 240
    assert client.delete(f"/cart/{user}").status_code == 204
    assert store.rows(user) == []


def test_cart_over_1_mb_is_read_whole_and_cleared(client, user, store):
    for product_id in range(1, 31):
        store.put(user, product_id, padding={"S": "x" * 50_000})
    cart = client.get(f"/cart/{user}").json
    assert [line["product_id"] for line in cart["items"]] == list(range(1, 31))
    assert cart["total_items"] == 60
    assert client.delete(f"/cart/{user}").status_code == 204
    assert store.rows(user) == []


def test_line_cannot_exceed_the_maximum_quantity(client, user):
    assert add(client, user, quantity=998).status_code == 201
    response = add(client, user, quantity=2)
    assert response.status_code == 409
    problem = response.json
    assert problem["type"] == "urn:cart:problem:quantity-limit"
    assert (problem["limit"], problem["quantity"], problem["errors"]) == (999, 998, {"quantity": ["At most 1 more."]})
    assert add(client, user, quantity=1).json["quantity"] == 999
    assert client.get(f"/cart/{user}").json["total_items"] == 999


def test_row_has_the_documented_attributes(client, user, store):
    line = add(client, user).json
    (row,) = store.rows(user)
    assert row.keys() == {
        *("user_id", "item_id", "product_id", "product_name", "quantity", "price"),
        *("priced_at", "added_at", "updated_at", "version", "ttl"),
    }
    assert row["item_id"] == {"S": "ITEM#42"}
    assert row["added_at"] == row["updated_at"] == {"S": line["added_at"]}
    assert row["version"] == {"N": str(line["version"])}


def test_every_write_renews_the_expiry_of_a_line(client, user, store):
    add(client, user)
    soon = 2_000_000_000
    for write in (
        lambda: client.put(f"/cart/{user}/items/42", json={"quantity": 1}),
        lambda: add(client, user),
    ):
        store.expire(user, ttl=soon)
        write()
        (row,) = store.rows(user)
        assert int(row["ttl"]["N"]) != soon
        assert int(row["version"]["N"]) > 1


def test_two_apps_have_separate_settings(store, user):
    small = create_app(replace(store.config, cart_max_quantity=3)).test_client()
    assert small.post(f"/cart/{user}/items", json=CUP | {"quantity": 4}).status_code == 422
    document = small.get("/openapi.json").json
    assert document["components"]["schemas"]["QuantityRequest"]["properties"]["quantity"]["maximum"] == 3


def test_location_has_the_path_prefix(client, user):
    response = client.post(f"/cart/{user}/items", json=CUP, environ_overrides={"SCRIPT_NAME": "/dev"})
    assert response.headers["Location"] == f"/dev/cart/{user}/items/42"


def test_health_and_readiness_are_ok(client, table: CartTable):
    assert client.get("/health").json == {"status": "ok"}
    assert client.get("/health/ready").json == {"status": "ok"}

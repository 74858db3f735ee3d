"""Money is a Decimal from the request's body to the table and back."""

import json
from decimal import Decimal

import pytest

from cart.model.lines import Line, cart_of
from tests.support.stores import CUP

MAX_PRICE = "9999999.99"


@pytest.mark.parametrize(
    ("price", "quantity", "subtotal"), [("0.1", 3, "0.3"), ("19.99", 3, "59.97"), ("1.1", 3, "3.3"), ("0.07", 100, "7")]
)
def test_subtotals_are_exact(client, user, price, quantity, subtotal):
    body = json.dumps(CUP | {"quantity": quantity, "price": "P"}).replace('"P"', price)
    line = client.post(f"/cart/{user}/items", data=body, content_type="application/json").json
    assert line["subtotal"] == Decimal(subtotal)
    assert client.get(f"/cart/{user}").json["total_price"] == Decimal(subtotal)


def test_json_amounts_are_numbers(client, user):
    for product_id, price in ((1, 0.1), (2, 0.2)):
        client.post(f"/cart/{user}/items", json=CUP | {"product_id": product_id, "price": price, "quantity": 1})
    text = client.get(f"/cart/{user}").get_data(as_text=True)
    assert '"total_price": 0.30' in text
    assert '"price": 0.10' in text
    assert json.loads(text)["total_price"] == 0.3


def test_total_of_the_largest_cart_is_exact(client, user, store):
    for product_id in range(1, 101):
        store.put(user, product_id, price={"N": MAX_PRICE}, quantity={"N": "999"})
    cart = client.get(f"/cart/{user}").json
    assert cart["total_price"] == Decimal("998999999001.00")
    assert cart["total_price"] == Decimal(MAX_PRICE) * 999 * 100


def test_total_does_not_depend_on_the_order_of_lines():
    lines = [Line(n, "x", n, Decimal(n) / 100, f"{n % 7}", "", 1) for n in range(1, 200)]
    assert cart_of("u", lines).total_price == cart_of("u", reversed(lines)).total_price == Decimal("26467.00")

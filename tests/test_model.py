"""A Hypothesis state machine drives the HTTP API beside a plain Python model of a cart."""

import time
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from conftest import Store

MAX_QUANTITY = 999
PRODUCTS = st.integers(1, 4)
QUANTITIES = st.integers(1, 5) | st.integers(1, MAX_QUANTITY)
PRICES = st.decimals("0.01", "9999999.99", places=2)
NAMES = st.sampled_from(["Espresso cup", "Tasse à café", "☕"])


class CartMachine(RuleBasedStateMachine):
    """The model is a dict of product to line: Python keeps its order of insertion, as the cart must."""

    app: Any
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.client = self.app.test_client()
        self.user = f"model-{uuid.uuid4().hex}"
        self.model: dict[int, dict[str, Any]] = {}
        self.rows = 0

    @rule(product_id=PRODUCTS, quantity=QUANTITIES, price=PRICES, name=NAMES)
    def add(self, product_id, quantity, price, name):
        body = f'{{"product_id": {product_id}, "product_name": "{name}", "quantity": {quantity}, "price": {price}}}'
        response = self.client.post(f"/cart/{self.user}/items", data=body.encode(), content_type="application/json")
        there = self.model.get(product_id, {"quantity": 0})["quantity"]
        if there + quantity > MAX_QUANTITY:
            assert (response.status_code, response.get_json(force=True)["quantity"]) == (409, there)
        else:
            assert response.status_code == 201
            line = {"product_name": name, "quantity": there + quantity, "price": price}
            self.model.setdefault(product_id, {}).update(line)
            assert response.json["quantity"] == there + quantity

    @rule(product_id=PRODUCTS, quantity=QUANTITIES)
    def set_quantity(self, product_id, quantity):
        response = self.client.put(f"/cart/{self.user}/items/{product_id}", json={"quantity": quantity})
        assert response.status_code == (200 if product_id in self.model else 404)
        if product_id in self.model:
            self.model[product_id]["quantity"] = quantity

    @rule(product_id=PRODUCTS)
    def remove(self, product_id):
        assert self.client.delete(f"/cart/{self.user}/items/{product_id}").status_code == 204
        self.model.pop(product_id, None)

    @rule()
    def clear(self):
        assert self.client.delete(f"/cart/{self.user}").status_code == 204
        self.model.clear()

    @rule(ago_seconds=st.integers(0, 40 * 86_400))
    def time_passes_beyond_expiry(self, ago_seconds):
        self.store.expire(self.user, ttl=int(time.time()) - ago_seconds)
        self.model.clear()

    @invariant()
    def both_agree(self):
        response = self.client.get(f"/cart/{self.user}")
        assert response.status_code == 200
        cart = response.json
        assert [line["product_id"] for line in cart["items"]] == list(self.model)
        for line, model in zip(cart["items"], self.model.values(), strict=True):
            assert {name: line[name] for name in model} == model
            assert line["subtotal"] == model["quantity"] * model["price"]
        assert cart["total_items"] == sum(line["quantity"] for line in self.model.values())
        assert cart["total_price"] == sum((line["quantity"] * line["price"] for line in self.model.values()), Decimal())


@pytest.mark.usefixtures("store")
def test_the_api_is_a_cart(app, store):
    machine = type("Machine", (CartMachine,), {"app": app, "store": store})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    )

"""What each operation costs: DynamoDB requests on all engines, capacity units only on DynamoDB Local."""

import random
from collections import Counter
from decimal import Decimal

import pytest

from cart.http.extensions import get_bus
from cart.prices import jobs
from tests.support.capacity import billed
from tests.support.stores import CUP, Store


@pytest.fixture
def charge(client, user, store: Store, table):
    """Return ``charge(method, path, body, requests, units)``, which makes a request and asserts its exact cost."""

    def call(method, path, body, operations, units):
        with billed(table) as bill:
            response = client.open(f"/cart/{user}{path}", method=method, json=body)
        assert response.status_code < 500
        assert bill.operations == operations
        if store.engine == "dynamodb-local":
            assert bill.units == units
        return response

    return call


def test_cost_of_add(charge):
    assert charge("POST", "/items", CUP, ["UpdateItem", "Query"], 3).status_code == 201  # line, index, count
    assert charge("POST", "/items", CUP, ["UpdateItem"], 1).status_code == 201


def test_cost_of_add_to_an_expired_line(charge, client, user, store):
    store.put(user, 42, ttl={"N": "1"})
    # a failed condition is charged too; its answer has the row, so there is no read
    charge("POST", "/items", CUP, ["UpdateItem", "UpdateItem", "Query"], 2)


def test_cost_of_set_quantity(charge, store, user):
    store.put(user, 42)
    assert charge("PUT", "/items/42", {"quantity": 9}, ["UpdateItem"], 1).status_code == 200
    assert charge("PUT", "/items/7", {"quantity": 9}, ["UpdateItem"], 0).status_code == 404


def test_cost_of_remove(charge, store, user):
    store.put(user, 42)
    charge("DELETE", "/items/42", None, ["DeleteItem"], 2)
    charge("DELETE", "/items/42", None, ["DeleteItem"], 1)


# DynamoDB Local counts 0 for an empty answer, AWS counts the minimum of a Query
@pytest.mark.parametrize(("lines", "units"), [(0, 0), (1, 1), (10, 1), (100, 5)])
def test_cost_of_read(charge, store, user, lines, units):
    for product_id in range(1, lines + 1):
        store.put(user, product_id)
    charge("GET", "", None, ["Query"], units)


@pytest.mark.parametrize(("lines", "read_units"), [(1, 1), (25, 2), (26, 2), (100, 5)])
def test_cost_of_clear(charge, store, user, lines, read_units):
    for product_id in range(1, lines + 1):
        store.put(user, product_id)
    batches = ["BatchWriteItem"] * ((lines + 1 + 24) // 25)  # one more row, which records the clear in the stream
    charge("DELETE", "", None, ["Query", *batches], read_units + 2 * lines + 1)
    assert len(store.rows(f"CLEARED#{user}")) == 1


def test_cost_of_clearing_an_empty_cart(charge, store, user):
    charge("DELETE", "", None, ["Query"], 0)
    assert store.rows(f"CLEARED#{user}") == []


def test_cart_of_two_pages_costs_two_queries(charge, store, user):
    for product_id in range(1, 31):
        store.put(user, product_id, padding={"S": "x" * 50_000})
    with_padding = charge("GET", "", None, ["Query", "Query"], 369)
    assert with_padding.json["total_items"] == 60


def test_refused_requests_cost_nothing(charge):
    for path, body in (("/items", CUP | {"quantity": 0}), ("/items", None)):
        charge("POST", path, body, [], 0)


def test_readiness_costs_one_query_and_health_none(client, table):
    with billed(table) as bill:
        client.get("/health/ready")
        client.get("/health")
    assert bill.operations == ["Query"]


def test_cost_of_a_price_change(app, store, table):
    """Each line takes one request and one unit; each page takes two more, and the job four."""
    product = random.randrange(1, 2**50)
    for number in range(5):
        store.put(f"{product}-{number}", product)
    with billed(table) as bill, app.app_context():
        job = jobs.start(product, Decimal(1), "2026-01-01T00:00:00.000000Z")
        jobs.run(table, get_bus(), job.job_id)
    assert Counter(bill.operations) == {"PutItem": 2, "Query": 1, "UpdateItem": 1 + 5 + 1, "DeleteItem": 1}
    if store.engine == "dynamodb-local":
        assert bill.units_of == {"PutItem": 2, "Query": 0.5, "UpdateItem": 7, "DeleteItem": 1}


def test_cost_of_accepting_price_changes(charge, store, user):
    change = {"current_price": {"N": "1"}, "price_changed_at": {"S": "2026"}, "price_changed_from": {"N": "19.99"}}
    for product_id in range(1, 4):
        store.put(user, product_id, **(change if product_id > 1 else {}))
    path = "/price-changes/accept"
    charge("POST", path, {}, ["Query", "TransactWriteItems"], 1 + 2 * 2)
    charge("POST", path, {}, ["Query"], 1)


def test_cost_of_listing_the_carts_of_a_product(client, store, table):
    product = random.randrange(1, 2**50)
    for number in range(5):
        store.put(f"{product}-{number}", product)
    with billed(table) as bill:
        assert len(client.get(f"/products/{product}/carts").json["carts"]) == 5
    assert bill.operations == ["Query", "BatchGetItem"]
    if store.engine == "dynamodb-local":
        assert bill.units == 0.5 + 5 * 0.5

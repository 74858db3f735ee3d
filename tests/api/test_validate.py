"""A cart is validated against the catalogue, and fixed: each line once, whatever happens at the same time."""

import random
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from cart import create_app
from tests.support.capacity import billed
from tests.support.concurrency import at_once
from tests.support.crashes import crash_points, put, units
from tests.support.fault_proxy import Fault, fault_proxy
from tests.support.problems import KEY, problem
from tests.support.products_service import answers_with, on_details, on_inventory, resets_connection
from tests.support.stores import CUP


@pytest.fixture
def app(store, products):
    return create_app(replace(store.config, catalog_url=products.url, catalog_cache_seconds=0))


def validate(client, user, fix=False, headers=None):
    return client.post(f"/cart/{user}/validate{'?fix=true' if fix else ''}", headers=headers)


def lists(client, user) -> dict[str, dict[int, tuple[int, Decimal]]]:
    """Return units and price of each line in the cart, and of each saved line."""
    cart = client.get(f"/cart/{user}?include=saved").json
    return {
        place: {line["product_id"]: (line["quantity"], line["price"]) for line in cart[name]}
        for place, name in (("cart", "items"), ("saved", "saved"))
    }


CHANGED = {"type": "price_changed", "old": Decimal("19.99"), "new": Decimal("21.50")}
AS_READ = {"product_name": "Espresso cup", "quantity": 2, "price": Decimal("19.99")}


@pytest.fixture
def expected_problems(store, user, products):
    """A cart with one line of 2 at 19.99 for each kind of problem; return the problems by product."""
    for product_id in range(1, 8):
        store.put(user, product_id, added_at={"S": f"2026-01-01T00:00:0{product_id}.000000Z"})
    store.put(user, 9, ttl={"N": "1"})
    products.sell(1, "19.99", 2)
    products.sell(2, "21.50", 2)
    products.sell(3, "19.990", 1)
    products.sell(4, "19.99", 0)
    products.sell(5, "21.50", 1)
    products.sell(6, "21.50", None)
    return {
        1: [],
        2: [CHANGED],
        3: [{"type": "insufficient_stock", "available": 1}],
        4: [{"type": "out_of_stock"}],
        5: [CHANGED, {"type": "insufficient_stock", "available": 1}],
        6: [CHANGED, {"type": "out_of_stock"}],
        7: [{"type": "discontinued"}],
    }


def test_validate_reports_the_problems_of_each_line_and_writes_nothing(client, user, store, table, expected_problems):
    before = store.rows(user)
    with billed(table) as bill:
        answer = validate(client, user, headers=KEY)
    assert answer.status_code == 200
    lines = [
        {"product_id": product_id, **AS_READ, "problems": problems}
        for product_id, problems in expected_problems.items()
    ]
    assert answer.json == {"valid": False, "lines": lines}
    assert bill.operations == ["Query"]
    assert store.rows(user) == before


def test_cart_without_problems_is_valid(client, user, store, products):
    assert validate(client, user).json == {"valid": True, "lines": []}
    assert products.requests == []
    products.sell(42)
    store.put(user, 42)
    assert validate(client, user).json["valid"] is True
    assert validate(client, user, fix=True).json["valid"] is True


def test_fix_corrects_each_problem(client, user, store, table, expected_problems):
    before = {line["product_id"]: line for line in client.get(f"/cart/{user}").json["items"]}
    with billed(table) as bill:
        receipt = validate(client, user, fix=True).json
    assert bill.operations == ["Query", "TransactWriteItems"]
    assert receipt["valid"] is True
    fixes = {line["product_id"]: line.get("fix") for line in receipt["lines"]}
    assert {line["product_id"]: line["problems"] for line in receipt["lines"]} == expected_problems
    old, new = Decimal("19.99"), Decimal("21.50")
    assert fixes == {
        1: None,
        2: {"action": "changed", "quantity": 2, "price": new, "cut": 0},
        3: {"action": "changed", "quantity": 1, "price": old, "cut": 1},
        4: {"action": "saved_for_later", "quantity": 2, "price": old, "cut": 0},
        5: {"action": "changed", "quantity": 1, "price": new, "cut": 1},
        6: {"action": "saved_for_later", "quantity": 2, "price": new, "cut": 0},
        7: {"action": "saved_for_later", "quantity": 2, "price": old, "cut": 0},
    }
    assert lists(client, user) == {
        "cart": {1: (2, old), 2: (2, new), 3: (1, old), 5: (1, new)},
        "saved": {4: (2, old), 6: (2, new), 7: (2, old)},
    }
    after = client.get(f"/cart/{user}?include=saved").json
    assert receipt["cart"] == after
    for line in after["items"]:
        was = before[line["product_id"]]
        assert line["added_at"] == was["added_at"]
        assert (line["version"] == was["version"]) == (line["product_id"] == 1)
        assert line["product_name"] == ("Espresso cup" if line["product_id"] == 1 else "Moka pot")
    (row,) = [row for row in store.rows(user) if row["item_id"]["S"] == "ITEM#2"]
    assert row["priced_at"] == row["updated_at"] != row["added_at"]


def test_second_fix_changes_nothing(client, user, store, table, expected_problems):
    first = validate(client, user, fix=True).json
    before = store.rows(user)
    with billed(table) as bill:
        again = validate(client, user, fix=True).json
    assert bill.operations == ["Query"]
    assert store.rows(user) == before
    assert again["valid"] is True
    assert [line["problems"] for line in again["lines"]] == [[]] * 4
    assert again["cart"] == first["cart"]
    assert validate(client, user).json["valid"] is True


def test_fixed_line_joins_a_saved_one(client, user, store, products):
    """As in save-for-later: units are added, units beyond the limit are cut, the newer price is kept."""
    products.sell(1, "5.00", stock=0)
    for product_id, saved_quantity in ((1, "998"), (2, "3")):
        store.put(user, product_id)
        newer = {"S": "2026-06-01T00:00:00.000000Z"}
        saved = {"item_id": {"S": f"SAVED#{product_id}"}, "quantity": {"N": saved_quantity}, "price": {"N": "7.77"}}
        store.put(user, product_id, priced_at=newer, **saved)
    fixes = [line["fix"] for line in validate(client, user, fix=True).json["lines"]]
    assert fixes == [
        {"action": "saved_for_later", "quantity": 999, "price": Decimal("5.00"), "cut": 1},
        {"action": "saved_for_later", "quantity": 5, "price": Decimal("7.77"), "cut": 0},
    ]
    assert lists(client, user) == {"cart": {}, "saved": {1: (999, Decimal(5)), 2: (5, Decimal("7.77"))}}


def test_line_stays_if_the_saved_list_is_full(store, user, products):
    client = create_app(replace(store.config, catalog_url=products.url, cart_max_lines=2)).test_client()
    for product_id in (1, 2, 3):
        store.put(user, product_id, added_at={"S": f"2026-01-01T00:00:0{product_id}.000000Z"})
    for product_id in (3, 9):
        store.put(user, product_id, item_id={"S": f"SAVED#{product_id}"})
    receipt = validate(client, user, fix=True).json
    assert receipt["valid"] is False
    actions = {line["product_id"]: line["fix"]["action"] for line in receipt["lines"]}
    assert actions == {1: "left", 2: "left", 3: "saved_for_later"}  # the last joins an existing line
    assert lists(client, user)["cart"].keys() == {1, 2}
    assert receipt["cart"] == client.get(f"/cart/{user}?include=saved").json
    client.delete(f"/cart/{user}/saved/9")
    receipt = validate(client, user, fix=True).json
    assert {line["product_id"]: line["fix"]["action"] for line in receipt["lines"]} == {
        1: "saved_for_later",
        2: "left",
    }


def test_keyed_repeat_returns_the_same_receipt(client, user, store, products, expected_problems):
    first = validate(client, user, fix=True, headers=KEY)
    products.sell(1, "99.00", 1)
    for fault in (None, answers_with("", 500)):
        products.fault = fault
        again = validate(client, user, fix=True, headers=KEY)
        assert (again.status_code, again.data) == (200, first.data)
        assert again.headers["Idempotency-Replayed"] == "true"
    assert lists(client, user)["cart"][1] == (2, Decimal("19.99"))
    products.fault = None
    assert validate(client, user, fix=True, headers={"Idempotency-Key": "other"}).json["lines"][0]["fix"]["cut"] == 1


@pytest.mark.parametrize("fix", [False, True])
def test_failing_catalogue_is_503_and_nothing_is_written(client, user, store, products, fix, expected_problems):
    before = store.rows(user)
    products.fault = answers_with("", 500)
    assert problem(validate(client, user, fix, KEY)) == (503, "catalog-unavailable")
    assert store.rows(user) == before
    assert store.rows(f"IDEMPOTENCY#{user}") == []


def about(product_id: int, fault):
    return lambda handler: handler.path.startswith(f"/products/{product_id}") and fault(handler)


def test_product_of_many_that_does_not_answer_is_503(client, user, expected_problems, products):
    products.fault = about(5, resets_connection)
    assert problem(validate(client, user)) == (503, "catalog-unavailable")


ODD_ANSWERS = {
    "no JSON": answers_with("<html>"),
    "no price": on_details(answers_with('{"product_id": 3, "name": "Pot"}')),
    "another product": on_details(answers_with('{"product_id": 4, "name": "Pot", "price": 1}')),
    "a redirect": answers_with("", 301, Location="/elsewhere"),
    "too long": answers_with(" " * 70_000),
    "odd stock": on_inventory(answers_with('{"stock_quantity": "some"}')),
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_unreadable_product_is_a_problem_of_its_line_alone(
    client, user, store, products, expected_problems, odd, capsys
):
    before = {row["item_id"]["S"]: row for row in store.rows(user)}
    products.fault = about(3, ODD_ANSWERS[odd])
    expected = expected_problems | {3: [{"type": "unreadable"}]}
    answer = validate(client, user)
    assert answer.status_code == 200
    assert answer.json["valid"] is False
    assert {line["product_id"]: line["problems"] for line in answer.json["lines"]} == expected
    assert capsys.readouterr().out.count("The catalogue's data of product 3 cannot be understood") == 1
    receipt = validate(client, user, fix=True, headers=KEY).json
    assert receipt["valid"] is False
    assert {line["product_id"]: line["problems"] for line in receipt["lines"]} == expected
    fixes = {line["product_id"]: line["fix"] for line in receipt["lines"] if "fix" in line}
    assert fixes[3] == {"action": "left", "quantity": 2, "price": Decimal("19.99"), "cut": 0}
    assert {product_id: fix["action"] for product_id, fix in fixes.items()} == {
        **dict.fromkeys((2, 5), "changed"),
        3: "left",
        **dict.fromkeys((4, 6, 7), "saved_for_later"),
    }
    assert {row["item_id"]["S"]: row for row in store.rows(user)}["ITEM#3"] == before["ITEM#3"]
    assert receipt["cart"] == client.get(f"/cart/{user}?include=saved").json
    products.fault = None
    assert validate(client, user, fix=True, headers=KEY).json == receipt
    assert actions_of(validate(client, user, fix=True).json) == {3: "changed"}  # the answer was not cached


@pytest.mark.parametrize("fix", [False, True])
def test_validate_without_a_catalogue_is_refused(moto_store, user, fix):
    client = create_app(moto_store.config).test_client()
    moto_store.put(user, 42)
    assert problem(validate(client, user, fix)) == (409, "no-catalog")


@pytest.mark.parametrize("fix", ["", "1", "True", "yes"])
def test_other_values_of_fix_are_refused(client, user, fix):
    answer = client.post(f"/cart/{user}/validate?fix={fix}")
    assert problem(answer) == (422, "invalid-input")
    assert "fix" in answer.get_json(force=True)["errors"]
    assert client.post(f"/cart/{user}/validate?fix=false").status_code == 200


def test_add_during_a_fix_is_included(client, user, store, products):
    """An add comes after the cart was read and before it is fixed: its units are cut too, and none is lost."""
    products.sell(42, stock=5)
    store.put(user, 42, quantity={"N": "7"})
    writes = [lambda: store.put(user, 42, quantity={"N": "9"}, version={"N": "2"})]

    def write_once(handler):
        if writes:
            writes.pop()()
        return False

    products.fault = write_once
    receipt = validate(client, user, fix=True, headers=KEY).json
    (line,) = receipt["lines"]
    assert (line["quantity"], line["fix"]["cut"]) == (9, 4)
    assert lists(client, user)["cart"] == {42: (5, Decimal("19.99"))}


def test_line_removed_during_a_fix_stays_removed(client, user, store, products):
    products.sell(42, stock=0)
    store.put(user, 42)

    def remove(handler):
        client.delete(f"/cart/{user}")
        return False

    products.fault = remove
    receipt = validate(client, user, fix=True).json
    assert (receipt["valid"], receipt["lines"]) == (True, [])
    assert receipt["cart"] == client.get(f"/cart/{user}?include=saved").json
    assert store.rows(user) == []


def test_concurrent_fixes_and_adds_lose_no_unit(real_store, user, products):
    """A service with older stock data adds while carts are fixed: no unit is lost or made, and the result is right."""
    products.sell(1, stock=0)
    products.sell(2, "21.50", stock=99)
    without = create_app(real_store.config)
    fixing = create_app(replace(real_store.config, catalog_url=products.url, catalog_cache_seconds=0))
    added = {1: 0, 2: 0}
    lock = threading.Lock()

    def shop(number: int) -> None:
        for step in range(6):
            if number < 4:
                product_id = 1 + (number + step) % 2
                status = without.test_client().post(
                    f"/cart/{user}/items", json=CUP | {"product_id": product_id, "quantity": 1}
                )
                with lock:
                    added[product_id] += status.status_code == 201
            else:
                assert validate(fixing.test_client(), user, fix=True).status_code in (200, 429)

    at_once(8, shop)
    assert all(added.values())
    client = fixing.test_client()
    assert validate(client, user, fix=True).json["valid"] is True
    assert lists(client, user) == {
        "cart": {2: (added[2], Decimal("21.50"))},
        "saved": {1: (added[1], Decimal("19.99"))},
    }


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
def test_fix_of_100_lines_takes_several_transactions(real_store, user, products, headers):
    """Each of 100 lines is moved to the saved list and takes two rows: more than one transaction."""
    app = create_app(replace(real_store.config, catalog_url=products.url))
    for product_id in range(1, 101):
        real_store.put(user, product_id)
    client = app.test_client()
    with billed(app.extensions["cart_table"]) as bill:
        receipt = validate(client, user, fix=True, headers=headers).json
    assert bill.operations == ["Query"] + ["TransactWriteItems"] * (3 if headers else 2)
    assert len({line["product_id"] for line in receipt["lines"]}) == len(receipt["lines"]) == 100
    assert {line["fix"]["action"] for line in receipt["lines"]} == {"saved_for_later"}
    assert receipt["cart"] == client.get(f"/cart/{user}?include=saved").json
    assert lists(client, user)["cart"] == {}
    if headers:
        assert validate(client, user, fix=True, headers=headers).json == receipt


@pytest.mark.parametrize(("action", "stock", "units"), [("changed", 1, 4), ("saved_for_later", 0, 8)])
def test_cost_of_a_fix(real_store, user, products, action, stock, units):
    """4 units for each line, and the index units of a moved line: 2 for the new row, and 2 for the deleted one."""
    app = create_app(replace(real_store.config, catalog_url=products.url))
    products.sell(42, stock=stock)
    real_store.put(user, 42)
    with billed(app.extensions["cart_table"]) as bill:
        assert actions_of(validate(app.test_client(), user, fix=True).json) == {42: action}
    assert bill.units_of["Query"] == 1
    if real_store.engine == "dynamodb-local":  # ministack charges the index's part once
        assert bill.units_of["TransactWriteItems"] == units
    assert bill.units_of.keys() == {"Query", "TransactWriteItems"}


# --- crashes and failures in the middle

BEFORE = {("cart", 1): 5, ("cart", 2): 5, ("cart", 3): 5, ("cart", 4): 5, ("cart", 5): 2, ("saved", 2): 3}
RIGHT = {("saved", 1): 5, ("saved", 2): 8, ("cart", 3): 4, ("cart", 4): 5, ("cart", 5): 2}
ACTIONS = {1: "saved_for_later", 2: "saved_for_later", 3: "changed", 4: "changed"}


def sell_too_little(products) -> None:
    products.sell(2, "21.50", stock=0)  # 1 is discontinued
    products.sell(3, "21.50", stock=4)
    products.sell(4, "21.50")
    products.sell(5)


def assert_fixed(client, store, user, receipt) -> None:
    """Assert that each line was fixed once, by any number of runs, and has the right state."""
    assert receipt["valid"] is True
    assert units(store, user) == RIGHT
    assert receipt["cart"] == client.get(f"/cart/{user}?include=saved").json
    prices = {line["product_id"]: line["price"] for line in receipt["cart"]["items"]}
    assert prices == {3: Decimal("21.50"), 4: Decimal("21.50"), 5: Decimal("19.99")}


def actions_of(receipt) -> dict[int, str]:
    assert len({line["product_id"] for line in receipt["lines"]}) == len(receipt["lines"])
    return {line["product_id"]: line["fix"]["action"] for line in receipt["lines"] if "fix" in line}


@pytest.mark.parametrize("real_store", ["dynamodb-local"], indirect=True)  # it takes seconds
@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
def test_crashed_fix_can_be_repeated(real_store, user, products, headers, monkeypatch):
    """It crashes before and after each request; there are two or more transactions.

    With a key, the receipt is complete.
    """
    monkeypatch.setattr("cart.carts.receipts.TRANSACTION_ROWS", 4)
    app = create_app(replace(real_store.config, catalog_url=products.url))
    client, store, table = app.test_client(), real_store, app.extensions["cart_table"]
    sell_too_little(products)

    def fix(cart: str):
        return validate(client, cart, fix=True, headers=headers)

    points = []
    for cart, point in crash_points(table, user, fix, lambda cart: put(store, cart, BEFORE)):
        points.append(point)
        unfixed = {product_id for product_id in ACTIONS if store_has_as_before(store, cart, product_id)}
        assert sum(units(store, cart).values()) in (25, 24), point  # one unit is cut, no other is lost
        again = fix(cart)
        assert again.status_code == 200, point
        assert_fixed(client, store, cart, again.json)
        assert actions_of(again.json) == {cart: ACTIONS[cart] for cart in (ACTIONS if headers else unfixed)}, point
        third = fix(cart)
        assert (third.data == again.data) if headers else (actions_of(third.json) == {}), point
        assert units(store, cart) == RIGHT, point
    assert len(points) == 2 * (1 + (4 if headers else 2))


def store_has_as_before(store, user: str, product_id: int) -> bool:
    rows = {row["item_id"]["S"]: row for row in store.rows(user)}
    row = rows.get(f"ITEM#{product_id}")
    return row is not None and row["version"]["N"] == "1"


@pytest.mark.parametrize("real_store", ["dynamodb-local"], indirect=True)  # it takes seconds
def test_fixes_through_a_failing_network_fix_each_line_once(real_store, user, products, monkeypatch):
    """With a key, a fix is repeated until it is answered: each line is fixed once, and the receipt lists all."""
    monkeypatch.setattr("cart.carts.receipts.TRANSACTION_ROWS", 4)
    monkeypatch.setattr("cart.dynamodb.retries.RETRY_FOR_SECONDS", 0)  # otherwise few faults would happen
    sell_too_little(products)
    seed = 20240607
    rng = random.Random(seed)
    with fault_proxy(real_store.config.dynamodb_endpoint_url, seed) as proxy:
        proxy.kinds = [fault for fault in Fault if fault not in (Fault.LATE, Fault.SLOW_ANSWER)]
        settings = {"dynamodb_endpoint_url": proxy.url, "catalog_url": products.url}
        client = create_app(replace(real_store.config, **settings)).test_client()
        listed_products = set()
        for number in range(15):
            fault, key = f"{user}-{number}", {"Idempotency-Key": f"{rng.getrandbits(64):x}"}
            put(real_store, fault, BEFORE)
            proxy.rate = 0.35
            answer = validate(client, fault, fix=True, headers=key)
            while answer.status_code != 200:
                assert answer.status_code in (429, 503)
                listed_products.add(answer.get_json(force=True)["type"].rpartition(":")[2])
                answer = validate(client, fault, fix=True, headers=key)
            proxy.rate = 0
            assert_fixed(client, real_store, fault, answer.json)
            assert actions_of(answer.json) == ACTIONS
    assert "outcome-unknown" in listed_products
    assert all(proxy.counts[kind] for kind in proxy.kinds)

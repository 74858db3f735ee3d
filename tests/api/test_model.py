"""A Hypothesis state machine compares the API with a plain Python model of two carts and their saved lists."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cart import create_app
from cart.commands import engines
from cart.http.extensions import get_bus, get_table
from cart.prices import jobs
from tests.support.products_service import ProductsService
from tests.support.stores import ENGINES, Store, make_store

MAX_QUANTITY = 20  # small, so that quantities are cut
MAX_LINES = 3  # fewer than products, so that lines cannot be moved
PRODUCTS = st.integers(1, 4)
QUANTITIES = st.integers(1, MAX_QUANTITY)
PRICES = st.integers(1, 9).map(Decimal) | st.decimals("0.01", "9999999.99", places=2)
KEYED = st.booleans()
NAME_SOLD = "Moka pot"
NAMES = st.sampled_from(["Espresso cup", "Tasse à café", "☕"])
EXAMPLES = {"moto": 10, "ministack": 10, "dynamodb-local": 50}  # moto copies its tables for each transaction
USER_NUMBERS = st.integers(0, 1)  # the shopper or the guest
PLACES = st.sampled_from(["cart", "saved"])
SOLD = st.dictionaries(PRODUCTS, st.tuples(PRICES, st.integers(0, MAX_QUANTITY)))  # price and stock
ITEMS = st.tuples(USER_NUMBERS, PLACES, PRODUCTS, QUANTITIES, PRICES, NAMES, KEYED)
PATHS = {"cart": "items", "saved": "saved"}
UNITS: dict[str, Callable[[int, int], int]] = {
    "sum": lambda there, coming: there + coming,
    "max": lambda there, coming: there if there > coming else coming,
    "keep": lambda there, coming: there,
    "replace": lambda there, coming: coming,
}

# A line is a dict of what the API shows of it, and of two moments, which are numbers of steps: when it was "added",
# and when its name and price were given ("priced"); and the newest "change" of its price: when, to what, and from what.
ModelLine = dict[str, Any]
ModelLists = dict[str, dict[int, ModelLine]]


def price_in_receipt(line: ModelLine | None) -> dict[str, Any] | None:
    return line and {"quantity": line["quantity"], "price": line["price"]}


def join(source_line: ModelLine, target_line: ModelLine | None, strategy: str) -> tuple[ModelLine, int]:
    """Return the line that two lines become, and the units beyond the limit."""
    if target_line is None:
        quantity_before_cut, newer, older, added = source_line["quantity"], source_line, None, source_line["added"]
    else:
        quantity_before_cut = UNITS[strategy](target_line["quantity"], source_line["quantity"])
        newer, older = (
            (source_line, target_line) if source_line["priced"] > target_line["priced"] else (target_line, source_line)
        )
        added = target_line["added"]
    quantity = min(quantity_before_cut, MAX_QUANTITY)
    changes = [line["change"] for line in (newer, older) if line and line["change"]]
    change = max(changes, key=lambda change: change[:2], default=None)  # of equal changes the first
    return newer | {"quantity": quantity, "added": added, "change": change}, quantity_before_cut - quantity


def current_price_of(line: ModelLine) -> Decimal | None:
    """Return the current price if the API shows it, or None."""
    if not line["change"]:
        return None
    _, current, line_price = line["change"]
    return current if line_price == line["price"] and current != line["price"] else None


def transfer(
    source: ModelLists, target: ModelLists, places: list[str], strategy: str, keep: bool
) -> list[dict[str, Any]]:
    """Move or copy all lines in the model; return the expected lines of the receipt."""
    receipt = []
    for place in places:
        for product_id, source_line in sorted(source[place].items(), key=lambda entry: (entry[1]["added"], entry[0])):
            target_line = target[place].get(product_id)
            entry = {
                "product_id": product_id,
                "product_name": source_line["product_name"],
                "place": place,
                "rule": strategy if target_line else "copy" if keep else "move",
                "source": price_in_receipt(source_line),
                "target": price_in_receipt(target_line),
                "result": None,
                "price_from": None,
                "cut": 0,
                "reason": "lines-limit",
            }
            if target_line or len(target[place]) < MAX_LINES:
                line, cut = join(source_line, target_line, strategy)
                from_source = target_line is None or source_line["priced"] > target_line["priced"]
                entry |= {
                    "product_name": line["product_name"],
                    "result": price_in_receipt(line),
                    "price_from": "source" if from_source else "target",
                    "cut": cut,
                    "reason": "quantity-limit" if cut else None,
                }
                target[place][product_id] = line
                if not keep:
                    del source[place][product_id]
            receipt.append(entry)
    return receipt


def check(line: ModelLine, sold: tuple[Decimal, int] | None) -> list[dict[str, Any]]:
    """Return the problems of a line whose product is sold at a price, with a stock."""
    if sold is None:
        return [{"type": "discontinued"}]
    price, stock = sold
    problems: list[dict[str, Any]] = []
    if price != line["price"]:
        problems.append({"type": "price_changed", "old": line["price"], "new": price})
    if stock == 0:
        problems.append({"type": "out_of_stock"})
    elif stock < line["quantity"]:
        problems.append({"type": "insufficient_stock", "available": stock})
    return problems


def fix_cart(model: ModelLists, sold: dict[int, tuple[Decimal, int]], now: int) -> dict[int, tuple[str, int]]:
    """Fix a cart in the model; return the action for each line, and the units that were cut."""
    actions = {}
    for product_id, line in sorted(model["cart"].items(), key=lambda entry: (entry[1]["added"], entry[0])):
        if not check(line, sold.get(product_id)):
            continue
        price, stock = sold.get(product_id, (None, 0))
        corrected = line if price is None else line | {"price": price, "product_name": NAME_SOLD, "priced": now}
        saved_line = model["saved"].get(product_id)
        if stock:
            quantity = min(line["quantity"], stock)
            model["cart"][product_id] = corrected | {"quantity": quantity}
            actions[product_id] = ("changed", line["quantity"] - quantity)
        elif saved_line or len(model["saved"]) < MAX_LINES:
            model["saved"][product_id], cut = join(corrected, saved_line, "sum")
            del model["cart"][product_id]
            actions[product_id] = ("saved_for_later", cut)
        else:
            actions[product_id] = ("left", 0)
    return actions


class CartMachine(RuleBasedStateMachine):
    """Two users with a cart and a saved list each, and a share link to the cart of each.

    :cvar app: without a catalogue, so that clients send prices
    :cvar checking: an app with a catalogue, to validate the carts
    """

    app: Any
    checking: Any
    store: Store
    products: ProductsService

    def __init__(self) -> None:
        super().__init__()
        self.client = self.app.test_client()
        self.users = [f"model-{uuid.uuid4().hex}" for _ in range(2)]
        self.models: list[ModelLists] = [{"cart": {}, "saved": {}} for _ in self.users]
        self.tokens = [self.ask("POST", f"/cart/{user}/shares", {}).json["token"] for user in self.users]
        self.steps = 0

    def ask(self, method: str, path: str, body: Any = None, keyed: bool = False) -> Any:
        headers = {"Idempotency-Key": uuid.uuid4().hex} if keyed else {}
        data = None if body is None else self.app.json.dumps(body)
        response = self.client.open(path, method=method, data=data, headers=headers, content_type="application/json")
        if keyed and response.status_code < 400:  # the invariant fails if the repeat changes anything
            again = self.client.open(path, method=method, data=data, headers=headers, content_type="application/json")
            assert (again.status_code, again.data) == (response.status_code, response.data)
        return response

    @initialize(items=st.lists(ITEMS, max_size=12))
    def start(self, items):
        for item in items:
            self.add(*item)

    @rule(items=st.lists(ITEMS, min_size=1, max_size=4))
    def add_some(self, items):
        for item in items:
            self.add(*item)

    def add(self, who: int, place: str, product_id: int, quantity: int, price: Decimal, name: str, keyed: bool) -> None:
        body = {"product_id": product_id, "product_name": name, "quantity": quantity, "price": price}
        response = self.ask("POST", f"/cart/{self.users[who]}/{PATHS[place]}", body, keyed)
        model, existing = self.models[who][place], self.models[who][place].get(product_id)
        self.steps += 1
        if existing and existing["quantity"] + quantity > MAX_QUANTITY:
            problem = response.get_json(force=True)
            assert (response.status_code, problem["quantity"]) == (409, existing["quantity"])
            assert problem["type"] == "urn:cart:problem:quantity-limit"
        elif not existing and len(model) == MAX_LINES:
            self.assert_full(response)
        else:
            assert response.status_code == 201
            total = quantity + (existing["quantity"] if existing else 0)
            added = existing["added"] if existing else self.steps
            change = existing["change"] if existing else None
            model[product_id] = body | {"quantity": total, "added": added, "priced": self.steps, "change": change}
            assert response.json["quantity"] == total

    def assert_full(self, response: Any) -> None:
        problem = response.get_json(force=True)
        assert (response.status_code, problem["type"]) == (409, "urn:cart:problem:lines-limit")
        assert problem["limit"] == MAX_LINES

    @rule(who=USER_NUMBERS, product_id=PRODUCTS, quantity=QUANTITIES)
    def set_quantity(self, who, product_id, quantity):
        response = self.ask("PUT", f"/cart/{self.users[who]}/items/{product_id}", {"quantity": quantity})
        existing = self.models[who]["cart"].get(product_id)
        assert response.status_code == (200 if existing else 404)
        if existing:
            existing["quantity"] = quantity

    @rule(who=USER_NUMBERS, place=PLACES, product_id=PRODUCTS)
    def remove(self, who, place, product_id):
        assert self.ask("DELETE", f"/cart/{self.users[who]}/{PATHS[place]}/{product_id}").status_code == 204
        self.models[who][place].pop(product_id, None)

    @rule(who=USER_NUMBERS)
    def clear(self, who):
        assert self.ask("DELETE", f"/cart/{self.users[who]}").status_code == 204
        self.models[who]["cart"].clear()

    @rule(who=USER_NUMBERS, product_id=PRODUCTS, keyed=KEYED)
    def save_for_later(self, who, product_id, keyed):
        self.move(who, product_id, "cart", "saved", f"items/{product_id}/save-for-later", keyed)

    @rule(who=USER_NUMBERS, product_id=PRODUCTS, keyed=KEYED)
    def move_to_cart(self, who, product_id, keyed):
        self.move(who, product_id, "saved", "cart", f"saved/{product_id}/move-to-cart", keyed)

    def move(self, who: int, product_id: int, source: str, target: str, path: str, keyed: bool) -> None:
        response = self.ask("POST", f"/cart/{self.users[who]}/{path}", keyed=keyed)
        model = self.models[who]
        source_line, target_line = model[source].get(product_id), model[target].get(product_id)
        if source_line is None:
            assert response.status_code == 404
        elif target_line is None and len(model[target]) == MAX_LINES:
            self.assert_full(response)
        else:
            assert response.status_code == 200
            model[target][product_id], cut = join(source_line, target_line, "sum")
            del model[source][product_id]
            assert response.json["cut"] == cut
            self.assert_shows([response.json], {product_id: model[target][product_id]})

    @rule(into=USER_NUMBERS, strategy=st.sampled_from(list(UNITS)), dry_run=st.booleans(), keyed=KEYED)
    def merge(self, into, strategy, dry_run, keyed):
        body = {"source_user_id": self.users[1 - into], "strategy": strategy, "dry_run": dry_run}
        self.transfer("merge", body, into, ["cart", "saved"], keyed, keep=False)

    @rule(into=USER_NUMBERS, strategy=st.sampled_from(list(UNITS)), dry_run=st.booleans(), keyed=KEYED)
    def copy(self, into, strategy, dry_run, keyed):
        body = {"share_token": self.tokens[1 - into], "strategy": strategy, "dry_run": dry_run}
        self.transfer("copy", body, into, ["cart"], keyed, keep=True)

    def transfer(self, how: str, body: dict[str, Any], into: int, places: list[str], keyed: bool, keep: bool) -> None:
        response = self.ask("POST", f"/cart/{self.users[into]}/{how}", body, keyed and not body["dry_run"])
        assert response.status_code == 200
        models = deepcopy(self.models) if body["dry_run"] else self.models
        expected = transfer(models[1 - into], models[into], places, body["strategy"], keep)
        receipt = response.json
        assert (receipt["strategy"], receipt["dry_run"]) == (body["strategy"], body["dry_run"])

        def by_line(entry: dict[str, Any]) -> tuple[str, int]:
            return entry["place"], entry["product_id"]

        assert sorted(receipt["lines"], key=by_line) == sorted(expected, key=by_line)
        self.assert_agrees(receipt["cart"], self.users[into], models[into])

    @rule(who=USER_NUMBERS, sold=SOLD, keyed=KEYED)
    def validate(self, who, sold, keyed):
        self.products.sold.clear()
        for product_id, (price, stock) in sold.items():
            self.products.sell(product_id, str(price), stock, NAME_SOLD)
        self.client, client = self.checking.test_client(), self.client
        validation = self.ask("POST", f"/cart/{self.users[who]}/validate").json
        receipt = self.ask("POST", f"/cart/{self.users[who]}/validate?fix=true", keyed=keyed).json
        self.client = client
        self.steps += 1
        model = self.models[who]
        problems = {product_id: check(line, sold.get(product_id)) for product_id, line in model["cart"].items()}
        for lines in (validation["lines"], receipt["lines"]):
            assert {line["product_id"]: line["problems"] for line in lines} == problems
        assert validation["valid"] == (not any(problems.values()))
        actions = fix_cart(model, sold, self.steps)
        fixes = {line["product_id"]: line["fix"] for line in receipt["lines"] if "fix" in line}
        assert {product_id: (fix["action"], fix["cut"]) for product_id, fix in fixes.items()} == actions
        assert receipt["valid"] == all(action != "left" for action, _ in actions.values())
        self.assert_agrees(receipt["cart"], self.users[who], model)

    @rule(product_id=PRODUCTS, price=PRICES, minute=st.integers(0, 9))
    def change_price(self, product_id, price, minute):
        """Changes come in any order, and twice. Of two in one minute, the higher price counts."""
        body = {"price": price, "changed_at": f"2026-01-01T00:{minute:02}:00Z"}
        with self.app.app_context():  # as an event does: the change is complete afterwards
            job = jobs.start(product_id, price, f"2026-01-01T00:{minute:02}:00.000000Z")
            self.store.client.delete_item(  # another example may have started the same job
                TableName=self.store.config.dynamodb_table_name,
                Key={"user_id": {"S": f"JOB#{job.job_id}"}, "item_id": {"S": "JOB"}},
            )
            job = jobs.start(product_id, price, job.changed_at)
            jobs.run(get_table(), get_bus(), job.job_id)
        assert self.ask("PUT", f"/products/{product_id}/price", body).json["status"] == "done"
        for model in self.models:
            for lines in model.values():
                line = lines.get(product_id)
                if line and (not line["change"] or (minute, price) > line["change"][:2]):
                    line["change"] = (minute, price, line["price"])

    @rule(who=USER_NUMBERS, product_ids=st.none() | st.sets(PRODUCTS, min_size=1))
    def accept(self, who, product_ids):
        self.steps += 1
        body = {} if product_ids is None else {"product_ids": list(product_ids)}
        response = self.ask("POST", f"/cart/{self.users[who]}/price-changes/accept", body)
        assert response.status_code == 200
        model = self.models[who]["cart"]
        for product_id in model.keys() if product_ids is None else model.keys() & product_ids:
            line = model[product_id]
            if (current := current_price_of(line)) is not None:
                line |= {"price": current, "priced": self.steps}
        self.assert_shows(response.json["items"], model)

    def teardown(self) -> None:
        """Delete the lines, since a price change would read those of other examples too."""
        for user in self.users:
            for row in self.store.rows(user):
                key = {name: row[name] for name in ("user_id", "item_id")}
                self.store.client.delete_item(TableName=self.store.config.dynamodb_table_name, Key=key)

    @rule(who=USER_NUMBERS, ago_seconds=st.integers(0, 40 * 86_400))
    def time_passes_beyond_expiry(self, who, ago_seconds):
        self.store.expire(self.users[who], ttl=int(time.time()) - ago_seconds)
        for model in self.models[who].values():
            model.clear()

    @invariant()
    def api_agrees_with_the_model(self):
        for user, model in zip(self.users, self.models, strict=True):
            response = self.client.get(f"/cart/{user}?include=saved")
            assert response.status_code == 200
            self.assert_agrees(response.json, user, model)

    def assert_agrees(self, cart: dict[str, Any], user: str, model: ModelLists) -> None:
        assert cart["user_id"] == user
        self.assert_shows(cart["items"], model["cart"])
        self.assert_shows(cart["saved"], model["saved"])
        lines = model["cart"].values()
        assert cart["price_changes"] == sum(current_price_of(line) is not None for line in lines)
        assert cart["total_items"] == sum(line["quantity"] for line in lines)
        assert cart["total_price"] == sum((line["quantity"] * line["price"] for line in lines), Decimal())

    def assert_shows(self, lines: list[dict[str, Any]], model: dict[int, ModelLine]) -> None:
        """Assert that these are the model's lines, in the order in which they were added."""
        in_order = sorted(model.values(), key=lambda line: (line["added"], line["product_id"]))
        assert [line["product_id"] for line in lines] == [line["product_id"] for line in in_order]
        for line, expected in zip(lines, in_order, strict=True):
            for name in ("product_name", "quantity", "price"):
                assert line[name] == expected[name]
            assert line["subtotal"] == expected["quantity"] * expected["price"]
            assert line.get("current_price") == current_price_of(expected)


@pytest.fixture(scope="module", params=ENGINES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store with its own moto, which copies all of its tables for each transaction; other tests' tables are large."""
    with engines.moto() if request.param == "moto" else nullcontext() as own:
        url = own or request.getfixturevalue(request.param.replace("-", "_") + "_url")
        yield make_store(request.param, url, cart_max_quantity=MAX_QUANTITY, cart_max_lines=MAX_LINES)


@pytest.mark.slow
def test_api_behaves_as_the_model(store, products):
    checking = create_app(replace(store.config, catalog_url=products.url, catalog_cache_seconds=0))
    parts = {"app": create_app(store.config), "checking": checking, "store": store, "products": products}
    machine = type("Machine", (CartMachine,), parts)
    run_settings = settings(
        max_examples=EXAMPLES[store.engine],
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=run_settings)

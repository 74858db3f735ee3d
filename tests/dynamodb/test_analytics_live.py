"""8 threads shop at random while the table's stream is counted: the aggregates end equal to a recount.

Each batch is delivered one to three times, cut at random, to two handlers at once; some batches are late and out of
order. ``ANALYTICS_SECONDS`` says for how long they shop, ``ANALYTICS_SEED`` repeats the random choices.
"""

import os
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import wsgi
from cart import create_app
from cart.analytics.tally import is_counted
from cart.analytics.totals import Aggregates, ProductTotals, Totals
from cart.commands.follow import Stream
from cart.events import count_changes
from tests.support.stores import Store, make_store
from tests.support.streams import by_ttl, cuts, stream_of

SECONDS = float(os.environ.get("ANALYTICS_SECONDS", "8"))
SEED = int(os.environ.get("ANALYTICS_SEED", "20261125"))
SHOPPERS = 8
USERS = [f"user{number}" for number in range(5)]
PRODUCTS = range(1, 9)
MOST_IN_A_BATCH = 60
EXPIRED, DELETED_BY_TTL = 1, 7  # ttl of an expired line, and of an expired line that is then deleted as by TTL


class Shopper:
    """A client that makes random requests to random carts."""

    def __init__(self, app: Any, store: Store, number: int) -> None:
        self.client, self.store = app.test_client(), store
        self.random_source = random.Random(f"{SEED} {number}")
        self.counts: Counter[str] = Counter()

    def shop(self, until: float) -> Counter[str]:
        actions = {
            self.add: 40,
            self.add_once: 8,
            self.set_quantity: 15,
            self.remove: 10,
            self.clear: 3,
            self.clear_if_match: 2,
            self.save: 6,
            self.take_back: 6,
            self.merge: 3,
            self.expire: 4,
            self.delete_by_ttl: 3,
        }
        while time.monotonic() < until:
            (action,) = self.random_source.choices(list(actions), list(actions.values()))
            action(self.random_source.choice(USERS), self.random_source.choice(PRODUCTS))
            self.counts[action.__name__] += 1
        return self.counts

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.open(f"/cart/{path}", method=method, json=body, headers=headers)
        self.counts[f"{answer.status_code}"] += 1
        assert answer.status_code != 500, answer.data
        return answer

    def item(self, product_id: int) -> dict[str, Any]:
        price = self.random_source.choice([0.01, 1, 19.99, 250])
        return {
            "product_id": product_id,
            "product_name": "x",
            "quantity": self.random_source.randint(1, 5),
            "price": price,
        }

    def add(self, user: str, product_id: int) -> None:
        self.ask("POST", f"{user}/items", self.item(product_id))

    def add_once(self, user: str, product_id: int) -> None:
        self.ask("POST", f"{user}/items", self.item(product_id), Idempotency_Key=uuid.uuid4().hex)

    def set_quantity(self, user: str, product_id: int) -> None:
        self.ask("PUT", f"{user}/items/{product_id}", {"quantity": self.random_source.randint(1, 9)})

    def remove(self, user: str, product_id: int) -> None:
        self.ask("DELETE", f"{user}/items/{product_id}")

    def clear(self, user: str, _: int) -> None:
        self.ask("DELETE", user)

    def clear_if_match(self, user: str, _: int) -> None:
        etag = self.ask("GET", user).headers.get("ETag", "*")
        self.ask("DELETE", user, If_Match=etag)

    def save(self, user: str, product_id: int) -> None:
        self.ask("POST", f"{user}/items/{product_id}/save-for-later")

    def take_back(self, user: str, product_id: int) -> None:
        self.ask("POST", f"{user}/saved/{product_id}/move-to-cart")

    def merge(self, user: str, _: int) -> None:
        source = self.random_source.choice([cart_user for cart_user in USERS if cart_user != user])
        self.ask("POST", f"{user}/merge", {"source_user_id": source})

    def expire(self, user: str, product_id: int, ttl: int = EXPIRED) -> None:
        """Make a line expire, if it exists."""
        self.client_update(user, product_id, ttl)

    def delete_by_ttl(self, user: str, product_id: int) -> None:
        """Make a line expire and delete it, as DynamoDB's TTL does."""
        if self.client_update(user, product_id, DELETED_BY_TTL):
            self.change("delete_item", user, product_id, "#ttl = :ttl", {":ttl": DELETED_BY_TTL})

    def client_update(self, user: str, product_id: int, ttl: int) -> bool:
        """Set the ttl of a live line.

        The service does not write to an expired line either, except to start a new one.
        """
        values, update = {":ttl": ttl, ":ended": DELETED_BY_TTL}, {"UpdateExpression": "SET #ttl = :ttl"}
        return self.change("update_item", user, product_id, "#ttl > :ended", values, **update)

    def change(
        self, operation: str, user: str, product_id: int, condition: str, values: dict[str, int], **how: Any
    ) -> bool:
        try:
            getattr(self.store.client, operation)(
                TableName=self.store.config.dynamodb_table_name,
                Key={"user_id": {"S": user}, "item_id": {"S": f"ITEM#{product_id}"}},
                ConditionExpression=condition,
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                **how,
            )
        except self.store.client.exceptions.ConditionalCheckFailedException:
            return False
        return True


class Delivery:
    """Delivers the stream as Lambda does in the worst case."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.random_source = random.Random(f"{SEED} delivery")
        self.records: list[dict[str, Any]] = []
        self.late: list[list[dict[str, Any]]] = []
        self.delivered = 0

    def deliver_new_records(self, pool: ThreadPoolExecutor) -> int:
        """Deliver the new records; return how many there were."""
        new_records = [marked_if_by_ttl(record) for record in self.stream.read() if is_counted(record)]
        self.records += new_records
        batches = []
        for batch in cuts(new_records, self.random_source, MOST_IN_A_BATCH):
            if self.random_source.random() < 0.1:
                self.late.append(batch)
            else:
                batches += [batch] * self.random_source.randint(1, 3)
                if self.random_source.random() < 0.3:  # the same records, cut differently
                    batches += cuts(batch, self.random_source, 9)
        list(pool.map(self.deliver, batches))
        return len(new_records)

    def deliver_late_batches(self, pool: ThreadPoolExecutor) -> None:
        self.random_source.shuffle(self.late)
        list(pool.map(self.deliver, self.late * 2))

    def deliver(self, batch: list[dict[str, Any]]) -> None:
        """Repeat the batch from its first failure until all of it is counted, as Lambda does."""
        while batch:
            self.delivered += len(batch)
            failures = count_changes({"Records": batch}, None)["batchItemFailures"]
            numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
            batch = batch[numbers.index(failures[0]["itemIdentifier"]) :] if failures else []


def marked_if_by_ttl(record: dict[str, Any]) -> dict[str, Any]:
    old, new = (record["dynamodb"].get(name) for name in ("OldImage", "NewImage"))
    deleted = old and not new and old["ttl"]["N"] == str(DELETED_BY_TTL)
    return by_ttl(record) if deleted else record


def recount(store: Store) -> tuple[Totals, list[ProductTotals]]:
    """Compute the aggregates from the lines themselves."""
    pages = store.client.get_paginator("scan").paginate(
        TableName=store.config.dynamodb_table_name,
        FilterExpression="begins_with(item_id, :item)",
        ExpressionAttributeValues={":item": {"S": "ITEM#"}},
        ConsistentRead=True,
    )
    held = defaultdict(list)
    for page in pages:
        for row in page["Items"]:
            quantity, price = int(row["quantity"]["N"]), Decimal(row["price"]["N"])
            held[int(row["product_id"]["N"])].append((quantity, quantity * price))
    products = [
        ProductTotals(product_id, len(lines), sum(units for units, _ in lines), sum(value for _, value in lines))
        for product_id, lines in held.items()
    ]
    return Totals(*(sum(numbers) for numbers in list(zip(*products, strict=True))[1:])), products


def flows(records: list[dict[str, Any]]) -> Counter[str]:
    """Compute the flows from the stream's records, each counted once."""
    counted: Counter[str] = Counter()
    for record in {raw_record["dynamodb"]["SequenceNumber"]: raw_record for raw_record in records}.values():
        old, new = (record["dynamodb"].get(name) for name in ("OldImage", "NewImage"))
        if record["dynamodb"]["Keys"]["user_id"]["S"].startswith("CLEARED#"):
            counted["carts_cleared"] += 1
            continue
        if not old and not new:
            continue  # DynamoDB Local writes a record for a delete of a missing row
        had_expired = bool(old) and int(old["ttl"]["N"]) <= DELETED_BY_TTL
        revived = bool(old and new) and (had_expired or old["added_at"] != new["added_at"])
        if revived or (new is None and ("userIdentity" in record or had_expired)):
            counted["lines_abandoned"] += 1
            counted["value_abandoned"] += int(old["quantity"]["N"]) * Decimal(old["price"]["N"])
        elif new is None:
            counted["lines_removed"] += 1
        if new and (revived or old is None):
            counted["lines_added"] += 1
        if new:
            units = int(new["quantity"]["N"]) - (int(old["quantity"]["N"]) if old and not revived else 0)
            counted["units_added"] += max(units, 0)
            counted["value_added"] += max(units, 0) * Decimal(new["price"]["N"])
    return counted


@pytest.fixture
def store(dynamodb_local_url: str) -> Store:
    return make_store("dynamodb-local", dynamodb_local_url, with_stream=True)


def rebuild(app: Any) -> list[str]:
    """Run a rebuild; return the lines of its report, without the progress bar."""
    result = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()[1:]


def test_aggregates_equal_a_recount_after_random_shopping(store, monkeypatch):
    app = create_app(store.config)
    monkeypatch.setattr(wsgi, "app", app)
    delivery = Delivery(stream_of(store.config, store.client))
    began, until = datetime.now(UTC).date(), time.monotonic() + SECONDS
    shoppers = [Shopper(app, store, number) for number in range(SHOPPERS)]
    rebuilt: list[list[str]] = []
    rebuilding = threading.Thread(target=lambda: rebuilt.append(rebuild(app)))
    with ThreadPoolExecutor(SHOPPERS) as shop, ThreadPoolExecutor(2) as handlers:
        shopping = [shop.submit(shopper.shop, until) for shopper in shoppers]
        while time.monotonic() < until:
            delivery.deliver_new_records(handlers)
            if time.monotonic() > until - SECONDS / 2 and not rebuilding.ident:
                rebuilding.start()
        counts = sum((shopper.result() for shopper in shopping), Counter())
        rebuilding.join()
        while delivery.deliver_new_records(handlers):
            pass
        delivery.deliver_late_batches(handlers)
    assert len(rebuilt) == 1

    aggregates = Aggregates(store.client, store.config)
    totals, products = recount(store)
    assert aggregates.totals() == totals
    assert [aggregates.product(shopper.product_id) for shopper in products] == products
    for sort in ("units", "carts", "value"):
        in_order = sorted(products, key=lambda shopper, sort=sort: (-getattr(shopper, sort), shopper.product_id))
        assert aggregates.top(sort, 100) == in_order
        assert aggregates.top(sort, 3) == in_order[:3]
    counted = aggregates.days(began, datetime.now(UTC).date() + timedelta(1))
    expected = flows(delivery.records)
    assert {name: sum(getattr(day, name) for day in counted) for name in expected} == expected
    assert all(expected[name] for name in ("lines_removed", "lines_abandoned", "carts_cleared"))
    assert rebuild(app) == ["Nothing differed: the counts are what the carts hold"]
    assert aggregates.totals() == totals
    print(f"{counts.total()} asked, {len(delivery.records)} records, {delivery.delivered} delivered; {dict(expected)}")

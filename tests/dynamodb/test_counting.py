"""Stream records are counted in the table:

by several counters at once, by one that crashes, and with invalid records.
"""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import count as counting_up

import pytest

import wsgi
from cart import create_app
from cart.analytics.counter import CHUNK, Bookkeeper
from cart.analytics.stream_batch import count_records
from cart.analytics.totals import SHARDS, Day, ProductTotals, Totals
from cart.events import count_changes
from tests.support.capacity import billed
from tests.support.concurrency import at_once
from tests.support.crashes import MOMENTS, Crashed, crashing
from tests.support.embedded_metrics import read_embedded
from tests.support.faults import THROTTLED
from tests.support.faulty_client import failing, hooked
from tests.support.records import DAY, NOON, cleared, history, image, record
from tests.support.stores import Store, make_store
from tests.support.streams import by_ttl

pytestmark = pytest.mark.slow

ALONE = ["BatchGetItem", "TransactWriteItems", "Query", "TransactWriteItems", "Query"]

URLS = {"moto": "own_moto_url", "ministack": "ministack_url", "dynamodb-local": "dynamodb_local_url"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A table for this test alone, since all of a table's lines are counted.

    It is deleted, since moto copies the rows of all tables for each action of a transaction.
    """
    store = make_store(request.param, request.getfixturevalue(URLS[request.param]))
    yield store
    store.client.delete_table(TableName=store.config.dynamodb_table_name)


@pytest.fixture
def app(store, monkeypatch):
    """An app that waits longer for moto, whose transactions take over a second on a busy machine."""
    if store.engine == "moto":
        monkeypatch.setattr("cart.dynamodb.client.READ_TIMEOUT_SECONDS", 15)
    return create_app(store.config)


@pytest.fixture
def bookkeeper(app, store):
    return Bookkeeper(app.extensions["cart_table"].client, store.config)


def value(text: str) -> Decimal:
    return Decimal(text)


def test_aggregates_of_a_new_table_are_zero(bookkeeper):
    assert bookkeeper.totals() == Totals(0, 0, 0)
    assert bookkeeper.days(DAY, DAY + timedelta(1)) == [Day(DAY), Day(DAY + timedelta(1))]
    assert bookkeeper.product(42) == ProductTotals(42)
    assert bookkeeper.top("units", 5) == []


def test_records_are_counted_as_totals_products_and_days(bookkeeper):
    records = [
        *history([image(2), image(3, "10.00")], user="ann"),
        *history([image(1), None], user="bob", at=NOON + 86_400),
        *history([image(4, "0.50", ttl=1), None], user="cid", item_id="ITEM#7"),
        *history([image(2, "0.50")], user="ann", item_id="ITEM#7"),
        cleared("bob", at=NOON + 86_400),
    ]
    assert count_records(bookkeeper, records) == []
    assert bookkeeper.totals() == Totals(2, 5, value("31"))
    assert bookkeeper.product(42) == ProductTotals(42, 1, 3, value("30"))
    assert bookkeeper.product(7) == ProductTotals(7, 1, 2, value("1"))
    assert bookkeeper.days(DAY, DAY + timedelta(2)) == [
        Day(DAY, 3, 0, 9, value("39.98") + 10 + 2 + 1, 0, 1, value("2")),
        Day(DAY + timedelta(1), 1, 1, 1, value("19.99"), 1),
        Day(DAY + timedelta(2)),
    ]


def test_top_products_are_sorted_by_units_carts_or_value(bookkeeper):
    held = {1: [5, 5], 2: [9], 3: [1, 1, 1], 4: [10], 12: [9], 5: [3]}
    records = [
        record(None, image(quantity, "1.00" if product_id != 3 else "99.00"), f"u{number}", f"ITEM#{product_id}")
        for product_id, quantities in held.items()
        for number, quantity in enumerate(quantities)
    ]
    assert count_records(bookkeeper, records) == []
    assert [product.product_id for product in bookkeeper.top("units", 9)] == [1, 4, 2, 12, 3, 5]
    assert [product.product_id for product in bookkeeper.top("units", 3)] == [1, 4, 2]
    assert [product.product_id for product in bookkeeper.top("carts", 2)] == [3, 1]
    assert bookkeeper.top("value", 1) == [ProductTotals(3, 3, 3, value("297"))]
    assert count_records(bookkeeper, [record(image(10, "1.00"), None, "u0", "ITEM#4")]) == []
    assert [product.product_id for product in bookkeeper.top("units", 9)] == [1, 2, 12, 3, 5]


def test_expired_line_counts_until_it_is_deleted(bookkeeper, store):
    """The stream has a record only when the row is deleted, not when it expires."""
    ran_out = image(3, "2.00", ttl=1)
    assert count_records(bookkeeper, [record(None, ran_out)]) == []
    assert bookkeeper.product(42).units == 3
    assert count_records(bookkeeper, [by_ttl(record(ran_out, None, at=NOON + 86_400))]) == []
    assert bookkeeper.product(42).units == 0
    (day,) = bookkeeper.days(DAY + timedelta(1), DAY + timedelta(1))
    assert (day.lines_abandoned, day.value_abandoned, day.lines_removed) == (1, value("6"), 0)


def test_aggregates_are_not_in_the_product_index(bookkeeper, store):
    count_records(bookkeeper, [record(None, image())])
    answer = store.client.scan(TableName=store.config.dynamodb_table_name, IndexName="ProductIndex")
    assert answer["Items"] == []


def test_cost_of_counting_a_record(bookkeeper, app):
    """Every row is below 1 KB.

    So each action of a transaction is two write units on AWS, whatever the engine reports.
    """
    writes: list[list[int]] = []

    def measure(params, **_):
        writes.append([len(str(action)) for action in params.get("TransactItems", [])])

    def count(*records):
        writes.clear()
        with (
            billed(app.extensions["cart_table"]) as bill,
            hooked(app.extensions["cart_table"], "change", measure, "TransactWriteItems"),
        ):
            assert count_records(bookkeeper, list(records)) == []
        assert max(map(max, writes), default=0) < 1024
        return bill.operations, [len(actions) for actions in writes]

    new = record(None, image())
    # record, line, product, totals and day; then the board's row and three entries
    assert count(new) == (ALONE, [5, 4])
    assert count(new) == (["BatchGetItem", "Query"], [])  # it was counted before
    # two entries of the boards are deleted, and two are put
    assert count(record(image(), image(5))) == (ALONE, [5, 5])
    assert count(record(None, image(), "bob")) == (ALONE, [5, 7])
    chunks = -(-100 // CHUNK)
    for on_boards in (False, True):
        many = [record(None, image(), f"user{number}-{on_boards}", f"ITEM#{number % 4}") for number in range(100)]
        operations, actions = count(*many)
        assert (
            operations == ["BatchGetItem", "TransactWriteItems"] * chunks + ["Query", "TransactWriteItems", "Query"] * 4
        )
        # two rows for each record; in each chunk four products, totals and day
        assert sum(actions) == 2 * 100 + chunks * (4 + 2) + 4 * (7 if on_boards else 4)


def expected_of(records):
    """Return the totals by the last image of each line."""
    last_images = {}
    for stream_record in records:
        keys = stream_record["dynamodb"]["Keys"]
        last_images[keys["user_id"]["S"], keys["item_id"]["S"]] = stream_record["dynamodb"].get("NewImage")
    lines = [(int(key[1][5:]), line) for key, line in last_images.items() if line]
    return Totals(
        len(lines),
        sum(int(line["quantity"]["N"]) for _, line in lines),
        sum((int(line["quantity"]["N"]) * Decimal(line["price"]["N"]) for _, line in lines), Decimal()),
    )


def records_of_shopping(users: int, products: int) -> list[dict]:
    """Return the records of lines that are added, changed, removed and added again."""
    return [
        stream_record
        for user in range(users)
        for product_id in range(1, products + 1)
        for stream_record in history(
            [image(user + 1), image(product_id, "2.50"), None if user % 3 else image(9), image(4, "1.01", "b")][
                : 2 + user % 3
            ],
            user=f"user{user}",
            item_id=f"ITEM#{product_id}",
        )
    ]


def assert_counted(bookkeeper, records, lines_added):
    assert bookkeeper.totals() == expected_of(records)
    products = {int(entry["dynamodb"]["Keys"]["item_id"]["S"][5:]) for entry in records}
    top = bookkeeper.top("units", 100)
    assert {entry.product_id for entry in top if entry.units} == {
        entry for entry in products if bookkeeper.product(entry).units
    }
    assert top == [bookkeeper.product(entry.product_id) for entry in top]
    assert sum(entry.units for entry in top) == bookkeeper.totals().units
    assert bookkeeper.days(DAY, DAY)[0].lines_added == lines_added


def lines_added(records):
    return sum(
        "OldImage" not in stream_record["dynamodb"]
        or (
            "NewImage" in stream_record["dynamodb"]
            and stream_record["dynamodb"]["NewImage"]["added_at"] != stream_record["dynamodb"]["OldImage"]["added_at"]
        )
        for stream_record in records
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_crash_between_two_requests_counts_each_record_once(bookkeeper, app, moment):
    """Records before and after the crash are counted once by the next run, which also corrects the boards."""
    so_far = []
    for point in counting_up():
        records = [
            entry
            for product_id in (1, 2)
            for entry in history(
                [image(2), image(3), None if product_id == 1 else image(1)],
                user=f"user{point}",
                item_id=f"ITEM#{product_id}",
            )
        ] + [record(None, image(), f"other{point}-{entry}", "ITEM#2") for entry in range(CHUNK)]
        so_far += records
        crashed = False
        with crashing(app.extensions["cart_table"], moment, point):
            try:
                count_records(bookkeeper, records)
            except Crashed:
                crashed = True
        if crashed:
            assert count_records(bookkeeper, records) == []
        assert_counted(bookkeeper, so_far, lines_added(so_far))
        if not crashed:
            break
    assert point == 2 * 2 + 3 + 1  # two chunks, a product, and one that is unchanged


def test_several_counters_count_each_record_once(dynamodb_local_url):
    """Their batches overlap, are in different orders, and are about the same products."""
    store = make_store("dynamodb-local", dynamodb_local_url)
    client = create_app(store.config).extensions["cart_table"].client
    records = records_of_shopping(12, 3)

    def count(number: int) -> None:
        random_source = random.Random(number)
        bookkeeper = Bookkeeper(client, store.config)
        remaining = records * 2
        random_source.shuffle(remaining)
        while remaining:
            size = random_source.randint(1, 40)
            batch, remaining = remaining[:size], remaining[size:]
            while failed := count_records(bookkeeper, batch):
                batch = [
                    stream_record for stream_record in batch if stream_record["dynamodb"]["SequenceNumber"] in failed
                ]

    at_once(4, count)
    assert_counted(Bookkeeper(client, store.config), records, lines_added(records))


def test_boards_are_right_when_two_counters_interleave(bookkeeper, app, store):
    """The other counter reverts the first one's change, so it finds the boards correct."""
    count_records(bookkeeper, [record(None, image(3))])
    table, other_bookkeeper = (
        app.extensions["cart_table"],
        Bookkeeper(create_app(store.config).extensions["cart_table"].client, store.config),
    )
    transactions: list[int] = []

    def count_with_the_other(**_):
        transactions.append(1)
        if len(transactions) == 2:
            assert count_records(other_bookkeeper, [record(image(5), image(3))]) == []

    with hooked(table, "before", count_with_the_other, "TransactWriteItems"):
        assert count_records(bookkeeper, [record(image(3), image(5))]) == []
    assert bookkeeper.top("units", 1) == [bookkeeper.product(42)] == [ProductTotals(42, 1, 3, value("59.97"))]


def test_invalid_records_fail_alone(bookkeeper, caplog, store):
    valid = [record(None, image(), f"user{number}") for number in range(4)]
    no_image, too_large = record(None, None), record(None, image(int("9" * 60)), "rich")
    invalid = [no_image, too_large] if store.engine != "moto" else [no_image]  # moto accepts numbers of any size
    assert count_records(bookkeeper, [valid[0], *invalid, *valid[1:]]) == [
        stream_record["dynamodb"]["SequenceNumber"] for stream_record in invalid
    ]
    assert "cannot be read" in caplog.text
    assert ("cannot be counted" in caplog.text) == (too_large in invalid)
    assert bookkeeper.product(42) == ProductTotals(42, 4, 8, value("159.92"))


def test_throttled_records_fail_and_are_counted_later(bookkeeper, app):
    records = [record(None, image(), f"user{number}") for number in range(2 * CHUNK)]
    with failing(app.extensions["cart_table"], "TransactWriteItems", [THROTTLED] * 1000):
        assert count_records(bookkeeper, records) == [
            stream_record["dynamodb"]["SequenceNumber"] for stream_record in records
        ]
    assert count_records(bookkeeper, records) == []
    assert bookkeeper.product(42).carts == 2 * CHUNK


def test_unprocessed_keys_are_read_again(bookkeeper, app, store):
    table = app.extensions["cart_table"]
    count_records(bookkeeper, [record(None, image())])
    unprocessed: list[list] = []

    def process_one(params, **_):
        keys = params["RequestItems"][table.name]["Keys"]
        unprocessed.append(keys[1:])
        return params | {"RequestItems": {table.name: {"Keys": keys[:1], "ConsistentRead": True}}}

    def report(answer, **_):
        answer["UnprocessedKeys"] = {table.name: {"Keys": unprocessed[-1]}} if unprocessed[-1] else {}

    with (
        hooked(table, "change", process_one, "BatchGetItem"),
        hooked(table, "after", report, "BatchGetItem"),
    ):
        assert count_records(bookkeeper, [record(image(), image(3))]) == []
    assert bookkeeper.product(42).units == 3


def test_counts_of_a_product_are_spread_over_shards(bookkeeper, store):
    for number in range(40):
        count_records(bookkeeper, [record(None, image(1), f"user{number}")])
    rows = store.rows("PRODUCT#42")
    assert len(rows) == SHARDS + 1  # and the row of the boards
    assert bookkeeper.product(42).units == 40


def test_failed_records_are_reported_to_lambda_and_cloudwatch(app, bookkeeper, monkeypatch, capsys):
    monkeypatch.setattr(wsgi, "app", app)
    app.config["METRICS_NAMESPACE"] = "Shop"
    invalid = record(None, None)
    monkeypatch.setattr("logging.Logger.isEnabledFor", lambda *_: True)
    assert count_changes({"Records": [record(None, image()), invalid]}, None) == {
        "batchItemFailures": [{"itemIdentifier": invalid["dynamodb"]["SequenceNumber"]}]
    }
    line = json.loads(next(line for line in capsys.readouterr().out.splitlines() if "_aws" in line))
    assert read_embedded(line) == {"ChangesCounted": 1, "ChangesFailed": 1}

"""Records that are counted in the table: by several at once, by one that dies, and some that cannot be."""

import json
import random
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
from tests.support.crashes import MOMENTS, Died, dying
from tests.support.embedded_metrics import read_embedded
from tests.support.faults import THROTTLED
from tests.support.faulty_client import failing, hooked
from tests.support.records import DAY, NOON, cleared, history, image, record
from tests.support.stores import Store, make_store
from tests.support.streams import by_ttl

ALONE = ["BatchGetItem", "TransactWriteItems", "Query", "TransactWriteItems", "Query"]

URLS = {"moto": "own_moto_url", "ministack": "ministack_url", "dynamodb-local": "dynamodb_local_url"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest) -> Store:
    """A table of its own: what is counted is counted for all of it."""
    return make_store(request.param, request.getfixturevalue(URLS[request.param]))


@pytest.fixture
def app(store):
    return create_app(store.config)


@pytest.fixture
def books(app, store):
    return Bookkeeper(app.extensions["cart_table"].client, store.config)


def value(text: str) -> Decimal:
    return Decimal(text)


def test_nothing_was_counted_yet(books):
    assert books.totals() == Totals(0, 0, 0)
    assert books.days(DAY, DAY + timedelta(1)) == [Day(DAY), Day(DAY + timedelta(1))]
    assert books.product(42) == ProductTotals(42)
    assert books.top("units", 5) == []


def test_what_carts_hold_and_what_happened(books):
    told = [
        *history([image(2), image(3, "10.00")], user="ann"),
        *history([image(1), None], user="bob", at=NOON + 86_400),
        *history([image(4, "0.50", ttl=1), None], user="cid", item_id="ITEM#7"),
        *history([image(2, "0.50")], user="ann", item_id="ITEM#7"),
        cleared("bob", at=NOON + 86_400),
    ]
    assert count_records(books, told) == []
    assert books.totals() == Totals(2, 5, value("31"))
    assert books.product(42) == ProductTotals(42, 1, 3, value("30"))
    assert books.product(7) == ProductTotals(7, 1, 2, value("1"))
    assert books.days(DAY, DAY + timedelta(2)) == [
        Day(DAY, 3, 0, 9, value("39.98") + 10 + 2 + 1, 0, 1, value("2")),
        Day(DAY + timedelta(1), 1, 1, 1, value("19.99"), 1),
        Day(DAY + timedelta(2)),
    ]


def test_top_products(books):
    held = {1: [5, 5], 2: [9], 3: [1, 1, 1], 4: [10], 12: [9], 5: [3]}
    told = [
        record(None, image(quantity, "1.00" if product_id != 3 else "99.00"), f"u{number}", f"ITEM#{product_id}")
        for product_id, quantities in held.items()
        for number, quantity in enumerate(quantities)
    ]
    assert count_records(books, told) == []
    assert [one.product_id for one in books.top("units", 9)] == [1, 4, 2, 12, 3, 5]
    assert [one.product_id for one in books.top("units", 3)] == [1, 4, 2]
    assert [one.product_id for one in books.top("carts", 2)] == [3, 1]
    assert books.top("value", 1) == [ProductTotals(3, 3, 3, value("297"))]
    assert count_records(books, [record(image(10, "1.00"), None, "u0", "ITEM#4")]) == []
    assert [one.product_id for one in books.top("units", 9)] == [1, 2, 12, 3, 5]


def test_an_expired_line_counts_until_it_is_deleted(books, store):
    """The store does not tell when a life has passed, only when the row is gone."""
    ran_out = image(3, "2.00", ttl=1)
    assert count_records(books, [record(None, ran_out)]) == []
    assert books.product(42).units == 3
    assert count_records(books, [by_ttl(record(ran_out, None, at=NOON + 86_400))]) == []
    assert books.product(42).units == 0
    (day,) = books.days(DAY + timedelta(1), DAY + timedelta(1))
    assert (day.lines_abandoned, day.value_abandoned, day.lines_removed) == (1, value("6"), 0)


def test_attributes_stay_out_of_the_index_of_products(books, store):
    count_records(books, [record(None, image())])
    answer = store.client.scan(TableName=store.config.dynamodb_table_name, IndexName="ProductIndex")
    assert answer["Items"] == []


def test_what_a_write_of_a_line_costs(books, app):
    """Every row is below 1 KB: an action of a transaction is two write units, whatever DynamoDB Local says."""
    writes: list[list[int]] = []

    def measure(params, **_):
        writes.append([len(str(action)) for action in params.get("TransactItems", [])])

    def count(*told):
        writes.clear()
        with (
            billed(app.extensions["cart_table"]) as bill,
            hooked(app.extensions["cart_table"], "change", measure, "TransactWriteItems"),
        ):
            assert count_records(books, list(told)) == []
        assert max(map(max, writes), default=0) < 1024
        return bill.operations, [len(actions) for actions in writes]

    new = record(None, image())
    # record, line, product, totals and day; then the board's row and three entries
    assert count(new) == (ALONE, [5, 4])
    assert count(new) == (["BatchGetItem", "Query"], [])  # it came before
    # two entries leave the boards, and two come
    assert count(record(image(), image(5))) == (ALONE, [5, 5])
    assert count(record(None, image(), "bob")) == (ALONE, [5, 7])
    chunks = -(-100 // CHUNK)
    for on_boards in (False, True):
        many = [record(None, image(), f"user{number}-{on_boards}", f"ITEM#{number % 4}") for number in range(100)]
        operations, actions = count(*many)
        assert (
            operations == ["BatchGetItem", "TransactWriteItems"] * chunks + ["Query", "TransactWriteItems", "Query"] * 4
        )
        # record and line each; in each chunk four products, totals and day
        assert sum(actions) == 2 * 100 + chunks * (4 + 2) + 4 * (7 if on_boards else 4)


def expected_of(told):
    """From the last image of each line."""
    last = {}
    for one in told:
        keys = one["dynamodb"]["Keys"]
        last[keys["user_id"]["S"], keys["item_id"]["S"]] = one["dynamodb"].get("NewImage")
    lines = [(int(key[1][5:]), line) for key, line in last.items() if line]
    return Totals(
        len(lines),
        sum(int(line["quantity"]["N"]) for _, line in lines),
        sum((int(line["quantity"]["N"]) * Decimal(line["price"]["N"]) for _, line in lines), Decimal()),
    )


def shopped(users: int, products: int) -> list[dict]:
    """Some lines come, change, go and come again."""
    return [
        one
        for user in range(users)
        for product_id in range(1, products + 1)
        for one in history(
            [image(user + 1), image(product_id, "2.50"), None if user % 3 else image(9), image(4, "1.01", "b")][
                : 2 + user % 3
            ],
            user=f"user{user}",
            item_id=f"ITEM#{product_id}",
        )
    ]


def assert_right(books, told, lines_added):
    assert books.totals() == expected_of(told)
    products = {int(one["dynamodb"]["Keys"]["item_id"]["S"][5:]) for one in told}
    top = books.top("units", 100)
    assert {one.product_id for one in top if one.units} == {one for one in products if books.product(one).units}
    assert top == [books.product(one.product_id) for one in top]
    assert sum(one.units for one in top) == books.totals().units
    assert books.days(DAY, DAY)[0].lines_added == lines_added


def lines_added(told):
    return sum(
        "OldImage" not in one["dynamodb"]
        or (
            "NewImage" in one["dynamodb"]
            and one["dynamodb"]["NewImage"]["added_at"] != one["dynamodb"]["OldImage"]["added_at"]
        )
        for one in told
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_dies_between_any_two_requests(books, app, moment):
    """What it did not get to, and what it did, is counted once by the next; the boards are brought in line."""
    so_far = []
    for point in counting_up():
        told = [
            one
            for product_id in (1, 2)
            for one in history(
                [image(2), image(3), None if product_id == 1 else image(1)],
                user=f"user{point}",
                item_id=f"ITEM#{product_id}",
            )
        ] + [record(None, image(), f"other{point}-{one}", "ITEM#2") for one in range(CHUNK)]
        so_far += told
        died = False
        with dying(app.extensions["cart_table"], moment, point):
            try:
                count_records(books, told)
            except Died:
                died = True
        if died:
            assert count_records(books, told) == []
        assert_right(books, so_far, lines_added(so_far))
        if not died:
            break
    assert point == 2 * 2 + 3 + 1  # two chunks, a product, and one that is as it was


def test_several_count_the_same_at_once(dynamodb_local_url):
    """In batches that overlap, in other orders, all of the same products."""
    store = make_store("dynamodb-local", dynamodb_local_url)
    client = create_app(store.config).extensions["cart_table"].client
    told = shopped(12, 3)

    def count(number: int) -> None:
        dice = random.Random(number)
        books = Bookkeeper(client, store.config)
        left = told * 2
        dice.shuffle(left)
        while left:
            size = dice.randint(1, 40)
            batch, left = left[:size], left[size:]
            while failed := count_records(books, batch):
                batch = [one for one in batch if one["dynamodb"]["SequenceNumber"] in failed]

    at_once(4, count)
    assert_right(Bookkeeper(client, store.config), told, lines_added(told))


def test_boards_are_right_where_one_has_looked_before_and_writes_after_another(books, app, store):
    """The other one undoes what the first has counted, and so finds them in line."""
    count_records(books, [record(None, image(3))])
    table, other = (
        app.extensions["cart_table"],
        Bookkeeper(create_app(store.config).extensions["cart_table"].client, store.config),
    )
    transactions: list[int] = []

    def before_the_boards(**_):
        transactions.append(1)
        if len(transactions) == 2:
            assert count_records(other, [record(image(5), image(3))]) == []

    with hooked(table, "before", before_the_boards, "TransactWriteItems"):
        assert count_records(books, [record(image(3), image(5))]) == []
    assert books.top("units", 1) == [books.product(42)] == [ProductTotals(42, 1, 3, value("59.97"))]


def test_those_that_cannot_be_counted_fail_alone(books, caplog, store):
    good = [record(None, image(), f"user{number}") for number in range(4)]
    no_image, too_large = record(None, None), record(None, image(int("9" * 60)), "rich")
    bad = [no_image, too_large] if store.engine != "moto" else [no_image]  # moto takes a number of any size
    assert count_records(books, [good[0], *bad, *good[1:]]) == [one["dynamodb"]["SequenceNumber"] for one in bad]
    assert "cannot be read" in caplog.text
    assert ("cannot be counted" in caplog.text) == (too_large in bad)
    assert books.product(42) == ProductTotals(42, 4, 8, value("159.92"))


def test_all_fail_while_dynamodb_throttles_and_none_is_lost(books, app):
    told = [record(None, image(), f"user{number}") for number in range(2 * CHUNK)]
    with failing(app.extensions["cart_table"], "TransactWriteItems", [THROTTLED] * 1000):
        assert count_records(books, told) == [one["dynamodb"]["SequenceNumber"] for one in told]
    assert count_records(books, told) == []
    assert books.product(42).carts == 2 * CHUNK


def test_keys_that_stay_unprocessed_are_asked_for_again(books, app, store):
    table = app.extensions["cart_table"]
    count_records(books, [record(None, image())])
    kept: list[list] = []

    def take_one(params, **_):
        keys = params["RequestItems"][table.name]["Keys"]
        kept.append(keys[1:])
        return params | {"RequestItems": {table.name: {"Keys": keys[:1], "ConsistentRead": True}}}

    def report(answer, **_):
        answer["UnprocessedKeys"] = {table.name: {"Keys": kept[-1]}} if kept[-1] else {}

    with (
        hooked(table, "change", take_one, "BatchGetItem"),
        hooked(table, "after", report, "BatchGetItem"),
    ):
        assert count_records(books, [record(image(), image(3))]) == []
    assert books.product(42).units == 3


def test_shards_are_used(books, store):
    for number in range(40):
        count_records(books, [record(None, image(1), f"user{number}")])
    rows = store.rows("PRODUCT#42")
    assert len(rows) == SHARDS + 1  # and the row of the boards
    assert books.product(42).units == 40


def test_lambda_is_told_what_failed_and_cloudwatch_how_many(app, books, monkeypatch, capsys):
    monkeypatch.setattr(wsgi, "app", app)
    app.config["METRICS_NAMESPACE"] = "Shop"
    bad = record(None, None)
    monkeypatch.setattr("logging.Logger.isEnabledFor", lambda *_: True)
    assert count_changes({"Records": [record(None, image()), bad]}, None) == {
        "batchItemFailures": [{"itemIdentifier": bad["dynamodb"]["SequenceNumber"]}]
    }
    line = json.loads(next(line for line in capsys.readouterr().out.splitlines() if "_aws" in line))
    assert read_embedded(line) == {"ChangesCounted": 1, "ChangesFailed": 1}

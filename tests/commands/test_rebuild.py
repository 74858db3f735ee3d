"""`flask analytics rebuild` finds and corrects wrong aggregates, and can be interrupted at any moment."""

from decimal import Decimal
from itertools import count as counting_up

import pytest

from cart import create_app
from cart.analytics.counter import Bookkeeper
from cart.analytics.stream_batch import count_records
from cart.analytics.totals import ProductTotals, Totals
from cart.commands import rebuild
from cart.commands.rebuild import Drift, Rebuild
from cart.errors import Throttled
from tests.support.crashes import MOMENTS, Crashed, crashing
from tests.support.faulty_client import hooked
from tests.support.records import DAY, history, image
from tests.support.stores import Store, make_store

pytestmark = pytest.mark.slow

URLS = {"moto": "own_moto_url", "dynamodb-local": "dynamodb_local_url"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest) -> Store:
    """A table of one test. The stream has reported three of its lines; one is saved, and not counted."""
    store = make_store(request.param, request.getfixturevalue(URLS[request.param]))
    store.put("ann", 1, quantity={"N": "2"}, price={"N": "1.50"})
    store.put("ann", 2, quantity={"N": "1"}, price={"N": "10"})
    store.put("bob", 1, quantity={"N": "3"}, price={"N": "1.50"})
    store.put("bob", 3, item_id={"S": "SAVED#3"})
    return store


@pytest.fixture(autouse=True)
def one_segment_on_moto(store, monkeypatch):
    """Use one thread on moto, whose transactions overwrite concurrent writes of others."""
    if store.engine == "moto":
        monkeypatch.setattr(rebuild, "SEGMENTS", 1)


@pytest.fixture
def app(store):
    return create_app(store.config)


@pytest.fixture
def bookkeeper(app, store):
    return Bookkeeper(app.extensions["cart_table"].client, store.config)


RECORDS = [
    *history([image(2, "1.50")], user="ann", item_id="ITEM#1"),
    *history([image(5, "10"), image(1, "10")], user="ann", item_id="ITEM#2"),
    *history([image(3, "1.50")], user="bob", item_id="ITEM#1"),
    *history([image(9, "1"), None], user="bob", item_id="ITEM#3"),
]
RIGHT = {1: ProductTotals(1, 2, 5, 7.5), 2: ProductTotals(2, 1, 1, 10), 3: ProductTotals(3)}
NONE = [Drift(of, 0, 0, 0, 0) for of in ("lines", "products", "totals")]


def run(bookkeeper: Bookkeeper) -> list[Drift]:
    rebuilding = Rebuild(bookkeeper)
    list(rebuilding.run())
    return rebuilding.drift()


def assert_aggregates_are_right(bookkeeper: Bookkeeper) -> None:
    assert bookkeeper.totals() == Totals(3, 6, 17.5)
    assert {product_id: bookkeeper.product(product_id) for product_id in RIGHT} == RIGHT
    assert bookkeeper.top("units", 9) == [RIGHT[1], RIGHT[2]]
    assert bookkeeper.top("value", 9) == [RIGHT[2], RIGHT[1]]


def add_to_row(store: Store, user_id: str, item_id: str, **amounts: int) -> None:
    store.client.update_item(
        TableName=store.config.dynamodb_table_name,
        Key={"user_id": {"S": user_id}, "item_id": {"S": item_id}},
        UpdateExpression="ADD " + ", ".join(f"#{name} :{name}" for name in amounts),
        ExpressionAttributeNames={f"#{name}": name for name in amounts},
        ExpressionAttributeValues={f":{name}": {"N": str(amount)} for name, amount in amounts.items()},
    )


def test_rebuild_of_right_aggregates_changes_nothing(bookkeeper):
    count_records(bookkeeper, RECORDS)
    days = bookkeeper.days(*[DAY] * 2)
    for _ in range(3):
        assert run(bookkeeper) == NONE
        assert_aggregates_are_right(bookkeeper)
    assert bookkeeper.days(*[DAY] * 2) == days


def test_rebuild_counts_a_table_that_was_never_counted(bookkeeper):
    assert run(bookkeeper) == [Drift("lines", 3, 3, 6, 17.5), *NONE[1:]]
    assert_aggregates_are_right(bookkeeper)
    assert run(bookkeeper) == NONE


def test_rebuild_corrects_a_wrong_aggregate(bookkeeper, store):
    count_records(bookkeeper, RECORDS)
    add_to_row(store, "PRODUCT#1", "1#0", units=4, cents=-250)
    add_to_row(store, "PRODUCT#8", "1#0", lines=1, units=1, cents=1)
    add_to_row(store, "TOTALS#", "1#3", lines=-1)
    bookkeeper.refresh(8)
    assert bookkeeper.top("units", 9)[0].units == 9 or bookkeeper.product(1).units == 9
    assert run(bookkeeper) == [NONE[0], Drift("products", 2, -1, -5, Decimal("2.49")), Drift("totals", 1, 1, 0, 0)]
    assert_aggregates_are_right(bookkeeper)
    assert run(bookkeeper) == NONE


def test_rebuild_counts_changes_without_stream_records(bookkeeper, store):
    """One line was added, one changed and one removed while the stream was not read."""
    count_records(bookkeeper, RECORDS[:-2])
    count_records(bookkeeper, history([image(4, "2")], user="cid", item_id="ITEM#2"))
    add_to_row(store, "ann", "ITEM#2", quantity=6)
    store.put("eve", 3, quantity={"N": "1"}, price={"N": "0.01"})
    assert run(bookkeeper)[0] == Drift("lines", 3, 0, 6 + 1 - 4, Decimal("60") + Decimal("0.01") - 8)
    assert bookkeeper.product(2) == ProductTotals(2, 1, 7, 70)
    assert bookkeeper.product(3) == ProductTotals(3, 1, 1, Decimal("0.01"))
    assert run(bookkeeper) == NONE


def test_rebuild_restores_the_entries_of_a_board(bookkeeper, store):
    count_records(bookkeeper, RECORDS)
    for board in range(4):
        for row in store.rows(f"TOP#units#{board}"):
            key = {name: row[name] for name in ("user_id", "item_id")}
            store.client.delete_item(TableName=store.config.dynamodb_table_name, Key=key)
    assert bookkeeper.top("units", 9) == []
    run(bookkeeper)
    assert_aggregates_are_right(bookkeeper)


def test_records_after_a_rebuild_are_counted_once(bookkeeper):
    """The rebuild has counted the lines before their records arrive; in the end the aggregates are right."""
    run(bookkeeper)
    count_records(bookkeeper, RECORDS)
    assert_aggregates_are_right(bookkeeper)
    assert bookkeeper.days(*[DAY] * 2)[0].lines_added == 4
    assert run(bookkeeper) == NONE


def test_counter_with_the_old_generation_cannot_write(bookkeeper, app):
    """A counter reads the current generation before the rebuild starts, and writes after it has ended."""
    table = app.extensions["cart_table"]
    began: list[bool] = []

    def rebuild_first(**_):
        if not began:
            began.append(True)
            assert run(Bookkeeper(other_client, app.extensions["cart_config"])) == [
                Drift("lines", 3, 3, 6, 17.5),
                *NONE[1:],
            ]

    other_client = create_app(app.extensions["cart_config"]).extensions["cart_table"].client
    with hooked(table, "before", rebuild_first, "TransactWriteItems"):
        assert count_records(bookkeeper, RECORDS) == []
    assert began
    assert_aggregates_are_right(bookkeeper)
    assert run(bookkeeper) == NONE


@pytest.mark.parametrize("store", ["dynamodb-local"], indirect=True)  # moto needs a minute
@pytest.mark.parametrize("moment", MOMENTS)
def test_crashed_rebuild_is_continued(bookkeeper, app, store, moment, monkeypatch):
    """It crashes at each of its requests; the next run's report includes what it had found."""
    monkeypatch.setattr(rebuild, "SEGMENTS", 1)  # one thread, so that a request has the same number each time
    count_records(bookkeeper, RECORDS)
    report = [Drift("lines", 1, 1, 2, 2), Drift("products", 1, 0, -100, 0), NONE[2]]
    for point in counting_up():
        before, _ = generation(store)
        add_to_row(store, "PRODUCT#1", f"{before}#0", units=100)
        store.put(f"untold{point}", 3, price={"N": "1"})
        crashed = False
        with crashing(app.extensions["cart_table"], moment, point):
            try:
                run(bookkeeper)
            except Crashed:
                crashed = True
        if generation(store) == (before + 1, False):  # it had finished its work before the crash
            assert Rebuild(bookkeeper).drift() == report
            assert run(bookkeeper) == NONE
        else:
            assert run(bookkeeper) == report
        assert bookkeeper.product(1) == RIGHT[1]
        assert bookkeeper.product(3) == ProductTotals(3, point + 1, 2 * (point + 1), 2 * (point + 1))
        assert bookkeeper.totals().units == 6 + 2 * (point + 1)
        if not crashed:
            break
    assert point > 10


def generation(store: Store) -> tuple[int, bool]:
    """Return the current generation, and whether a new one is being built."""
    rows = [row for row in store.rows("TOTALS#") if row["item_id"]["S"] == "GENERATION"]
    return (int(rows[0]["generation"]["N"]), "rebuilding" in rows[0]) if rows else (1, False)


def test_rebuild_command_prints_its_report(app, bookkeeper, store):
    count_records(bookkeeper, RECORDS)
    add_to_row(store, "PRODUCT#1", "1#0", units=4, cents=-250)
    result = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert result.exit_code == 0
    assert result.output.splitlines()[1:] == ["Corrected the count of 1 product: +0 lines, -4 units, +2.50 in value"]
    store.put("dan", 9, quantity={"N": "1"}, price={"N": "3"})
    store.put("dan", 8, quantity={"N": "1"}, price={"N": "0.50"})
    add_to_row(store, "TOTALS#", "2#3", lines=-1)
    again = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert again.output.splitlines()[1:] == [
        "Corrected the count of 2 lines: +2 lines, +2 units, +3.50 in value",
        "Corrected the totals over all carts: +1 lines, +0 units, +0.00 in value",
    ]
    quiet = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert quiet.output.splitlines()[1:] == ["Nothing differed: the counts are what the carts hold"]


def test_rebuild_command_reports_throttling(app):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cart.commands.rebuild.Rebuild.run", lambda _: (_ for _ in ()).throw(Throttled()))
        result = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output

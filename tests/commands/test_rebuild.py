"""`flask analytics rebuild`: it finds what is wrong, mends it, and can be cut off at any moment."""

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
from tests.support.crashes import MOMENTS, Died, dying
from tests.support.faulty_client import hooked
from tests.support.records import DAY, history, image
from tests.support.stores import Store, make_store

URLS = {"moto": "own_moto_url", "dynamodb-local": "dynamodb_local_url"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest) -> Store:
    """A table of its own, with three lines of which the stream told, and a saved one, which nobody counts."""
    made = make_store(request.param, request.getfixturevalue(URLS[request.param]))
    made.put("ann", 1, quantity={"N": "2"}, price={"N": "1.50"})
    made.put("ann", 2, quantity={"N": "1"}, price={"N": "10"})
    made.put("bob", 1, quantity={"N": "3"}, price={"N": "1.50"})
    made.put("bob", 3, item_id={"S": "SAVED#3"})
    return made


@pytest.fixture(autouse=True)
def one_segment_on_moto(store, monkeypatch):
    """Whose transactions put back what others have written meanwhile."""
    if store.engine == "moto":
        monkeypatch.setattr(rebuild, "SEGMENTS", 1)


@pytest.fixture
def app(store):
    return create_app(store.config)


@pytest.fixture
def books(app, store):
    return Bookkeeper(app.extensions["cart_table"].client, store.config)


TOLD = [
    *history([image(2, "1.50")], user="ann", item_id="ITEM#1"),
    *history([image(5, "10"), image(1, "10")], user="ann", item_id="ITEM#2"),
    *history([image(3, "1.50")], user="bob", item_id="ITEM#1"),
    *history([image(9, "1"), None], user="bob", item_id="ITEM#3"),
]
RIGHT = {1: ProductTotals(1, 2, 5, 7.5), 2: ProductTotals(2, 1, 1, 10), 3: ProductTotals(3)}
NONE = [Drift(of, 0, 0, 0, 0) for of in ("lines", "products", "totals")]


def run(books: Bookkeeper) -> list[Drift]:
    one = Rebuild(books)
    list(one.run())
    return one.drift()


def assert_right(books: Bookkeeper) -> None:
    assert books.totals() == Totals(3, 6, 17.5)
    assert {one: books.product(one) for one in RIGHT} == RIGHT
    assert books.top("units", 9) == [RIGHT[1], RIGHT[2]]
    assert books.top("value", 9) == [RIGHT[2], RIGHT[1]]


def tamper(store: Store, user_id: str, item_id: str, **amounts: int) -> None:
    store.client.update_item(
        TableName=store.config.dynamodb_table_name,
        Key={"user_id": {"S": user_id}, "item_id": {"S": item_id}},
        UpdateExpression="ADD " + ", ".join(f"#{name} :{name}" for name in amounts),
        ExpressionAttributeNames={f"#{name}": name for name in amounts},
        ExpressionAttributeValues={f":{name}": {"N": str(amount)} for name, amount in amounts.items()},
    )


def test_nothing_is_wrong_again_and_again(books):
    count_records(books, TOLD)
    days = books.days(*[DAY] * 2)
    for _ in range(3):
        assert run(books) == NONE
        assert_right(books)
    assert books.days(*[DAY] * 2) == days


def test_a_table_that_was_never_counted(books):
    assert run(books) == [Drift("lines", 3, 3, 6, 17.5), *NONE[1:]]
    assert_right(books)
    assert run(books) == NONE


def test_an_aggregate_that_is_broken(books, store):
    count_records(books, TOLD)
    tamper(store, "PRODUCT#1", "1#0", units=4, cents=-250)
    tamper(store, "PRODUCT#8", "1#0", lines=1, units=1, cents=1)
    tamper(store, "TOTALS#", "1#3", lines=-1)
    books.refresh(8)
    assert books.top("units", 9)[0].units == 9 or books.product(1).units == 9
    assert run(books) == [NONE[0], Drift("products", 2, -1, -5, Decimal("2.49")), Drift("totals", 1, 1, 0, 0)]
    assert_right(books)
    assert run(books) == NONE


def test_lines_of_which_nobody_told(books, store):
    """One that came, one that changed, and one that went, while nobody listened to the stream."""
    count_records(books, TOLD[:-2])
    count_records(books, history([image(4, "2")], user="cid", item_id="ITEM#2"))
    tamper(store, "ann", "ITEM#2", quantity=6)
    store.put("eve", 3, quantity={"N": "1"}, price={"N": "0.01"})
    assert run(books)[0] == Drift("lines", 3, 0, 6 + 1 - 4, Decimal("60") + Decimal("0.01") - 8)
    assert books.product(2) == ProductTotals(2, 1, 7, 70)
    assert books.product(3) == ProductTotals(3, 1, 1, Decimal("0.01"))
    assert run(books) == NONE


def test_a_board_without_its_entries(books, store):
    count_records(books, TOLD)
    for board in range(4):
        for row in store.rows(f"TOP#units#{board}"):
            key = {name: row[name] for name in ("user_id", "item_id")}
            store.client.delete_item(TableName=store.config.dynamodb_table_name, Key=key)
    assert books.top("units", 9) == []
    run(books)
    assert_right(books)


def test_records_that_come_after_it_change_nothing_twice(books):
    """It was ahead of them; in the end all is as it was."""
    run(books)
    count_records(books, TOLD)
    assert_right(books)
    assert books.days(*[DAY] * 2)[0].lines_added == 4
    assert run(books) == NONE


def test_one_who_counts_in_the_old_generation_does_not_get_through(books, app):
    """He had read which one is current before the rebuild began, and comes to write when it is done."""
    table = app.extensions["cart_table"]
    began: list[bool] = []

    def rebuild_first(**_):
        if not began:
            began.append(True)
            assert run(Bookkeeper(other, app.extensions["cart_config"])) == [Drift("lines", 3, 3, 6, 17.5), *NONE[1:]]

    other = create_app(app.extensions["cart_config"]).extensions["cart_table"].client
    with hooked(table, "before", rebuild_first, "TransactWriteItems"):
        assert count_records(books, TOLD) == []
    assert began
    assert_right(books)
    assert run(books) == NONE


@pytest.mark.parametrize("store", ["dynamodb-local"], indirect=True)  # moto takes a minute
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_dies_is_gone_on_with(books, app, store, moment, monkeypatch):
    """At each of its requests; what it found until then is in the next one's report."""
    monkeypatch.setattr(rebuild, "SEGMENTS", 1)  # one thread, so that a request has the same number each time
    count_records(books, TOLD)
    found = [Drift("lines", 1, 1, 2, 2), Drift("products", 1, 0, -100, 0), NONE[2]]
    for point in counting_up():
        before, _ = generation(store)
        tamper(store, "PRODUCT#1", f"{before}#0", units=100)
        store.put(f"untold{point}", 3, price={"N": "1"})
        died = False
        with dying(app.extensions["cart_table"], moment, point):
            try:
                run(books)
            except Died:
                died = True
        if generation(store) == (before + 1, False):  # it had done all when it died
            assert Rebuild(books).drift() == found
            assert run(books) == NONE
        else:
            assert run(books) == found
        assert books.product(1) == RIGHT[1]
        assert books.product(3) == ProductTotals(3, point + 1, 2 * (point + 1), 2 * (point + 1))
        assert books.totals().units == 6 + 2 * (point + 1)
        if not died:
            break
    assert point > 10


def generation(store: Store) -> tuple[int, bool]:
    """Which is current, and whether that is being made."""
    rows = [row for row in store.rows("TOTALS#") if row["item_id"]["S"] == "GENERATION"]
    return (int(rows[0]["generation"]["N"]), "rebuilding" in rows[0]) if rows else (1, False)


def test_the_command(app, books, store):
    count_records(books, TOLD)
    tamper(store, "PRODUCT#1", "1#0", units=4, cents=-250)
    result = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert result.exit_code == 0
    assert result.output.splitlines()[1:] == ["Corrected the count of 1 product: +0 lines, -4 units, +2.50 in value"]
    store.put("dan", 9, quantity={"N": "1"}, price={"N": "3"})
    store.put("dan", 8, quantity={"N": "1"}, price={"N": "0.50"})
    tamper(store, "TOTALS#", "2#3", lines=-1)
    again = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert again.output.splitlines()[1:] == [
        "Corrected the count of 2 lines: +2 lines, +2 units, +3.50 in value",
        "Corrected the totals over all carts: +1 lines, +0 units, +0.00 in value",
    ]
    quiet = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert quiet.output.splitlines()[1:] == ["Nothing differed: the counts are what the carts hold"]


def test_the_command_says_that_dynamodb_throttles(app):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cart.commands.rebuild.Rebuild.run", lambda _: (_ for _ in ()).throw(Throttled()))
        result = app.test_cli_runner().invoke(args=["analytics", "rebuild"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output

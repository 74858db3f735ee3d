"""The pure rule of counting: what a stream record changes; order, repeats and batch sizes do not matter."""

from collections import Counter
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cart.analytics.tally import Change, Counted, Held, LineId, change_of, held_of, tally
from tests.support.records import NOON, cleared, history, image, record

BY_TTL = {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}
BY_SOMEBODY = {"userIdentity": {"type": "Service", "principalId": "somebody.example"}}

FLOWS = {
    "a new line": (record(None, image(2)), {"lines_added": 1, "units_added": 2, "cents_added": 3998}),
    "more of it": (record(image(2), image(5, "10.50")), {"units_added": 3, "cents_added": 3150}),
    "less of it": (record(image(5), image(2)), {}),
    "another price": (record(image(2), image(2, "1")), {}),
    "removed": (record(image(2), None), {"lines_removed": 1}),
    "removed by somebody": (record(image(2), None, **BY_SOMEBODY), {"lines_removed": 1}),
    "deleted by TTL": (record(image(2), None, **BY_TTL), {"lines_abandoned": 1, "cents_abandoned": 3998}),
    "removed when it had run out": (
        record(image(2, ttl=NOON), None),
        {"lines_abandoned": 1, "cents_abandoned": 3998},
    ),
    "revived": (
        record(image(2, ttl=1), image(1, "3", added_at="b")),
        {"lines_abandoned": 1, "cents_abandoned": 3998, "lines_added": 1, "units_added": 1, "cents_added": 300},
    ),
    "copied anew, with the time of the last copy": (
        record(image(2, ttl=NOON - 61), image(1, "3")),
        {"lines_abandoned": 1, "cents_abandoned": 3998, "lines_added": 1, "units_added": 1, "cents_added": 300},
    ),
    "changed in its last moment": (record(image(2, ttl=NOON), image(1, "3")), {}),
    "a cart was cleared": (cleared(), {"carts_cleared": 1}),
    "that row ran out": (cleared(eventName="REMOVE"), {}),
}


@pytest.mark.parametrize("case", FLOWS)
def test_record_changes_the_flows(case):
    stream_record, flows = FLOWS[case]
    change = change_of(stream_record)
    assert (change.day, change.flows) == ("2026-11-23", flows)


def test_saved_lines_and_other_rows_are_not_counted():
    for user, item_id in (("ann", "SAVED#42"), ("SHARES#ann", "0a"), ("COUNTED#ann", "LINE#42"), ("DAYS#", "2026#0")):
        assert change_of(record(None, image(), user, item_id)) is None


def test_delete_of_a_missing_row_changes_nothing():
    assert change_of(record(None, None, eventName="REMOVE")) is None


def test_day_is_utc():
    assert change_of(record(None, image(), at=1_795_478_399.9)).day == "2026-11-23"
    assert change_of(record(None, image(), at=1_795_478_400)).day == "2026-11-24"


def test_positions_sort_by_number_and_new_streams_come_last():
    new_stream = record(None, image(), number=1, eventSourceARN="arn:x/stream/2026-11-24T00:00:00.000")
    records = [record(None, image(), number=9), record(None, image(), number=10), record(None, image(), number=10**39)]
    positions = [change_of(stream_record).position for stream_record in [*records, new_stream]]
    assert positions == sorted(positions)


def record_without(*path: str) -> dict:
    stream_record = deepcopy(record(image(), image()))
    place = stream_record
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return stream_record


@pytest.mark.parametrize(
    "stream_record",
    [
        record_without("dynamodb"),
        record_without("dynamodb", "ApproximateCreationDateTime"),
        record(None, None),
    ],
)
def test_invalid_record_is_refused(stream_record):
    with pytest.raises((LookupError, ValueError, ArithmeticError)):
        change_of(stream_record)


@pytest.mark.parametrize("name", ["price", "quantity"])
def test_row_without_price_or_quantity_holds_nothing(name):
    """No cart shows such a row either: see tests/dynamodb/test_odd_rows.py."""
    change = change_of(record_without("dynamodb", "NewImage", name))
    assert (change.held, change.flows) == (Held(), {})
    change = change_of(record_without("dynamodb", "OldImage", name))
    assert (change.held, change.flows) == (Held(2, 1999), {"lines_added": 1, "units_added": 2, "cents_added": 3998})
    without = record_without("dynamodb", "NewImage", name)["dynamodb"]["NewImage"]
    assert change_of(record(without, None)).flows == {}


@pytest.mark.parametrize(
    ("row", "held"),
    [
        (image("2.0", "1E+1"), Held(2, 1000)),
        (image(2, "19.989"), Held(2, 1999)),
        (image(2, "x"), Held()),
        ({"quantity": {"S": "2"}, "price": {"N": "19.99"}}, Held()),
        ({"quantity": {"NULL": True}, "price": {"N": "1"}}, Held()),
    ],
)
def test_held_is_what_the_cart_shows(row, held):
    assert held_of(row) == held


def test_row_that_has_not_the_key_of_a_line_is_not_counted():
    assert change_of(record(None, image(), item_id="ITEM#x")) is None


def test_change_moves_from_the_old_to_the_new_generation():
    counted = {LineId("ann", 42): Counted(Held(2, 1000), "1", generation=3, revision=7)}
    result = tally([change_of(record(image(), image(5, "1.00")))], counted, 4)
    assert result.products == {
        (42, 3): {"lines": -1, "units": -2, "cents": -2000},
        (42, 4): {"lines": 1, "units": 5, "cents": 500},
    }
    assert result.totals == {generation: amounts for (_, generation), amounts in result.products.items()}


IMAGES = st.none() | st.builds(
    image,
    st.integers(1, 9),
    st.sampled_from(["0.01", "19.99", "1.5"]),
    st.sampled_from("ab"),
    st.sampled_from([1, 10**11]),
)
HISTORIES = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from([1, 2]), st.lists(IMAGES, max_size=6)), max_size=4
)


def count_all(batches: list[list[Change]]) -> tuple[dict, dict, dict]:
    """Count as the bookkeeper does: skip what was counted, and write each batch at once."""
    counted_numbers: set[str] = set()
    counted: dict[LineId, Counted] = {}
    products: dict[int, Counter[str]] = {}
    days: dict[str, Counter[str]] = {}
    for batch in batches:
        new = {change.position: change for change in batch if change.position not in counted_numbers}
        result = tally(new.values(), counted, 1)
        counted_numbers |= new.keys()
        counted |= result.counted
        for (product_id, generation), amounts in result.products.items():
            assert generation == 1 or not any(amounts.values())
            products.setdefault(product_id, Counter()).update(amounts)
        for day, flows in result.days.items():
            days.setdefault(day, Counter()).update(flows)
    held = {line: line_count.held for line, line_count in counted.items() if line_count.held.quantity}
    return held, {key: amounts for key, amounts in products.items() if any(amounts.values())}, days


@given(HISTORIES, st.data())
def test_order_repeats_and_batches_do_not_matter(histories, data):
    lines: dict[tuple[str, int], list] = {}
    for user, product_id, images in histories:
        lines.setdefault((user, product_id), []).extend(images)
    changes = [
        change_of(stream_record)
        for (user, product_id), images in lines.items()
        for stream_record in history(images, user=user, item_id=f"ITEM#{product_id}")
    ]
    expected = count_all([changes])
    assert expected[0] == {
        LineId(*line): Held(int(images[-1]["quantity"]["N"]), round(float(images[-1]["price"]["N"]) * 100))
        for line, images in lines.items()
        if images and images[-1]
    }
    sums = Counter()
    for line, held in expected[0].items():
        sums.update({(line.product_id, name): amount for name, amount in held.amounts.items()})
    assert sums == Counter(
        {(product_id, name): n for product_id, amounts in expected[1].items() for name, n in amounts.items()}
    )
    delivered = data.draw(st.permutations(changes * data.draw(st.integers(1, 3))))
    cut = data.draw(st.integers(1, max(len(delivered), 1)))
    assert count_all([delivered[start : start + cut] for start in range(0, len(delivered), cut)]) == expected

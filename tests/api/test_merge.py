"""Merge on login, and copies of a shared cart: moved lines, receipts, cost, and concurrent requests on real engines."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import count

import pytest

from cart import create_app
from tests.support.capacity import billed
from tests.support.concurrency import at_once, until_answered
from tests.support.faults import REFUSED, THROTTLED
from tests.support.faulty_client import hooked
from tests.support.stores import CUP

KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
EARLY, LATE = "2026-01-01T00:00:00.000000Z", "2026-06-01T00:00:00.000000Z"


@pytest.fixture
def guest(client) -> str:
    return client.post("/cart").json["user_id"]


def merge(client, user, source, headers=None, **body):
    return client.post(f"/cart/{user}/merge", json={"source_user_id": source} | body, headers=headers)


def receipt(answer) -> dict[int, dict]:
    assert answer.status_code == 200, answer.data
    return {line["product_id"]: line for line in answer.json["lines"]}


def read_cart(client, user) -> dict:
    return client.get(f"/cart/{user}?include=saved").json


def quantities(client, user, place="items") -> dict[int, int]:
    return {line["product_id"]: line["quantity"] for line in read_cart(client, user)[place]}


def add(client, user, product_id, quantity, place="items", **changes):
    body = CUP | {"product_id": product_id, "quantity": quantity} | changes
    assert client.post(f"/cart/{user}/{place}", json=body).status_code == 201


@pytest.mark.parametrize(
    ("strategy", "target_quantity", "source_quantity", "result", "cut"),
    [
        ("sum", 2, 3, 5, 0),
        ("sum", 998, 3, 999, 2),
        ("max", 2, 3, 3, 0),
        ("max", 4, 3, 4, 0),
        ("keep", 2, 3, 2, 0),
        ("replace", 2, 3, 3, 0),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_strategy_decides_quantity_and_cut(
    client, user, guest, strategy, target_quantity, source_quantity, result, cut, dry_run
):
    add(client, user, 42, target_quantity)
    add(client, guest, 42, source_quantity)
    add(client, guest, 7, 1)
    before = read_cart(client, user), read_cart(client, guest)
    answer = merge(client, user, guest, strategy=strategy, dry_run=dry_run)
    lines = receipt(answer)
    price = Decimal("19.99")
    assert lines[42] == {
        "product_id": 42,
        "product_name": "Espresso cup",
        "place": "cart",
        "rule": strategy,
        "source": {"quantity": source_quantity, "price": price},
        "target": {"quantity": target_quantity, "price": price},
        "result": {"quantity": result, "price": price},
        "price_from": "source",
        "cut": cut,
        "reason": "quantity-limit" if cut else None,
    }
    assert (lines[7]["rule"], lines[7]["target"], lines[7]["result"]["quantity"]) == ("move", None, 1)
    merged = answer.json["cart"]
    assert {line["product_id"]: line["quantity"] for line in merged["items"]} == {42: result, 7: 1}
    assert merged["total_items"] == result + 1
    assert merged["total_price"] == (result + 1) * price
    if dry_run:
        assert (read_cart(client, user), read_cart(client, guest)) == before
    else:
        assert read_cart(client, user) == merged
        assert read_cart(client, guest)["items"] == []


def test_sum_is_the_default_strategy(client, user, guest):
    add(client, user, 42, 1)
    add(client, guest, 42, 1)
    assert merge(client, user, guest).json["strategy"] == "sum"
    assert quantities(client, user) == {42: 2}


def test_second_merge_changes_nothing(client, user, guest):
    add(client, guest, 42, 3)
    first = merge(client, user, guest)
    again = merge(client, user, guest)
    assert again.json["lines"] == []
    assert again.json["cart"] == first.json["cart"] == read_cart(client, user)


def test_saved_lines_are_merged_too(client, user, guest, store):
    add(client, guest, 42, 3, "saved")
    add(client, guest, 7, 999, "saved")
    add(client, user, 7, 2, "saved")
    add(client, user, 42, 1)
    lines = receipt(merge(client, user, guest))
    assert {line["place"] for line in lines.values()} == {"saved"}
    assert (lines[7]["cut"], lines[7]["reason"]) == (2, "quantity-limit")
    assert (quantities(client, user), quantities(client, user, "saved")) == ({42: 1}, {42: 3, 7: 999})
    assert store.rows(guest) == []


@pytest.mark.parametrize(("ours", "theirs", "winner"), [(EARLY, LATE, "source"), (LATE, EARLY, "target")])
@pytest.mark.parametrize("strategy", ["sum", "max", "keep", "replace"])
def test_newer_price_is_kept(client, user, guest, store, ours, theirs, winner, strategy):
    store.put(user, 42, priced_at={"S": ours}, price={"N": "1.00"}, product_name={"S": "ours"})
    store.put(guest, 42, priced_at={"S": theirs}, price={"N": "2.00"}, product_name={"S": "theirs"})
    line = receipt(merge(client, user, guest, strategy=strategy))[42]
    assert (line["target"]["price"], line["source"]["price"], line["price_from"]) == (1, 2, winner)
    (item,) = client.get(f"/cart/{user}").json["items"]
    assert (item["price"], item["product_name"]) == ((2, "theirs") if winner == "source" else (1, "ours"))
    assert line["result"]["price"] == item["price"]


def test_later_set_quantity_makes_no_price_newer(client, user, guest):
    add(client, user, 42, 1, price=1)
    add(client, guest, 42, 1, price=2)
    client.put(f"/cart/{user}/items/42", json={"quantity": 5})
    assert receipt(merge(client, user, guest))[42]["price_from"] == "source"
    assert client.get(f"/cart/{user}").json["total_price"] == 12


def test_merged_lines_keep_their_order(client, user, guest):
    for owner, product_id in ((guest, 5), (user, 4), (guest, 3), (user, 2), (guest, 2)):
        add(client, owner, product_id, 1)
    merge(client, user, guest)
    assert list(quantities(client, user)) == [5, 4, 3, 2]


def test_lines_over_the_limit_stay_and_are_reported(client, user, guest, store):
    app = create_app(replace(store.config, cart_max_lines=3))
    small = app.test_client()
    for product_id in (1, 2):
        add(small, user, product_id, 1)
        add(small, user, product_id, 1, "saved")
    for product_id in (9, 2, 8):
        add(small, guest, product_id, 5)
        add(small, guest, product_id, 5, "saved")
    answer = merge(small, user, guest)
    reported = [(line["place"], line["product_id"], line["reason"]) for line in answer.json["lines"]]
    assert sorted(reported) == sorted(
        (p, i, r) for p in ("cart", "saved") for i, r in ((9, None), (2, None), (8, "lines-limit"))
    )
    for line in answer.json["lines"]:
        assert (line["result"] is None) == (line["price_from"] is None) == (line["reason"] is not None)
    for place in ("items", "saved"):
        assert quantities(small, user, place) == {1: 1, 2: 6, 9: 5}
        assert quantities(small, guest, place) == {8: 5}
    client_again = merge(small, user, guest)
    assert {line["reason"] for line in client_again.json["lines"]} == {"lines-limit"}
    small.delete(f"/cart/{user}/items/1")
    merge(small, user, guest)
    assert quantities(small, user) == {2: 6, 9: 5, 8: 5}


def test_lowered_limit_cuts_moved_quantities(client, user, guest, store):
    add(client, guest, 42, 900)
    small = create_app(replace(store.config, cart_max_quantity=10)).test_client()
    line = receipt(merge(small, user, guest))[42]
    assert (line["result"]["quantity"], line["cut"], line["reason"]) == (10, 890, "quantity-limit")


def test_expired_lines_are_not_merged(client, user, guest, store):
    store.put(user, 42, quantity={"N": "500"}, ttl={"N": "1"}, version={"N": "8"})
    store.put(user, 7, quantity={"N": "500"}, ttl={"N": "1"})
    store.put(guest, 42, quantity={"N": "3"})
    store.put(guest, 1, ttl={"N": "1"})
    lines = receipt(merge(client, user, guest))
    assert (lines.keys(), lines[42]["target"], lines[42]["rule"]) == ({42}, None, "move")
    (line,) = client.get(f"/cart/{user}").json["items"]
    assert (line["quantity"], line["version"]) == (3, 9)


def test_merged_lines_get_a_new_expiry(client, user, guest, store):
    store.put(guest, 42)
    merge(client, user, guest)
    (row,) = store.rows(user)
    assert row["ttl"]["N"] != "4102444800"
    store.put(guest, 7, item_id={"S": "SAVED#7"})
    merge(client, user, guest)
    lives = {row["item_id"]["S"]: int(row["ttl"]["N"]) for row in store.rows(user)}
    assert 149 * 86_400 < lives["SAVED#7"] - lives["ITEM#42"] < 151 * 86_400


def test_merge_changes_the_etags_of_changed_carts(client, user, guest):
    add(client, user, 42, 1)
    etag = client.put(f"/cart/{user}/items/42", json={"quantity": 2}).headers["ETag"]
    add(client, guest, 42, 1)
    merge(client, user, guest)
    assert client.put(f"/cart/{user}/items/42", json={"quantity": 9}, headers={"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "source_user_id"),
        ({"source_user_id": "a#b"}, "source_user_id"),
        ({"source_user_id": "IDEMPOTENCY#a"}, "source_user_id"),
        ({"source_user_id": ".."}, "source_user_id"),
        ({"source_user_id": "a\n"}, "source_user_id"),
        ({"source_user_id": 7}, "source_user_id"),
        ({"source_user_id": "g", "strategy": "most"}, "strategy"),
        ({"source_user_id": "g", "strategy": None}, "strategy"),
        ({"source_user_id": "g", "dry_run": 1}, "dry_run"),
        ({"source_user_id": "g", "dry_run": "true"}, "dry_run"),
        ({"source_user_id": "g", "target": "x"}, "target"),
    ],
)
def test_invalid_merge_is_refused_with_its_field(client, user, body, field):
    answer = client.post(f"/cart/{user}/merge", json=body)
    assert answer.status_code == 422
    assert field in answer.get_json(force=True)["errors"]


def test_merge_of_a_cart_into_itself_is_refused(client, user):
    answer = merge(client, user, user)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, ["source_user_id"])


# --- idempotency


def test_repeat_returns_the_same_receipt(client, user, guest, store):
    add(client, guest, 42, 3)
    first = merge(client, user, guest, KEY)
    add(client, guest, 42, 3)
    again = merge(client, user, guest, KEY)
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert (quantities(client, user), quantities(client, guest)) == ({42: 3}, {42: 3})
    assert merge(client, user, guest, KEY, strategy="max").status_code == 422


def test_empty_receipt_is_recorded_too(client, user, guest):
    first = merge(client, user, guest, KEY)
    add(client, guest, 42, 3)
    assert merge(client, user, guest, KEY).data == first.data
    assert quantities(client, guest) == {42: 3}


def test_longest_receipt_fits_into_a_row(real_app, real_store, user):
    """A row has at most 400 KB; the JSON of this receipt is longer."""
    chars = random.Random(1)
    for product_id in range(1, 101):
        for place in ("ITEM", "SAVED"):
            name = "".join(chr(chars.randrange(0x10000, 0x10FFFF)) for _ in range(200))
            real_store.put(
                f"{user}-guest", product_id, item_id={"S": f"{place}#{product_id}"}, product_name={"S": name}
            )
    first, again = (until_answered(lambda: merge(real_app.test_client(), user, f"{user}-guest", KEY)) for _ in "12")
    assert (first.status_code, again.data) == (200, first.data)
    assert len(first.json["lines"]) == 200
    assert len(first.data) > 400_000
    (record,) = real_store.rows(f"IDEMPOTENCY#{user}")
    assert sum(len(value.get("B", "") or str(value)) for value in record.values()) < 350_000


@pytest.mark.parametrize("error", [THROTTLED, REFUSED], ids=["throttled", "away"])
@pytest.mark.parametrize("headers", [None, KEY])
def test_half_done_merge_is_not_reported_as_refused(real_app, real_store, user, error, headers):
    for product_id in range(1, 61):
        real_store.put(f"{user}-guest", product_id)
    numbers = count()

    def fail(**_):
        if next(numbers):
            raise error

    client = real_app.test_client()
    with hooked(real_app.extensions["cart_table"], "before", fail, "TransactWriteItems"):
        answer = merge(client, user, f"{user}-guest", headers)
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")
    assert 0 < len(real_store.rows(user)) < 60
    again = merge(client, user, f"{user}-guest", headers)
    assert len(again.json["lines"]) == (60 if headers else 60 - 50)
    assert set(quantities(client, user).values()) == {2}
    assert (len(quantities(client, user)), real_store.rows(f"{user}-guest")) == (60, [])


def make_link(client, user_id) -> str:
    return client.post(f"/cart/{user_id}/shares", json={"access": "edit"}).json["token"]


def test_merge_ends_the_links_to_the_source(client, user, guest, store):
    add(client, guest, 42, 3)
    to_source, to_target = [make_link(client, guest) for _ in range(2)], make_link(client, user)
    merge(client, user, guest, dry_run=True)
    assert client.get(f"/shared/{to_source[0]}").status_code == 200
    merge(client, user, guest)
    for token in to_source:
        for answer in (
            client.get(f"/shared/{token}"),
            client.post(f"/shared/{token}/items", json=CUP),
            client.put(f"/shared/{token}/items/42", json={"quantity": 1}),
            client.delete(f"/shared/{token}/items/42"),
            client.post(f"/cart/{user}-friend/copy", json={"share_token": token}),
        ):
            assert answer.status_code == 404
            assert answer.get_json(force=True)["type"] == "urn:cart:problem:share-not-found"
    assert client.get(f"/shared/{to_target}").json["total_items"] == 3
    assert quantities(client, user) == {42: 3}
    assert (store.rows(f"SHARES#{guest}"), store.rows(guest)) == ([], [])


def test_repeated_merge_ends_the_links_made_since(client, user, guest):
    add(client, guest, 42, 3)
    merge(client, user, guest, KEY)
    token = make_link(client, guest)
    assert merge(client, user, guest, KEY).headers["Idempotency-Replayed"] == "true"
    assert client.get(f"/shared/{token}").status_code == 404


def test_merge_with_the_key_of_another_request_ends_no_link(client, user, guest):
    client.post(f"/cart/{user}/items", json=CUP, headers=KEY)
    token = make_link(client, guest)
    assert merge(client, user, guest, KEY).status_code == 422
    assert client.get(f"/shared/{token}").status_code == 200


@pytest.mark.parametrize("headers", [None, KEY])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_add_through_a_link_that_a_merge_ends_is_not_acknowledged(client, user, guest, table, headers, moment):
    """The merge runs while the friend's add is written: the friend learns that it may have reached nobody."""
    token, numbers, merged = make_link(client, guest), count(), []

    def merge_meanwhile(**_):
        if next(numbers) == 0:
            merged.append(merge(client.application.test_client(), user, guest).status_code)

    with hooked(table, moment, merge_meanwhile, "TransactWriteItems" if headers else "UpdateItem"):
        answer = client.post(f"/shared/{token}/items", json=CUP, headers=headers)
    assert merged == [200]
    assert answer.get_json(force=True)["type"] == "urn:cart:problem:share-not-found"
    assert (quantities(client, user), quantities(client, guest)) == (
        ({}, {42: 2}) if moment == "before" else ({42: 2}, {})
    )


@pytest.mark.parametrize("error", [THROTTLED, REFUSED], ids=["throttled", "away"])
def test_unchecked_add_through_a_link_is_not_reported_as_refused(client, guest, table, error):
    token, numbers = make_link(client, guest), count()

    def fail(**_):
        if next(numbers):  # the first GetItem finds the link
            raise error

    with hooked(table, "before", fail, "GetItem"):
        answer = client.post(f"/shared/{token}/items", json=CUP)
    assert answer.get_json(force=True)["type"] == "urn:cart:problem:outcome-unknown"
    assert quantities(client, guest) == {42: 2}


def test_cost_of_ending_links(client, user, guest, table):
    for _ in range(26):
        make_link(client, guest)
    with billed(table) as bill:
        merge(client, user, guest)
    assert bill.operations == ["Query", *["BatchWriteItem"] * 4, "Query", "Query"]


def test_a_dry_run_keeps_no_record(client, user, guest, store):
    add(client, guest, 42, 3)
    merge(client, user, guest, KEY, dry_run=True)
    assert store.rows(f"IDEMPOTENCY#{user}") == []


# --- what it costs


@contextmanager
def transactions(table) -> Iterator[list[int]]:
    """Yield a list that gets the number of actions of each transaction."""
    sizes: list[int] = []

    def see(params, **_):
        sizes.append(len(params["TransactItems"]))

    with hooked(table, "before", see, "TransactWriteItems"):
        yield sizes


@pytest.fixture(scope="module")
def real_app(real_store):
    return create_app(real_store.config)


# DynamoDB Local counts any transaction as one row, so the actions are counted: AWS charges 2 units for each, of up to
# 1 KB ("Read/write capacity mode for transactions"), and an index write for each line that comes or goes.
@pytest.mark.parametrize(
    ("lines", "in_common", "query_units", "sizes"),
    [
        (0, 0, 0, []),
        (1, 0, 1, [2]),
        (1, 1, 2, [2]),
        (10, 0, 1, [20]),
        (10, 10, 2, [20]),
        (50, 0, 3, [100]),
        (100, 0, 6, [100, 100]),
        (100, 100, 11, [100, 100]),
    ],
)
def test_cost_of_a_merge(real_app, real_store, user, lines, in_common, query_units, sizes):
    table = real_app.extensions["cart_table"]
    for product_id in range(1, lines + 1):
        real_store.put(f"{user}-guest", product_id)
        if product_id <= in_common:
            real_store.put(user, product_id)
    with billed(table) as bill, transactions(table) as transaction_sizes:
        answer = merge(real_app.test_client(), user, f"{user}-guest")
    assert len(answer.json["lines"]) == lines
    assert bill.operations == ["Query", "Query", "Query"] + ["TransactWriteItems"] * len(sizes)
    assert transaction_sizes == sizes
    if real_store.engine == "dynamodb-local":  # ministack charges a unit for each Query
        assert bill.units_of["Query"] == query_units
    assert all(sum(len(str(part)) for part in row.items()) < 1024 for row in real_store.rows(user))


@pytest.mark.parametrize(("lines", "sizes"), [(0, [1]), (1, [3]), (49, [99]), (50, [99, 3]), (100, [99, 99, 5])])
def test_cost_of_a_keyed_merge(real_app, real_store, user, lines, sizes):
    """The record of the answer is in each transaction."""
    table = real_app.extensions["cart_table"]
    for product_id in range(1, lines + 1):
        real_store.put(f"{user}-guest", product_id)
    with transactions(table) as transaction_sizes:
        first = merge(real_app.test_client(), user, f"{user}-guest", KEY)
        again = merge(real_app.test_client(), user, f"{user}-guest", KEY)
    assert (len(first.json["lines"]), again.data) == (lines, first.data)
    assert transaction_sizes == [*sizes, sizes[0] if lines == 0 else 1]  # the repeat's transaction is refused


@pytest.mark.parametrize(("lines", "sizes"), [(1, [1]), (100, [100])])
def test_cost_of_a_copy(real_app, real_store, user, lines, sizes):
    table, client = real_app.extensions["cart_table"], real_app.test_client()
    for product_id in range(1, lines + 1):
        real_store.put(f"{user}-guest", product_id)
    token = client.post(f"/cart/{user}-guest/shares", json={}).json["token"]
    with billed(table) as bill, transactions(table) as transaction_sizes:
        client.post(f"/cart/{user}/copy", json={"share_token": token})
    assert bill.operations == ["GetItem", "Query", "Query", "TransactWriteItems"]
    assert transaction_sizes == sizes


# --- races


@pytest.mark.parametrize("round_number", range(5))
@pytest.mark.parametrize("lines", [1, 65])
def test_concurrent_merges_move_each_line_once(real_app, real_store, user, round_number, lines):
    guest = f"{user}-guest"
    for product_id in range(1, lines + 1):
        real_store.put(guest, product_id)
        real_store.put(user, product_id, quantity={"N": "1"})

    def log_in(number: int):
        headers = {"Idempotency-Key": f'"{number}"'} if number % 2 else None
        return until_answered(lambda: merge(real_app.test_client(), user, guest, headers))

    answers = at_once(4, log_in)
    moved = [line["product_id"] for answer in answers for line in answer.json["lines"]]
    assert sorted(moved) == list(range(1, lines + 1))
    assert set(quantities(real_app.test_client(), user).values()) == {3}
    assert real_store.rows(guest) == []


@pytest.mark.parametrize("round_number", range(5))
def test_each_201_through_a_link_reaches_the_merged_cart(real_app, real_store, user, round_number):
    guest, friends, merges = f"{user}-guest", 6, 2
    client = real_app.test_client()
    links = [client.post(f"/cart/{guest}/shares", json={"access": "edit"}).json["token"] for _ in range(friends)]

    def shop(number: int) -> int:
        """Add units of a product of one's own, until the link is ended; return how many were acknowledged."""
        client = real_app.test_client()
        if number >= friends:
            assert until_answered(lambda: merge(client, user, guest)).status_code == 200
            return 0
        for acknowledged in range(200):
            answer = client.post(f"/shared/{links[number]}/items", json=CUP | {"product_id": number + 1, "quantity": 1})
            if answer.status_code == 404:
                return acknowledged
            assert answer.status_code == 201
        raise AssertionError("The link was not ended.")

    acknowledged = at_once(friends + merges, shop)[:friends]
    moved = quantities(client, user)
    for number, units in enumerate(acknowledged):
        # the last add of a friend, whose answer was 404, may have been moved too
        assert moved.get(number + 1, 0) - units in (0, 1)
        assert client.get(f"/shared/{links[number]}").status_code == 404
    assert client.get(f"/cart/{guest}/shares").json == {"shares": []}


def test_concurrent_merges_with_one_key_return_one_receipt(real_app, real_store, user):
    for product_id in range(1, 66):
        real_store.put(f"{user}-guest", product_id)
    answers = at_once(4, lambda _: until_answered(lambda: merge(real_app.test_client(), user, f"{user}-guest", KEY)))
    assert len({answer.data for answer in answers}) == 1
    assert len(answers[0].json["lines"]) == 65
    assert set(quantities(real_app.test_client(), user).values()) == {2}


@pytest.mark.parametrize("round_number", range(5))
@pytest.mark.parametrize("beside", ["source", "target"])
def test_merge_during_adds_loses_no_unit(real_app, real_store, user, round_number, beside):
    """Three threads add to either cart while it is merged; at the end every unit is there once."""
    guest = f"{user}-guest"
    for product_id in range(1, 6):
        real_store.put(guest, product_id)

    def work(number: int) -> None:
        client = real_app.test_client()
        if number == 0:
            for _ in range(3):
                assert until_answered(lambda: merge(client, user, guest)).status_code == 200
        else:
            for product_id in range(1, 6):
                add(client, guest if beside == "source" else user, product_id, 1)

    at_once(4, work)
    merge(real_app.test_client(), user, guest)
    assert quantities(real_app.test_client(), user) == dict.fromkeys(range(1, 6), 5)
    assert real_store.rows(guest) == []

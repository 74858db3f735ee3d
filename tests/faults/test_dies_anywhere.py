"""A request whose process dies at any of its DynamoDB requests, and that is made again, ends right."""

import uuid
from collections import Counter
from typing import Any

import pytest

from cart.model.limits import Limits
from tests.support.crashes import PREFIXES, Units, deaths, put, units
from tests.support.faults import LOST, SLOW, THROTTLED, client_error
from tests.support.faulty_client import failing, hooked
from tests.support.stores import CUP

# moto copies its tables at each transaction: one of 100 rows takes it longer than the service waits
pytestmark = pytest.mark.parametrize("store", ["dynamodb-local"], indirect=True)

ADDED = CUP | {"quantity": 3}
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93"'}
BASE = {"new": 0, "known": 2, "expired": 0}  # units that are there before
BATCH_ROWS = 25
MOVES = {  # from which list to which, and how
    "save": ("cart", "saved", "items/42/save-for-later"),
    "move": ("saved", "cart", "saved/42/move-to-cart"),
}


def prepare_line(store, user: str, state: str) -> None:
    if state != "new":
        store.put(user, 42, ttl={"N": "1" if state == "expired" else "4102444800"})


def lines(store, user: str) -> list[dict[str, Any]]:
    return [row for row in store.rows(user) if row["item_id"]["S"].startswith("ITEM#")]


@pytest.mark.parametrize("rows", [0, 3, BATCH_ROWS + 5])
def test_clear(client, user, store, table, rows):
    def clear(one: str):
        return client.delete(f"/cart/{one}")

    def fill(one: str) -> None:
        for product_id in range(1, rows + 1):
            store.put(one, product_id)

    points = []
    for one, point in deaths(table, user, clear, fill):
        points.append(point)
        assert clear(one).status_code == 204, point
        assert store.rows(one) == [], point
    assert len(points) == 2 * (1 + -(-rows // BATCH_ROWS))


@pytest.mark.parametrize("rows", [1, 3, 101])  # the last takes two transactions
def test_clear_with_if_match(client, user, store, table, rows):
    """Run again as the protocol wants it: where the first run has changed the cart, with the ETag of what is left."""
    etags = {}

    def fill(one: str) -> None:
        for product_id in range(1, rows + 1):
            store.put(one, product_id)
        etags[one] = client.get(f"/cart/{one}").headers["ETag"]

    def clear(one: str):
        return client.delete(f"/cart/{one}", headers={"If-Match": etags[one]})

    for one, point in deaths(table, user, clear, fill):
        left = len(store.rows(one))
        assert left in (rows, 1, 0), point  # by whole transactions
        again = clear(one)
        assert again.status_code == (204 if left == rows else 412), point
        if again.status_code == 412:
            assert len(again.get_json(force=True)["current"]["items"]) == left, point
            etags[one] = client.get(f"/cart/{one}").headers["ETag"]
            assert clear(one).status_code == 204, point
        assert store.rows(one) == [], point


@pytest.mark.parametrize("state", BASE)
def test_add_with_a_key(client, user, store, table, state):
    def add(one: str):
        return client.post(f"/cart/{one}/items", json=ADDED, headers=KEY)

    for one, point in deaths(table, user, add, lambda one: prepare_line(store, one, state)):
        applied = any(int(row["quantity"]["N"]) == BASE[state] + 3 for row in lines(store, one))
        again, third = add(one), add(one)
        assert (again.status_code, third.status_code) == (201, 201), point
        assert ("Idempotency-Replayed" in again.headers) == applied, point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert again.json == third.json, point
        for name in ("Location", "ETag"):
            assert again.headers[name] == third.headers[name], point
        (row,) = lines(store, one)
        assert int(row["quantity"]["N"]) == again.json["quantity"] == BASE[state] + 3, point
        assert row["version"]["N"] == str(again.json["version"]), point
        assert len(store.rows(f"IDEMPOTENCY#{one}")) == 1, point


@pytest.mark.parametrize("state", BASE)
def test_add_without_a_key(client, user, store, table, state):
    """The first, which nobody was answered, is there once or not; the second always is."""

    def add(one: str):
        return client.post(f"/cart/{one}/items", json=ADDED)

    for one, point in deaths(table, user, add, lambda one: prepare_line(store, one, state)):
        rows = [row for row in lines(store, one) if row["ttl"]["N"] != "1"]
        stored = int(rows[0]["quantity"]["N"]) if rows else 0
        assert stored in (BASE[state], BASE[state] + 3), point
        again = add(one)
        assert again.status_code == 201, point
        (row,) = lines(store, one)
        assert int(row["quantity"]["N"]) == again.json["quantity"] == stored + 3, point
        assert row["version"]["N"] == str(again.json["version"]), point
        assert client.get(f"/cart/{one}").json["total_items"] == stored + 3, point


def added(some: Units, more: Units) -> Units:
    return {line: some.get(line, 0) + more.get(line, 0) for line in some | more}


def prepare_move(store, user: str, move: str, state: str) -> None:
    source, target, _ = MOVES[move]
    put(store, user, {(source, 42): 3})
    if state != "new":
        put(store, user, {(target, 42): 2}, "1" if state == "expired" else "4102444800")


@pytest.mark.parametrize("state", BASE)
@pytest.mark.parametrize("move", MOVES)
def test_move_with_a_key(client, user, store, table, move, state):
    """The repeat is answered as the first would have been."""
    _, target, path = MOVES[move]

    def act(one: str):
        return client.post(f"/cart/{one}/{path}", headers=KEY)

    for one, point in deaths(table, user, act, lambda one: prepare_move(store, one, move, state)):
        whole = {(target, 42): 3 + BASE[state]}
        there = units(store, one)
        assert sum(there.values()) == 3 + BASE[state], point
        again, third = act(one), act(one)
        assert (again.status_code, third.status_code) == (200, 200), point
        assert ("Idempotency-Replayed" in again.headers) == (there == whole), point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert again.data == third.data, point
        assert again.headers["ETag"] == third.headers["ETag"], point
        assert again.json["quantity"] == 3 + BASE[state], point
        assert units(store, one) == whole, point
        assert len(store.rows(f"IDEMPOTENCY#{one}")) == 1, point


@pytest.mark.parametrize("state", BASE)
@pytest.mark.parametrize("move", MOVES)
def test_move_without_a_key(client, user, store, table, move, state):
    _, target, path = MOVES[move]

    def act(one: str):
        return client.post(f"/cart/{one}/{path}")

    for one, point in deaths(table, user, act, lambda one: prepare_move(store, one, move, state)):
        whole = {(target, 42): 3 + BASE[state]}
        there = units(store, one)
        assert sum(there.values()) == 3 + BASE[state], point
        assert act(one).status_code == (404 if there == whole else 200), point
        assert units(store, one) == whole, point


def guest_lines(count: int) -> Units:
    return {("cart", product_id): product_id for product_id in range(1, count - 1)} | {
        ("saved", 2): 5,
        ("saved", 3): 6,
    }


LOGIN_LINES = {("cart", 1): 10, ("cart", 1000): 7, ("saved", 3): 20}
GUEST_EXPIRED = {("cart", 900): 30, ("saved", 901): 30}
LOGIN_EXPIRED = {("cart", 2): 40, ("saved", 2): 40}  # of which the guest's are live


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
@pytest.mark.parametrize(("count", "transactions"), [(5, 1), (60, 2)])
def test_merge(client, user, store, table, count, transactions, headers):
    """Each line goes once, before the death or by the repeat; with a key, its receipt tells of both."""
    coming = guest_lines(count)
    whole = added(coming, LOGIN_LINES)

    def fill(one: str) -> None:
        put(store, f"guest-of-{one}", coming)
        put(store, f"guest-of-{one}", GUEST_EXPIRED, "1")
        put(store, one, LOGIN_LINES)
        put(store, one, LOGIN_EXPIRED, "1")

    def merge(one: str):
        return client.post(f"/cart/{one}/merge", json={"source_user_id": f"guest-of-{one}"}, headers=headers)

    points = []
    for one, point in deaths(table, user, merge, fill):
        points.append(point)
        left = units(store, f"guest-of-{one}")
        moved = {line: quantity for line, quantity in coming.items() if line not in left}
        assert left | moved == coming, point
        assert units(store, one) == added(LOGIN_LINES, moved), point
        again = merge(one)
        assert again.status_code == 200, point
        assert units(store, f"guest-of-{one}") == {}, point
        assert units(store, one) == whole, point
        assert_receipt(again.json, coming if headers else left, LOGIN_LINES)
        assert again.json["cart"] == client.get(f"/cart/{one}?include=saved").json, point
        third = merge(one)
        assert (third.data == again.data) if headers else (third.json["lines"] == []), point
        assert ("Idempotency-Replayed" in again.headers) == bool(headers and not left), point
        assert ("Idempotency-Replayed" in third.headers) == bool(headers), point
        assert units(store, one) == whole, point
    assert len(points) == 2 * (2 + transactions)


def assert_receipt(receipt: dict[str, Any], coming: Units, there: Units) -> None:
    """It names every line that came once, with what became of it."""
    assert Counter((line["place"], line["product_id"]) for line in receipt["lines"]) == Counter(coming.keys())
    for line in receipt["lines"]:
        one = (line["place"], line["product_id"])
        assert line["source"]["quantity"] == coming[one]
        assert (line["target"] or {"quantity": 0})["quantity"] == there.get(one, 0)
        assert line["result"]["quantity"] == coming[one] + there.get(one, 0)
        assert (line["rule"], line["cut"]) == ("sum" if one in there else "move", 0)


@pytest.mark.parametrize("name", ["é" * 200, "".join(map(chr, range(0x1F300, 0x1F3C8)))])
def test_the_longest_receipt_can_be_kept(client, user, store, name):
    """A row has at most 400 KB: 100 lines in the cart, and 100 saved, of the longest names."""
    for prefix in PREFIXES.values():
        for product_id in range(1, 101):
            one = {"S": f"{product_id:3}{name[3:]}"}
            store.put(f"guest-of-{user}", product_id, item_id={"S": f"{prefix}{product_id}"}, product_name=one)
    answers = [
        client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-of-{user}"}, headers=KEY) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(answers[0].json["lines"]) == 200
    assert answers[0].data == answers[1].data
    assert store.rows(f"guest-of-{user}") == []


@pytest.fixture
def copying(client, store):
    """A link to a full cart, what is in it, and the function that copies it; in two transactions if with a key."""
    owner = f"owner-{uuid.uuid4().hex}"
    coming = {("cart", product_id): product_id for product_id in range(1, 101)}
    put(store, owner, coming | {("saved", 1): 1})
    put(store, owner, {("cart", 900): 30}, "1")
    token = client.post(f"/cart/{owner}/shares", json={}).json["token"]

    def copy(one: str, **headers: str):
        return client.post(f"/cart/{one}/copy", json={"share_token": token}, headers=headers)

    yield copy, coming
    assert units(store, owner) == coming | {("saved", 1): 1}


def prepare_copy(store, user: str) -> None:
    put(store, user, {("cart", 1): 10, ("saved", 3): 20})
    put(store, user, {("cart", 2): 40}, "1")


def test_copy_with_a_key(user, store, table, copying):
    copy, coming = copying
    before = {("cart", 1): 10, ("saved", 3): 20}
    points = []
    for one, point in deaths(table, user, lambda one: copy(one, **KEY), lambda one: prepare_copy(store, one)):
        points.append(point)
        there = units(store, one)
        done = {line: coming[line] for line in coming if there.get(line, 0) > before.get(line, 0)}
        assert there == added(before, done), point
        again = copy(one, **KEY)
        assert again.status_code == 200, point
        assert units(store, one) == added(before, coming), point
        assert_receipt(again.json, coming, before)
        third = copy(one, **KEY)
        assert third.data == again.data, point
        assert ("Idempotency-Replayed" in again.headers) == (done == coming), point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert units(store, one) == added(before, coming), point
    assert len(points) == 2 * 5  # the link, two carts, and two transactions


def test_copy_without_a_key(user, store, table, copying):
    """The first, which nobody was answered, is there whole or not at all; the second always is."""
    copy, coming = copying
    before = {("cart", 1): 10, ("saved", 3): 20}
    points = []
    for one, point in deaths(table, user, copy, lambda one: prepare_copy(store, one)):
        points.append(point)
        there = units(store, one)
        assert there in (before, added(before, coming)), point
        again = copy(one)
        assert again.status_code == 200, point
        assert_receipt(again.json, coming, there)
        assert units(store, one) == added(there, coming), point
    assert len(points) == 2 * 4


def listed(client, owner: str) -> list[str]:
    return [share["share_id"] for share in client.get(f"/cart/{owner}/shares").json["shares"]]


def test_create_share(client, user, store, table, monkeypatch):
    """A link that works is listed, even if nobody was told its token, so that it can be revoked."""
    tokens: list[str] = []

    def new_token(_: int) -> str:
        tokens.append(uuid.uuid4().hex)
        return tokens[-1]

    monkeypatch.setattr("cart.carts.share_views.secrets.token_urlsafe", new_token)

    def share(one: str):
        return client.post(f"/cart/{one}/shares", json={})

    for one, point in deaths(table, user, share, lambda _: tokens.clear()):
        (first,) = tokens
        works = client.get(f"/shared/{first}").status_code == 200
        assert len(listed(client, one)) == works, point
        again = share(one)
        assert again.status_code == 201, point
        assert client.get(f"/shared/{again.json['token']}").status_code == 200, point
        assert len(listed(client, one)) == works + 1, point
        for share_id in listed(client, one):
            client.delete(f"/cart/{one}/shares/{share_id}")
        assert {client.get(f"/shared/{token}").status_code for token in tokens} == {404}, point


def test_revoke_share(client, user, store, table):
    shares = {}

    def share(one: str) -> None:
        shares[one] = client.post(f"/cart/{one}/shares", json={}).json

    def revoke(one: str):
        return client.delete(f"/cart/{one}/shares/{shares[one]['share_id']}")

    for one, point in deaths(table, user, revoke, share):
        works = client.get(f"/shared/{shares[one]['token']}").status_code == 200
        assert not works or listed(client, one) == [shares[one]["share_id"]], point
        assert revoke(one).status_code == 204, point
        assert client.get(f"/shared/{shares[one]['token']}").status_code == 404, point
        assert listed(client, one) == [], point
        for key in (f"SHARE#{shares[one]['share_id']}", f"SHARES#{one}"):
            assert store.rows(key) == [], point


# What the client is told must be true of what was done: the other half of a request that ends in the middle.


@pytest.mark.parametrize("operation", ["Query", "DeleteItem"])
@pytest.mark.parametrize("error", [THROTTLED, SLOW, client_error("AccessDeniedException", 400)])
def test_an_add_whose_line_cannot_be_counted_or_taken_back_is_not_called_undone(
    client, user, store, table, operation, error, monkeypatch
):
    if operation == "DeleteItem":
        monkeypatch.setattr(table, "limits", Limits(999, 0))
    with failing(table, operation, [error] * 100):
        told = client.post(f"/cart/{user}/items", json=ADDED)
    assert len(lines(store, user)) == 1
    assert (told.status_code, told.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")


@pytest.mark.parametrize("first", [LOST, SLOW])
@pytest.mark.parametrize("then", [THROTTLED, client_error("AccessDeniedException", 400)])
def test_a_transaction_that_may_have_been_applied_is_not_called_undone(client, user, store, table, first, then):
    store.put(user, 42)
    etag = client.get(f"/cart/{user}").headers["ETag"]
    with (
        failing(table, "TransactWriteItems", [first], applied=True) as calls,
        hooked(table, "before", lambda **_: fail_if(calls, then), "TransactWriteItems"),
    ):
        told = client.delete(f"/cart/{user}", headers={"If-Match": etag})
    assert store.rows(user) == []
    assert (told.status_code, told.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")


def fail_if(calls: list[str], error: Exception) -> None:
    if calls:
        raise error

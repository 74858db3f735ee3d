"""A request crashes at any of its DynamoDB requests and is sent again: the result is right."""

import uuid
from collections import Counter
from typing import Any

import pytest

from cart.model.limits import Limits
from tests.support.crashes import PREFIXES, Units, crash_points, put, units
from tests.support.faults import LOST, SLOW, THROTTLED, client_error
from tests.support.faulty_client import failing, hooked
from tests.support.stores import CUP

# moto copies its tables for each transaction: with 100 rows this takes longer than the service waits
pytestmark = pytest.mark.parametrize("store", ["dynamodb-local"], indirect=True)

ADDED = CUP | {"quantity": 3}
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93"'}
BASE = {"new": 0, "known": 2, "expired": 0}  # units in the target line before the request
BATCH_ROWS = 25
MOVES = {  # source list, target list, path
    "save": ("cart", "saved", "items/42/save-for-later"),
    "move": ("saved", "cart", "saved/42/move-to-cart"),
}


def prepare_line(store, user: str, state: str) -> None:
    if state != "new":
        store.put(user, 42, ttl={"N": "1" if state == "expired" else "4102444800"})


def lines(store, user: str) -> list[dict[str, Any]]:
    return [row for row in store.rows(user) if row["item_id"]["S"].startswith("ITEM#")]


@pytest.mark.parametrize("rows", [0, 3, BATCH_ROWS + 5])
def test_crashed_clear_can_be_repeated(client, user, store, table, rows):
    def clear(cart: str):
        return client.delete(f"/cart/{cart}")

    def fill(cart: str) -> None:
        for product_id in range(1, rows + 1):
            store.put(cart, product_id)

    points = []
    for cart, point in crash_points(table, user, clear, fill):
        points.append(point)
        assert clear(cart).status_code == 204, point
        assert store.rows(cart) == [], point
    assert len(points) == 2 * (1 + -(-rows // BATCH_ROWS))


@pytest.mark.parametrize("rows", [1, 3, 99, 100, 220])  # the last ones need two and three transactions
def test_crashed_clear_with_if_match_can_be_repeated(client, user, store, table, rows):
    """The same request again removes the rest; if there is no rest, the 412 shows an empty cart."""
    etags = {}

    def fill(cart: str) -> None:
        for product_id in range(1, rows + 1):
            store.put(cart, product_id)
        etags[cart] = client.get(f"/cart/{cart}").headers["ETag"]

    def clear(cart: str):
        return client.delete(f"/cart/{cart}", headers={"If-Match": etags[cart]})

    for cart, point in crash_points(table, user, clear, fill):
        remaining = len(store.rows(cart))
        assert remaining in (rows, rows - 99, rows - 199, 0), point  # a transaction is carried out as a whole
        again = clear(cart)
        assert again.status_code == (204 if remaining else 412), point
        if again.status_code == 412:
            assert again.get_json(force=True)["current"]["items"] == [], point
        assert store.rows(cart) == [], point
        assert len(store.rows(f"CLEARED#{cart}")) == 1, point
        store.put(cart, 1, version={"N": "2"})
        assert clear(cart).status_code == 412, point  # the cart is another one since then
        assert len(store.rows(cart)) == 1, point


@pytest.mark.parametrize("state", BASE)
def test_crashed_add_with_a_key_is_stored_once(client, user, store, table, state):
    def add(cart: str):
        return client.post(f"/cart/{cart}/items", json=ADDED, headers=KEY)

    for cart, point in crash_points(table, user, add, lambda cart: prepare_line(store, cart, state)):
        applied = any(int(row["quantity"]["N"]) == BASE[state] + 3 for row in lines(store, cart))
        again, third = add(cart), add(cart)
        assert (again.status_code, third.status_code) == (201, 201), point
        assert ("Idempotency-Replayed" in again.headers) == applied, point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert again.json == third.json, point
        for name in ("Location", "ETag"):
            assert again.headers[name] == third.headers[name], point
        (row,) = lines(store, cart)
        assert int(row["quantity"]["N"]) == again.json["quantity"] == BASE[state] + 3, point
        assert row["version"]["N"] == str(again.json["version"]), point
        assert len(store.rows(f"IDEMPOTENCY#{cart}")) == 1, point


@pytest.mark.parametrize("state", BASE)
def test_crashed_add_without_a_key_can_be_repeated(client, user, store, table, state):
    """The first add, which got no answer, is stored once or not at all; the second is always stored."""

    def add(cart: str):
        return client.post(f"/cart/{cart}/items", json=ADDED)

    for cart, point in crash_points(table, user, add, lambda cart: prepare_line(store, cart, state)):
        rows = [row for row in lines(store, cart) if row["ttl"]["N"] != "1"]
        stored = int(rows[0]["quantity"]["N"]) if rows else 0
        assert stored in (BASE[state], BASE[state] + 3), point
        again = add(cart)
        assert again.status_code == 201, point
        (row,) = lines(store, cart)
        assert int(row["quantity"]["N"]) == again.json["quantity"] == stored + 3, point
        assert row["version"]["N"] == str(again.json["version"]), point
        assert client.get(f"/cart/{cart}").json["total_items"] == stored + 3, point


def sum_of_units(first: Units, second: Units) -> Units:
    return {line: first.get(line, 0) + second.get(line, 0) for line in first | second}


def prepare_move(store, user: str, move: str, state: str) -> None:
    source, target, _ = MOVES[move]
    put(store, user, {(source, 42): 3})
    if state != "new":
        put(store, user, {(target, 42): 2}, "1" if state == "expired" else "4102444800")


@pytest.mark.parametrize("state", BASE)
@pytest.mark.parametrize("move", MOVES)
def test_crashed_move_with_a_key_moves_once(client, user, store, table, move, state):
    """The repeat gets the answer that the first request would have got."""
    _, target, path = MOVES[move]

    def act(cart: str):
        return client.post(f"/cart/{cart}/{path}", headers=KEY)

    for cart, point in crash_points(table, user, act, lambda cart: prepare_move(store, cart, move, state)):
        whole = {(target, 42): 3 + BASE[state]}
        stored = units(store, cart)
        assert sum(stored.values()) == 3 + BASE[state], point
        again, third = act(cart), act(cart)
        assert (again.status_code, third.status_code) == (200, 200), point
        assert ("Idempotency-Replayed" in again.headers) == (stored == whole), point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert again.data == third.data, point
        assert again.headers["ETag"] == third.headers["ETag"], point
        assert again.json["quantity"] == 3 + BASE[state], point
        assert units(store, cart) == whole, point
        assert len(store.rows(f"IDEMPOTENCY#{cart}")) == 1, point


@pytest.mark.parametrize("state", BASE)
@pytest.mark.parametrize("move", MOVES)
def test_crashed_move_without_a_key_moves_once(client, user, store, table, move, state):
    _, target, path = MOVES[move]

    def act(cart: str):
        return client.post(f"/cart/{cart}/{path}")

    for cart, point in crash_points(table, user, act, lambda cart: prepare_move(store, cart, move, state)):
        whole = {(target, 42): 3 + BASE[state]}
        stored = units(store, cart)
        assert sum(stored.values()) == 3 + BASE[state], point
        assert act(cart).status_code == (404 if stored == whole else 200), point
        assert units(store, cart) == whole, point


def guest_lines(count: int) -> Units:
    return {("cart", product_id): product_id for product_id in range(1, count - 1)} | {
        ("saved", 2): 5,
        ("saved", 3): 6,
    }


LOGIN_LINES = {("cart", 1): 10, ("cart", 1000): 7, ("saved", 3): 20}
GUEST_EXPIRED = {("cart", 900): 30, ("saved", 901): 30}
LOGIN_EXPIRED = {("cart", 2): 40, ("saved", 2): 40}  # the guest's lines of these products are live


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
@pytest.mark.parametrize(("count", "transactions"), [(5, 1), (60, 2)])
def test_crashed_merge_moves_each_line_once(client, user, store, table, count, transactions, headers):
    """Each line moves once, before the crash or by the repeat; with a key, the receipt lists both."""
    guest_units = guest_lines(count)
    whole = sum_of_units(guest_units, LOGIN_LINES)

    def fill(cart: str) -> None:
        put(store, f"guest-of-{cart}", guest_units)
        put(store, f"guest-of-{cart}", GUEST_EXPIRED, "1")
        put(store, cart, LOGIN_LINES)
        put(store, cart, LOGIN_EXPIRED, "1")

    def merge(cart: str):
        return client.post(f"/cart/{cart}/merge", json={"source_user_id": f"guest-of-{cart}"}, headers=headers)

    points = []
    for cart, point in crash_points(table, user, merge, fill):
        points.append(point)
        remaining = units(store, f"guest-of-{cart}")
        moved = {line: quantity for line, quantity in guest_units.items() if line not in remaining}
        assert remaining | moved == guest_units, point
        assert units(store, cart) == sum_of_units(LOGIN_LINES, moved), point
        again = merge(cart)
        assert again.status_code == 200, point
        assert units(store, f"guest-of-{cart}") == {}, point
        assert units(store, cart) == whole, point
        assert_receipt(again.json, guest_units if headers else remaining, LOGIN_LINES)
        assert again.json["cart"] == client.get(f"/cart/{cart}?include=saved").json, point
        third = merge(cart)
        assert (third.data == again.data) if headers else (third.json["lines"] == []), point
        assert ("Idempotency-Replayed" in again.headers) == bool(headers and not remaining), point
        assert ("Idempotency-Replayed" in third.headers) == bool(headers), point
        assert units(store, cart) == whole, point
    assert len(points) == 2 * (3 + transactions)  # a Query of the links, and one of each cart


def assert_receipt(receipt: dict[str, Any], moved: Units, before: Units, rule: str = "move") -> None:
    """Assert that the receipt lists every moved line once, with its result."""
    assert Counter((line["place"], line["product_id"]) for line in receipt["lines"]) == Counter(moved.keys())
    for line in receipt["lines"]:
        key = (line["place"], line["product_id"])
        assert line["source"]["quantity"] == moved[key]
        assert (line["target"] or {"quantity": 0})["quantity"] == before.get(key, 0)
        assert line["result"]["quantity"] == moved[key] + before.get(key, 0)
        assert (line["rule"], line["cut"]) == ("sum" if key in before else rule, 0)


@pytest.mark.parametrize("name", ["é" * 200, "".join(map(chr, range(0x1F300, 0x1F3C8)))])
def test_longest_receipt_fits_into_a_row(client, user, store, name):
    """A row has at most 400 KB: 100 lines in the cart and 100 saved lines, with the longest names."""
    for prefix in PREFIXES.values():
        for product_id in range(1, 101):
            product_name = {"S": f"{product_id:3}{name[3:]}"}
            store.put(f"guest-of-{user}", product_id, item_id={"S": f"{prefix}{product_id}"}, product_name=product_name)
    answers = [
        client.post(f"/cart/{user}/merge", json={"source_user_id": f"guest-of-{user}"}, headers=KEY) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(answers[0].json["lines"]) == 200
    assert answers[0].data == answers[1].data
    assert store.rows(f"guest-of-{user}") == []


@pytest.fixture
def copying(client, store):
    """Return a function that copies a full cart by a link, and its lines; with a key it needs two transactions."""
    owner = f"owner-{uuid.uuid4().hex}"
    source_units = {("cart", product_id): product_id for product_id in range(1, 101)}
    put(store, owner, source_units | {("saved", 1): 1})
    put(store, owner, {("cart", 900): 30}, "1")
    token = client.post(f"/cart/{owner}/shares", json={}).json["token"]

    def copy(cart: str, **headers: str):
        return client.post(f"/cart/{cart}/copy", json={"share_token": token}, headers=headers)

    yield copy, source_units
    assert units(store, owner) == source_units | {("saved", 1): 1}


def prepare_copy(store, user: str) -> None:
    put(store, user, {("cart", 1): 10, ("saved", 3): 20})
    put(store, user, {("cart", 2): 40}, "1")


def test_crashed_copy_with_a_key_is_stored_once(user, store, table, copying):
    copy, source_units = copying
    before = {("cart", 1): 10, ("saved", 3): 20}
    points = []
    for cart, point in crash_points(
        table, user, lambda cart: copy(cart, **KEY), lambda cart: prepare_copy(store, cart)
    ):
        points.append(point)
        stored = units(store, cart)
        copied = {line: source_units[line] for line in source_units if stored.get(line, 0) > before.get(line, 0)}
        assert stored == sum_of_units(before, copied), point
        again = copy(cart, **KEY)
        assert again.status_code == 200, point
        assert units(store, cart) == sum_of_units(before, source_units), point
        assert_receipt(again.json, source_units, before, "copy")
        third = copy(cart, **KEY)
        assert third.data == again.data, point
        assert ("Idempotency-Replayed" in again.headers) == (copied == source_units), point
        assert third.headers["Idempotency-Replayed"] == "true", point
        assert units(store, cart) == sum_of_units(before, source_units), point
    assert len(points) == 2 * 5  # the link, two carts, and two transactions


def test_crashed_copy_without_a_key_can_be_repeated(user, store, table, copying):
    """The first copy, which got no answer, is stored whole or not at all; the second is always stored."""
    copy, source_units = copying
    before = {("cart", 1): 10, ("saved", 3): 20}
    points = []
    for cart, point in crash_points(table, user, copy, lambda cart: prepare_copy(store, cart)):
        points.append(point)
        stored = units(store, cart)
        assert stored in (before, sum_of_units(before, source_units)), point
        again = copy(cart)
        assert again.status_code == 200, point
        assert_receipt(again.json, source_units, stored, "copy")
        assert units(store, cart) == sum_of_units(stored, source_units), point
    assert len(points) == 2 * 4


def listed_share_ids(client, owner: str) -> list[str]:
    return [share["share_id"] for share in client.get(f"/cart/{owner}/shares").json["shares"]]


def test_crashed_share_creation_leaves_no_unlisted_link(client, user, store, table, monkeypatch):
    """A link that works is listed even if no answer contained its token, so that it can be revoked."""
    tokens: list[str] = []

    def new_token(_: int) -> str:
        tokens.append(uuid.uuid4().hex)
        return tokens[-1]

    monkeypatch.setattr("cart.carts.share_views.secrets.token_urlsafe", new_token)

    def share(cart: str):
        return client.post(f"/cart/{cart}/shares", json={})

    for cart, point in crash_points(table, user, share, lambda _: tokens.clear()):
        works = 200 in [client.get(f"/shared/{share_token}").status_code for share_token in tokens]
        assert len(listed_share_ids(client, cart)) == works, point
        again = share(cart)
        assert again.status_code == 201, point
        assert client.get(f"/shared/{again.json['token']}").status_code == 200, point
        assert len(listed_share_ids(client, cart)) == works + 1, point
        for share_id in listed_share_ids(client, cart):
            client.delete(f"/cart/{cart}/shares/{share_id}")
        assert {client.get(f"/shared/{share_token}").status_code for share_token in tokens} == {404}, point


def test_crashed_revocation_can_be_repeated(client, user, store, table):
    shares = {}

    def share(cart: str) -> None:
        shares[cart] = client.post(f"/cart/{cart}/shares", json={}).json

    def revoke(cart: str):
        return client.delete(f"/cart/{cart}/shares/{shares[cart]['share_id']}")

    for cart, point in crash_points(table, user, revoke, share):
        works = client.get(f"/shared/{shares[cart]['token']}").status_code == 200
        assert not works or listed_share_ids(client, cart) == [shares[cart]["share_id"]], point
        assert revoke(cart).status_code == 204, point
        assert client.get(f"/shared/{shares[cart]['token']}").status_code == 404, point
        assert listed_share_ids(client, cart) == [], point
        for key in (f"SHARE#{shares[cart]['share_id']}", f"SHARES#{cart}"):
            assert store.rows(key) == [], point


# A request that is half done must not be answered as if nothing had been done


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
def test_crashed_merge_ends_every_link_when_it_is_repeated(client, user, store, table, headers):
    """No line moves before every link has ended, and a link that still works is listed."""
    links: dict[str, list[dict[str, Any]]] = {}

    def share(guest: str) -> None:
        store.put(guest, 42)
        links[guest] = [client.post(f"/cart/{guest}/shares", json={}).json for _ in range(BATCH_ROWS + 1)]

    def merge(guest: str):
        return client.post(f"/cart/{guest}-user/merge", json={"source_user_id": guest}, headers=headers)

    def working(guest: str) -> list[str]:
        by_token = {link["token"]: link["share_id"] for link in links[guest]}
        return [share_id for token, share_id in by_token.items() if client.get(f"/shared/{token}").status_code == 200]

    for guest, point in crash_points(table, user, merge, share):
        assert set(working(guest)) <= set(listed_share_ids(client, guest)), point
        assert not working(guest) or lines(store, f"{guest}-user") == [], point
        assert merge(guest).status_code == 200, point
        assert (working(guest), store.rows(f"SHARES#{guest}")) == ([], []), point
        assert units(store, f"{guest}-user") == {("cart", 42): 2}, point


@pytest.mark.parametrize("operation", ["Query", "DeleteItem"])
@pytest.mark.parametrize("error", [THROTTLED, SLOW, client_error("AccessDeniedException", 400)])
def test_add_with_unknown_outcome_is_not_reported_as_refused(client, user, store, table, operation, error, monkeypatch):
    if operation == "DeleteItem":
        monkeypatch.setattr(table, "limits", Limits(999, 0))
    with failing(table, operation, [error] * 100):
        answer = client.post(f"/cart/{user}/items", json=ADDED)
    assert len(lines(store, user)) == 1
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")


@pytest.mark.parametrize("first_error", [LOST, SLOW])
@pytest.mark.parametrize("next_error", [THROTTLED, client_error("AccessDeniedException", 400)])
def test_transaction_with_unknown_outcome_is_not_reported_as_refused(
    client, user, store, table, first_error, next_error
):
    store.put(user, 42)
    etag = client.get(f"/cart/{user}").headers["ETag"]
    with (
        failing(table, "TransactWriteItems", [first_error], applied=True) as calls,
        hooked(table, "before", lambda **_: fail_if(calls, next_error), "TransactWriteItems"),
    ):
        answer = client.delete(f"/cart/{user}", headers={"If-Match": etag})
    assert store.rows(user) == []
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (503, "urn:cart:problem:outcome-unknown")


def fail_if(calls: list[str], error: Exception) -> None:
    if calls:
        raise error

"""Saved for later: a list beside the cart, with its own expiry."""

import time
from dataclasses import replace

import pytest

from cart import create_app
from tests.support.capacity import billed
from tests.support.concurrency import at_once, until_answered
from tests.support.stores import CUP

KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
DAY_SECONDS = 86_400


def add(client, user, quantity=2, place="items", product_id=42, **changes):
    body = CUP | {"quantity": quantity, "product_id": product_id} | changes
    answer = client.post(f"/cart/{user}/{place}", json=body)
    assert answer.status_code == 201, answer.data
    return answer


def save(client, user, product_id=42, headers=None):
    return client.post(f"/cart/{user}/items/{product_id}/save-for-later", headers=headers)


def move_back(client, user, product_id=42, headers=None):
    return client.post(f"/cart/{user}/saved/{product_id}/move-to-cart", headers=headers)


def quantities_of_both_lists(client, user) -> tuple[dict[int, int], dict[int, int]]:
    cart = client.get(f"/cart/{user}?include=saved").json
    return tuple({line["product_id"]: line["quantity"] for line in cart[place]} for place in ("items", "saved"))


def test_line_is_saved_and_moved_back(client, user):
    line = add(client, user).json
    saved = save(client, user)
    assert (saved.status_code, saved.headers["Location"]) == (200, f"/cart/{user}/saved/42")
    assert saved.json == line | {"version": saved.json["version"], "cut": 0}
    assert saved.headers["ETag"] == f'"{saved.json["version"]}"'
    assert quantities_of_both_lists(client, user) == ({}, {42: 2})
    moved = move_back(client, user)
    assert (moved.status_code, moved.headers["Location"]) == (200, f"/cart/{user}/items/42")
    assert quantities_of_both_lists(client, user) == ({42: 2}, {})
    assert client.put(f"/cart/{user}/items/42", json={"quantity": 1}, headers={"If-Match": moved.headers["ETag"]})


def test_cart_includes_saved_lines_only_on_request(client, user):
    add(client, user, place="saved")
    cart = client.get(f"/cart/{user}")
    assert "saved" not in cart.json
    assert cart.json["items"] == []
    with_saved = client.get(f"/cart/{user}?include=saved")
    assert [line["product_id"] for line in with_saved.json["saved"]] == [42]
    assert (with_saved.json["total_items"], with_saved.json["total_price"]) == (0, 0)
    etag = with_saved.headers["ETag"]
    assert client.get(f"/cart/{user}?include=saved", headers={"If-None-Match": etag}).status_code == 304
    add(client, user, place="saved")
    assert client.get(f"/cart/{user}?include=saved", headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("value", ["", "items", "Saved", "saved,items"])
def test_other_values_of_include_are_refused(client, user, value):
    answer = client.get(f"/cart/{user}?include={value}")
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, ["include"])


def test_directly_saved_lines_are_listed_in_order(client, user):
    for product_id in (3, 1, 2, 1):
        location = add(client, user, 1, "saved", product_id).headers["Location"]
        assert location == f"/cart/{user}/saved/{product_id}"
    saved_list = client.get(f"/cart/{user}/saved").json
    assert saved_list.keys() == {"user_id", "items"}
    assert [(line["product_id"], line["quantity"]) for line in saved_list["items"]] == [(3, 1), (1, 2), (2, 1)]
    assert client.get(f"/cart/{user}-other/saved").json["items"] == []


def test_saved_line_joins_an_existing_one_up_to_the_limit(client, user):
    add(client, user, 600, "saved", price=1)
    add(client, user, 500, price=2)
    saved = save(client, user).json
    assert (saved["quantity"], saved["cut"], saved["price"]) == (999, 101, 2)
    add(client, user, 1, price=3)
    moved = move_back(client, user).json
    assert (moved["quantity"], moved["cut"], moved["price"]) == (999, 1, 3)
    assert quantities_of_both_lists(client, user) == ({42: 999}, {})


def test_direct_save_over_the_limit_is_refused(client, user):
    add(client, user, 999, "saved")
    answer = client.post(f"/cart/{user}/saved", json=CUP)
    assert (answer.status_code, answer.get_json(force=True)["limit"]) == (409, 999)


def test_saved_list_has_its_own_limit(user, store):
    small = create_app(replace(store.config, cart_max_lines=2)).test_client()
    for product_id in (1, 2):
        add(small, user, 1, "items", product_id)
        add(small, user, 1, "saved", product_id + 10)
    for answer in (save(small, user, 1), move_back(small, user, 11), small.post(f"/cart/{user}/saved", json=CUP)):
        problem = answer.get_json(force=True)
        assert (answer.status_code, problem["type"], problem["limit"]) == (409, "urn:cart:problem:lines-limit", 2)
    assert "saved list" in small.post(f"/cart/{user}/saved", json=CUP).get_json(force=True)["detail"]
    assert quantities_of_both_lists(small, user) == ({1: 1, 2: 1}, {11: 1, 12: 1})
    add(small, user, 1, "saved", 11)  # an existing line


@pytest.mark.parametrize("act", [save, move_back])
@pytest.mark.parametrize("headers", [None, KEY])
def test_missing_line_is_404(client, user, store, act, headers):
    store.put(user, 7)
    store.put(user, 7, item_id={"S": "SAVED#7"})
    answer = act(client, user, 42, headers)
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (404, "urn:cart:problem:line-not-found")
    assert quantities_of_both_lists(client, user) == ({7: 2}, {7: 2})
    assert store.rows(f"IDEMPOTENCY#{user}") == []


@pytest.mark.parametrize("act", [save, move_back])
def test_keyed_repeat_returns_the_first_answer(client, user, act):
    add(client, user, 3, "items" if act is save else "saved")
    first = act(client, user, 42, KEY)
    add(client, user, 1, "items" if act is save else "saved")
    again = act(client, user, 42, KEY)
    assert (again.status_code, again.data, again.headers["Idempotency-Replayed"]) == (200, first.data, "true")
    assert again.headers["Location"] == first.headers["Location"]
    assert sorted(map(str, quantities_of_both_lists(client, user))) == ["{42: 1}", "{42: 3}"]
    assert act(client, user, 42).status_code == 200
    assert act(client, user, 42).status_code == 404


def test_keyed_direct_save_is_applied_once(client, user):
    answers = [client.post(f"/cart/{user}/saved", json=CUP, headers=KEY) for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert quantities_of_both_lists(client, user) == ({}, {42: 2})


def test_saved_line_is_removed(client, user, store):
    etag = add(client, user, place="saved").headers["ETag"]
    add(client, user)
    assert client.delete(f"/cart/{user}/saved/42", headers={"If-Match": '"1"'}).status_code == 412
    assert client.delete(f"/cart/{user}/saved/42", headers={"If-Match": etag}).status_code == 204
    assert client.delete(f"/cart/{user}/saved/42").status_code == 204
    assert quantities_of_both_lists(client, user) == ({42: 2}, {})


def test_clear_keeps_saved_lines(client, user):
    add(client, user)
    add(client, user, place="saved")
    client.delete(f"/cart/{user}")
    assert quantities_of_both_lists(client, user) == ({}, {42: 2})
    etag = client.get(f"/cart/{user}").headers["ETag"]
    client.delete(f"/cart/{user}", headers={"If-Match": etag})
    assert quantities_of_both_lists(client, user) == ({}, {42: 2})


def test_saved_line_expires_later(client, user, store):
    add(client, user)
    add(client, user, place="saved")
    remaining_seconds = {row["item_id"]["S"]: int(row["ttl"]["N"]) - time.time() for row in store.rows(user)}
    assert 29.9 * DAY_SECONDS < remaining_seconds["ITEM#42"] <= 30 * DAY_SECONDS
    assert 179.9 * DAY_SECONDS < remaining_seconds["SAVED#42"] <= 180 * DAY_SECONDS
    save(client, user)
    (row,) = store.rows(user)
    assert int(row["ttl"]["N"]) - time.time() > 179.9 * DAY_SECONDS
    move_back(client, user)
    (row,) = store.rows(user)
    assert int(row["ttl"]["N"]) - time.time() <= 30 * DAY_SECONDS


def test_expired_saved_line_is_absent(client, user, store):
    past = {"ttl": {"N": str(int(time.time()) - 1)}}
    store.put(user, 42, **past)
    store.put(user, 7, item_id={"S": "SAVED#7"}, **past)
    assert quantities_of_both_lists(client, user) == ({}, {})
    assert client.get(f"/cart/{user}/saved").json["items"] == []
    assert save(client, user).status_code == move_back(client, user, 7).status_code == 404
    store.put(user, 7, quantity={"N": "3"})
    assert save(client, user, 7).json["quantity"] == 3  # not the quantity of the expired line
    add(client, user, 5, "saved", 42)
    assert quantities_of_both_lists(client, user) == ({}, {7: 3, 42: 5})


@pytest.mark.parametrize("act", [save, move_back])
def test_cost_of_moving_a_line(client, user, store, table, act):
    store.put(user, 42, **({} if act is save else {"item_id": {"S": "SAVED#42"}}))
    with billed(table) as bill:
        act(client, user)
    assert bill.operations == ["Query", "TransactWriteItems"]


def test_cost_of_reading_saved_lines(client, user, store, table):
    add(client, user, place="saved")
    for path in ("?include=saved", "/saved"):
        with billed(table) as bill:
            client.get(f"/cart/{user}{path}")
        assert bill.operations == ["Query"]


@pytest.mark.parametrize("round_number", range(5))
def test_two_concurrent_saves_move_the_line_once(real_store, user, round_number):
    app = create_app(real_store.config)
    real_store.put(user, 42)
    answers = at_once(4, lambda _: until_answered(lambda: save(app.test_client(), user)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert quantities_of_both_lists(app.test_client(), user) == ({}, {42: 2})


@pytest.mark.parametrize("round_number", range(5))
def test_moves_during_adds_lose_no_unit(real_store, user, round_number):
    app = create_app(real_store.config)

    def work(number: int) -> int:
        client, added = app.test_client(), 0
        for _ in range(10):
            if number == 0:
                until_answered(lambda: save(client, user))
            elif number == 1:
                until_answered(lambda: move_back(client, user))
            else:
                add(client, user, 1)
                added += 1
        return added

    added = sum(at_once(4, work))
    cart, saved = quantities_of_both_lists(app.test_client(), user)
    assert cart.get(42, 0) + saved.get(42, 0) == added == 20

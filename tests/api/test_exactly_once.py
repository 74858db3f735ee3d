"""Idempotency keys, versions and ETags, on all engines; races where transactions are isolated (not moto)."""

import re
import time

import pytest

from cart import create_app
from tests.support.capacity import billed
from tests.support.concurrency import at_once
from tests.support.stores import CUP

KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}


def add(client, user, headers=KEY, **changes):
    return client.post(f"/cart/{user}/items", json=CUP | changes, headers=headers)


def units(client, user) -> int:
    return client.get(f"/cart/{user}").json["total_items"]


def test_repeat_returns_the_first_answer(client, user):
    first = add(client, user)
    client.put(f"/cart/{user}/items/42", json={"quantity": 7})
    for _ in range(3):
        again = add(client, user)
        assert (again.status_code, again.data) == (first.status_code, first.data)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["ETag"] == first.headers["ETag"]
    assert "Idempotency-Replayed" not in first.headers
    assert units(client, user) == 7


def test_payloads_are_compared_by_value_not_by_text(client, user):
    add(client, user)
    text = '{"price":19.990,  "quantity": 2, "product_name": "Espresso cup", "product_id": 42}'
    again = client.post(f"/cart/{user}/items", data=text, content_type="application/json", headers=KEY)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert units(client, user) == 2


def test_key_with_another_payload_is_422(client, user):
    add(client, user)
    for changes in ({"quantity": 3}, {"price": 1}, {"product_id": 43}):
        response = add(client, user, **changes)
        assert response.status_code == 422
        assert response.get_json(force=True)["type"] == "urn:cart:problem:idempotency-key-reused"
    assert units(client, user) == 2


def test_key_belongs_to_one_cart(client, user):
    assert add(client, user).status_code == add(client, user + "2").status_code == 201
    assert units(client, user) == units(client, user + "2") == 2


def test_other_key_is_another_request(client, user):
    for number in range(3):
        add(client, user, {"Idempotency-Key": f'"{number}"'})
    assert units(client, user) == 6


def test_quotes_are_not_part_of_the_key(client, user):
    add(client, user, {"Idempotency-Key": '"abc"'})
    assert add(client, user, {"Idempotency-Key": "abc"}).headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("invalid_key", ["", '""', '"a', "a b", '"' + "x" * 256 + '"', '"é"', "(a)"])
def test_malformed_key_is_422(client, user, store, invalid_key):
    response = add(client, user, {"Idempotency-Key": invalid_key})
    assert response.status_code == 422
    assert "Idempotency-Key" in response.get_json(force=True)["errors"]
    assert store.rows(user) == []


def test_key_can_be_used_again_after_a_day(client, user, store):
    add(client, user)
    (record,) = store.rows(f"IDEMPOTENCY#{user}")
    assert 86_300 < int(record["ttl"]["N"]) - time.time() <= 86_400
    store.expire(f"IDEMPOTENCY#{user}", ttl=int(time.time()) - 1)
    assert "Idempotency-Replayed" not in add(client, user, quantity=3).headers
    assert units(client, user) == 5


def test_refusal_is_not_recorded(client, user, store):
    assert add(client, user, quantity=0).status_code == 422
    assert add(client, user, headers={}, quantity=998).status_code == 201
    assert add(client, user).status_code == 409
    assert store.rows(f"IDEMPOTENCY#{user}") == []
    client.delete(f"/cart/{user}")
    assert add(client, user).status_code == 201


def test_repeat_at_the_limit_returns_the_first_answer(client, user):
    first = add(client, user, quantity=999)
    assert add(client, user, quantity=999).data == first.data


def test_keyed_add_to_an_expired_line_starts_a_new_line(client, user, store):
    store.put(user, 42, quantity={"N": "500"}, ttl={"N": "1"}, version={"N": "8"})
    line = add(client, user).json
    assert (line["quantity"], line["version"]) == (2, 9)
    assert units(client, user) == 2


def test_cost_of_keyed_adds(client, user, table, store):
    for headers, operations, cost in (
        (KEY, ["GetItem", "Query", "TransactWriteItems"], None),  # a new line: the cart's lines are counted
        ({"Idempotency-Key": '"b"'}, ["GetItem", "TransactWriteItems"], 5),
        ({}, ["UpdateItem"], 1),  # without the header, the cost is unchanged
    ):
        with billed(table) as bill:
            add(client, user, headers)
        assert bill.operations == operations
        if cost and store.engine != "moto":
            assert bill.units == cost


# --- If-Match and If-None-Match


def test_put_with_if_match_changes_only_the_read_version(client, user):
    etag = add(client, user, {}).headers["ETag"]
    first = client.put(f"/cart/{user}/items/42", json={"quantity": 5}, headers={"If-Match": etag})
    second = client.put(f"/cart/{user}/items/42", json={"quantity": 6}, headers={"If-Match": etag})
    assert (first.status_code, second.status_code) == (200, 412)
    problem = second.get_json(force=True)
    assert problem["type"] == "urn:cart:problem:version-conflict"
    assert problem["current"] == first.get_json(force=True)
    assert first.headers["ETag"] == f'"{problem["current"]["version"]}"' != etag
    assert units(client, user) == 5


def test_delete_with_if_match_removes_only_the_read_version(client, user):
    etag = add(client, user, {}).headers["ETag"]
    add(client, user, {})
    lost = client.delete(f"/cart/{user}/items/42", headers={"If-Match": etag})
    assert (lost.status_code, lost.get_json(force=True)["current"]["quantity"]) == (412, 4)
    now = f'"{client.get(f"/cart/{user}").json["items"][0]["version"]}"'
    assert client.delete(f"/cart/{user}/items/42", headers={"If-Match": f'"1", {now}'}).status_code == 204
    answer = client.delete(f"/cart/{user}/items/42", headers={"If-Match": now})
    assert (answer.status_code, answer.get_json(force=True)["current"]) == (412, None)


def test_readded_line_has_another_etag(client, user):
    etag = add(client, user, {}).headers["ETag"]
    client.delete(f"/cart/{user}/items/42")
    add(client, user, {})
    assert client.put(f"/cart/{user}/items/42", json={"quantity": 5}, headers={"If-Match": etag}).status_code == 412


@pytest.mark.parametrize(("tag", "status"), [("*", 200), ('"nonsense"', 412), ('W/"1"', 412), ('"-1"', 412)])
def test_all_forms_of_if_match_are_understood(client, user, tag, status):
    add(client, user, {})
    headers = {"If-Match": tag}
    assert client.put(f"/cart/{user}/items/42", json={"quantity": 5}, headers=headers).status_code == status
    # RFC 9110, section 13.2.1: a request that fails without the condition fails in the same way with it
    assert client.put(f"/cart/{user}/items/43", json={"quantity": 5}, headers=headers).status_code == 404


@pytest.mark.parametrize("tag", ['"unterminated', ",", "", " "])
def test_malformed_if_match_is_not_ignored(client, user, tag):
    """Ignoring it would overwrite what the caller has not read."""
    add(client, user, {})
    headers, line = {"If-Match": tag}, f"/cart/{user}/items/42"
    for method, path, body in (
        ("PUT", line, {"quantity": 5}),
        ("DELETE", line, None),
        ("DELETE", f"/cart/{user}", None),
        ("POST", f"/cart/{user}/price-changes/accept", {}),
    ):
        answer = client.open(path, method=method, json=body, headers=headers)
        assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, ["If-Match"])
    assert [line["quantity"] for line in client.get(f"/cart/{user}").json["items"]] == [2]


@pytest.mark.parametrize("tag", ['""', '"", "x"', 'W/"", ""'])
def test_empty_etag_is_that_of_no_line_and_of_no_cart(client, user, tag):
    add(client, user, {})
    headers, line = {"If-Match": tag}, f"/cart/{user}/items/42"
    for method, path, body in (
        ("PUT", line, {"quantity": 5}),
        ("DELETE", line, None),
        ("DELETE", f"/cart/{user}", None),
        ("POST", f"/cart/{user}/price-changes/accept", {}),
    ):
        assert client.open(path, method=method, json=body, headers=headers).status_code == 412
    assert units(client, user) == 2


def test_too_many_etags_are_refused(client, user):
    tags = ", ".join(f'"{number}"' for number in range(51))
    response = client.put(f"/cart/{user}/items/42", json={"quantity": 5}, headers={"If-Match": tags})
    assert (response.status_code, list(response.get_json(force=True)["errors"])) == (422, ["If-Match"])


def test_clear_with_if_match_clears_only_the_read_version(client, user):
    add(client, user, {})
    etag = client.get(f"/cart/{user}").headers["ETag"]
    add(client, user, {}, product_id=43)
    lost = client.delete(f"/cart/{user}", headers={"If-Match": etag})
    assert lost.status_code == 412
    assert lost.get_json(force=True)["current"] == client.get(f"/cart/{user}").json
    assert units(client, user) == 4
    etag = client.get(f"/cart/{user}").headers["ETag"]
    assert client.delete(f"/cart/{user}", headers={"If-Match": etag}).status_code == 204
    assert units(client, user) == 0


def test_etag_with_the_saved_list_serves_as_a_condition_on_the_cart(client, user):
    add(client, user, {})
    client.post(f"/cart/{user}/saved", json=CUP)
    etag = client.get(f"/cart/{user}?include=saved").headers["ETag"]
    client.post(f"/cart/{user}/saved", json=CUP)  # the cart itself does not change
    changed, cart = {"If-Match": etag}, f"/cart/{user}"
    assert client.post(f"{cart}/price-changes/accept", json={}, headers=changed).status_code == 200
    add(client, user, {})
    for answer in (
        client.post(f"{cart}/price-changes/accept", json={}, headers=changed),
        client.delete(cart, headers=changed),
        client.delete(cart, headers={"If-Match": etag[:20] + '"'}),
    ):
        assert answer.status_code == 412
        assert answer.get_json(force=True)["current"]["total_items"] == 4
    etag = client.get(f"{cart}?include=saved").headers["ETag"]
    assert client.delete(cart, headers={"If-Match": f'"x", {etag}'}).status_code == 204
    assert (units(client, user), client.get(f"{cart}/saved").json["items"][0]["quantity"]) == (0, 4)


def test_condition_is_honoured_or_refused_and_never_ignored(client, app, user, table):
    """The routes are read from the app; those that declare a condition in the document honour it."""
    document = client.get("/openapi.json").json
    values = {"user_id": user, "product_id": 42, "token": "A" * 32, "share_id": "0" * 64, "job_id": "0" * 32}
    honoured, refused = set(), set()
    for rule in app.url_map.iter_rules():
        for method in rule.methods & {"POST", "PUT", "PATCH", "DELETE"}:
            path = app.url_map.bind("").build(rule.endpoint, {name: values[name] for name in rule.arguments})
            declared = document["paths"][re.sub("<(?:[^:>]*:)?([^>]*)>", r"{\1}", rule.rule)][method.lower()]
            names = {parameter.get("$ref", "").rpartition("/")[2] for parameter in declared.get("parameters", [])}
            for header in ("If-Match", "If-None-Match"):
                if header in names:
                    honoured.add(f"{method} {rule.rule} {header}")
                    continue
                for value in ("*", '"1"', ""):
                    with billed(table) as bill:
                        answer = client.open(path, method=method, json={}, headers={header: value})
                    assert (answer.status_code, bill.operations) == (422, []), (method, path, header)
                    assert list(answer.get_json(force=True)["errors"]) == [header]
                refused.add(f"{method} {rule.rule} {header}")
    line, by_link = "items/<product_id:product_id> If-Match", "/shared/<token>/items/<product_id:product_id> If-Match"
    cart = "/cart/<user_id:user_id>"
    assert honoured == {
        *(f"PUT {cart}/{line}", f"DELETE {cart}/{line}", f"DELETE {cart}/saved/<product_id:product_id> If-Match"),
        *(f"PUT {by_link}", f"DELETE {by_link}"),
        *(f"DELETE {cart} If-Match", f"POST {cart}/price-changes/accept If-Match"),
    }
    assert len(refused) > 30


def test_both_unread_conditions_are_named(client, user, store):
    headers = {"If-Match": "*", "If-None-Match": "*"}
    answer = client.post(f"/cart/{user}/items", json=CUP, headers=headers)
    assert list(answer.get_json(force=True)["errors"]) == ["If-Match", "If-None-Match"]
    answer = client.put(f"/cart/{user}/items/42", json={"quantity": 1}, headers=headers)
    assert list(answer.get_json(force=True)["errors"]) == ["If-None-Match"]
    assert store.rows(user) == []


def test_read_ignores_a_condition_that_it_does_not_support(client, user):
    add(client, user, {})
    headers = {"If-Match": '"other"', "If-None-Match": "*"}
    for path in (f"/cart/{user}/saved", f"/cart/{user}/shares", "/health"):
        assert client.get(path, headers=headers).status_code == client.head(path, headers=headers).status_code == 200
    assert client.get(f"/cart/{user}", headers={"If-Match": '"other"'}).status_code == 200
    assert client.options(f"/cart/{user}/items", headers=headers).status_code == 200
    assert client.get("/nowhere", headers=headers).status_code == 404
    assert client.delete("/health", headers=headers).status_code == 405


def test_condition_by_a_time_is_ignored(client, user):
    """No answer has a Last-Modified (RFC 9110, section 13.1.4)."""
    past = "Thu, 01 Jan 1970 00:00:00 GMT"
    headers = {"If-Unmodified-Since": past, "If-Modified-Since": past}
    assert add(client, user, headers).status_code == 201
    assert client.get(f"/cart/{user}", headers=headers).status_code == 200
    assert client.delete(f"/cart/{user}", headers=headers).status_code == 204


def test_unchanged_cart_is_304(client, user):
    add(client, user, {})
    first = client.get(f"/cart/{user}")
    for tag in (first.headers["ETag"], f"W/{first.headers['ETag']}", "*", f'"x", {first.headers["ETag"]}'):
        same = client.get(f"/cart/{user}", headers={"If-None-Match": tag})
        assert (same.status_code, same.data) == (304, b"")
        assert same.headers["ETag"] == first.headers["ETag"]
    add(client, user, {})
    changed = client.get(f"/cart/{user}", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


def test_expired_line_changes_the_etag_of_its_cart(client, user, store):
    add(client, user, {})
    etag = client.get(f"/cart/{user}").headers["ETag"]
    store.expire(user)
    assert client.get(f"/cart/{user}", headers={"If-None-Match": etag}).status_code == 200


# --- lines of a cart


def test_cart_cannot_exceed_the_maximum_lines(client, user, store):
    for product_id in range(1, 100):
        store.put(user, product_id)
    store.put(user, 500, ttl={"N": "1"})  # expired: it does not count
    assert add(client, user, {}, product_id=100).status_code == 201
    for headers in ({}, KEY):
        refused = add(client, user, headers, product_id=101)
        assert refused.status_code == 409
        problem = refused.get_json(force=True)
        assert (problem["type"], problem["limit"]) == ("urn:cart:problem:lines-limit", 100)
        assert add(client, user, {}, product_id=500).status_code == 409
    assert len(client.get(f"/cart/{user}").json["items"]) == 100
    assert add(client, user, {}, product_id=100).status_code == 201  # an existing line accepts more units


# --- races


@pytest.fixture(scope="module")
def real_app(real_store):
    return create_app(real_store.config)


@pytest.mark.parametrize("round_number", range(5))
def test_concurrent_requests_with_one_key_are_applied_once(real_app, user, round_number):
    answers = at_once(8, lambda _: add(real_app.test_client(), user))
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert units(real_app.test_client(), user) == 2


def test_keyed_and_plain_adds_to_one_line_sum_exactly(real_app, user):
    def add_ten(number: int) -> int:
        client = real_app.test_client()
        added_count = 0
        for turn in range(10):
            headers = {"Idempotency-Key": f'"{number}-{turn}"'} if number % 2 else {}
            while (answer := add(client, user, headers, quantity=1)).status_code == 429:
                time.sleep(0.05)
            added_count += answer.status_code == 201
        return added_count

    assert sum(at_once(8, add_ten)) == 80
    assert units(real_app.test_client(), user) == 80


@pytest.mark.parametrize("round_number", range(10))
def test_one_of_two_concurrent_puts_with_one_etag_is_refused(real_app, user, round_number):
    etag = add(real_app.test_client(), user, {}).headers["ETag"]

    def put(number: int) -> int:
        path, body = f"/cart/{user}/items/42", {"quantity": number + 10}
        return real_app.test_client().put(path, json=body, headers={"If-Match": etag}).status_code

    assert sorted(at_once(2, put)) == [200, 412]


def test_concurrent_new_lines_never_exceed_the_limit(real_app, real_store, user):
    for product_id in range(1, 96):
        real_store.put(user, product_id)
    answers = at_once(16, lambda number: add(real_app.test_client(), user, {}, product_id=1000 + number).status_code)
    lines = len(real_app.test_client().get(f"/cart/{user}").json["items"])
    assert set(answers) <= {201, 409}
    assert lines == 95 + answers.count(201) <= 100

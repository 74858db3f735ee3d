"""Share links: who may read or change a cart by a link, and that an invalid link reveals nothing."""

import hashlib
import json
import logging
import time
import zlib
from dataclasses import replace

import pytest

from cart import create_app
from tests.support.capacity import billed
from tests.support.stores import CUP

KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
DAY_SECONDS = 86_400


def share(client, user, access="view", **body) -> dict:
    answer = client.post(f"/cart/{user}/shares", json={"access": access} | body)
    assert answer.status_code == 201, answer.data
    return answer.json


def fill(client, user, **changes):
    return client.post(f"/cart/{user}/items", json=CUP | changes)


def copy(client, user, token, headers=None, **body):
    return client.post(f"/cart/{user}/copy", json={"share_token": token} | body, headers=headers)


def quantities(client, user) -> dict[int, int]:
    return {line["product_id"]: line["quantity"] for line in client.get(f"/cart/{user}").json["items"]}


def test_link_shows_the_cart_without_its_owner(client, user):
    fill(client, user)
    answer = client.post(f"/cart/{user}/shares", json={})
    share_created = answer.json
    assert answer.headers["Location"] == f"/shared/{share_created['token']}"
    assert len(share_created["token"]) == 32  # 192 bits in base64
    answer_by_link = client.get(f"/shared/{share_created['token']}")
    cart = client.get(f"/cart/{user}").json
    cart.pop("user_id")
    assert answer_by_link.json == cart | {"access": "view", "expires_at": share_created["expires_at"]}
    assert user not in answer_by_link.get_data(as_text=True) + str(answer_by_link.headers)


def test_link_has_a_default_access_and_expiry(client, user, store):
    share_created = share(client, user)
    for owner in (f"SHARE#{share_created['share_id']}", f"SHARES#{user}"):
        (row,) = store.rows(owner)
        assert 6.9 * DAY_SECONDS < int(row["ttl"]["N"]) - time.time() <= 7 * DAY_SECONDS
    again = share(client, user, "edit", expires_in_days=365)
    assert again["expires_at"] > share_created["expires_at"]
    assert again["created_at"].endswith("Z")
    assert again["expires_at"].endswith("Z")


def unzipped(value: bytes) -> str:
    """Return the text of a recorded answer, which is compressed if it is long."""
    return zlib.decompress(value).decode()


def test_token_is_not_stored(client, user, store):
    share_created = share(client, user)
    client.get(f"/shared/{share_created['token']}")
    scanned = store.client.scan(TableName=store.config.dynamodb_table_name)["Items"]
    assert share_created["token"] not in json.dumps(scanned, default=unzipped)
    assert share_created["share_id"] == hashlib.sha256(share_created["token"].encode()).hexdigest()


def test_token_is_not_stored_with_a_keyed_add(client, user, store):
    share_created = share(client, user, "edit")
    client.post(f"/shared/{share_created['token']}/items", json=CUP, headers=KEY)
    assert share_created["token"] not in json.dumps(store.rows(f"IDEMPOTENCY#{user}"), default=unzipped)


def test_token_is_not_logged(store, user, capsys):
    client = create_app(replace(store.config, log_level="DEBUG")).test_client()
    try:
        share_created = share(client, user, "edit")
        client.get(f"/shared/{share_created['token']}")
        client.post(f"/shared/{share_created['token']}/items", json=CUP)
        copy(client, user + "2", share_created["token"])
        logged = capsys.readouterr().out
    finally:
        logging.getLogger("cart").setLevel("WARNING")
    assert '"/shared/{token}"' in logged
    assert share_created["token"] not in logged


def test_links_are_listed_and_revoked(client, user, store):
    created = [share(client, user, access) for access in ("view", "edit", "view")]
    listed = client.get(f"/cart/{user}/shares").json["shares"]
    assert listed == [
        {name: value for name, value in created_share.items() if name != "token"} for created_share in created
    ]
    path = f"/cart/{user}/shares/{created[1]['share_id']}"
    for _ in range(2):
        assert client.delete(path).status_code == 204
        assert client.get(f"/shared/{created[1]['token']}").status_code == 404
    assert client.get(f"/shared/{created[0]['token']}").status_code == 200
    assert [created_share["share_id"] for created_share in client.get(f"/cart/{user}/shares").json["shares"]] == [
        created[0]["share_id"],
        created[2]["share_id"],
    ]
    assert store.rows(f"SHARE#{created[1]['share_id']}") == []


def test_link_of_another_user_cannot_be_revoked(client, user):
    share_created = share(client, user)
    assert (
        client.delete(f"/cart/{user}-other/shares/{share_created['share_id']}").status_code == 204
    )  # the same answer as for an unknown link
    assert client.get(f"/shared/{share_created['token']}").status_code == 200
    assert len(client.get(f"/cart/{user}/shares").json["shares"]) == 1


@pytest.mark.parametrize("share_id", ["x", "a" * 63, "A" * 64, "a" * 5000, "a" * 63 + "%0a"])
def test_malformed_share_id_is_refused(client, user, share_id):
    answer = client.delete(f"/cart/{user}/shares/{share_id}")
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, ["share_id"])


REQUESTS = {
    "see": ("GET", "/shared/{}", None),
    "add": ("POST", "/shared/{}/items", CUP),
    "set": ("PUT", "/shared/{}/items/42", {"quantity": 1}),
    "remove": ("DELETE", "/shared/{}/items/42", None),
    "copy": ("POST", "/cart/somebody/copy", {"share_token": "{}"}),
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_unknown_revoked_and_expired_links_get_the_same_answer(client, user, store, table, request_):
    """The answer and its single read are the same, so neither its text nor its time tells which it was."""
    fill(client, user)
    revoked, expired = share(client, user, "edit"), share(client, user, "edit")
    client.delete(f"/cart/{user}/shares/{revoked['share_id']}")
    store.expire(f"SHARE#{expired['share_id']}", ttl=int(time.time()) - 1)
    answers = set()
    for token in ("A" * 32, "x", "…", "ITEM#42", "z" * 199, revoked["token"], expired["token"]):
        method, path, body = REQUESTS[request_]
        filled = json.loads(json.dumps(body).replace("{}", token)) if body else None
        with billed(table) as bill:
            answer = client.open(path.format(token.replace("#", "%23")), method=method, json=filled)
        assert bill.operations == ["GetItem"]
        problem = answer.get_json(force=True)
        assert len(problem.pop("instance")) == 32
        answers.add((answer.status_code, json.dumps(problem), *sorted(answer.headers.keys())))
    (only,) = answers
    assert only[0] == 404
    assert "share-not-found" in only[1]
    assert quantities(client, user) == {42: 2}


def test_expired_links_are_not_listed(client, user, store):
    share(client, user)
    store.expire(f"SHARES#{user}")
    assert client.get(f"/cart/{user}/shares").json == {"shares": []}


def test_view_link_cannot_change_the_cart(client, user):
    fill(client, user)
    token = share(client, user)["token"]
    for name in ("add", "set", "remove"):
        method, path, body = REQUESTS[name]
        answer = client.open(path.format(token), method=method, json=body)
        assert (answer.status_code, answer.get_json(force=True)["type"]) == (403, "urn:cart:problem:forbidden")
    assert quantities(client, user) == {42: 2}


def test_edit_link_changes_the_cart_by_the_owners_rules(client, user):
    token = share(client, user, "edit")["token"]
    added = client.post(f"/shared/{token}/items", json=CUP)
    assert (added.status_code, added.headers["Location"]) == (201, f"/shared/{token}/items/42")
    changed = client.put(added.headers["Location"], json={"quantity": 5}, headers={"If-Match": added.headers["ETag"]})
    assert (changed.status_code, changed.json["quantity"]) == (200, 5)
    stale = client.put(f"/shared/{token}/items/42", json={"quantity": 6}, headers={"If-Match": added.headers["ETag"]})
    assert (stale.status_code, stale.get_json(force=True)["current"]["quantity"]) == (412, 5)
    assert client.post(f"/shared/{token}/items", json=CUP | {"quantity": 999}).status_code == 409
    assert client.post(f"/shared/{token}/items", json=CUP | {"price": -1}).status_code == 422
    assert client.put(f"/shared/{token}/items/7", json={"quantity": 6}).status_code == 404
    assert client.put(f"/shared/{token}/items/x", json={"quantity": 6}).status_code == 422
    assert quantities(client, user) == {42: 5}
    assert client.delete(f"/shared/{token}/items/42").status_code == 204
    assert quantities(client, user) == {}


def test_answers_by_link_never_contain_the_owner(client, user):
    token = share(client, user, "edit")["token"]
    answers = [
        client.post(f"/shared/{token}/items", json=CUP),
        client.post(f"/shared/{token}/items", json=CUP | {"quantity": 999}),
        client.put(f"/shared/{token}/items/42", json={"quantity": 5}),
        client.put(f"/shared/{token}/items/42", json={"quantity": 5}, headers={"If-Match": '"1"'}),
        client.put(f"/shared/{token}/items/7", json={"quantity": 5}),
        client.delete(f"/shared/{token}/items/42"),
        client.get(f"/shared/{token}"),
        copy(client, f"{user[:-2]}", token),
    ]
    for answer in answers:
        assert user not in answer.get_data(as_text=True) + str(answer.headers)


def test_keyed_add_by_link_is_applied_once(client, user):
    token = share(client, user, "edit")["token"]
    answers = [client.post(f"/shared/{token}/items", json=CUP, headers=KEY) for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert quantities(client, user) == {42: 2}


def test_keys_of_the_owner_and_of_each_link_are_apart(client, user):
    """Each caller's add counts, and each repeat gets the caller's own answer."""
    paths = [f"/cart/{user}/items"] + [f"/shared/{share(client, user, 'edit')['token']}/items" for _ in range(2)]
    first, again = ([client.post(path, json=CUP, headers=KEY) for path in paths] for _ in range(2))
    assert [answer.status_code for answer in first] == [201] * 3
    assert [answer.data for answer in again] == [answer.data for answer in first]
    assert all(answer.headers["Idempotency-Replayed"] == "true" for answer in again)
    assert quantities(client, user) == {42: 6}


@pytest.mark.parametrize(
    "key",
    [
        *("1", '"add-42"', '"8e03978e-40d5-43e8-bc93"', "00000000-0000-0000-0000-000000000000"),
        *("8e03978e40d543e8bc936894a57f9324", '"x8e03978e-40d5-43e8-bc93-6894a57f9324"'),
    ],
)
def test_keys_of_a_link_must_be_uuids(client, user, store, key):
    """Two holders who both count their adds from 1 would get each other's answers."""
    token = share(client, user, "edit")["token"]
    answer = client.post(f"/shared/{token}/items", json=CUP, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert "everyone who has the link" in answer.get_json(force=True)["errors"]["Idempotency-Key"][0]
    assert store.rows(user) == []
    assert client.post(f"/cart/{user}/items", json=CUP, headers={"Idempotency-Key": key}).status_code == 201


@pytest.mark.parametrize(
    "key",
    [
        "8e03978e-40d5-43e8-bc93-6894a57f9324",
        '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
        "2ED6657D-E927-11EF-9E36-02FC00000001",
    ],
)
def test_uuid_is_accepted_as_the_key_of_a_link(client, user, key):
    token = share(client, user, "edit")["token"]
    for _ in range(2):
        assert client.post(f"/shared/{token}/items", json=CUP, headers={"Idempotency-Key": key}).status_code == 201
    assert quantities(client, user) == {42: 2}


def test_record_of_the_owner_is_found_by_the_key_alone(client, user, store):
    """Versions before this rule stored all records so, and a deployment must not forget them."""
    client.post(f"/cart/{user}/items", json=CUP, headers=KEY)
    (record,) = store.rows(f"IDEMPOTENCY#{user}")
    assert record["item_id"]["S"] == hashlib.sha256(KEY["Idempotency-Key"].strip('"').encode()).hexdigest()


def test_links_of_a_cart_are_limited(store, user):
    client = create_app(replace(store.config, cart_max_shares=2)).test_client()
    created = [share(client, user), share(client, user, "edit")]
    refused = client.post(f"/cart/{user}/shares", json={})
    problem = refused.get_json(force=True)
    assert (refused.status_code, problem["type"], problem["limit"]) == (409, "urn:cart:problem:shares-limit", 2)
    assert len(client.get(f"/cart/{user}/shares").json["shares"]) == 2
    share(client, f"{user}-other")
    client.delete(f"/cart/{user}/shares/{created[0]['share_id']}")
    share(client, user)
    store.expire(f"SHARES#{user}")
    share(client, user)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"access": "own"}, "access"),
        ({"access": None}, "access"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 366}, "expires_in_days"),
        ({"expires_in_days": "7"}, "expires_in_days"),
        ({"token": "mine"}, "token"),
    ],
)
def test_invalid_share_is_refused_with_its_field(client, user, body, field):
    answer = client.post(f"/cart/{user}/shares", json=body)
    assert answer.status_code == 422
    assert field in answer.get_json(force=True)["errors"]


# --- copy


def test_copy_adds_to_the_target_and_keeps_the_source(client, user):
    other_user = f"{user}-other"
    fill(client, user, quantity=3)
    fill(client, user, product_id=7)
    client.post(f"/cart/{user}/saved", json=CUP)
    fill(client, other_user)
    token = share(client, user)["token"]
    dry = copy(client, other_user, token, dry_run=True)
    assert quantities(client, other_user) == {42: 2}
    answer = copy(client, other_user, token)
    assert {line["product_id"]: line["result"]["quantity"] for line in answer.json["lines"]} == {42: 5, 7: 2}
    assert {line["product_id"]: line["rule"] for line in answer.json["lines"]} == {42: "sum", 7: "copy"}
    assert dry.json["lines"] == answer.json["lines"]
    assert answer.json["cart"] == client.get(f"/cart/{other_user}?include=saved").json
    assert answer.json["cart"]["saved"] == []
    assert quantities(client, user) == {42: 3, 7: 2}
    copy(client, other_user, token, strategy="max")
    assert quantities(client, other_user) == {42: 5, 7: 2}
    copy(client, other_user, token)
    assert quantities(client, other_user) == {42: 8, 7: 4}


def test_keyed_copy_is_applied_once(client, user):
    fill(client, user)
    token = share(client, user)["token"]
    answers = [copy(client, f"{user}-other", token, KEY) for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert quantities(client, f"{user}-other") == {42: 2}


def test_copy_of_a_cart_into_itself_is_refused(client, user):
    answer = copy(client, user, share(client, user)["token"])
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, ["share_token"])


@pytest.mark.parametrize("token", [None, "", 7, "x" * 201])
def test_malformed_token_is_refused(client, user, token):
    answer = copy(client, user, token)
    assert (answer.status_code, list(answer.get_json(force=True)["errors"])) == (422, ["share_token"])


def test_lone_surrogate_is_an_unknown_token(client, user):
    body = '{"share_token": "\\ud800"}'
    answer = client.post(f"/cart/{user}/copy", data=body, content_type="application/json")
    assert answer.status_code == 404


def test_cost_of_requests_by_link(client, user, table, store):
    fill(client, user)
    with billed(table) as bill:
        share_created = share(client, user, "edit")
    assert bill.operations == ["Query", "TransactWriteItems"]
    for method, path, body, operations in (
        ("GET", f"/shared/{share_created['token']}", None, ["GetItem", "Query"]),
        ("POST", f"/shared/{share_created['token']}/items", CUP, ["GetItem", "UpdateItem", "GetItem"]),
        ("GET", f"/cart/{user}/shares", None, ["Query"]),
        ("DELETE", f"/cart/{user}/shares/{share_created['share_id']}", None, ["DeleteItem", "DeleteItem"]),
    ):
        with billed(table) as bill:
            client.open(path, method=method, json=body)
        assert bill.operations == operations

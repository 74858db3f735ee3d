"""An expired row that DynamoDB has not deleted yet is absent."""

import time

import pytest

from tests.support.stores import CUP


@pytest.fixture
def expired(client, user, store):
    """A cart whose only line expired a second ago."""
    client.post(f"/cart/{user}/items", json=CUP)
    store.expire(user, ttl=int(time.time()) - 1)
    return store.rows(user)[0]


def test_expired_line_is_neither_listed_nor_counted(client, user, expired, store):
    client.post(f"/cart/{user}/items", json=CUP | {"product_id": 7, "quantity": 1})
    cart = client.get(f"/cart/{user}").json
    assert [line["product_id"] for line in cart["items"]] == [7]
    assert cart["total_items"] == 1
    assert len(store.rows(user)) == 2


def test_line_that_expires_now_is_expired(client, user, store):
    client.post(f"/cart/{user}/items", json=CUP)
    store.expire(user, ttl=int(time.time()))
    assert client.get(f"/cart/{user}").json["items"] == []


def test_put_on_an_expired_line_is_404_and_writes_nothing(client, user, expired, store):
    assert client.put(f"/cart/{user}/items/42", json={"quantity": 1}).status_code == 404
    assert store.rows(user) == [expired]


def test_add_to_an_expired_line_starts_a_new_line(client, user, expired, store):
    line = client.post(f"/cart/{user}/items", json=CUP | {"quantity": 5}).json
    assert line["quantity"] == 5
    assert line["added_at"] > expired["added_at"]["S"]
    (row,) = store.rows(user)
    assert int(row["version"]["N"]) > int(expired["version"]["N"])  # an ETag of the old line can never match


def test_expired_full_line_accepts_new_units(client, user, store):
    client.post(f"/cart/{user}/items", json=CUP | {"quantity": 999})
    store.expire(user)
    assert client.post(f"/cart/{user}/items", json=CUP | {"quantity": 999}).json["quantity"] == 999


def test_remove_and_clear_delete_an_expired_line(client, user, expired, store):
    client.delete(f"/cart/{user}/items/42")
    assert store.rows(user) == []
    client.post(f"/cart/{user}/items", json=CUP)
    store.expire(user)
    client.delete(f"/cart/{user}")
    assert store.rows(user) == []

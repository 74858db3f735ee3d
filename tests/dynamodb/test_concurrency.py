"""Concurrent requests on real engines: no update is lost, and nothing is done twice."""

from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from cart import create_app
from tests.support.concurrency import at_once
from tests.support.stores import CUP, Store


@pytest.fixture(scope="module")
def app(real_store: Store):
    return create_app(real_store.config)


def test_20_threads_add_50_times_each_and_no_unit_is_lost(user, real_store):
    roomy = create_app(replace(real_store.config, cart_max_quantity=1000))

    def add_50(_: int) -> list[int]:
        client = roomy.test_client()
        body = CUP | {"quantity": 1, "price": 1}
        return [client.post(f"/cart/{user}/items", json=body).status_code for _ in range(50)]

    answers = list(chain(*at_once(20, add_50)))
    assert answers == [201] * 1000
    (row,) = real_store.rows(user)
    assert row["quantity"] == {"N": "1000"}


def test_concurrent_adds_never_exceed_the_limit(app, user):
    def add(_: int) -> int:
        return app.test_client().post(f"/cart/{user}/items", json=CUP | {"quantity": 100}).status_code

    answers = at_once(20, add)
    assert sorted(answers) == [201] * 9 + [409] * 11
    assert app.test_client().get(f"/cart/{user}").json["total_items"] == 900


@pytest.mark.parametrize("round_number", range(10))
def test_two_concurrent_adds_to_an_expired_line_are_both_counted(app, user, real_store, round_number):
    real_store.put(user, 42, quantity={"N": "500"}, ttl={"N": "1"}, version={"N": "8"})

    def add(number: int) -> Any:
        return app.test_client().post(f"/cart/{user}/items", json=CUP | {"quantity": number + 1})

    answers = at_once(2, add)
    assert [answer.status_code for answer in answers] == [201, 201]
    (row,) = real_store.rows(user)
    assert row["quantity"] == {"N": "3"}  # both adds are counted; the 500 expired units are not
    assert row["version"] == {"N": "10"}  # one add starts the line anew, the other adds to it
    assert row["added_at"]["S"] == min(answer.json["added_at"] for answer in answers)
    assert len({answer.json["added_at"] for answer in answers}) == 1


def test_concurrent_adds_sets_removes_and_clears_leave_whole_lines(app, user, real_store):
    """In any order, the result is no line, or a whole line with a possible quantity."""

    def shop(number: int) -> list[int]:
        client = app.test_client()
        work = [
            lambda: client.post(f"/cart/{user}/items", json=CUP | {"quantity": 1}),
            lambda: client.put(f"/cart/{user}/items/42", json={"quantity": 5}),
            lambda: client.delete(f"/cart/{user}/items/42"),
            lambda: client.delete(f"/cart/{user}"),
        ]
        return [work[(number + step) % 4]().status_code for step in range(20)]

    assert set(chain(*at_once(8, shop))) <= {200, 201, 204, 404}
    for row in real_store.rows(user):
        assert row.keys() >= {"product_id", "product_name", "quantity", "price", "added_at", "version", "ttl"}

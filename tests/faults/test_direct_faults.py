"""Every fault, with the direct client and with boto3's: both give the same answers and the same rows in the table."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from cart import create_app
from tests.support.fault_proxy import Fault, fault_proxy
from tests.support.seeded import SEED, stored
from tests.support.stores import CUP, Store, make_store

ITEMS, LINE = "/items", "/items/42"
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93"'}
REQUESTS: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", ITEMS, CUP, {}),
    ("POST", ITEMS, CUP, KEY),
    ("PUT", LINE, {"quantity": 7}, {}),
    ("GET", "", None, {}),
    ("DELETE", LINE, None, {}),
    ("DELETE", "", None, {"If-Match": "*"}),
    ("DELETE", "", None, {}),
]
SLOW = {Fault.LATE, Fault.SLOW_ANSWER}  # these take two seconds each: only one write and one read are tested


@pytest.fixture(scope="module")
def store(dynamodb_local_url: str) -> Store:
    return make_store("dynamodb-local", dynamodb_local_url)


def outcomes(store: Store, transport: str, fault: Fault, first_only: bool) -> list[Any]:
    """Return the outcome of each request on a cart with one line.

    The fault happens at the request's first call to DynamoDB, or at each of its calls.
    """
    with fault_proxy(store.config.dynamodb_endpoint_url, SEED) as proxy:
        config = replace(store.config, dynamodb_endpoint_url=proxy.url, dynamodb_transport=transport)
        app = create_app(config)
        calls: list[None] = []
        app.extensions["cart_table"].client.on("before", lambda **_: begin())

        def begin() -> None:
            if first_only and calls:
                proxy.rate = 0
                proxy.wait_until_open()
            else:
                proxy.rate = 1
            calls.append(None)

        proxy.kinds = [fault]
        requests = REQUESTS if fault not in SLOW else [REQUESTS[0], REQUESTS[3]]
        users = [f"user-{uuid.uuid4().hex}" for _ in requests]

        def ask(user: str, request: tuple[str, str, Any, dict[str, str]]) -> Any:
            method, path, body, headers = request
            store.put(user, 42)
            calls.clear()
            answer = app.test_client().open(f"/cart/{user}{path}", method=method, json=body, headers=headers)
            if first_only:
                proxy.settle()
            kind = answer.get_json(force=True).get("type") if answer.status_code >= 400 else None
            return method, path, headers, answer.status_code, kind

        # Threads, since requests mostly wait. One at a time where a fault would hit the others, or calls are counted
        with ThreadPoolExecutor(1 if first_only or fault == Fault.REFUSE else len(requests)) as pool:
            answers = list(pool.map(ask, users, requests))
        proxy.settle()
    assert proxy.counts[fault] > 0
    return [(*answer, stored(store, user)) for answer, user in zip(answers, users, strict=True)]


@pytest.mark.parametrize("first_only", [True, False], ids=["once", "always"])
@pytest.mark.parametrize("fault", Fault)
def test_fault_has_the_same_outcome_with_both_clients(store, fault, first_only):
    with ThreadPoolExecutor() as pool:  # requests mostly wait
        ours, theirs = pool.map(lambda transport: outcomes(store, transport, fault, first_only), ["direct", "botocore"])
    assert ours == theirs

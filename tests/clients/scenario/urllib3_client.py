"""The scenario of test_clients.py with the client that openapi-generator generates for Python, ``cart_urllib3``."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from cart_urllib3 import AnalyticsApi, ApiClient, ApiException, CartsApi
from cart_urllib3.models import (
    Item,
    Line,
    LineVersionConflictProblem,
    MergeRequest,
    QuantityLimitProblem,
    QuantityRequest,
)

LARGEST_ID = 2**53 - 1
Problem = TypeVar("Problem")
_, user_id = sys.argv[1:]
client = ApiClient()
carts = CartsApi(client)
guest = carts.create_guest_cart().user_id


def add(product_id: int, quantity: int, price: float, key: str | None = None) -> Line:
    item = Item(product_id=product_id, product_name="Espresso cup", quantity=quantity, price=price)
    return carts.add_item(guest, item, idempotency_key=key)


def set_to(quantity: int, etag: str) -> Line:
    return carts.set_quantity(guest, 42, QuantityRequest(quantity=quantity), if_match=etag)


def problem(kind: type[Problem], call: Callable[..., object], *arguments: Any) -> Problem:
    """Return the problem of a call that must be refused with one of this kind."""
    with pytest.raises(ApiException) as refusal:
        call(*arguments)
    data = refusal.value.data
    data = getattr(data, "actual_instance", data)  # where a status has several kinds, it is wrapped
    assert isinstance(data, kind), refusal.value
    return data


add(42, 1, 131072.01)
add(LARGEST_ID, 1, 9999999.99)
cart = carts.get_cart(guest)
etag = f'"{cart.items[0].version}"'
line = set_to(3, etag)
conflict = problem(LineVersionConflictProblem, set_to, 4, etag)
limit = problem(QuantityLimitProblem, add, 42, 999, 131072.01)
repeats = [add(LARGEST_ID, 1, 9999999.99, "key-1") for _ in range(2)]
receipt = carts.merge_carts(user_id, MergeRequest(source_user_id=guest))
summary = AnalyticsApi(client).get_summary()

assert conflict.current is not None
print(
    json.dumps(
        {
            "ids": [str(line.product_id) for line in cart.items],
            "prices": [f"{line.price:.2f}" for line in cart.items],
            "total": f"{cart.total_price:.2f}",
            "set": line.quantity,
            "conflict": conflict.current.quantity,
            "limit": limit.limit,
            "repeats": [line.quantity for line in repeats],
            "merged": [len(receipt.lines), f"{receipt.cart.total_price:.2f}"],
            "units": summary.totals.units,
        }
    )
)

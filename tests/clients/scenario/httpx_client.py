"""The scenario of test_clients.py with the client that openapi-python-client generates, ``cart_httpx``."""

import json
import sys
from typing import TypeVar

from cart_httpx import Client
from cart_httpx.api.analytics import get_summary
from cart_httpx.api.carts import add_item, create_guest_cart, get_cart, merge_carts, set_quantity
from cart_httpx.models import (
    CartAndSaved,
    Guest,
    Item,
    Line,
    LineVersionConflictProblem,
    MergeRequest,
    QuantityLimitProblem,
    QuantityRequest,
    Receipt,
    Summary,
)
from cart_httpx.types import UNSET

LARGEST_ID = 2**53 - 1
Answer = TypeVar("Answer")
url, user_id = sys.argv[1:]
client = Client(base_url=url)


def of(kind: type[Answer], answer: object) -> Answer:
    """Return an answer that must be of this kind."""
    assert isinstance(answer, kind), answer
    return answer


guest = of(Guest, create_guest_cart.sync(client=client)).user_id


def add(product_id: int, quantity: int, price: float, key: str | None = None) -> object:
    item = Item(product_id=product_id, product_name="Espresso cup", quantity=quantity, price=price)
    return add_item.sync(guest, client=client, body=item, idempotency_key=key or UNSET)


def set_to(quantity: int, etag: str) -> object:
    return set_quantity.sync(guest, 42, client=client, body=QuantityRequest(quantity=quantity), if_match=etag)


of(Line, add(42, 1, 131072.01))
of(Line, add(LARGEST_ID, 1, 9999999.99))
cart = of(CartAndSaved, get_cart.sync(guest, client=client))
etag = f'"{cart.items[0].version}"'
line = of(Line, set_to(3, etag))
conflict = of(LineVersionConflictProblem, set_to(4, etag))
limit = of(QuantityLimitProblem, add(42, 999, 131072.01))
repeats = [of(Line, add(LARGEST_ID, 1, 9999999.99, "key-1")) for _ in range(2)]
receipt = of(Receipt, merge_carts.sync(user_id, client=client, body=MergeRequest(source_user_id=guest)))
summary = of(Summary, get_summary.sync(client=client))

print(
    json.dumps(
        {
            "ids": [str(line.product_id) for line in cart.items],
            "prices": [f"{line.price:.2f}" for line in cart.items],
            "total": f"{cart.total_price:.2f}",
            "set": line.quantity,
            "conflict": of(Line, conflict.current).quantity,
            "limit": limit.limit,
            "repeats": [line.quantity for line in repeats],
            "merged": [len(receipt.lines), f"{receipt.cart.total_price:.2f}"],
            "units": summary.totals.units,
        }
    )
)

"""Lines whose price changes."""

import uuid
from decimal import Decimal
from typing import Any

from tests.support.stores import Store

OLD, NEW, NEWER = Decimal("19.99"), Decimal("21.50"), Decimal("18.00")
T1, T2, T3 = (f"2026-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3))
EXPIRED = {"N": "1"}


def line_of(client, user: str) -> dict[str, Any]:
    (line,) = client.get(f"/cart/{user}").json["items"]
    return line


def price_change_of(line: dict[str, Any]) -> tuple[Decimal, str] | None:
    assert ("current_price" in line) == ("price_changed_at" in line)
    return (line["current_price"], line["price_changed_at"]) if "current_price" in line else None


def saved(product_id: int) -> dict[str, Any]:
    return {"item_id": {"S": f"SAVED#{product_id}"}}


def fill_carts(store: Store, product: int, lines: int) -> list[str]:
    """Fill carts that have the product, one expired cart that has it, and one user who has saved it."""
    users = [f"{product}-{number}-{uuid.uuid4().hex[:6]}" for number in range(lines)]
    for user in users:
        store.put(user, product)
    store.put(f"{product}-expired", product, ttl=EXPIRED)
    store.put(f"{product}-saved", product, **saved(product))
    return users

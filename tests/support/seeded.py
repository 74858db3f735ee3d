"""What the tests with random schedules share."""

import os

from tests.support.stores import Store

SEED = int(os.environ.get("FAULT_SEED", "20240607"))
LISTS = {"cart": "ITEM#", "saved": "SAVED#"}


def stored(store: Store, cart: str) -> dict[tuple[str, int], int]:
    """Return the units of a cart's rows by list and product."""
    return {
        (place, int(row["product_id"]["N"])): int(row["quantity"]["N"])
        for row in store.rows(cart)
        for place, prefix in LISTS.items()
        if row["item_id"]["S"].startswith(prefix)
    }

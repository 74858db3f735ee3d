"""Examples for the OpenAPI document."""

from decimal import Decimal

from cart.http.schema import Constant
from cart.model.lines import (
    INSUFFICIENT_STOCK,
    PRICE_CHANGED,
)

EXAMPLE_ITEM = Constant({"product_id": 42, "product_name": "Espresso cup", "quantity": 2, "price": Decimal("19.99")})
EXAMPLE_LINE = Constant(
    EXAMPLE_ITEM
    | {
        "subtotal": Decimal("39.98"),
        "added_at": "2026-11-23T09:30:00.123456Z",
        "version": 1795426200123457,
    }
)
EXAMPLE_MOVED_LINE = Constant(EXAMPLE_LINE | {"cut": 0})
EXAMPLE_GUEST = Constant({"user_id": "guest-7TzYh0bU2mBzXxS4o3JkP9aQcVdL1wEf"})
EXAMPLE_CART = Constant(
    {
        "user_id": "user123",
        "items": [EXAMPLE_LINE],
        "total_items": 2,
        "total_price": Decimal("39.98"),
        "price_changes": 0,
    }
)
EXAMPLE_CART_AND_SAVED = Constant(EXAMPLE_CART | {"saved": [EXAMPLE_LINE | {"product_id": 7}]})
EXAMPLE_RECEIPT_LINE = Constant(
    {
        "product_id": 42,
        "product_name": "Espresso cup",
        "place": "cart",
        "rule": "sum",
        "source": {"quantity": 1, "price": Decimal("19.99")},
        "target": {"quantity": 1, "price": Decimal("21.50")},
        "result": {"quantity": 2, "price": Decimal("19.99")},
        "price_from": "source",
        "cut": 0,
        "reason": None,
    }
)
EXAMPLE_RECEIPT = Constant(
    {
        "strategy": "sum",
        "dry_run": False,
        "lines": [EXAMPLE_RECEIPT_LINE],
        "cart": EXAMPLE_CART_AND_SAVED,
    }
)
EXAMPLE_VALIDATION = Constant(
    {
        "valid": False,
        "lines": [
            {
                "product_id": 42,
                "product_name": "Espresso cup",
                "quantity": 2,
                "price": Decimal("19.99"),
                "problems": [
                    {"type": PRICE_CHANGED, "old": Decimal("19.99"), "new": Decimal("21.50")},
                    {"type": INSUFFICIENT_STOCK, "available": 1},
                ],
            }
        ],
    }
)
EXAMPLE_LINK = Constant(
    {
        "share_id": "9f2c5b7d1e4a8036bf6d3c1a7e90d45b2f8c6a1e3d7b9054c8f1a2e6d3b7c590",
        "access": "view",
        "created_at": "2026-11-23T09:30:00.123456Z",
        "expires_at": "2026-11-30T09:30:00Z",
    }
)
EXAMPLE_SHARED_CART = Constant(
    {
        "access": "view",
        "expires_at": "2026-11-30T09:30:00Z",
        **{name: EXAMPLE_CART[name] for name in ("items", "total_items", "total_price", "price_changes")},
    }
)

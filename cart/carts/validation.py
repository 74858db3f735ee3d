"""How a cart is checked against the catalogue, and put right."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import current_app

from cart.carts.receipt_schemas import CheckedLineSchema, validation_schema
from cart.carts.receipts import entries_of, steps_with_receipt
from cart.dynamodb.idempotency import IdempotencyKey, KeptAnswer, Step, carry_out_once
from cart.dynamodb.keys import Row
from cart.errors import NoCatalog
from cart.http.extensions import get_table
from cart.model.lines import CART, CHANGED, LEFT, SAVED, SAVED_FOR_LATER, CartAndSaved, Line, Place, in_order, live
from cart.model.validation import Check, check, plan_fixes

if TYPE_CHECKING:
    from cart.carts.catalog import Catalog


def _catalog() -> "Catalog":
    """:raise NoCatalog: the service runs without one"""
    catalog: Catalog | None = current_app.extensions.get("cart_catalog")
    if catalog is None:
        raise NoCatalog
    return catalog


def check_cart(user_id: str) -> dict[str, Any]:
    """Return what is wrong with each line, for ``ValidationSchema``. One Query, and no write."""
    catalog = _catalog()
    lines = in_order(get_table().lines(user_id))
    products = catalog.products(line.product_id for line in lines)
    checks = [check(line, products[line.product_id]) for line in lines]
    return {"valid": not any(one.problems for one in checks), "lines": checks}


def fix(user_id: str, key: IdempotencyKey | None) -> KeptAnswer:
    """Put right what is wrong. One Query, and a transaction for each 50 lines that are changed.

    A line that changes in the meantime is read and checked again. A run that dies between two transactions has put some
    lines right; the next one does the rest.
    """
    catalog = _catalog()
    return carry_out_once(get_table(), user_id, key, lambda so_far: _steps(catalog, user_id, key, so_far))


def _steps(catalog: "Catalog", user_id: str, key: IdempotencyKey | None, so_far: KeptAnswer | None) -> Iterator[Step]:
    """Read the cart and the catalogue, and yield the transactions of what is left to fix."""
    table, entry_schema = get_table(), CheckedLineSchema()
    entries = entries_of(so_far, entry_schema)
    lists = table.all_lines(user_id)
    lines = live(lists[CART].values())
    products = catalog.products(line.product_id for line in lines)
    checks = plan_fixes(lines, lists[SAVED], products, table.limits, datetime.now(UTC))
    done = {entry["product_id"] for entry in entries}
    fixes = [one for one in checks if one.action in (CHANGED, SAVED_FOR_LATER)]
    others = [one for one in checks if one not in fixes and (one.problems or one.line.product_id not in done)]
    yield from steps_with_receipt(
        fixes,
        2,
        key,
        entries,
        entry_schema,
        partial(_actions, user_id),
        lambda receipt: validation_schema.dumps(
            {
                "valid": not any(one.action == LEFT for one in checks),
                "lines": receipt + others,
                "cart": _cart_after(user_id, lists, checks),
            }
        ),
    )


def _actions(user_id: str, checks: list[Check]) -> list[Row]:
    table, actions = get_table(), []
    for one in checks:
        if one.result and one.action == CHANGED:
            actions.append(table.put_line(user_id, CART, one.result, one.row))
        elif one.result:
            actions += [table.put_line(user_id, SAVED, one.result, one.row), table.take_line(user_id, CART, one.line)]
    return actions


def _cart_after(user_id: str, lists: dict[Place, dict[int, Line]], checks: list[Check]) -> CartAndSaved:
    cart, saved = ({line.product_id: line for line in live(lists[place].values())} for place in (CART, SAVED))
    for one in checks:
        if one.result and one.action == CHANGED:
            cart[one.result.product_id] = one.result
        elif one.result and one.action == SAVED_FOR_LATER:
            saved[one.result.product_id] = one.result
            del cart[one.result.product_id]
    return CartAndSaved(user_id, in_order(cart.values()), in_order(saved.values()))

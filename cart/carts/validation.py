"""Check a cart against the catalogue, and fix it."""

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
    """Return the client of the catalogue.

    :raise NoCatalog: none is configured
    """
    catalog: Catalog | None = current_app.extensions.get("cart_catalog")
    if catalog is None:
        raise NoCatalog
    return catalog


def check_cart(user_id: str) -> dict[str, Any]:
    """Return the problems of each line, as ``ValidationSchema`` dumps them. One Query and no write."""
    catalog = _catalog()
    lines = in_order(get_table().lines(user_id))
    products = catalog.products(line.product_id for line in lines)
    checks = [check(line, products[line.product_id]) for line in lines]
    return {"valid": not any(line_check.problems for line_check in checks), "lines": checks}


def fix(user_id: str, key: IdempotencyKey | None) -> KeptAnswer:
    """Fix the lines that have problems. One Query, and a transaction for each 50 lines that are changed.

    A line that changes meanwhile is read and checked again. If it crashes between two transactions, some lines are
    fixed, and the next run fixes the rest.
    """
    catalog = _catalog()
    return carry_out_once(get_table(), user_id, key, lambda progress: _steps(catalog, user_id, key, progress))


def _steps(catalog: "Catalog", user_id: str, key: IdempotencyKey | None, progress: KeptAnswer | None) -> Iterator[Step]:
    """Read the cart and the catalogue, and yield the transactions of the lines that are not fixed yet."""
    table, entry_schema = get_table(), CheckedLineSchema()
    entries = entries_of(progress, entry_schema)
    lists = table.all_lines(user_id)
    lines = live(lists[CART].values())
    products = catalog.products(line.product_id for line in lines)
    checks = plan_fixes(lines, lists[SAVED], products, table.limits, datetime.now(UTC))
    done = {entry["product_id"] for entry in entries}
    fixes = [line_check for line_check in checks if line_check.action in (CHANGED, SAVED_FOR_LATER)]
    others = [
        line_check
        for line_check in checks
        if line_check not in fixes and (line_check.problems or line_check.line.product_id not in done)
    ]
    yield from steps_with_receipt(
        fixes,
        2,
        key,
        entries,
        entry_schema,
        partial(_actions, user_id),
        lambda receipt: validation_schema.dumps(
            {
                "valid": not any(line_check.action == LEFT for line_check in checks),
                "lines": receipt + others,
                "cart": _cart_after(user_id, lists, checks),
            }
        ),
    )


def _actions(user_id: str, checks: list[Check]) -> list[Row]:
    table, actions = get_table(), []
    for line_check in checks:
        if line_check.result and line_check.action == CHANGED:
            actions.append(table.put_line(user_id, CART, line_check.result, line_check.row))
        elif line_check.result:
            actions += [
                table.put_line(user_id, SAVED, line_check.result, line_check.row),
                table.take_line(user_id, CART, line_check.line),
            ]
    return actions


def _cart_after(user_id: str, lists: dict[Place, dict[int, Line]], checks: list[Check]) -> CartAndSaved:
    cart, saved = ({line.product_id: line for line in live(lists[place].values())} for place in (CART, SAVED))
    for line_check in checks:
        if line_check.result and line_check.action == CHANGED:
            cart[line_check.result.product_id] = line_check.result
        elif line_check.result and line_check.action == SAVED_FOR_LATER:
            saved[line_check.result.product_id] = line_check.result
            del cart[line_check.result.product_id]
    return CartAndSaved(user_id, in_order(cart.values()), in_order(saved.values()))

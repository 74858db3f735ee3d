"""Compare the lines of a cart with the catalogue, and plan how to fix them. Pure functions, as in ``lines``."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from cart.model.limits import Limits
from cart.model.lines import (
    CHANGED,
    DISCONTINUED,
    INSUFFICIENT_STOCK,
    LEFT,
    OUT_OF_STOCK,
    PRICE_CHANGED,
    SAVED_FOR_LATER,
    UNREADABLE,
    Line,
    in_order,
    iso,
    next_version,
)
from cart.model.transfer import plan_moves


class Product(NamedTuple):
    """A product of the catalogue.

    :ivar price: of one unit
    :ivar stock: units
    """

    product_id: int
    name: str
    price: Decimal
    stock: int


# What the catalogue says of a product: the product, or the problem of every line of it
CatalogEntry = Product | Literal["discontinued", "unreadable"]


@dataclass(eq=False, repr=False)
class Check:
    """The problems of a line of a cart, and how to fix them; one entry of a validation.

    :ivar line: as it was read
    :ivar problems: in the form in which clients get them; empty if there are none
    :ivar action: ``CHANGED``, ``SAVED_FOR_LATER`` or ``LEFT``; "" if the line needs no fix
    :ivar result: the line after the fix, in the cart or in the saved list; None without a fix
    :ivar row: the line in the row that the result replaces, live or expired; None if there is no row
    :ivar cut: number of units that were dropped because of the stock or the limit
    """

    line: Line
    problems: list[dict[str, Any]]
    action: str = ""
    result: Line | None = None
    row: Line | None = None
    cut: int = 0


def check(line: Line, product: CatalogEntry) -> Check:
    """Compare a line with the catalogue.

    :param product: what the catalogue says of the line's product
    """
    if isinstance(product, str):
        return Check(line, [{"type": product}])
    problems: list[dict[str, Any]] = []
    if product.price != line.price:
        problems.append({"type": PRICE_CHANGED, "old": line.price, "new": product.price})
    if product.stock == 0:
        problems.append({"type": OUT_OF_STOCK})
    elif product.stock < line.quantity:
        problems.append({"type": INSUFFICIENT_STOCK, "available": product.stock})
    return Check(line, problems)


def plan_fixes(
    lines: Iterable[Line], saved: dict[int, Line], products: dict[int, CatalogEntry], limits: Limits, now: datetime
) -> list[Check]:
    """Plan how to fix each line of a cart, in the order in which they were added.

    A line that can be bought gets the catalogue's price and name, and at most its stock. A line that cannot be bought
    moves to the saved list, until that is full. A line whose product is unreadable stays as it is, since the catalogue
    may sell the product.

    :param lines: live lines
    :param saved: the lines in all rows of the saved list, live or expired, by product id
    :param products: by product id
    """
    fixes = [check(line, products[line.product_id]) for line in in_order(lines)]
    unavailable = [fix.line for fix in fixes if _is_unavailable(products[fix.line.product_id])]
    to_save = [_with_catalog_values(line, products[line.product_id], now) for line in unavailable]
    moves = {move.product_id: move for move in plan_moves("cart", to_save, saved, "sum", limits, now)}
    for fix in fixes:
        product = products[fix.line.product_id]
        if move := moves.get(fix.line.product_id):
            fix.action = SAVED_FOR_LATER if move.result else LEFT
            fix.result, fix.row, fix.cut = move.result or fix.line, move.row, move.cut
        elif product == UNREADABLE:
            fix.action, fix.result = LEFT, fix.line
        elif isinstance(product, Product) and fix.problems:
            _change_to_catalog_values(fix, product, now)
    return fixes


def _change_to_catalog_values(fix: Check, product: Product, now: datetime) -> None:
    quantity = min(fix.line.quantity, product.stock)
    line, version = _with_catalog_values(fix.line, product, now), next_version(fix.line, now)
    fix.action, fix.row, fix.cut = CHANGED, fix.line, fix.line.quantity - quantity
    fix.result = replace(line, quantity=quantity, updated_at=iso(now), version=version)


def _is_unavailable(product: CatalogEntry) -> bool:
    return product == DISCONTINUED or (isinstance(product, Product) and product.stock == 0)


def _with_catalog_values(line: Line, product: CatalogEntry, now: datetime) -> Line:
    """Return the line with the catalogue's current name and price, unchanged if the catalogue has no such product."""
    if isinstance(product, str):
        return line
    return replace(line, product_name=product.name, price=product.price, priced_at=iso(now))

"""What the catalogue says against the lines of a cart, and what to do about it: pure, as ``lines`` is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from cart.model.limits import Limits
from cart.model.lines import (
    CHANGED,
    DISCONTINUED,
    INSUFFICIENT_STOCK,
    LEFT,
    OUT_OF_STOCK,
    PRICE_CHANGED,
    SAVED_FOR_LATER,
    Line,
    in_order,
    iso,
    next_version,
)
from cart.model.transfer import plan_moves


class Product(NamedTuple):
    """What the catalogue says of a product. ``stock`` is in units, ``price`` of one."""

    product_id: int
    name: str
    price: Decimal
    stock: int


@dataclass(eq=False, repr=False)
class Check:
    """What is wrong with a line of a cart, and what is to become of it: one line of a validation.

    :ivar line: as it was read
    :ivar problems: as clients are told of them, none where the line is well
    :ivar action: ``CHANGED``, ``SAVED_FOR_LATER`` or ``LEFT``; "" where nothing is to be done
    :ivar result: the line after that, where it then is
    :ivar row: what the row of its result holds, live or not
    :ivar cut: units beyond the stock, or beyond the limit
    """

    line: Line
    problems: list[dict[str, Any]]
    action: str = ""
    result: Line | None = None
    row: Line | None = None
    cut: int = 0


def check(line: Line, product: Product | None) -> Check:
    """:param product: what the catalogue says of the line's product, None where it does not know it"""
    if product is None:
        return Check(line, [{"type": DISCONTINUED}])
    problems: list[dict[str, Any]] = []
    if product.price != line.price:
        problems.append({"type": PRICE_CHANGED, "old": line.price, "new": product.price})
    if product.stock == 0:
        problems.append({"type": OUT_OF_STOCK})
    elif product.stock < line.quantity:
        problems.append({"type": INSUFFICIENT_STOCK, "available": product.stock})
    return Check(line, problems)


def plan_fixes(
    lines: Iterable[Line], saved: dict[int, Line], products: dict[int, Product | None], limits: Limits, now: datetime
) -> list[Check]:
    """What to do with each line of a cart, in the order in which they were added.

    What can be bought gets the catalogue's price and name, and at most its stock; what cannot joins what is saved,
    until that is full.

    :param lines: live ones
    :param saved: all that is saved, expired or not, by product
    """
    checks = [check(line, products[line.product_id]) for line in in_order(lines)]
    gone = [one.line for one in checks if not _can_be_bought(products[one.line.product_id])]
    priced = [_at_its_price(line, products[line.product_id], now) for line in gone]
    moves = {move.product_id: move for move in plan_moves("cart", priced, saved, "sum", limits, now)}
    for one in checks:
        product = products[one.line.product_id]
        if move := moves.get(one.line.product_id):
            one.action = SAVED_FOR_LATER if move.result else LEFT
            one.result, one.row, one.cut = move.result or one.line, move.row, move.cut
        elif product and one.problems:
            quantity = min(one.line.quantity, product.stock)
            line, version = _at_its_price(one.line, product, now), next_version(one.line, now)
            one.action, one.row, one.cut = CHANGED, one.line, one.line.quantity - quantity
            one.result = replace(line, quantity=quantity, updated_at=iso(now), version=version)
    return checks


def _can_be_bought(product: Product | None) -> bool:
    return product is not None and product.stock > 0


def _at_its_price(line: Line, product: Product | None, now: datetime) -> Line:
    """A line with what the catalogue says now, if it says anything."""
    if product is None:
        return line
    return replace(line, product_name=product.name, price=product.price, priced_at=iso(now))

"""Read rows of lines that this service has not written: imported ones, or some that another program has changed.

Loaded when a row cannot be read as it is. A member that is missing or has another form gets a value, so that no row
makes its cart unreadable. Without a quantity or a price there is no line, since the shopper could pay an invented one.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cart.dynamodb.keys import LINE_PREFIXES, Row
from cart.dynamodb.rows import NotALine
from cart.model.lines import iso
from cart.model.money import CENT

logger = logging.getLogger(__name__)

PRICE_CHANGE_TYPES = {"current_price": "N", "price_changed_at": "S", "price_changed_from": "N"}
MAX_PRICE_DIGITS = 20
EPOCH = iso(datetime.fromtimestamp(0, UTC))


def repaired(row: Row) -> Row:
    """Return a row that can be read, in place of a row that cannot.

    :param row: with its key
    :return: if it has no readable quantity and price, a row that has expired
    :raise NotALine: the row has not the key of a line
    """
    user_id, item_id = row["user_id"]["S"], row["item_id"]["S"]
    product_id = product_of_key(item_id)
    if product_id is None:
        logger.warning("The row %s of user %s is not a line and is left out", item_id, user_id)
        raise NotALine
    quantity, price = number_of(row, "quantity"), price_of(row)
    is_line = quantity is not None and price is not None
    what = "has members of another form" if is_line else "has no readable quantity and price: it counts as expired"
    logger.warning("The row %s of user %s %s", item_id, user_id, what)
    added_at = _text(row, "added_at") or _text(row, "updated_at") or EPOCH
    has_change = all(isinstance(row.get(name, {}).get(kind), str) for name, kind in PRICE_CHANGE_TYPES.items())
    return {
        "user_id": row["user_id"],
        "item_id": row["item_id"],
        "product_id": {"N": str(product_id)},
        "product_name": {"S": _text(row, "product_name") or f"Product {product_id}"},
        "quantity": {"N": str(int(quantity or 0))},
        "price": {"N": str(price or 0)},
        "added_at": {"S": added_at},
        "updated_at": {"S": _text(row, "updated_at") or added_at},
        "priced_at": {"S": _text(row, "priced_at") or added_at},
        # 0 stands for a version that is missing or not a number: see version_condition
        "version": {"N": str(int(number_of(row, "version") or 0))},
        "ttl": {"N": str(int(number_of(row, "ttl") or 0)) if is_line else "0"},
        **({name: row[name] for name in PRICE_CHANGE_TYPES} if has_change else {}),
    }


def product_of_key(item_id: str) -> int | None:
    """Return the product of a line's sort key, None if it is not the key of a line."""
    prefix, _, number = item_id.partition("#")
    is_line = f"{prefix}#" in LINE_PREFIXES.values() and number.isascii() and number.isdecimal()
    return int(number) if is_line else None


def number_of(row: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a number of a row, None if it has none of this name. A text is none, since DynamoDB cannot add to it."""
    try:
        return Decimal(row[name]["N"])
    except (LookupError, ArithmeticError):
        return None


def price_of(row: Mapping[str, Any]) -> Decimal | None:
    """Return the price of a row in whole cents, None if it has none."""
    price = number_of(row, "price")
    return price.quantize(CENT) if price is not None and price.adjusted() < MAX_PRICE_DIGITS else None


def _text(row: Row, name: str) -> str:
    value: dict[str, Any] = row.get(name) or {}
    return str(value.get("S") or value.get("N") or "")

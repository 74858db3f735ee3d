"""Convert table rows to model objects and back; and the conditions of a write to a row."""

import time
import uuid
import zlib
from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from typing import Literal

from cart.dynamodb.keys import CLEARED, Row, row_key
from cart.model.lines import Cart, Line, LineValues, PriceChange
from cart.model.money import CENT

IfMatch = frozenset[int] | Literal["*"] | None  # the versions a caller has read, any at all, or no matter

PACK_FROM_CHARACTERS = 1024
CHANGE = ("current_price", "price_changed_at", "price_changed_from")  # what a line has whose price has changed
SHOWN = f"product_id, product_name, quantity, price, added_at, version, {', '.join(CHANGE)}"  # what a client sees
CLEARED_TTL_SECONDS = 86_400


def cleared_row(user_id: str) -> Row:
    """By which the table's stream tells that a cart was cleared: else it tells of the lines alone."""
    return row_key(f"{CLEARED}{user_id}", uuid.uuid4().hex) | {"ttl": number(time.time() + CLEARED_TTL_SECONDS)}


def number(value: float) -> Row:
    return {"N": str(int(value))}


class StoredCart(Cart):
    """A cart as it was read. Its JSON and its ETag need the values of the rows alone; lines are made when asked for.

    Making the lines first costs a tenth of the CPU for a cart of 50.
    """

    def __init__(self, user_id: str, rows: Iterable[Row]) -> None:
        """Make the cart of these live rows, of which ``SHOWN`` was read."""
        self.user_id = user_id
        self.values = sorted([values_of(row) for row in rows])

    @cached_property
    def items(self) -> list[Line]:  # type: ignore[override]
        return [_line_of_values(values) for values in self.values]


def values_of(row: Row) -> LineValues:
    """Return what a client sees of a line, of a row of which at least ``SHOWN`` was read."""
    price = row["price"]["N"]
    return (
        row["added_at"]["S"],
        int(row["product_id"]["N"]),
        row["version"]["N"],
        row["product_name"]["S"],
        int(row["quantity"]["N"]),
        Decimal(price) if price[-3:-2] == "." else Decimal(price).quantize(CENT),  # DynamoDB leaves out zeros
        change_of(row) if "current_price" in row else None,
    )


def shown_line_of(row: Row) -> Line:
    """Return the line of a row of which only ``SHOWN`` was read."""
    return _line_of_values(values_of(row))


def _line_of_values(values: LineValues) -> Line:
    added_at, product_id, version, name, quantity, price, change = values
    return Line(product_id, name, quantity, price, added_at, int(version), change=change)


def change_of(row: Row) -> PriceChange:
    current_price, changed_at, line_price = (row[name] for name in CHANGE)
    price, of_line = (Decimal(one["N"]).quantize(CENT) for one in (current_price, line_price))
    return PriceChange(price, changed_at["S"], of_line)


def change_values(change: PriceChange) -> Row:
    values = ({"N": str(change.price)}, {"S": change.changed_at}, {"N": str(change.line_price)})
    return dict(zip(CHANGE, values, strict=True))


def line_of(row: Row) -> Line:
    line = shown_line_of(row)
    line.updated_at = row["updated_at"]["S"]
    line.priced_at = row["priced_at"]["S"] if "priced_at" in row else line.added_at
    line.ttl = int(row["ttl"]["N"])
    return line


def line_values(line: Line) -> Row:
    """The attributes of a line's row but for its key."""
    return {
        "product_id": number(line.product_id),
        "product_name": {"S": line.product_name},
        "quantity": number(line.quantity),
        "price": {"N": str(line.price)},
        "priced_at": {"S": line.priced_at},
        "added_at": {"S": line.added_at},
        "updated_at": {"S": line.updated_at},
        "version": number(line.version),
        "ttl": number(line.ttl),
    } | (change_values(line.change) if line.change else {})


def packed(text: str) -> Row:
    """JSON text as an attribute: as it is, or compressed where that saves units, and the bytes that a row can have."""
    if len(text) < PACK_FROM_CHARACTERS:
        return {"S": text}
    return {"B": zlib.compress(text.encode())}


def unpacked(value: Row) -> str:
    text: str = zlib.decompress(value["B"]).decode() if "B" in value else value["S"]
    return text


def is_live(row: Row) -> bool:
    return int(row["ttl"]["N"]) > int(time.time())


def live_line(row: Row | None) -> Line | None:
    """The line of a row that is there and has not expired."""
    return line_of(row) if row and is_live(row) else None


def live_condition(if_match: IfMatch) -> tuple[str, Row]:
    """The condition of a write to a line that must be live, with one of these versions; and the versions' values."""
    live = "attribute_exists(item_id) AND #ttl > :epoch"
    if if_match is None or if_match == "*":
        return live, {}
    values = {f":version{place}": number(version) for place, version in enumerate(sorted(if_match))}
    return f"{live} AND version IN ({', '.join(values) or ':none'})", values or {":none": number(-1)}


def if_live(if_match: IfMatch) -> Row:
    """``live_condition``, as the parameters of a delete."""
    condition, versions = live_condition(if_match)
    return {
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ExpressionAttributeValues": {":epoch": number(time.time())} | versions,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }

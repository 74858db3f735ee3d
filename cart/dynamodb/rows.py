"""Convert table rows to model objects and back, and build the conditions of writes to rows."""

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from typing import Literal

from cart.dynamodb.keys import CLEARED, Row, row_key
from cart.model.lines import Cart, Line, LineValues, PriceChange
from cart.model.money import CENT

# The condition of a write to a line: one of these versions; "*": any version, but there must be a line; None: none
IfMatch = frozenset[int] | Literal["*"] | None

PRICE_CHANGE_ATTRIBUTES = (
    "current_price",
    "price_changed_at",
    "price_changed_from",
)  # if the price has changed
# The condition of a write to a row that has expired, or that is not a line since it has no quantity or price
NOT_LIVE = (
    "attribute_exists(item_id) AND"
    " (NOT (#ttl > :epoch) OR NOT attribute_type(quantity, :number) OR attribute_not_exists(price))"
)
UNREADABLE = (LookupError, ValueError, ArithmeticError, TypeError, AttributeError)  # raised for a row of another form
# The projection of a read whose lines are sent to a client: other attributes are not read
LINE_ATTRIBUTES = f"product_id, product_name, quantity, price, added_at, version, {', '.join(PRICE_CHANGE_ATTRIBUTES)}"
CLEARED_TTL_SECONDS = 86_400


def cleared_row(user_id: str, etag: str = "") -> Row:
    """Return a row that records in the table's stream that a cart was cleared.

    Without it, the stream has only the removals of the lines.

    :param etag: of the cart that was cleared, if it was a condition
    """
    key = row_key(f"{CLEARED}{user_id}", etag or uuid.uuid4().hex)
    return key | {"ttl": number(time.time() + CLEARED_TTL_SECONDS)}


def number(value: float) -> Row:
    """Return a whole number as an attribute value; a fraction is cut off."""
    return {"N": str(int(value))}


class NotALine(Exception):
    """A row of a user has not the key of a line."""


class StoredCart(Cart):
    """A cart as it was read. Its JSON and its ETag need the values of the rows alone; lines are made when asked for.

    Making the lines first costs a tenth of the CPU for a cart of 50.
    """

    def __init__(self, user_id: str, rows: Iterable[Row]) -> None:
        """Make the cart of these live rows, of which ``LINE_ATTRIBUTES`` were read."""
        self.user_id = user_id
        self.values = sorted([values_of(row) for row in rows])

    @cached_property
    def items(self) -> list[Line]:  # type: ignore[override]
        return [_line_of_values(values) for values in self.values]


def values_of(row: Row) -> LineValues:
    """Return what a client sees of a line, of a row of which at least ``LINE_ATTRIBUTES`` were read."""
    price = row["price"]["N"]
    return (
        row["added_at"]["S"],
        int(row["product_id"]["N"]),
        row["version"]["N"],
        row["product_name"]["S"],
        int(row["quantity"]["N"]),
        Decimal(price) if price[-3:-2] == "." else Decimal(price).quantize(CENT),  # DynamoDB drops trailing zeros
        price_change_of(row) if "current_price" in row else None,
    )


def projected_line_of(row: Row) -> Line:
    """Return the line of a row of which only ``LINE_ATTRIBUTES`` were read."""
    return _line_of_values(values_of(row))


def _line_of_values(values: LineValues) -> Line:
    added_at, product_id, version, name, quantity, price, change = values
    return Line(product_id, name, quantity, price, added_at, int(version), change=change)


def price_change_of(row: Row) -> PriceChange:
    """Return the price change of a row that has ``PRICE_CHANGE_ATTRIBUTES``."""
    current_price, changed_at, line_price = (row[name] for name in PRICE_CHANGE_ATTRIBUTES)
    return PriceChange(_cents(current_price), changed_at["S"], _cents(line_price))


def _cents(value: Row) -> Decimal:
    return Decimal(value["N"]).quantize(CENT)


def price_change_values(change: PriceChange) -> Row:
    """Return the ``PRICE_CHANGE_ATTRIBUTES`` of a row."""
    values = ({"N": str(change.price)}, {"S": change.changed_at}, {"N": str(change.line_price)})
    return dict(zip(PRICE_CHANGE_ATTRIBUTES, values, strict=True))


def line_of(row: Row) -> Line:
    """Return the line of a row of which all attributes were read, in whatever form they are.

    :raise NotALine: the row has not the key of a line
    """
    try:
        line = projected_line_of(row)
        line.updated_at = row["updated_at"]["S"]
        line.priced_at = row["priced_at"]["S"] if "priced_at" in row else line.added_at
        line.ttl = int(row["ttl"]["N"])
        return line
    except UNREADABLE:
        return line_of(_repaired(row))


def readable_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows that are lines, each in a form that can be read.

    :param rows: with their keys and ``ttl``
    """
    for row in rows:
        try:
            values_of(row)
            yield row
        except UNREADABLE:
            with suppress(NotALine):
                yield _repaired(row)


def _repaired(row: Row) -> Row:
    from cart.dynamodb.odd_rows import repaired  # noqa: PLC0415 - only where it is used

    return repaired(row)


def line_values(line: Line) -> Row:
    """Return the attributes of a line's row, without its key."""
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
    } | (price_change_values(line.change) if line.change else {})


def is_live(row: Row) -> bool:
    """Return whether a row has not expired. A row without a time at which it expires counts as expired."""
    return "N" in row.get("ttl", {}) and Decimal(row["ttl"]["N"]) > int(time.time())


def live_line(row: Row | None) -> Line | None:
    """Return the line of a row, or None if there is no row or it has expired."""
    line = line_of(row) if row else None
    return line if line and line.ttl > int(time.time()) else None


def live_condition(if_match: IfMatch) -> tuple[str, Row]:
    """Return the condition of a write to a live line with one of these versions, and the values of the versions.

    The caller supplies the name ``#ttl`` and the value ``:epoch``.
    """
    live = "attribute_exists(quantity) AND attribute_exists(price) AND #ttl > :epoch"
    if if_match is None or if_match == "*":
        return live, {}
    condition, values = version_condition(if_match)
    return f"{live} AND {condition}", values


def version_condition(versions: frozenset[int]) -> tuple[str, Row]:
    """Return the condition that a row has one of these versions, and its values.

    0 is the version of a row that has none, or one that is not a number.
    """
    values: Row = {f":version{index}": number(version) for index, version in enumerate(sorted(versions))}
    condition = f"version IN ({', '.join(values) or ':none'})"
    if 0 in versions:
        return f"({condition} OR NOT attribute_type(version, :number))", values | {":number": {"S": "N"}}
    return condition, values or {":none": number(-1)}


def live_delete_params(if_match: IfMatch) -> Row:
    """Return ``live_condition`` as parameters of a DeleteItem, or of a Delete in a transaction."""
    condition, versions = live_condition(if_match)
    return {
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ExpressionAttributeValues": {":epoch": number(time.time())} | versions,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }

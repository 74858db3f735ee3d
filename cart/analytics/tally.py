"""Compute how records of the table's stream change the aggregates. Pure functions: no Flask, no boto3.

Two things are counted, by two rules. The totals of what carts hold change by the difference between what a line holds
now and what was counted of it before: only the latest record of a line matters, and an older one changes nothing. The
flows of a day are the sum of its records: the caller leaves out the records that were counted before.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cart.dynamodb.keys import CLEARED, LINE_PREFIXES
from cart.dynamodb.odd_rows import number_of, price_of, product_of_key
from cart.model.lines import CART

CLOCK_SKEW_SECONDS = 60  # far more than the clocks of writers and of DynamoDB differ
TTL_PRINCIPAL = "dynamodb.amazonaws.com"  # deletes expired rows ("DynamoDB Streams and Time to Live")

# Patterns of Lambda's event filtering for the records that count: lines in carts, and clears of carts. Lambda does not
# send any other records, such as those of the aggregates themselves, to the function
COUNTED_RECORDS: list[dict[str, Any]] = [
    {"dynamodb": {"Keys": {"item_id": {"S": [{"prefix": LINE_PREFIXES[CART]}]}}}},
    {"eventName": ["INSERT"], "dynamodb": {"Keys": {"user_id": {"S": [{"prefix": CLEARED}]}}}},
]

Image = Mapping[str, Any]  # a row in DynamoDB's JSON


class LineId(NamedTuple):
    """The identity of a line in a cart."""

    user_id: str
    product_id: int


class Held(NamedTuple):
    """The units and the unit price of a line; zeros if there is no line."""

    quantity: int = 0
    cents: int = 0  # the price of one unit

    @property
    def amounts(self) -> dict[str, int]:
        """The share of the line in the aggregates of its product and of all carts."""
        return {"lines": int(self.quantity > 0), "units": self.quantity, "cents": self.quantity * self.cents}


class Counted(NamedTuple):
    """The part of the aggregates that comes from one line.

    :ivar position: of the latest record of the line that was counted
    :ivar generation: of the aggregates that contain it; each rebuild starts a new generation
    :ivar revision: of the row that keeps this, 0 if there is none
    """

    held: Held = Held()
    position: str = ""
    generation: int = 0
    revision: int = 0


class Change(NamedTuple):
    """The content of one record of the stream.

    :ivar line: None if the record says that a cart was cleared
    :ivar held: what the line holds after the change
    :ivar position: stream and sequence number; the positions of a line's records sort in the order of its changes
    :ivar day: the UTC day of the change, such as ``2026-11-23``
    :ivar flows: what the change adds to the flows of that day
    """

    user_id: str
    line: LineId | None
    held: Held
    position: str
    day: str
    flows: Mapping[str, int]


@dataclass
class Tally:
    """The changes of one transaction: counted rows to replace, and amounts to add to the aggregates.

    :ivar generation: the current one
    :ivar counted: the new content of counted rows, with the revision that was read
    :ivar products: amounts to add, by product id and generation
    :ivar totals: amounts to add, by generation
    :ivar days: flows to add, by day
    """

    generation: int
    counted: dict[LineId, Counted] = field(default_factory=dict)
    products: defaultdict[tuple[int, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    totals: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    days: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def set_line(self, line: LineId, old: Counted, held: Held, position: str) -> None:
        """Subtract what was counted of a line from its generation, and add what it holds to the current one."""
        for generation, amounts, sign in ((old.generation, old.held.amounts, -1), (self.generation, held.amounts, 1)):
            for name, amount in amounts.items():
                self.products[line.product_id, generation][name] += sign * amount
                self.totals[generation][name] += sign * amount
        self.counted[line] = Counted(held, position, self.generation, old.revision)


def tally(changes: Iterable[Change], counted: Mapping[LineId, Counted], generation: int) -> Tally:
    """Return the tally of changes that were not counted before.

    :param changes: in any order
    :param counted: what was counted of their lines
    :param generation: the current one
    """
    result = Tally(generation)
    for change in sorted(changes, key=lambda change: change.position):
        result.days[change.day].update(change.flows)
        if change.line:
            old = result.counted.get(change.line) or counted.get(change.line, Counted())
            if change.position > old.position:
                result.set_line(change.line, old, change.held, change.position)
    return result


def change_of(record: Mapping[str, Any]) -> Change | None:
    """Return the change that a record describes, None if it is of neither a line in a cart nor a clear.

    :param record: in the shape of Lambda's events
    :raise KeyError, ValueError, TypeError, ArithmeticError: the record cannot be read
    """
    data = record["dynamodb"]
    user_id, item_id = data["Keys"]["user_id"]["S"], data["Keys"]["item_id"]["S"]
    at = float(data["ApproximateCreationDateTime"])
    day = datetime.fromtimestamp(at, UTC).date().isoformat()
    position = f"{record['eventSourceARN'].rpartition('/')[2]}/{int(data['SequenceNumber']):040}"
    old, new = data.get("OldImage"), data.get("NewImage")
    if user_id.startswith(CLEARED):
        flows = {"carts_cleared": 1} if record["eventName"] == "INSERT" else {}
        return Change(user_id.removeprefix(CLEARED), None, Held(), position, day, flows)
    if not item_id.startswith(LINE_PREFIXES[CART]):
        return None
    if not old and not new:
        if record["eventName"] == "REMOVE":
            return None  # DynamoDB Local also writes a record for a delete of a row that did not exist
        raise ValueError("the record has no images")
    by_ttl = (record.get("userIdentity") or {}).get("principalId") == TTL_PRINCIPAL
    product_id = product_of_key(item_id)
    if product_id is None:
        return None
    line = LineId(user_id, product_id)
    return Change(user_id, line, held_of(new), position, day, _flows(old, new, by_ttl, at))


def held_of(row: Image | None) -> Held:
    """Return what the line of a row holds, zeros if there is no row or no line can be read of it."""
    if not row or (quantity := number_of(row, "quantity")) is None or (price := price_of(row)) is None:
        return Held()
    return Held(int(quantity), int(price * 100))


def _ttl(row: Image) -> int:
    return int(number_of(row, "ttl") or 0)


def _is_same_life(old: Image, new: Image, at: float) -> bool:
    """Tell whether both images belong to one life of a line: the time between its adding and its removal or expiry.

    A write to an expired line always begins a new life. ``added_at`` alone does not show it: a copy keeps the
    ``added_at`` of its source, so an expired copy and its next copy can have the same.
    """
    return old.get("added_at") == new.get("added_at") and _ttl(old) > at - CLOCK_SKEW_SECONDS


def _flows(old: Image | None, new: Image | None, by_ttl: bool, at: float) -> Counter[str]:
    """Return what a write adds to the flows of its day.

    A write to an expired line that was not deleted yet counts twice: the old line was abandoned, a new one is added.

    :param by_ttl: DynamoDB deleted the row because it had expired
    :param at: epoch seconds of the write
    """
    before, after, flows = held_of(old), held_of(new), Counter[str]()
    if old and before.quantity and not (new and _is_same_life(old, new, at)):
        if new or by_ttl or _ttl(old) <= at:
            flows.update(lines_abandoned=1, cents_abandoned=before.quantity * before.cents)
        else:
            flows["lines_removed"] = 1
        before = Held()
    if new and not before.quantity:
        flows["lines_added"] = 1
    if (more := after.quantity - before.quantity) > 0:
        flows.update(units_added=more, cents_added=more * after.cents)
    return flows


def is_counted(record: Mapping[str, Any]) -> bool:
    """Tell whether a record of the stream matches one of ``COUNTED_RECORDS``."""
    return any(_matches(record, pattern) for pattern in COUNTED_RECORDS)


def _matches(record: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    """Tell whether a record matches a pattern ("Lambda event filtering") of exact texts and prefixes."""
    for name, rules in pattern.items():
        value = record.get(name)
        if isinstance(rules, dict):
            matches = isinstance(value, Mapping) and _matches(value, rules)
        else:
            matches = isinstance(value, str) and any(_text_matches(value, rule) for rule in rules)
        if not matches:
            return False
    return True


def _text_matches(value: str, rule: str | Mapping[str, str]) -> bool:
    return value == rule if isinstance(rule, str) else value.startswith(rule["prefix"])

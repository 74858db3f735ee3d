"""What a change of a line changes in the aggregates: pure, with no Flask and no boto3.

Two things are counted, by two rules. What carts hold now moves by what each line holds less what was believed of it, so
that it telescopes: the latest record of a line decides, and one that is older changes nothing. What happened on a day
is the sum of its records, each of which is counted once: who calls here leaves out those that were counted before.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from cart.dynamodb.keys import CLEARED, LINE_PREFIXES
from cart.model.lines import CART

SKEW_SECONDS = 60  # far more than the clocks of those who write and of DynamoDB differ by
TTL_PRINCIPAL = "dynamodb.amazonaws.com"  # who deletes expired rows ("DynamoDB Streams and Time to Live")

# Patterns of the records that count, as Lambda's event filtering has them: of lines in carts, and of a clear.
# All others, such as those of the aggregates themselves, are not sent to the function
COUNTED_RECORDS: list[dict[str, Any]] = [
    {"dynamodb": {"Keys": {"item_id": {"S": [{"prefix": LINE_PREFIXES[CART]}]}}}},
    {"eventName": ["INSERT"], "dynamodb": {"Keys": {"user_id": {"S": [{"prefix": CLEARED}]}}}},
]

Image = Mapping[str, Any]  # a row, as DynamoDB's JSON has it


class LineId(NamedTuple):
    user_id: str
    product_id: int


class Held(NamedTuple):
    """What a line holds; nothing where there is none."""

    quantity: int = 0
    cents: int = 0  # the price of one unit

    @property
    def amounts(self) -> dict[str, int]:
        """What it adds to the aggregates of its product, and of all."""
        return {"lines": int(self.quantity > 0), "units": self.quantity, "cents": self.quantity * self.cents}


class Counted(NamedTuple):
    """What the aggregates believe of a line."""

    held: Held = Held()
    position: str = ""  # of the latest record that was counted
    generation: int = 0  # of the aggregates that it is in: each rebuild makes a new one
    revision: int = 0  # of the row that keeps this, 0 where there is none


class Change(NamedTuple):
    """One record of the stream.

    :ivar line: None where it tells of a cart that was cleared
    :ivar position: stream and sequence number, which sort in the order in which a line was changed
    :ivar day: as ``2026-11-23``, by UTC
    :ivar flows: what it adds to that day
    """

    user_id: str
    line: LineId | None
    held: Held
    position: str
    day: str
    flows: Mapping[str, int]


@dataclass
class Tally:
    """What is to be written together: counted rows, and what is added to the aggregates."""

    generation: int
    counted: dict[LineId, Counted] = field(default_factory=dict)
    products: defaultdict[tuple[int, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    totals: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    days: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def hold(self, line: LineId, old: Counted, held: Held, position: str) -> None:
        """Believe this of a line from now on. What was believed is taken out of the generation that has it."""
        for generation, amounts, sign in ((old.generation, old.held.amounts, -1), (self.generation, held.amounts, 1)):
            for name, amount in amounts.items():
                self.products[line.product_id, generation][name] += sign * amount
                self.totals[generation][name] += sign * amount
        self.counted[line] = Counted(held, position, self.generation, old.revision)


def tally(changes: Iterable[Change], counted: Mapping[LineId, Counted], generation: int) -> Tally:
    """Of records that were not counted before, in any order."""
    result = Tally(generation)
    for change in sorted(changes, key=lambda change: change.position):
        result.days[change.day].update(change.flows)
        if change.line:
            old = result.counted.get(change.line) or counted.get(change.line, Counted())
            if change.position > old.position:
                result.hold(change.line, old, change.held, change.position)
    return result


def change_of(record: Mapping[str, Any]) -> Change | None:
    """What a record says, as Lambda hands it over; None where it is not of a line in a cart, nor of a clear.

    :raise KeyError, ValueError, TypeError, ArithmeticError: it is not such a record
    """
    told = record["dynamodb"]
    user_id, item_id = told["Keys"]["user_id"]["S"], told["Keys"]["item_id"]["S"]
    at = float(told["ApproximateCreationDateTime"])
    day = datetime.fromtimestamp(at, UTC).date().isoformat()
    position = f"{record['eventSourceARN'].rpartition('/')[2]}/{int(told['SequenceNumber']):040}"
    old, new = told.get("OldImage"), told.get("NewImage")
    if user_id.startswith(CLEARED):
        once = {"carts_cleared": 1} if record["eventName"] == "INSERT" else {}
        return Change(user_id.removeprefix(CLEARED), None, Held(), position, day, once)
    if not item_id.startswith(LINE_PREFIXES[CART]):
        return None
    if not old and not new:
        if record["eventName"] == "REMOVE":
            return None  # DynamoDB Local tells of a delete that was too late to find anything
        raise ValueError("a record without images")
    by_ttl = (record.get("userIdentity") or {}).get("principalId") == TTL_PRINCIPAL
    line = LineId(user_id, int(item_id.removeprefix(LINE_PREFIXES[CART])))
    return Change(user_id, line, held_of(new), position, day, _flows(old, new, by_ttl, at))


def held_of(row: Image | None) -> Held:
    return Held(int(row["quantity"]["N"]), int(Decimal(row["price"]["N"]) * 100)) if row else Held()


def _is_same_life(old: Image, new: Image, at: float) -> bool:
    """Nobody writes to a line that has run out, but to begin anew: so one of a copy can have the time of the last."""
    return bool(old["added_at"] == new["added_at"]) and int(old["ttl"]["N"]) > at - SKEW_SECONDS


def _flows(old: Image | None, new: Image | None, by_ttl: bool, at: float) -> Counter[str]:
    """What a write adds to its day. A line that is revived was abandoned, and is added."""
    before, after, flows = held_of(old), held_of(new), Counter[str]()
    if old and not (new and _is_same_life(old, new, at)):
        if new or by_ttl or int(old["ttl"]["N"]) <= at:
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
    """Tell whether a record has each member of a pattern ("Lambda event filtering"); prefixes and texts are known."""
    for name, wanted in pattern.items():
        value = record.get(name)
        if isinstance(wanted, dict):
            matches = isinstance(value, Mapping) and _matches(value, wanted)
        else:
            matches = isinstance(value, str) and any(_is_text(value, rule) for rule in wanted)
        if not matches:
            return False
    return True


def _is_text(value: str, rule: str | Mapping[str, str]) -> bool:
    return value == rule if isinstance(rule, str) else value.startswith(rule["prefix"])

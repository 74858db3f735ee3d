"""What carts hold now, counted anew from the table beside live traffic: `flask analytics rebuild`.

A rebuild begins a new generation of the aggregates and closes the one before it. Then it goes through the table, line
by line, and moves what was counted of each into the new generation, as the line itself has it: in a transaction, as a
record would. Records go on to be counted, and do the same with the lines that they are of. When all are moved the
aggregates of the new generation are right, and whatever is left in the old ones is drift, and is dropped.

How far it came is kept in the table. One that died is gone on with by the next.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from queue import SimpleQueue
from threading import Event
from typing import NamedTuple

from cart.analytics.counter import (
    CHUNK,
    GENERATION_KEY,
    Bookkeeper,
    counted_key,
    counted_of,
    generation_of,
    revision_of,
)
from cart.analytics.tally import LineId, Tally, held_of
from cart.analytics.totals import AMOUNTS, SHARDS, money, shards, summed
from cart.dynamodb.client import call
from cart.dynamodb.keys import (
    COUNTED,
    COUNTED_LINE,
    DRIFT,
    GENERATION,
    LINE_PREFIXES,
    PRODUCT,
    REBUILD,
    TOTALS,
    Row,
    line_key,
    row_key,
)
from cart.dynamodb.rows import number
from cart.model.lines import CART

SEGMENTS = 4  # of the table, which are gone through at the same time
PAGE_ROWS = 500
CLOSED_SECONDS = 86_400  # far longer than one who counts may be under way
LINES, PRODUCTS, ALL = "lines", "products", "totals"  # of what there may be drift
FILTERS = {
    LINES: "begins_with(item_id, :line) OR (begins_with(user_id, :counted) AND begins_with(item_id, :of_line))",
    PRODUCTS: "begins_with(user_id, :product)",
}
VALUES = {
    LINES: {":line": {"S": LINE_PREFIXES[CART]}, ":counted": {"S": COUNTED}, ":of_line": {"S": COUNTED_LINE}},
    PRODUCTS: {":product": {"S": PRODUCT}},
}


class Drift(NamedTuple):
    """How far what was counted was from what is right; negative where too much was counted.

    :ivar differing: how many lines, products or totals
    """

    of: str
    differing: int
    lines: int
    units: int
    value: Decimal


class Rebuild:
    """One rebuild, or the rest of one."""

    def __init__(self, bookkeeper: Bookkeeper) -> None:
        self.books = bookkeeper
        self.generation = 0

    def run(self) -> Iterator[int]:
        """Do it; the values are numbers of rows that were looked at, about twice those that the table has."""
        self._begin()
        yield from _in_parallel(partial(self._segment, LINES, self._move_lines))
        yield from _in_parallel(partial(self._segment, PRODUCTS, self._settle_products))
        self.books.insist(self._drop_totals)
        self.books.insist(partial(self._generation_row, self.generation))

    def drift(self) -> list[Drift]:
        """What the latest rebuild has found."""
        found = {row["item_id"]["S"]: row for row in self.books.partition(REBUILD)}
        return [_drift(of, found.get(f"{DRIFT}{of}", {})) for of in (LINES, PRODUCTS, ALL)]

    def _begin(self) -> None:
        """Make the new generation, unless that was done, and close the one before."""
        row = self.books.rows([GENERATION_KEY]).get((TOTALS, GENERATION))
        if row and "rebuilding" in row:
            self.generation = int(row["generation"]["N"])
        else:
            self._forget_the_last()
            self.generation = 1 + (int(row["generation"]["N"]) if row else 1)
            self.books.insist(partial(self._generation_row, self.generation, {"rebuilding": {"BOOL": True}}))
        for shard in range(SHARDS):
            call(
                self.books.client,
                "update_item",
                TableName=self.books.name,
                Key=row_key(TOTALS, f"{self.generation - 1}#{shard}"),
                UpdateExpression="SET #closed = :closed",
                ExpressionAttributeNames={"#closed": "closed"},
                ExpressionAttributeValues={":closed": {"BOOL": True}},
            )

    def _generation_row(self, generation: int, state: Row | None = None) -> list[Row]:
        rows = self.books.rows([GENERATION_KEY])
        row = rows.get((TOTALS, GENERATION))
        values = {"generation": number(generation)} | (state or {})
        return [self.books.put(GENERATION_KEY, values, revision_of(row))] if generation_of(rows) <= generation else []

    def _forget_the_last(self) -> None:
        for row in self.books.partition(REBUILD):
            key = row_key(REBUILD, row["item_id"]["S"])
            call(self.books.client, "delete_item", TableName=self.books.name, Key=key)

    def _segment(self, phase: str, work: Callable[[list[Row]], None], segment: int) -> Iterator[int]:
        """Go through one segment of the table, page by page, from where the last run came to."""
        place = row_key(REBUILD, f"{phase}#{segment}")
        kept = self.books.rows([place]).get((REBUILD, f"{phase}#{segment}"), {"next": {"M": {}}})
        start = kept["next"].get("M")
        while start is not None:
            page = call(
                self.books.client,
                "scan",
                TableName=self.books.name,
                Segment=segment,
                TotalSegments=SEGMENTS,
                Limit=PAGE_ROWS,
                ConsistentRead=True,
                ProjectionExpression="user_id, item_id",
                FilterExpression=FILTERS[phase],
                ExpressionAttributeValues=VALUES[phase],
                **({"ExclusiveStartKey": start} if start else {}),
            )
            work(page["Items"])
            start = page.get("LastEvaluatedKey")
            reached = place | {"next": {"M": start} if start else {"NULL": True}}
            call(self.books.client, "put_item", TableName=self.books.name, Item=reached)
            yield page["ScannedCount"]

    def _move_lines(self, keys: list[Row]) -> None:
        lines = sorted({_line_of(key) for key in keys})
        for start in range(0, len(lines), CHUNK):
            self.books.insist(partial(self._moves, lines[start : start + CHUNK]))

    def _moves(self, lines: list[LineId]) -> list[Row]:
        """What was counted is read before the lines: so these are at least as new, whatever is under way."""
        rows = self.books.rows([GENERATION_KEY, *map(counted_key, lines)])
        counted = counted_of(rows, lines)
        found = self.books.rows(line_key(line.user_id, CART, line.product_id) for line in lines)
        tallied, drift = Tally(generation_of(rows)), []
        for line, old in counted.items():
            held = held_of(found.get((line.user_id, f"{LINE_PREFIXES[CART]}{line.product_id}")))
            if held != old.held or (held.quantity and old.generation != tallied.generation):
                tallied.hold(line, old, held, old.position)
            if held != old.held:
                drift.append({name: held.amounts[name] - old.held.amounts[name] for name in AMOUNTS})
        return [*self.books.actions_of(tallied), *self._report(LINES, drift)]

    def _settle_products(self, keys: list[Row]) -> None:
        for product_id in sorted({int(key["user_id"]["S"].removeprefix(PRODUCT)) for key in keys}):
            self.books.insist(partial(self._drop_product, product_id))
            self.books.refresh(product_id, anew=True)

    def _drop_product(self, product_id: int) -> list[Row]:
        """What is left of a product in older generations."""
        left = self._older(shards(self.books.partition(f"{PRODUCT}{product_id}")))
        drops = [{"Delete": {"TableName": self.books.name, "Key": _key_of(row)}} for row in left]
        return [*drops, *self._report(PRODUCTS, [_negative(summed(left, AMOUNTS))])]

    def _drop_totals(self) -> list[Row]:
        """The rows stay for a while, without what they held, to say that their generation is closed."""
        left = [row for row in self._older(shards(self.books.partition(TOTALS))) if "ttl" not in row]
        closed = {"closed": {"BOOL": True}, "ttl": number(time.time() + CLOSED_SECONDS)}
        drops = [{"Put": {"TableName": self.books.name, "Item": _key_of(row) | closed}} for row in left]
        return [*drops, *self._report(ALL, [_negative(summed(left, AMOUNTS))])]

    def _older(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if int(row["item_id"]["S"].partition("#")[0]) < self.generation]

    def _report(self, of: str, drifts: list[dict[str, int]]) -> list[Row]:
        """The action that adds to what was found, in the transaction that mends it."""
        drifts = [drift for drift in drifts if any(drift.values())]
        if not drifts:
            return []
        sums = {name: sum(drift[name] for drift in drifts) for name in AMOUNTS}
        return [self.books.add(row_key(REBUILD, f"{DRIFT}{of}"), {"differing": len(drifts)} | sums)]


def _in_parallel(work: Callable[[int], Iterator[int]]) -> Iterator[int]:
    """What ``work`` yields for each of the segments, as it comes."""
    done: SimpleQueue[int | None] = SimpleQueue()
    stopped = Event()

    def run(segment: int) -> None:
        try:
            for rows in work(segment):
                done.put(rows)
                if stopped.is_set():
                    return
        finally:
            done.put(None)

    with ThreadPoolExecutor(SEGMENTS) as pool:
        running = [pool.submit(run, segment) for segment in range(SEGMENTS)]
        try:
            for _ in running:
                yield from iter(done.get, None)
            for one in running:
                one.result()
        finally:
            stopped.set()


def _line_of(key: Row) -> LineId:
    """Of a line, or of what was counted of it."""
    return LineId(key["user_id"]["S"].removeprefix(COUNTED), int(key["item_id"]["S"].partition("#")[2]))


def _drift(of: str, row: Row) -> Drift:
    sums = summed([row], ("differing", *AMOUNTS))
    return Drift(of, sums["differing"], sums["lines"], sums["units"], money(sums["cents"]))


def _key_of(row: Row) -> Row:
    return {name: row[name] for name in ("user_id", "item_id")}


def _negative(amounts: dict[str, int]) -> dict[str, int]:
    return {name: -amounts.get(name, 0) for name in AMOUNTS}

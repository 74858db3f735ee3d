"""Count again, from the table, what all carts hold, during live traffic: `flask analytics rebuild`.

A rebuild starts a new generation of the aggregates and closes the one before. Then it scans the table. For each line,
one transaction subtracts what was counted of it from the old generation and adds what the line holds to the new one.
Records of the stream are counted meanwhile, and move their lines in the same way. When all lines are moved, the new
generation is correct; what remains in the old ones is drift (a difference that should not exist), and is deleted.

The progress is kept in the table. A rebuild that was interrupted is continued by the next run.
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
from cart.analytics.totals import AMOUNTS, SHARDS, from_cents, shard_rows, sum_attributes
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
from cart.dynamodb.odd_rows import product_of_key
from cart.dynamodb.rows import number
from cart.model.lines import CART

SEGMENTS = 4  # of the table, scanned in parallel
PAGE_ROWS = 500
CLOSED_SECONDS = 86_400  # far longer than the counting of a batch can take
LINES, PRODUCTS, ALL = "lines", "products", "totals"  # kinds of drift
FILTERS = {
    LINES: "begins_with(item_id, :line) OR (begins_with(user_id, :counted) AND begins_with(item_id, :of_line))",
    PRODUCTS: "begins_with(user_id, :product)",
}
VALUES = {
    LINES: {":line": {"S": LINE_PREFIXES[CART]}, ":counted": {"S": COUNTED}, ":of_line": {"S": COUNTED_LINE}},
    PRODUCTS: {":product": {"S": PRODUCT}},
}


class Drift(NamedTuple):
    """The difference between the correct counts and the earlier ones; negative if too much was counted.

    :ivar kind: ``LINES``, ``PRODUCTS`` or ``ALL``
    :ivar differing: the number of lines, products or totals that differed
    """

    kind: str
    differing: int
    lines: int
    units: int
    value: Decimal


def describe(drift: Drift) -> str:
    """Return what was corrected, such as ``the count of 1 product: +0 lines, -4 units, +2.50 in value``."""
    count = drift.differing
    subjects = {
        LINES: f"the count of {count} line{'s' * (count != 1)}",
        PRODUCTS: f"the count of {count} product{'s' * (count != 1)}",
        ALL: "the totals over all carts",
    }
    return f"{subjects[drift.kind]}: {drift.lines:+} lines, {drift.units:+} units, {drift.value:+.2f} in value"


class Rebuild:
    """A rebuild, or the continuation of an interrupted one.

    :ivar generation: the new one, known when ``run`` has started
    """

    def __init__(self, bookkeeper: Bookkeeper) -> None:
        self.books = bookkeeper
        self.generation = 0

    def run(self) -> Iterator[int]:
        """Do the rebuild, and yield the numbers of rows scanned; their sum is about twice the number of rows."""
        self._begin()
        yield from _scan_segments(partial(self._scan_segment, LINES, self._move_lines))
        yield from _scan_segments(partial(self._scan_segment, PRODUCTS, self._drop_products))
        self.books.transact(self._drop_totals)
        self.books.transact(partial(self._generation_row, self.generation))

    def drift(self) -> list[Drift]:
        """Return the drift that the latest rebuild corrected."""
        rows = {row["item_id"]["S"]: row for row in self.books.partition(REBUILD)}
        return [_drift(kind, rows.get(f"{DRIFT}{kind}", {})) for kind in (LINES, PRODUCTS, ALL)]

    def _begin(self) -> None:
        """Start a new generation, unless an interrupted rebuild has done so, and close the one before."""
        row = self.books.rows([GENERATION_KEY]).get((TOTALS, GENERATION))
        if row and "rebuilding" in row:
            self.generation = int(row["generation"]["N"])
        else:
            self._delete_progress()
            self.generation = 1 + (int(row["generation"]["N"]) if row else 1)
            self.books.transact(partial(self._generation_row, self.generation, {"rebuilding": {"BOOL": True}}))
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
        if generation_of(rows) > generation:
            return []
        return [self.books.put_action(GENERATION_KEY, values, revision_of(row))]

    def _delete_progress(self) -> None:
        """Delete the progress and the drift of the last rebuild."""
        for row in self.books.partition(REBUILD):
            key = row_key(REBUILD, row["item_id"]["S"])
            call(self.books.client, "delete_item", TableName=self.books.name, Key=key)

    def _scan_segment(self, phase: str, work: Callable[[list[Row]], None], segment: int) -> Iterator[int]:
        """Scan one segment of the table page by page, starting where an interrupted run stopped.

        :param phase: ``LINES`` or ``PRODUCTS``
        :param work: is called with the keys of each page's rows
        """
        progress_key = row_key(REBUILD, f"{phase}#{segment}")
        progress = self.books.rows([progress_key]).get((REBUILD, f"{phase}#{segment}"), {"next": {"M": {}}})
        start = progress["next"].get("M")
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
            progress = progress_key | {"next": {"M": start} if start else {"NULL": True}}
            call(self.books.client, "put_item", TableName=self.books.name, Item=progress)
            yield page["ScannedCount"]

    def _move_lines(self, keys: list[Row]) -> None:
        lines = sorted(line for line in {_line_of(key) for key in keys} if line)
        for start in range(0, len(lines), CHUNK):
            self.books.transact(partial(self._move_actions, lines[start : start + CHUNK]))

    def _move_actions(self, lines: list[LineId]) -> list[Row]:
        """Return the actions that move lines to the current generation.

        What was counted is read before the lines. So the lines are at least as new, even if records are counted
        meanwhile.
        """
        rows = self.books.rows([GENERATION_KEY, *map(counted_key, lines)])
        counted = counted_of(rows, lines)
        line_rows = self.books.rows(line_key(line.user_id, CART, line.product_id) for line in lines)
        tallied, drift = Tally(generation_of(rows)), []
        for line, old in counted.items():
            held = held_of(line_rows.get((line.user_id, f"{LINE_PREFIXES[CART]}{line.product_id}")))
            if held != old.held or (held.quantity and old.generation != tallied.generation):
                tallied.set_line(line, old, held, old.position)
            if held != old.held:
                drift.append({name: held.amounts[name] - old.held.amounts[name] for name in AMOUNTS})
        return [*self.books.tally_actions(tallied), *self._drift_actions(LINES, drift)]

    def _drop_products(self, keys: list[Row]) -> None:
        for product_id in sorted({int(key["user_id"]["S"].removeprefix(PRODUCT)) for key in keys}):
            self.books.transact(partial(self._drop_product, product_id))
            self.books.refresh(product_id, rewrite=True)

    def _drop_product(self, product_id: int) -> list[Row]:
        """Return the actions that delete a product's rows of older generations."""
        old_rows = self._older(shard_rows(self.books.partition(f"{PRODUCT}{product_id}")))
        deletes = [{"Delete": {"TableName": self.books.name, "Key": _key_of(row)}} for row in old_rows]
        return [*deletes, *self._drift_actions(PRODUCTS, [_negative(sum_attributes(old_rows, AMOUNTS))])]

    def _drop_totals(self) -> list[Row]:
        """Return the actions that empty the totals of older generations.

        Their rows stay for ``CLOSED_SECONDS``: they mark the generation as closed.
        """
        old_rows = [row for row in self._older(shard_rows(self.books.partition(TOTALS))) if "ttl" not in row]
        closed = {"closed": {"BOOL": True}, "ttl": number(time.time() + CLOSED_SECONDS)}
        puts = [{"Put": {"TableName": self.books.name, "Item": _key_of(row) | closed}} for row in old_rows]
        return [*puts, *self._drift_actions(ALL, [_negative(sum_attributes(old_rows, AMOUNTS))])]

    def _older(self, rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if int(row["item_id"]["S"].partition("#")[0]) < self.generation]

    def _drift_actions(self, kind: str, drifts: list[dict[str, int]]) -> list[Row]:
        """Return the action that adds to the drift found so far, for the transaction that corrects it."""
        drifts = [drift for drift in drifts if any(drift.values())]
        if not drifts:
            return []
        sums = {name: sum(drift[name] for drift in drifts) for name in AMOUNTS}
        return [self.books.add_action(row_key(REBUILD, f"{DRIFT}{kind}"), {"differing": len(drifts)} | sums)]


def _scan_segments(work: Callable[[int], Iterator[int]]) -> Iterator[int]:
    """Run ``work`` for all segments in parallel, and yield what each yields as soon as it does."""
    scanned: SimpleQueue[int | None] = SimpleQueue()
    stopped = Event()

    def run(segment: int) -> None:
        try:
            for rows in work(segment):
                scanned.put(rows)
                if stopped.is_set():
                    return
        finally:
            scanned.put(None)

    with ThreadPoolExecutor(SEGMENTS) as pool:
        scans = [pool.submit(run, segment) for segment in range(SEGMENTS)]
        try:
            for _ in scans:
                yield from iter(scanned.get, None)
            for scan in scans:
                scan.result()
        finally:
            stopped.set()


def _line_of(key: Row) -> LineId | None:
    """Return the line of a key, which is a line's own or that of its counted row; None if it is of neither."""
    item_id = key["item_id"]["S"].replace(COUNTED_LINE, LINE_PREFIXES[CART])
    product_id = product_of_key(item_id)
    return None if product_id is None else LineId(key["user_id"]["S"].removeprefix(COUNTED), product_id)


def _drift(kind: str, row: Row) -> Drift:
    sums = sum_attributes([row], ("differing", *AMOUNTS))
    return Drift(kind, sums["differing"], sums["lines"], sums["units"], from_cents(sums["cents"]))


def _key_of(row: Row) -> Row:
    return {name: row[name] for name in ("user_id", "item_id")}


def _negative(amounts: dict[str, int]) -> dict[str, int]:
    return {name: -amounts.get(name, 0) for name in AMOUNTS}

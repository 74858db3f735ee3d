"""Count records of the table's stream: write the aggregates of ``totals``.

For each line there is a row that keeps what the aggregates contain of it (``Counted``), and for each record, for two
days, a row that marks it as counted. A transaction writes these rows together with the aggregates, on condition that
each row is still as it was read. So each record counts once, however often and in whatever order the records are
counted and by however many processes; a transaction that fails changes nothing.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from cart.analytics.tally import Change, Counted, Held, LineId, Tally, tally
from cart.analytics.totals import (
    AMOUNT_OF,
    AMOUNTS,
    SHARDS,
    Aggregates,
    board_key,
    entry_key,
    shard_rows,
    sum_attributes,
)
from cart.dynamodb.client import call
from cart.dynamodb.failures import TransactionCancelled
from cart.dynamodb.keys import BOARD, COUNTED, COUNTED_LINE, DAYS, GENERATION, PRODUCT, RECORD, TOTALS, Row, row_key
from cart.dynamodb.retries import MAX_ROUNDS, attempts
from cart.dynamodb.rows import number
from cart.errors import Throttled

CHUNK = 16  # records in one transaction: at most 5 actions each and 2 more, of the 100 that DynamoDB allows
MARK_TTL_SECONDS = 172_800  # twice as long as a stream keeps a record
GENERATION_KEY = row_key(TOTALS, GENERATION)


class Bookkeeper(Aggregates):
    """The aggregates of one table, for reading and writing."""

    def count(self, changes: list[Change]) -> None:
        """Count records, except those that were counted before.

        One BatchGetItem, and one TransactWriteItems if any record is new.

        :param changes: at most ``CHUNK``
        """

        def read_and_make_actions() -> list[Row]:
            lines = {change.line for change in changes if change.line}
            rows = self.rows([GENERATION_KEY, *map(counted_key, lines), *unique_keys(map(_record_key, changes))])
            new = {
                (change.user_id, change.position): change
                for change in changes
                if _key_texts(_record_key(change)) not in rows
            }
            tallied = tally(new.values(), counted_of(rows, lines), generation_of(rows))
            return [*map(self._mark_action, new.values()), *self.tally_actions(tallied)]

        self.transact(read_and_make_actions)

    def refresh(self, product_id: int, rewrite: bool = False) -> None:
        """Make a product's entries in the rankings equal to its aggregate.

        One Query if they are equal; else also a TransactWriteItems and another Query. It returns only after a Query
        that found them equal: a process that read the aggregate before another one counted may write its entries
        after that one has compared them.

        :param rewrite: write the entries even if they are equal
        """
        for attempt in range(MAX_ROUNDS):
            if not self.transact(partial(self._entry_actions, product_id, rewrite and attempt == 0)):
                return
        raise Throttled

    def _entry_actions(self, product_id: int, rewrite: bool) -> list[Row]:
        rows = list(self.partition(f"{PRODUCT}{product_id}"))
        ranked_row = next((row for row in rows if row["item_id"]["S"] == BOARD), None)
        ranked = sum_attributes([ranked_row] if ranked_row else [], AMOUNTS)
        current = sum_attributes(shard_rows(rows), AMOUNTS)
        if ranked == current and not rewrite:
            return []
        before, after = _entries(product_id, ranked), _entries(product_id, current)
        deletes = [{"Delete": {"TableName": self.name, "Key": row_key(*key)}} for key in before - after]
        new = after if rewrite else after - before
        puts = [{"Put": {"TableName": self.name, "Item": row_key(*key)}} for key in new]
        amounts = {name: number(current[name]) for name in AMOUNTS}
        return [*deletes, *puts, self.put_action(board_key(product_id), amounts, revision_of(ranked_row))]

    def transact(self, make_actions: Callable[[], list[Row]]) -> bool:
        """Write actions in one transaction; if another writer has changed a row, make them again and retry.

        :param make_actions: reads rows, and returns actions that are conditional on them
        :return: whether there was any action
        :raise Throttled: other writers changed the rows before every attempt
        """
        for _ in attempts():
            actions = make_actions()
            if not actions:
                return False
            token = str(uuid.uuid4())
            with suppress(TransactionCancelled):
                call(self.client, "transact_write_items", TransactItems=actions, ClientRequestToken=token)
                return True
        raise Throttled

    def tally_actions(self, tallied: Tally) -> list[Row]:
        """Return the actions that write a tally, on condition that the rows it was made from are unchanged.

        They also fail if a rebuild has closed the tally's generation.
        """
        counted_rows = [
            self.put_action(counted_key(line), _counted_values(counted), counted.revision)
            for line, counted in tallied.counted.items()
        ]
        products = [
            self.add_action(_any_shard(f"{PRODUCT}{product_id}", generation), amounts)
            for (product_id, generation), amounts in tallied.products.items()
            if any(amounts.values())
        ]
        totals = [
            self.add_action(_any_shard(TOTALS, generation), amounts, only_open=generation == tallied.generation)
            for generation, amounts in tallied.totals.items()
            if generation == tallied.generation or any(amounts.values())
        ]
        days = [self.add_action(_any_shard(DAYS, day), flows) for day, flows in tallied.days.items() if flows]
        return [*counted_rows, *products, *totals, *days]

    def put_action(self, key: Row, values: Row, revision: int) -> Row:
        """Return the action that replaces a row, on condition that it still has the revision that was read.

        :param revision: of the row that was read, 0 if there was none
        """
        condition = (
            {"ConditionExpression": "revision = :read", "ExpressionAttributeValues": {":read": number(revision)}}
            if revision
            else {"ConditionExpression": "attribute_not_exists(item_id)"}
        )
        item = key | values | {"revision": number(revision + 1)}
        return {"Put": {"TableName": self.name, "Item": item} | condition}

    def add_action(self, key: Row, amounts: Mapping[str, int], only_open: bool = False) -> Row:
        """Return the action that adds amounts to the numbers of a row.

        :param only_open: on condition that the row's generation is not closed
        """
        names = {f"#{name}": name for name in (*amounts, *(["closed"] if only_open else []))}
        update = {
            "TableName": self.name,
            "Key": key,
            "UpdateExpression": "ADD " + ", ".join(f"#{name} :{name}" for name in amounts),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {f":{name}": number(amount) for name, amount in amounts.items()},
        }
        return {"Update": update | ({"ConditionExpression": "attribute_not_exists(#closed)"} if only_open else {})}

    def _mark_action(self, change: Change) -> Row:
        return self.put_action(_record_key(change), {"ttl": number(time.time() + MARK_TTL_SECONDS)}, 0)


def counted_key(line: LineId) -> Row:
    """Return the key of the row that keeps what was counted of a line."""
    return row_key(f"{COUNTED}{line.user_id}", f"{COUNTED_LINE}{line.product_id}")


def counted_of(rows: Mapping[tuple[str, str], Row], lines: Iterable[LineId]) -> dict[LineId, Counted]:
    """Return what was counted of each of these lines.

    :param rows: as ``Aggregates.rows`` returns them
    """
    return {line: _counted(rows.get(_key_texts(counted_key(line)))) for line in lines}


def generation_of(rows: Mapping[tuple[str, str], Row]) -> int:
    """Return the number of the current generation, 1 if there was no rebuild yet."""
    row = rows.get(_key_texts(GENERATION_KEY))
    return int(row["generation"]["N"]) if row else 1


def revision_of(row: Row | None) -> int:
    """Return a row's revision, 0 if there is no row."""
    return int(row["revision"]["N"]) if row else 0


def unique_keys(keys: Iterable[Row]) -> list[Row]:
    """Return each of these keys once: DynamoDB refuses a BatchGetItem that names a key twice."""
    return list({_key_texts(key): key for key in keys}.values())


def _any_shard(user_id: str, aggregate: int | str) -> Row:
    return row_key(user_id, f"{aggregate}#{random.randrange(SHARDS)}")


def _entries(product_id: int, amounts: Mapping[str, int]) -> set[tuple[str, str]]:
    """Return the keys of a product's entries in the rankings: none for an amount of 0."""
    keys = (entry_key(sort, amounts[name], product_id) for sort, name in AMOUNT_OF.items() if amounts[name] > 0)
    return {_key_texts(key) for key in keys}


def _record_key(change: Change) -> Row:
    return row_key(f"{COUNTED}{change.user_id}", f"{RECORD}{change.position}")


def _key_texts(key: Row) -> tuple[str, str]:
    return key["user_id"]["S"], key["item_id"]["S"]


def _counted(row: Row | None) -> Counted:
    if not row:
        return Counted()
    held = Held(int(row["quantity"]["N"]), int(row["cents"]["N"]))
    return Counted(held, row["position"]["S"], int(row["generation"]["N"]), revision_of(row))


def _counted_values(counted: Counted) -> dict[str, Any]:
    values = {
        "quantity": number(counted.held.quantity),
        "cents": number(counted.held.cents),
        "position": {"S": counted.position},
        "generation": number(counted.generation),
    }
    if counted.held.quantity:
        return values
    # the row of a removed line is kept as long as an older record of the line may still be read
    return values | {"ttl": number(time.time() + MARK_TTL_SECONDS)}

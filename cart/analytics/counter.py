"""Keeps the aggregates up to date: what is written when records of the table's stream are counted, and in what order.

Beside each line there is a row with what was counted of it (``Counted``), and for two days one of each record. They are
written in the transaction that adds to the aggregates, each on the condition that it is as it was read. So a record
counts once, whoever counts it, how often, and in whatever order, and a transaction that fails has done nothing.
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
    shards,
    summed,
)
from cart.dynamodb.client import TransactionCancelled, call
from cart.dynamodb.keys import BOARD, COUNTED, COUNTED_LINE, DAYS, GENERATION, PRODUCT, RECORD, TOTALS, Row, row_key
from cart.dynamodb.retries import MAX_ATTEMPTS, attempts
from cart.dynamodb.rows import number
from cart.errors import Throttled

CHUNK = 16  # records of one transaction, which takes 100 actions: at worst five each, and two
KEPT_SECONDS = 172_800  # twice as long as a stream keeps a record
GENERATION_KEY = row_key(TOTALS, GENERATION)


class Bookkeeper(Aggregates):
    """The aggregates of one table, to be written."""

    def count(self, changes: list[Change]) -> None:
        """Count records, at most ``CHUNK`` of them. One BatchGetItem, and one TransactWriteItems if any is new."""

        def actions() -> list[Row]:
            lines = {change.line for change in changes if change.line}
            rows = self.rows([GENERATION_KEY, *map(counted_key, lines), *unique(map(_record_key, changes))])
            new = {(one.user_id, one.position): one for one in changes if _place(_record_key(one)) not in rows}
            tallied = tally(new.values(), counted_of(rows, lines), generation_of(rows))
            return [*map(self._mark, new.values()), *self.actions_of(tallied)]

        self.insist(actions)

    def refresh(self, product_id: int, anew: bool = False) -> None:
        """Bring a product's entries on the boards in line. A Query; if they are not, a TransactWriteItems and a Query.

        It ends with a look that finds them in line: one who has looked before others counted, and writes after they
        have looked, else leaves them as they no longer are.

        :param anew: write those that are in line, too
        """
        for attempt in range(MAX_ATTEMPTS):
            if not self.insist(partial(self._list, product_id, anew and attempt == 0)):
                return
        raise Throttled

    def _list(self, product_id: int, anew: bool) -> list[Row]:
        rows = list(self.partition(f"{PRODUCT}{product_id}"))
        board = next((row for row in rows if row["item_id"]["S"] == BOARD), None)
        listed, now = summed([board] if board else [], AMOUNTS), summed(shards(rows), AMOUNTS)
        if listed == now and not anew:
            return []
        before, after = _entries(product_id, listed), _entries(product_id, now)
        drops = [{"Delete": {"TableName": self.name, "Key": row_key(*one)}} for one in before - after]
        new = after if anew else after - before
        puts = [{"Put": {"TableName": self.name, "Item": row_key(*one)}} for one in new]
        amounts = {name: number(now[name]) for name in AMOUNTS}
        return [*drops, *puts, self.put(board_key(product_id), amounts, revision_of(board))]

    def insist(self, make_actions: Callable[[], list[Row]]) -> bool:
        """Carry out what is made of what is read, in one transaction, and again as long as others come between.

        :return: whether there was anything to do
        :raise Throttled: they do not stop
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

    def actions_of(self, tallied: Tally) -> list[Row]:
        """The actions of a transaction that writes a tally, if all that it was made from is as it was read.

        A generation takes in lines until a rebuild closes it: then what is under way with it fails.
        """
        counted = [
            self.put(counted_key(line), _counted_values(one), one.revision) for line, one in tallied.counted.items()
        ]
        products = [
            self.add(_any_shard(f"{PRODUCT}{product_id}", generation), amounts)
            for (product_id, generation), amounts in tallied.products.items()
            if any(amounts.values())
        ]
        totals = [
            self.add(_any_shard(TOTALS, generation), amounts, still_open=generation == tallied.generation)
            for generation, amounts in tallied.totals.items()
            if generation == tallied.generation or any(amounts.values())
        ]
        days = [self.add(_any_shard(DAYS, day), flows) for day, flows in tallied.days.items() if flows]
        return [*counted, *products, *totals, *days]

    def put(self, key: Row, values: Row, revision: int) -> Row:
        """The action that writes a row over the one that was read.

        :param revision: of that, 0 where there was none
        """
        condition = (
            {"ConditionExpression": "revision = :read", "ExpressionAttributeValues": {":read": number(revision)}}
            if revision
            else {"ConditionExpression": "attribute_not_exists(item_id)"}
        )
        item = key | values | {"revision": number(revision + 1)}
        return {"Put": {"TableName": self.name, "Item": item} | condition}

    def add(self, key: Row, amounts: Mapping[str, int], still_open: bool = False) -> Row:
        """The action that adds to the numbers of a row."""
        names = {f"#{name}": name for name in (*amounts, *(["closed"] if still_open else []))}
        update = {
            "TableName": self.name,
            "Key": key,
            "UpdateExpression": "ADD " + ", ".join(f"#{name} :{name}" for name in amounts),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {f":{name}": number(amount) for name, amount in amounts.items()},
        }
        return {"Update": update | ({"ConditionExpression": "attribute_not_exists(#closed)"} if still_open else {})}

    def _mark(self, change: Change) -> Row:
        return self.put(_record_key(change), {"ttl": number(time.time() + KEPT_SECONDS)}, 0)


def counted_key(line: LineId) -> Row:
    return row_key(f"{COUNTED}{line.user_id}", f"{COUNTED_LINE}{line.product_id}")


def counted_of(rows: Mapping[tuple[str, str], Row], lines: Iterable[LineId]) -> dict[LineId, Counted]:
    """What was counted of each of these lines."""
    return {line: _counted(rows.get(_place(counted_key(line)))) for line in lines}


def generation_of(rows: Mapping[tuple[str, str], Row]) -> int:
    row = rows.get(_place(GENERATION_KEY))
    return int(row["generation"]["N"]) if row else 1


def revision_of(row: Row | None) -> int:
    return int(row["revision"]["N"]) if row else 0


def unique(keys: Iterable[Row]) -> list[Row]:
    return list({_place(key): key for key in keys}.values())


def _any_shard(user_id: str, aggregate: int | str) -> Row:
    return row_key(user_id, f"{aggregate}#{random.randrange(SHARDS)}")


def _entries(product_id: int, amounts: Mapping[str, int]) -> set[tuple[str, str]]:
    """The keys of a product's entries on the boards; one that has nothing is on none."""
    keys = (entry_key(sort, amounts[name], product_id) for sort, name in AMOUNT_OF.items() if amounts[name] > 0)
    return {_place(key) for key in keys}


def _record_key(change: Change) -> Row:
    return row_key(f"{COUNTED}{change.user_id}", f"{RECORD}{change.position}")


def _place(key: Row) -> tuple[str, str]:
    return key["user_id"]["S"], key["item_id"]["S"]


def _counted(row: Row | None) -> Counted:
    if not row:
        return Counted()
    held = Held(int(row["quantity"]["N"]), int(row["cents"]["N"]))
    return Counted(held, row["position"]["S"], int(row["generation"]["N"]), revision_of(row))


def _counted_values(counted: Counted) -> dict[str, Any]:
    """Of a line that is gone, the row is kept for as long as an older record may still come."""
    values = {
        "quantity": number(counted.held.quantity),
        "cents": number(counted.held.cents),
        "position": {"S": counted.position},
        "generation": number(counted.generation),
    }
    return values if counted.held.quantity else values | {"ttl": number(time.time() + KEPT_SECONDS)}

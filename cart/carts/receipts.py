"""Changes of more lines than one transaction takes: a receipt is kept with each transaction, and continued."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from flask import current_app

from cart.dynamodb.idempotency import UNFINISHED, IdempotencyKey, KeptAnswer, Step
from cart.dynamodb.keys import Row
from cart.dynamodb.table import TRANSACTION_ROWS

LineChange = TypeVar("LineChange")
Entries = list[dict[str, Any]]  # of a receipt, one for each line


def entries_of(so_far: KeptAnswer | None) -> Entries:
    """Return the receipt of the transactions that were carried out before."""
    entries: Entries = current_app.json.loads(so_far.body) if so_far else []
    return entries


def steps_with_receipt(
    changes: list[LineChange],
    rows_each: int,
    key: IdempotencyKey | None,
    entries: Entries,
    make_actions: Callable[[list[LineChange]], list[Row]],
    make_entries: Callable[[list[LineChange]], Entries],
    make_body: Callable[[Entries], dict[str, Any]],
) -> Iterator[Step]:
    """Yield the transactions of a change of many lines; the last has the whole answer.

    :param changes: of one line each, in the order in which they are carried out
    :param rows_each: rows that each changes
    :param key: the request's, whose record is a row of each transaction
    :param entries: the receipt of the transactions before
    :param make_body: takes the whole receipt
    """
    dumps = current_app.json.dumps
    most = (TRANSACTION_ROWS - bool(key)) // rows_each  # with a key, one row is the record
    while len(changes) > most:
        part, changes = changes[:most], changes[most:]
        entries = entries + make_entries(part)
        yield make_actions(part), KeptAnswer(UNFINISHED, dumps(entries), str(len(entries)))
    yield make_actions(changes), KeptAnswer(200, dumps(make_body(entries + make_entries(changes))))

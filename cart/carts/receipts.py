"""Change more lines than one transaction takes. Each transaction also stores the receipt of all changes until then."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cart.dynamodb.idempotency import UNFINISHED, IdempotencyKey, KeptAnswer, Step
from cart.dynamodb.keys import Row
from cart.dynamodb.table import TRANSACTION_ROWS
from cart.http.schema import JsonSchema

LineChange = TypeVar("LineChange")
Entries = list[Any]  # of a receipt, one for each line: a change, or its stored entry


def entries_of(progress: KeptAnswer | None, schema: JsonSchema) -> Entries:
    """Return the stored entries of the transactions that an earlier run carried out.

    :param progress: the last stored answer of that run, None if there was none
    :param schema: of one entry
    """
    entries: Entries = schema.loads(progress.body, many=True) if progress else []
    return entries


def steps_with_receipt(
    changes: list[LineChange],
    rows_each: int,
    key: IdempotencyKey | None,
    entries: Entries,
    schema: JsonSchema,
    make_actions: Callable[[list[LineChange]], list[Row]],
    make_body: Callable[[Entries], str],
) -> Iterator[Step]:
    """Yield the transactions that change many lines, each with its answer; the last answer has the whole receipt.

    :param changes: of one line each, in the order in which they are carried out
    :param rows_each: rows that each change writes
    :param key: of the request; its record is a row of each transaction
    :param entries: the entries of earlier transactions
    :param schema: of one entry
    :param make_body: takes the whole receipt, and returns the answer's JSON text
    """
    changes_per_transaction = (TRANSACTION_ROWS - bool(key)) // rows_each  # with a key, one row is the record
    while len(changes) > changes_per_transaction:
        part, changes = changes[:changes_per_transaction], changes[changes_per_transaction:]
        entries = entries + part
        yield make_actions(part), KeptAnswer(UNFINISHED, schema.dumps(entries, many=True), str(len(entries)))
    yield make_actions(changes), KeptAnswer(200, make_body(entries + changes))

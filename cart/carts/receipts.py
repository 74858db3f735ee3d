"""Changes of more lines than one transaction takes: a receipt is kept with each transaction, and continued."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cart.dynamodb.idempotency import UNFINISHED, IdempotencyKey, KeptAnswer, Step
from cart.dynamodb.keys import Row
from cart.dynamodb.table import TRANSACTION_ROWS
from cart.http.schema import JsonSchema

LineChange = TypeVar("LineChange")
Entries = list[Any]  # of a receipt, one for each line: a change, or what was read from the receipt so far


def entries_of(so_far: KeptAnswer | None, schema: JsonSchema) -> Entries:
    """Return the receipt of the transactions that were carried out before.

    :param schema: of one entry
    """
    entries: Entries = schema.loads(so_far.body, many=True) if so_far else []
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
    """Yield the transactions of a change of many lines; the last has the whole answer.

    :param changes: of one line each, in the order in which they are carried out
    :param rows_each: rows that each changes
    :param key: the request's, whose record is a row of each transaction
    :param entries: the receipt of the transactions before
    :param schema: of one entry
    :param make_body: takes the whole receipt, and returns the answer's JSON text
    """
    most = (TRANSACTION_ROWS - bool(key)) // rows_each  # with a key, one row is the record
    while len(changes) > most:
        part, changes = changes[:most], changes[most:]
        entries = entries + part
        yield make_actions(part), KeptAnswer(UNFINISHED, schema.dumps(entries, many=True), str(len(entries)))
    yield make_actions(changes), KeptAnswer(200, make_body(entries + changes))

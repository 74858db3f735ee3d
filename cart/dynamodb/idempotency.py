"""Carry a change out once, however often it is requested: the transaction also stores a record of the answer."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cart.context import seconds_since
from cart.dynamodb.failures import TransactionCancelled
from cart.dynamodb.keys import IDEMPOTENCY, Row, line_key, row_key
from cart.dynamodb.packing import pack_text, unpack_text
from cart.dynamodb.retries import attempts
from cart.dynamodb.rows import is_live, line_of, number
from cart.dynamodb.table import TRANSACTION_ROWS, CartTable
from cart.errors import (
    CatalogUnavailable,
    IdempotencyKeyReused,
    InsufficientStock,
    LineNotFound,
    LinesLimit,
    OutcomeUnknown,
    ProductNotFound,
    ProductUnreadable,
    QuantityLimit,
    Throttled,
    Unavailable,
)
from cart.model.limits import refuse_line, refuse_quantity
from cart.model.lines import CART, Line, Place, iso, next_version, unless_expired

RECORD_TTL_SECONDS = 86_400
CONTEND_FOR_SECONDS = 2  # a transaction is repeated for so long while other writers change its rows
UNFINISHED = 0  # a status: more transactions follow
# A retry may raise these although the first attempt succeeded
REFUSALS = (
    *(LineNotFound, ProductNotFound, ProductUnreadable, QuantityLimit, LinesLimit),
    *(InsufficientStock, CatalogUnavailable),
)


class IdempotencyKey(NamedTuple):
    """The ``Idempotency-Key`` of a request, and the request that it belongs to.

    :ivar hash: the hash of the key that the client chose
    :ivar fingerprint: the hash of the request
    """

    hash: str
    fingerprint: str


class KeptAnswer(NamedTuple):
    """The answer to a change, as it is stored in the record of its key.

    :ivar status: of HTTP, or ``UNFINISHED`` if more transactions follow
    :ivar etag: of an ``UNFINISHED`` answer: how much is done, different after each transaction
    :ivar replayed: whether the answer was read from the record
    """

    status: int
    body: str
    etag: str = ""
    replayed: bool = False


Step = tuple[list[Row], KeptAnswer]  # the actions of one transaction, and the answer after it
MakeSteps = Callable[[KeptAnswer | None], Iterator[Step]]
MakeAnswer = Callable[[Line], KeptAnswer]


def split_actions(actions: list[Row]) -> list[list[Row]]:
    """Return actions in parts of one transaction each; without actions, there is no part."""
    return [actions[start : start + TRANSACTION_ROWS] for start in range(0, len(actions), TRANSACTION_ROWS)]


def carry_out_once(table: CartTable, user_id: str, key: IdempotencyKey | None, make_steps: MakeSteps) -> KeptAnswer:
    """Make a change in one or more transactions; with a key, each transaction also stores the record of its answer.

    If the key has a record of the final answer, that answer is returned. If the record is ``UNFINISHED``, since the
    process crashed between two transactions, the change is continued from there.

    :param make_steps: takes the last answer of an unfinished change or None, reads what it needs, and yields one
        transaction at a time, which must fail if a row has changed since it was read; the status of every answer but
        the last is ``UNFINISHED``
    :raise IdempotencyKeyReused: the key was sent with another request (422)
    :raise Throttled: other writers kept changing the rows (429)
    :raise OutcomeUnknown: some of the transactions were carried out (503)
    """
    progress: KeptAnswer | None = None
    started = time.perf_counter()
    try:
        for _ in attempts(None, is_over=lambda: seconds_since(started) > CONTEND_FOR_SECONDS):
            try:
                for actions, answer in make_steps(progress):
                    table.transact([*_put_record(table, user_id, key, answer, progress), *actions])
                    progress = answer
            except (*REFUSALS, TransactionCancelled) as error:
                stored = stored_answer(table, user_id, key) if key else None
                if stored and stored.status != UNFINISHED:
                    return stored
                if not isinstance(error, TransactionCancelled):
                    raise
                progress = stored or progress
            else:
                return answer
        raise Throttled
    except (Throttled, Unavailable):
        if progress:  # both errors mean that nothing was changed
            raise OutcomeUnknown from None
        raise


def add_item_once(
    table: CartTable,
    user_id: str,
    product_id: int,
    find_item: Callable[[], dict[str, Any]],
    key: IdempotencyKey,
    make_answer: MakeAnswer,
    place: Place = CART,
) -> KeptAnswer:
    """Add units of a product like ``CartTable.add_item``, and store the record of the answer in the same transaction.

    One GetItem and one TransactWriteItems; for a new line also a Query, to count the lines.

    :param find_item: returns the arguments of ``CartTable.add_item`` for the product; if it raises, the stored answer
        is still returned to a request that was carried out before
    :param make_answer: returns the answer for the stored line; it is also the answer to each repeated request
    :raise IdempotencyKeyReused: the key was sent with another request (422)
    """

    def steps(_: KeptAnswer | None) -> Iterator[Step]:
        item = find_item()
        row = table.row(line_key(user_id, place, product_id))
        read = line_of(row) if row else None
        line = _with_item(table, user_id, place, read, **item)
        yield [table.put_line(user_id, place, line, read)], make_answer(line)

    return carry_out_once(table, user_id, key, steps)


def _with_item(
    table: CartTable,
    user_id: str,
    place: Place,
    read: Line | None,
    quantity: int,
    stock: int | None = None,
    **item: Any,
) -> Line:
    """Return the line after an item was added to it.

    :param read: the line of the row, live or expired, or None if there is no row
    :param quantity: units to add
    """
    now = datetime.now(UTC)
    line = unless_expired(read, now)
    total = quantity + (line.quantity if line else 0)
    if total > table.limits.units(stock):
        refuse_quantity(table.limits, total - quantity, quantity, stock)
    if not line and table.count_lines(user_id, place) >= table.limits.lines:
        refuse_line(place, table.limits.lines)
    return Line(
        **item,
        quantity=total,
        priced_at=iso(now),
        added_at=line.added_at if line else iso(now),
        updated_at=iso(now),
        version=next_version(read, now),
        change=line.change if line else None,
    )


def _put_record(
    table: CartTable, user_id: str, key: IdempotencyKey | None, answer: KeptAnswer, progress: KeptAnswer | None
) -> list[Row]:
    """Return the transaction action that stores an answer if the key's record has not changed.

    :param progress: the answer that is stored now, or None if the key has no valid record
    """
    if key is None:
        return []
    now = time.time()
    item = row_key(f"{IDEMPOTENCY}{user_id}", key.hash) | {
        "fingerprint": {"S": key.fingerprint},
        "status": number(answer.status),
        "body": pack_text(answer.body),
        "etag": {"S": answer.etag},
        "ttl": number(now + RECORD_TTL_SECONDS),
    }
    return [{"Put": {"TableName": table.name, "Item": item, **_unchanged_condition(progress, now)}}]


def _unchanged_condition(progress: KeptAnswer | None, now: float) -> Row:
    if progress is None:
        return {
            "ConditionExpression": "attribute_not_exists(item_id) OR #ttl <= :epoch",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {":epoch": number(now)},
        }
    return {
        "ConditionExpression": "#status = :unfinished AND etag = :progress",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":unfinished": number(UNFINISHED), ":progress": {"S": progress.etag}},
    }


def stored_answer(table: CartTable, user_id: str, key: IdempotencyKey) -> KeptAnswer | None:
    """Return the answer in the key's record, or None if there is no record or it has expired. One GetItem.

    :raise IdempotencyKeyReused: it is the answer to another request (422)
    """
    record = table.row(row_key(f"{IDEMPOTENCY}{user_id}", key.hash))
    if not record or not is_live(record):
        return None
    if record["fingerprint"]["S"] != key.fingerprint:
        raise IdempotencyKeyReused
    return KeptAnswer(int(record["status"]["N"]), unpack_text(record["body"]), record["etag"]["S"], replayed=True)

"""Carry a change out once, however often its request comes: the record of its answer, in the same transaction."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cart.context import seconds_since
from cart.dynamodb.client import TransactionCancelled
from cart.dynamodb.keys import IDEMPOTENCY, Row, line_key, row_key
from cart.dynamodb.retries import attempts
from cart.dynamodb.rows import is_live, line_of, number, packed, unpacked
from cart.dynamodb.table import CartTable
from cart.errors import (
    CatalogUnavailable,
    IdempotencyKeyReused,
    InsufficientStock,
    LineNotFound,
    LinesLimit,
    OutcomeUnknown,
    ProductNotFound,
    QuantityLimit,
    Throttled,
    Unavailable,
)
from cart.model.limits import refuse_line, refuse_quantity
from cart.model.lines import CART, Line, Place, iso, next_version, unless_expired

RECORD_TTL_SECONDS = 86_400
CONTEND_FOR_SECONDS = 2  # how long a transaction is repeated while other writers change its rows
UNFINISHED = 0  # the status of an answer after which more transactions follow
# A retry may raise these although the first attempt succeeded
REFUSALS = (LineNotFound, ProductNotFound, QuantityLimit, LinesLimit, InsufficientStock, CatalogUnavailable)


class IdempotencyKey(NamedTuple):
    """Of a request that is to be carried out once, however often it comes."""

    hash: str  # of what the client chose
    fingerprint: str  # of the request that came with it


class KeptAnswer(NamedTuple):
    """The answer to a change, as it is kept in the record beside it."""

    status: int  # UNFINISHED where more transactions are to come
    body: str
    etag: str = ""  # of one that is UNFINISHED: how much is done, which only grows
    replayed: bool = False


Step = tuple[list[Row], KeptAnswer]  # the actions of one transaction, and the answer when it is done
MakeSteps = Callable[[KeptAnswer | None], Iterator[Step]]
MakeAnswer = Callable[[Line], KeptAnswer]


def carry_out_once(table: CartTable, user_id: str, key: IdempotencyKey | None, make_steps: MakeSteps) -> KeptAnswer:
    """Make a change in one transaction or more; with a key, each of them also writes the record of its answer.

    If the key's record is there, its answer is returned. If it is the record of a change that crashed between two of
    its transactions, the change is continued from there.

    :param make_steps: takes what was answered so far, reads what it needs, and yields a transaction at a time, which
        must fail if what was read has changed; the status of every answer but the last is ``UNFINISHED``
    :raise IdempotencyKeyReused: the key came with another request (422)
    :raise Throttled: other writers kept changing the rows (429)
    :raise OutcomeUnknown: some of the transactions were carried out (503)
    """
    so_far: KeptAnswer | None = None
    started = time.perf_counter()
    try:
        for _ in attempts(None, is_over=lambda: seconds_since(started) > CONTEND_FOR_SECONDS):
            try:
                for actions, answer in make_steps(so_far):
                    table.transact([*_put_record(table, user_id, key, answer, so_far), *actions])
                    so_far = answer
            except (*REFUSALS, TransactionCancelled) as error:
                kept = _kept_answer(table, user_id, key) if key else None
                if kept and kept.status != UNFINISHED:
                    return kept
                if not isinstance(error, TransactionCancelled):
                    raise
                so_far = kept or so_far
            else:
                return answer
        raise Throttled
    except (Throttled, Unavailable):
        if so_far:  # these would mean that nothing was changed
            raise OutcomeUnknown from None
        raise


def add_item_once(
    table: CartTable,
    user_id: str,
    product_id: int,
    find_item: Callable[[], dict[str, Any]],
    key: IdempotencyKey,
    answer: MakeAnswer,
    place: Place = CART,
) -> KeptAnswer:
    """``add_item``, and the record that it was done, in one transaction.

    One GetItem and one TransactWriteItems; a new line costs a Query too, to count the lines.

    :param find_item: returns what ``CartTable.add_item`` takes of the product; if it raises, a repeat of a request that
        was carried out is answered all the same
    :param answer: makes of the stored line what the caller is told, now and at each repeat
    :raise IdempotencyKeyReused: the key came with another request (422)
    """

    def steps(_: KeptAnswer | None) -> Iterator[Step]:
        item = find_item()
        row = table.row(line_key(user_id, place, product_id))
        read = line_of(row) if row else None
        line = _with_item(table, user_id, place, read, **item)
        yield [table.put_line(user_id, place, line, read)], answer(line)

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
    """The line that an item makes of what its row holds, live or not."""
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
    table: CartTable, user_id: str, key: IdempotencyKey | None, answer: KeptAnswer, so_far: KeptAnswer | None
) -> list[Row]:
    """The action of a transaction that keeps an answer, if the key has none that is still good but that so far."""
    if key is None:
        return []
    now = time.time()
    item = row_key(f"{IDEMPOTENCY}{user_id}", key.hash) | {
        "fingerprint": {"S": key.fingerprint},
        "status": number(answer.status),
        "body": packed(answer.body),
        "etag": {"S": answer.etag},
        "ttl": number(now + RECORD_TTL_SECONDS),
    }
    if so_far is None:
        condition = {
            "ConditionExpression": "attribute_not_exists(item_id) OR #ttl <= :epoch",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {":epoch": number(now)},
        }
    else:
        condition = {
            "ConditionExpression": "#status = :unfinished AND etag = :so_far",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":unfinished": number(UNFINISHED), ":so_far": {"S": so_far.etag}},
        }
    return [{"Put": {"TableName": table.name, "Item": item, **condition}}]


def _kept_answer(table: CartTable, user_id: str, key: IdempotencyKey) -> KeptAnswer | None:
    """:raise IdempotencyKeyReused: it is the answer to another request"""
    record = table.row(row_key(f"{IDEMPOTENCY}{user_id}", key.hash))
    if not record or not is_live(record):
        return None
    if record["fingerprint"]["S"] != key.fingerprint:
        raise IdempotencyKeyReused
    return KeptAnswer(int(record["status"]["N"]), unpacked(record["body"]), record["etag"]["S"], replayed=True)

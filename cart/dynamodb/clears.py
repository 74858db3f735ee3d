"""Clear a cart on condition that it is as the client has read it, in as many transactions as its lines need.

The first transaction fails if one of its lines has changed, and then nothing is changed. It also writes a row with the
lines of the next transactions. So a repeat of the same request removes the rest if the process crashed between two
transactions. A line of the next transactions that has changed stays, and the caller is told.
"""

import re

from cart.dynamodb.failures import TransactionCancelled
from cart.dynamodb.idempotency import split_actions
from cart.dynamodb.keys import CLEARED, row_key
from cart.dynamodb.packing import pack_text, unpack_text
from cart.dynamodb.retries import attempts
from cart.dynamodb.rows import cleared_row
from cart.dynamodb.table import TRANSACTION_ROWS, CartTable
from cart.errors import OutcomeUnknown, Throttled, Unavailable
from cart.model.lines import CART, Cart, Line


def clear_as_read(table: CartTable, cart: Cart) -> None:
    """Remove the lines of a cart. One TransactWriteItems for 99 lines, and one for each further 100.

    :param cart: as it was read
    :raise TransactionCancelled: a line has changed; if it is one of the first 99, nothing was changed
    :raise OutcomeUnknown: some of the transactions were carried out (503)
    """
    if not cart.items:
        return
    first, rest = cart.items[: TRANSACTION_ROWS - 1], cart.items[TRANSACTION_ROWS - 1 :]
    states = [line.state for line in rest]
    row = cleared_row(cart.user_id, cart.etag) | ({"lines": pack_text(" ".join(states))} if rest else {})
    deletes = [table.take_line(cart.user_id, CART, line) for line in first]
    table.transact([{"Put": {"TableName": table.name, "Item": row}}, *deletes])
    _remove_unchanged(table, cart.user_id, states, rest)


def continue_clear(table: CartTable, cart: Cart, etags: set[str]) -> bool:
    """Remove the rest of the lines of a clear that was interrupted. One GetItem, and the remaining transactions.

    :param cart: as it is now
    :param etags: of the request's ``If-Match``; a repeat has one, which begins with that of the cart that was cleared
    :return: whether there were such lines
    :raise TransactionCancelled: one of them has changed
    """
    etag = re.match("[0-9a-f]{24}", etags.pop()) if len(etags) == 1 else None
    row = table.row(row_key(f"{CLEARED}{cart.user_id}", etag[0])) if etag and cart.items else None
    states = unpack_text(row["lines"]).split() if row and "lines" in row else []
    return _remove_unchanged(table, cart.user_id, states, cart.items)


def _remove_unchanged(table: CartTable, user_id: str, states: list[str], lines: list[Line]) -> bool:
    """Remove the lines that are in one of these states.

    :param lines: of the cart, as they were read
    :return: whether there were such lines
    :raise TransactionCancelled: a line is in a newer state than in ``states``
    :raise OutcomeUnknown: some of the lines may still be there (503)
    """
    try:
        for _ in attempts():
            unchanged = [line for line in lines if line.state in states]
            try:
                for actions in split_actions([table.take_line(user_id, CART, line) for line in unchanged]):
                    table.transact(actions)
            except TransactionCancelled:
                lines = table.lines(user_id)
                continue
            products = {state.partition("-")[0] for state in states}
            if any(str(line.product_id) in products and line.state not in states for line in lines):
                raise TransactionCancelled
            return bool(unchanged)
        raise Throttled
    except (Throttled, Unavailable):
        raise OutcomeUnknown from None

"""Move lines from one list to another: merge, copy, save for later and move to cart follow the same rule."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from cart.carts.receipt_schemas import ReceiptLineSchema, moved_line_schema, receipt_schema
from cart.carts.receipts import entries_of, steps_with_receipt
from cart.dynamodb.idempotency import IdempotencyKey, KeptAnswer, Step, carry_out_once, stored_answer
from cart.dynamodb.keys import Row
from cart.dynamodb.shares import delete_shares, list_shares
from cart.http.extensions import get_table
from cart.model.limits import line_not_found, refuse_line
from cart.model.lines import CART, SAVED, CartAndSaved, Line, Place, in_order, is_live, live
from cart.model.transfer import COPY, MOVE, Move, plan_moves

Lists = dict[Place, dict[int, Line]]


class Transfer(NamedTuple):
    """A request to move lines from one user's lists to another user's, or to the other list of the same user.

    :ivar places: from which list to which
    :ivar product_id: the only product to move, None for all
    """

    source_id: str
    target_id: str
    places: dict[Place, Place]
    strategy: str = "sum"
    product_id: int | None = None
    keep_source: bool = False


def merge(user_id: str, source_id: str, strategy: str, dry_run: bool, key: IdempotencyKey | None) -> KeptAnswer:
    """Move all lines of another cart, and its saved lines, to this cart, and end the links to the other cart.

    Three Query, and a transaction for each 50 lines, which changes the target and deletes the source together. If it
    crashes between two transactions, some lines have moved, and the next merge moves the rest.
    """
    if not dry_run:
        _end_links(source_id, user_id, key)
    return _with_receipt(Transfer(source_id, user_id, {CART: CART, SAVED: SAVED}, strategy), dry_run, key)


def _end_links(source_id: str, target_id: str, key: IdempotencyKey | None) -> None:
    """Revoke the links to a cart before it is merged: nobody was given a link to the target.

    This is done before the lines are read. So the lines of every add through a link that was not refused are moved.
    """
    table = get_table()
    if shares := list_shares(table, source_id):
        if key:
            stored_answer(table, target_id, key)  # a key of another request is refused, which must change nothing
        delete_shares(table, shares)


def copy(user_id: str, owner: str, strategy: str, dry_run: bool, key: IdempotencyKey | None) -> KeptAnswer:
    """Copy the lines of another user's cart to this cart. Two Query, and a transaction for each 100 lines."""
    return _with_receipt(Transfer(owner, user_id, {CART: CART}, strategy, keep_source=True), dry_run, key)


def move(user_id: str, product_id: int, source: Place, target: Place, key: IdempotencyKey | None) -> KeptAnswer:
    """Move one line between a user's cart and saved list. One Query and one transaction.

    :raise LineNotFound: the source has no line of the product
    :raise LinesLimit: the target has no room for one more line
    """
    transfer = Transfer(user_id, user_id, {source: target}, product_id=product_id)

    def steps(_: KeptAnswer | None) -> Iterator[Step]:
        lists = get_table().all_lines(user_id)
        moves = _plan(transfer, lists, lists, set())
        if not moves:
            raise line_not_found(source, product_id)
        line = moves[0].result
        if line is None:
            refuse_line(target, get_table().limits.lines)
        yield _actions(transfer, moves), KeptAnswer(200, moved_line_schema.dumps(moves[0]), line.etag)

    return carry_out_once(get_table(), user_id, key, steps)


def _with_receipt(transfer: Transfer, dry_run: bool, key: IdempotencyKey | None) -> KeptAnswer:
    if dry_run:
        *_, (_, answer) = _steps(transfer, dry_run, None, None)
        return answer
    return carry_out_once(
        get_table(), transfer.target_id, key, lambda progress: _steps(transfer, dry_run, key, progress)
    )


def _steps(
    transfer: Transfer, dry_run: bool, key: IdempotencyKey | None, progress: KeptAnswer | None
) -> Iterator[Step]:
    """Read both carts, and yield the transactions of the lines that are not transferred yet."""
    table, entry_schema = get_table(), ReceiptLineSchema()
    entries = entries_of(progress, entry_schema)
    source, target = table.all_lines(transfer.source_id), table.all_lines(transfer.target_id)
    moves = _plan(transfer, source, target, {(entry["place"], entry["product_id"]) for entry in entries})
    possible, impossible = [move for move in moves if move.result], [move for move in moves if not move.result]
    yield from steps_with_receipt(
        possible,
        1 if transfer.keep_source else 2,
        key,
        entries,
        entry_schema,
        partial(_actions, transfer),
        lambda lines: receipt_schema.dumps(
            {
                "strategy": transfer.strategy,
                "dry_run": dry_run,
                "lines": lines + impossible,
                "cart": _cart_after(transfer, target, moves),
            }
        ),
    )


def _plan(transfer: Transfer, source: Lists, target: Lists, done: set[tuple[str, int]]) -> list[Move]:
    """Return the plan for each line that is not transferred yet.

    :param done: place and product of those that are
    """
    now, limits = datetime.now(UTC), get_table().limits
    rule_for_new_lines = COPY if transfer.keep_source else MOVE
    moves: list[Move] = []
    for place, target_place in transfer.places.items():
        lines = [
            line
            for line in source[place].values()
            if is_live(line, now)
            and transfer.product_id in (None, line.product_id)
            and (place, line.product_id) not in done
        ]
        moves += plan_moves(place, lines, target[target_place], transfer.strategy, limits, now, rule_for_new_lines)
    return moves


def _actions(transfer: Transfer, moves: list[Move]) -> list[Row]:
    table, actions = get_table(), []
    for line_move in moves:
        if line_move.result:
            actions.append(
                table.put_line(transfer.target_id, transfer.places[line_move.place], line_move.result, line_move.row)
            )
            if not transfer.keep_source:
                actions.append(table.take_line(transfer.source_id, line_move.place, line_move.source))
    return actions


def _cart_after(transfer: Transfer, target: Lists, moves: list[Move]) -> CartAndSaved:
    lists = {place: {line.product_id: line for line in live(rows.values())} for place, rows in target.items()}
    for line_move in moves:
        if line_move.result:
            lists[transfer.places[line_move.place]][line_move.result.product_id] = line_move.result
    return CartAndSaved(transfer.target_id, in_order(lists[CART].values()), in_order(lists[SAVED].values()))

"""Lines that go from one list to another: merge, copy, save for later and move to cart are one rule."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from cart.carts.receipt_schemas import ReceiptLineSchema, moved_line_schema, receipt_schema
from cart.carts.receipts import entries_of, steps_with_receipt
from cart.dynamodb.idempotency import IdempotencyKey, KeptAnswer, Step, carry_out_once
from cart.dynamodb.keys import Row
from cart.http.extensions import get_table
from cart.model.limits import line_not_found, refuse_line
from cart.model.lines import CART, SAVED, CartAndSaved, Line, Place, in_order, is_live, live
from cart.model.transfer import COPY, MOVE, Move, plan_moves

Lists = dict[Place, dict[int, Line]]


class Transfer(NamedTuple):
    """Lines that are to go from one user's lists to another's, or to the other list of the same."""

    source_id: str
    target_id: str
    places: dict[Place, Place]  # from which list to which
    strategy: str = "sum"
    product_id: int | None = None  # this one alone
    keep_source: bool = False


def merge(user_id: str, source_id: str, strategy: str, dry_run: bool, key: IdempotencyKey | None) -> KeptAnswer:
    """Move all that another cart has, and all that is saved beside it, to this one.

    Two Query, and a transaction for each 50 lines, which changes the target and deletes the source together. A run
    that dies between two of them has moved some lines; the next one moves the rest.
    """
    return _with_receipt(Transfer(source_id, user_id, {CART: CART, SAVED: SAVED}, strategy), dry_run, key)


def copy(user_id: str, owner: str, strategy: str, dry_run: bool, key: IdempotencyKey | None) -> KeptAnswer:
    """Add the lines of somebody else's cart to this one. Two Query, and a transaction for each 100 lines."""
    return _with_receipt(Transfer(owner, user_id, {CART: CART}, strategy, keep_source=True), dry_run, key)


def move(user_id: str, product_id: int, source: Place, target: Place, key: IdempotencyKey | None) -> KeptAnswer:
    """Move one line between a user's cart and what is saved. One Query and one transaction.

    :raise LineNotFound: the source has none of the product
    :raise LinesLimit: the target has no room for one more line
    """
    wanted = Transfer(user_id, user_id, {source: target}, product_id=product_id)

    def steps(_: KeptAnswer | None) -> Iterator[Step]:
        lists = get_table().all_lines(user_id)
        moves = _plan(wanted, lists, lists, set())
        if not moves:
            raise line_not_found(source, product_id)
        line = moves[0].result
        if line is None:
            refuse_line(target, get_table().limits.lines)
        yield _actions(wanted, moves), KeptAnswer(200, moved_line_schema.dumps(moves[0]), line.etag)

    return carry_out_once(get_table(), user_id, key, steps)


def _with_receipt(wanted: Transfer, dry_run: bool, key: IdempotencyKey | None) -> KeptAnswer:
    if dry_run:
        *_, (_, answer) = _steps(wanted, dry_run, None, None)
        return answer
    return carry_out_once(get_table(), wanted.target_id, key, lambda so_far: _steps(wanted, dry_run, key, so_far))


def _steps(wanted: Transfer, dry_run: bool, key: IdempotencyKey | None, so_far: KeptAnswer | None) -> Iterator[Step]:
    """Read both carts, and yield the transactions of what is left to transfer."""
    table, entry_schema = get_table(), ReceiptLineSchema()
    entries = entries_of(so_far, entry_schema)
    source, target = table.all_lines(wanted.source_id), table.all_lines(wanted.target_id)
    moves = _plan(wanted, source, target, {(entry["place"], entry["product_id"]) for entry in entries})
    possible, impossible = [move for move in moves if move.result], [move for move in moves if not move.result]
    yield from steps_with_receipt(
        possible,
        1 if wanted.keep_source else 2,
        key,
        entries,
        entry_schema,
        partial(_actions, wanted),
        lambda lines: receipt_schema.dumps(
            {
                "strategy": wanted.strategy,
                "dry_run": dry_run,
                "lines": lines + impossible,
                "cart": _cart_after(wanted, target, moves),
            }
        ),
    )


def _plan(wanted: Transfer, source: Lists, target: Lists, done: set[tuple[str, int]]) -> list[Move]:
    """What is to become of each line that is not done yet."""
    now, limits = datetime.now(UTC), get_table().limits
    rule_for_new_lines = COPY if wanted.keep_source else MOVE
    moves: list[Move] = []
    for place, to in wanted.places.items():
        lines = [
            line
            for line in source[place].values()
            if is_live(line, now)
            and wanted.product_id in (None, line.product_id)
            and (place, line.product_id) not in done
        ]
        moves += plan_moves(place, lines, target[to], wanted.strategy, limits, now, rule_for_new_lines)
    return moves


def _actions(wanted: Transfer, moves: list[Move]) -> list[Row]:
    table, actions = get_table(), []
    for one in moves:
        if one.result:
            actions.append(table.put_line(wanted.target_id, wanted.places[one.place], one.result, one.row))
            if not wanted.keep_source:
                actions.append(table.take_line(wanted.source_id, one.place, one.source))
    return actions


def _cart_after(wanted: Transfer, target: Lists, moves: list[Move]) -> CartAndSaved:
    lists = {place: {line.product_id: line for line in live(rows.values())} for place, rows in target.items()}
    for one in moves:
        if one.result:
            lists[wanted.places[one.place]][one.result.product_id] = one.result
    return CartAndSaved(wanted.target_id, in_order(lists[CART].values()), in_order(lists[SAVED].values()))

"""Merge strategies, and the plan of a merge, a copy or a move of lines."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from cart.model.limits import Limits
from cart.model.lines import Line, Place, PriceChange, in_order, is_live, iso, next_version, unless_expired

# The quantity of a line that both lists have, from its quantities in the target and in the source
STRATEGIES: dict[str, Callable[[int, int], int]] = {
    "sum": lambda in_target, in_source: in_target + in_source,
    "max": max,
    "keep": lambda in_target, _: in_target,
    "replace": lambda _, in_source: in_source,
}
MOVE, COPY = "move", "copy"  # rules for a line that only the source has
QUANTITY_LIMIT, LINES_LIMIT = "quantity-limit", "lines-limit"  # reasons why units were cut, or a line was not moved


@dataclass(eq=False, repr=False)
class Move:
    """The move of one line from a source to a target; one entry of a receipt.

    :ivar place: the list in which the source has the line: ``cart`` or ``saved``
    :ivar row: the line in the target's row, live or expired; None if there is no row
    :ivar target: the same if it is live, else None
    :ivar rule: one of ``STRATEGIES``, or ``MOVE`` or ``COPY`` if the target has no such live line
    :ivar result: the target's line after the move, None if the line stays in the source
    :ivar cut: number of units that were dropped because of the limit
    :ivar reason: why units were cut or the line stays: ``QUANTITY_LIMIT``, ``LINES_LIMIT`` or None
    """

    place: Place
    source: Line
    row: Line | None
    target: Line | None
    rule: str
    result: Line | None = None
    cut: int = 0
    reason: str | None = None

    @property
    def product_id(self) -> int:
        """The product of the line."""
        return self.source.product_id

    @property
    def product_name(self) -> str:
        """The name of the result if there is one, else of the source's line."""
        return (self.result or self.source).product_name

    @property
    def price_from(self) -> str | None:
        """The side that has the newer price and name, which the result gets: ``source``, ``target`` or None."""
        if self.result is None:
            return None
        return "source" if self.target is None or _is_newer(self.source, self.target) else "target"


def plan_moves(
    place: Place,
    source: Iterable[Line],
    rows: dict[int, Line],
    strategy: str,
    limits: Limits,
    now: datetime,
    rule_for_new_lines: str = MOVE,
) -> list[Move]:
    """Plan the move of each line of a source, in the order in which they were added, until the target is full.

    :param place: the list in which the source has the lines
    :param source: live lines
    :param rows: the lines in all rows of the target, live or expired, by product id
    :param strategy: one of ``STRATEGIES``
    :param rule_for_new_lines: ``MOVE``, or ``COPY`` if the source keeps its lines
    """
    room = limits.lines - sum(is_live(row, now) for row in rows.values())
    moves = []
    for line in in_order(source):
        row = rows.get(line.product_id)
        target = unless_expired(row, now)
        move = Move(place, line, row, target, strategy if target else rule_for_new_lines)
        if target or room > 0:
            _combine(move, limits.quantity, now)
            room -= target is None
        else:
            move.reason = LINES_LIMIT
        moves.append(move)
    return moves


def _combine(move: Move, max_quantity: int, now: datetime) -> None:
    source, target = move.source, move.target
    quantity = STRATEGIES[move.rule](target.quantity, source.quantity) if target else source.quantity
    newer, older = (source, target) if target is None or _is_newer(source, target) else (target, source)
    move.cut = max(quantity - max_quantity, 0)
    move.reason = QUANTITY_LIMIT if move.cut else None
    move.result = replace(
        newer,
        quantity=quantity - move.cut,
        added_at=(target or source).added_at,
        updated_at=iso(now),
        version=next_version(move.row, now),
        change=_newest_change(newer, older),
    )


def _newest_change(newer: Line, older: Line | None) -> PriceChange | None:
    """Return the newest price change of two lines. If both have the same change, return that of the newer line."""
    changes = [line.change for line in (newer, older) if line and line.change]  # max returns the first of equals
    return max(changes, key=lambda change: (change.changed_at, change.price), default=None)


def _is_newer(source: Line, target: Line) -> bool:
    return source.priced_at > target.priced_at

"""Merge strategies, and the plan of a merge, copy or move."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from cart.model.limits import Limits
from cart.model.lines import Line, Place, PriceChange, in_order, is_live, iso, next_version, unless_expired

# How many units a line has that is in both carts, by those in the target and those that come from the source
STRATEGIES: dict[str, Callable[[int, int], int]] = {
    "sum": lambda there, coming: there + coming,
    "max": max,
    "keep": lambda there, _: there,
    "replace": lambda _, coming: coming,
}
MOVE = "move"  # the rule for a line that only the source has
QUANTITY_LIMIT, LINES_LIMIT = "quantity-limit", "lines-limit"  # why units were cut, or a line left


@dataclass(eq=False, repr=False)
class Move:
    """What becomes of one line of a source in a target: one line of a receipt.

    :ivar place: of the source: ``cart`` or ``saved``
    :ivar row: what the target's row holds, live or not
    :ivar target: the same if it is live
    :ivar rule: a strategy, or ``MOVE`` where the target has no such line
    :ivar result: the target's line after the move, None where the line is left in the source
    :ivar cut: units beyond the limit
    :ivar reason: why units were cut, or the line left
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
        return self.source.product_id

    @property
    def product_name(self) -> str:
        return (self.result or self.source).product_name

    @property
    def price_from(self) -> str | None:
        """Whose price and name the result has: the newer of both."""
        if self.result is None:
            return None
        return "source" if self.target is None or _is_newer(self.source, self.target) else "target"


def plan_moves(
    place: Place, source: Iterable[Line], rows: dict[int, Line], strategy: str, limits: Limits, now: datetime
) -> list[Move]:
    """What to do with each line of a source, in the order in which they were added, until the target is full.

    :param place: of the source
    :param source: live lines
    :param rows: all that the target has, expired or not, by product
    :param strategy: one of ``STRATEGIES``
    """
    room = limits.lines - sum(is_live(row, now) for row in rows.values())
    moves = []
    for line in in_order(source):
        row = rows.get(line.product_id)
        target = unless_expired(row, now)
        move = Move(place, line, row, target, strategy if target else MOVE)
        if target or room > 0:
            _combine(move, limits.quantity, now)
            room -= target is None
        else:
            move.reason = LINES_LIMIT
        moves.append(move)
    return moves


def _combine(move: Move, max_quantity: int, now: datetime) -> None:
    source, target = move.source, move.target
    wanted = STRATEGIES[move.rule](target.quantity, source.quantity) if target else source.quantity
    newer = source if target is None or _is_newer(source, target) else target
    move.cut = max(wanted - max_quantity, 0)
    move.reason = QUANTITY_LIMIT if move.cut else None
    move.result = replace(
        newer,
        quantity=wanted - move.cut,
        added_at=(target or source).added_at,
        updated_at=iso(now),
        version=next_version(move.row, now),
        change=_newest_change(source, target),
    )


def _newest_change(source: Line, target: Line | None) -> PriceChange | None:
    changes = [line.change for line in (source, target) if line and line.change]
    return max(changes, key=lambda change: (change.changed_at, change.price), default=None)


def _is_newer(source: Line, target: Line) -> bool:
    return source.priced_at > target.priced_at

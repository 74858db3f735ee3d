"""Limits of a cart, and the problems that are raised when a change would exceed them."""

from typing import NamedTuple, NoReturn

from cart.errors import InsufficientStock, LineNotFound, LinesLimit, QuantityLimit
from cart.messages import Message
from cart.model.lines import CART, SAVED, Place

NAMES = {CART: "The cart", SAVED: "The saved list"}


class Limits(NamedTuple):
    """The limits of a cart and of a saved list.

    :ivar quantity: maximum units of one line
    :ivar lines: maximum lines of one list
    """

    quantity: int
    lines: int

    def units(self, stock: int | None) -> int:
        """Return the maximum units of a line.

        :param stock: units in stock, None if not known
        """
        return self.quantity if stock is None else min(self.quantity, stock)


def line_not_found(place: Place, product_id: int) -> LineNotFound:
    """Return the problem of a line that is not there."""
    return LineNotFound(f"{NAMES[place]} has no line of product {product_id}.")


def refuse_line(place: Place, limit: int) -> NoReturn:
    """Refuse a new line in a list that is full.

    :param limit: maximum lines of the list
    :raise LinesLimit: always
    """
    raise LinesLimit(f"{NAMES[place]} has {limit} lines, the most that it may have.", limit=limit)


def _at_most(room: int, more: str = "") -> Message:
    units = max(room, 0)
    return Message(f"At most {units}{more}.", "too-many", max=units)


def refuse_stock(available: int, held: int = 0) -> NoReturn:
    """Refuse to add units that are not in stock.

    :param available: units in stock
    :param held: units of the line before the change, 0 if they are not known
    :raise InsufficientStock: always
    """
    raise _insufficient_stock(available, held, _at_most(available - held, " more" if held else ""))


def refuse_increase(available: int, held: int) -> NoReturn:
    """Refuse to set a quantity that exceeds the stock, and that the line does not hold yet.

    :param available: units in stock
    :param held: units of the line before the change
    :raise InsufficientStock: always
    """
    raise _insufficient_stock(available, held, _at_most(max(available, held)))


def _insufficient_stock(available: int, held: int, limit: Message) -> InsufficientStock:
    members = {"available": available} | ({"quantity": held} if held else {})
    text = f"There are {available} units in stock" + (f", and the line holds {held}." if held else ".")
    return InsufficientStock(text, {"quantity": [limit]}, **members)


def refuse_quantity(limits: Limits, held: int, added: int, stock: int | None) -> NoReturn:
    """Refuse to add units to a line that would then exceed its limit or the stock.

    :param held: units of the line before the change
    :param added: units to add
    :param stock: units in stock, None if not known
    :raise InsufficientStock: the stock is smaller than the limit
    :raise QuantityLimit: otherwise
    """
    if stock is not None and stock < limits.quantity:
        refuse_stock(stock, held)
    raise QuantityLimit(
        f"The line holds {held} units; {added} more would exceed the limit.",
        {"quantity": [_at_most(limits.quantity - held, " more")]},
        limit=limits.quantity,
        quantity=held,
    )

"""The rules of a cart: pure functions of its lines, with no Flask and no boto3."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from typing import Literal, NamedTuple

Place = Literal["cart", "saved"]  # where a line is: in the cart, or saved for later
CART: Place = "cart"
SAVED: Place = "saved"

# What a catalogue can have against a line, and what is done about it
PRICE_CHANGED, OUT_OF_STOCK, INSUFFICIENT_STOCK = "price_changed", "out_of_stock", "insufficient_stock"
DISCONTINUED = "discontinued"
CHANGED, SAVED_FOR_LATER, LEFT = "changed", "saved_for_later", "left"


class PriceChange(NamedTuple):
    """What is known of a price that has changed since the line got its own."""

    price: Decimal  # the current one
    changed_at: str  # in the products service; of two changes the newer one holds, whichever comes first
    line_price: Decimal  # of the line, when this was recorded

    def of_line_at(self, price: Decimal) -> "PriceChange | None":
        """Return this change, or None if a line at this price has the new price already, or was given any other."""
        return self if self.line_price == price != self.price else None


# What a client sees of a line: added_at, product_id, version, product_name, quantity, price, change. They sort as the
# lines of a cart do. The version is a number or its text.
LineValues = tuple[str, int, int | str, str, int, Decimal, PriceChange | None]


@dataclass(eq=False, repr=False, slots=True)
class Line:
    """One product in a cart. Times are ISO 8601 UTC with microseconds, so that their text sorts as they do.

    ``updated_at``, ``priced_at`` and ``ttl`` are left out where a line was read only to be shown.

    :ivar price: with two decimals
    :ivar priced_at: when ``product_name`` and ``price`` were given
    :ivar ttl: epoch seconds from which on it is absent
    :ivar change: of the price, the newest that has been recorded; it is kept where it is not shown any more, so that
        an older one that comes later is known to be older
    """

    product_id: int
    product_name: str
    quantity: int
    price: Decimal
    added_at: str
    version: int
    updated_at: str = ""
    priced_at: str = ""
    ttl: int = 0
    change: PriceChange | None = None

    @property
    def etag(self) -> str:
        """Without its quotes. No two states of a line share one, even where it was removed and added again."""
        return str(self.version)

    @property
    def subtotal(self) -> Decimal:
        return self.price * self.quantity

    @property
    def news(self) -> PriceChange | None:
        """The change of price that the shopper is to see: until the line has the new price, or is given any other."""
        return self.change.of_line_at(self.price) if self.change else None

    @property
    def values(self) -> LineValues:
        """What a client sees of the line."""
        price, change = self.price, self.change
        return self.added_at, self.product_id, self.version, self.product_name, self.quantity, price, change

    @property
    def current_price(self) -> Decimal | None:
        """None where there is no news."""
        return self.news.price if self.news else None

    @property
    def price_changed_at(self) -> str | None:
        """None where there is no news."""
        return self.news.changed_at if self.news else None


@dataclass(eq=False, repr=False)
class Cart:
    user_id: str
    items: list[Line]

    @property
    def etag(self) -> str:
        """Without its quotes. It changes whenever a line comes, goes or changes."""
        return _etag(self.values)

    @cached_property
    def values(self) -> list[LineValues]:
        """What a client sees of each line."""
        return [line.values for line in self.items]

    @property
    def total_items(self) -> int:
        """Units, not lines."""
        return sum([line.quantity for line in self.items])

    @property
    def total_price(self) -> Decimal:
        return sum([line.price * line.quantity for line in self.items], Decimal("0.00"))

    @property
    def price_changes(self) -> int:
        """Lines whose price has changed, of which the shopper has not accepted it."""
        return len([line for line in self.items if line.change and line.news])


@dataclass(eq=False, repr=False)
class CartAndSaved(Cart):
    """A cart, and what is saved for later. Totals are the cart's."""

    saved: list[Line]

    @property
    def etag(self) -> str:
        return f"{super().etag}{_etag([line.values for line in self.saved])}"


def _etag(lines: list[LineValues]) -> str:
    """Return the ETag of lines in their order, each by its product and version."""
    states = [f"{values[1]}-{values[2]}" for values in lines]
    return hashlib.blake2b(",".join(states).encode(), digest_size=12).hexdigest()


def cart_of(user_id: str, lines: Iterable[Line]) -> Cart:
    """The cart of these live lines, in the order in which they were added."""
    return Cart(user_id, in_order(lines))


def in_order(lines: Iterable[Line]) -> list[Line]:
    """In the order in which they were added."""
    return sorted(lines, key=attrgetter("added_at", "product_id"))


def is_live(line: Line, now: datetime) -> bool:
    return line.ttl > int(now.timestamp())


def unless_expired(line: Line | None, now: datetime) -> Line | None:
    return line if line and is_live(line, now) else None


def live(lines: Iterable[Line]) -> list[Line]:
    """Those that have not expired."""
    now = datetime.now(UTC)
    return [line for line in lines if is_live(line, now)]


def with_price(line: Line, price: Decimal, now: datetime) -> Line:
    return replace(line, price=price, priced_at=iso(now), updated_at=iso(now), version=next_version(line, now))


def next_version(row: Line | None, now: datetime) -> int:
    """Of a line that is written over what its row holds, live or not.

    A new one starts from the clock, so that a line that is removed and added again has no version twice.
    """
    return (row.version if row else int(now.timestamp() * 1_000_000)) + 1


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

"""Lines and carts: pure data and rules, with no Flask and no boto3."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from typing import Final, Literal, NamedTuple

Place = Literal["cart", "saved"]  # where a line is: in the cart, or saved for later
CART: Place = "cart"
SAVED: Place = "saved"

# Problems of a line that a comparison with the catalogue finds, and actions that fix them
PRICE_CHANGED, OUT_OF_STOCK, INSUFFICIENT_STOCK = "price_changed", "out_of_stock", "insufficient_stock"
DISCONTINUED: Final = "discontinued"
UNREADABLE: Final = "unreadable"
CHANGED, SAVED_FOR_LATER, LEFT = "changed", "saved_for_later", "left"


class PriceChange(NamedTuple):
    """A change of a product's price that was recorded on a line.

    :ivar price: the new price
    :ivar changed_at: when the price changed, by the products service's clock; the newest change is kept
    :ivar line_price: the line's own price when the change was recorded
    """

    price: Decimal
    changed_at: str
    line_price: Decimal

    def of_line_at(self, price: Decimal) -> "PriceChange | None":
        """Return this change, or None if a line at this price has the new price already, or was given any other."""
        return self if self.line_price == price != self.price else None


# What a client sees of a line: added_at, product_id, version, product_name, quantity, price, change. They sort as the
# lines of a cart do. The version is a number or its text.
LineValues = tuple[str, int, int | str, str, int, Decimal, PriceChange | None]


@dataclass(eq=False, repr=False, slots=True)
class Line:
    """A line of a cart: one product. Times are ISO 8601 UTC with microseconds, so that they sort as text.

    ``updated_at``, ``priced_at`` and ``ttl`` are not set if the line was read only for a response.

    :ivar quantity: units
    :ivar price: of one unit, with two decimals
    :ivar version: grows with each change of the line
    :ivar priced_at: when ``product_name`` and ``price`` were set
    :ivar ttl: epoch seconds at which the line expires; an expired line is treated as absent
    :ivar change: the newest recorded change of the price. It is kept after the shopper has accepted it, so that an
        older change that arrives later can be recognised as older
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
        """The ETag without quotes. No two states of a line share one, even if it is removed and added again."""
        return str(self.version)

    @property
    def state(self) -> str:
        """The product and the version: after a change or a removal, the cart never has the same state of a line."""
        return f"{self.product_id}-{self.version}"

    @property
    def subtotal(self) -> Decimal:
        """The price of all units."""
        return self.price * self.quantity

    @property
    def news(self) -> PriceChange | None:
        """The price change to show to the shopper; None if there is none or the line's price was set since then."""
        return self.change.of_line_at(self.price) if self.change else None

    @property
    def values(self) -> LineValues:
        """The values that a client sees of the line, in the order of ``LineValues``."""
        price, change = self.price, self.change
        return self.added_at, self.product_id, self.version, self.product_name, self.quantity, price, change

    @property
    def current_price(self) -> Decimal | None:
        """The product's current price if there is a price change to show, else None."""
        return self.news.price if self.news else None

    @property
    def price_changed_at(self) -> str | None:
        """The time of the price change if there is one to show, else None."""
        return self.news.changed_at if self.news else None


@dataclass(eq=False, repr=False)
class Cart:
    """A user's cart.

    :ivar items: live lines, in the order in which they were added
    """

    user_id: str
    items: list[Line]

    @property
    def etag(self) -> str:
        """The ETag without quotes. It changes whenever a line is added, removed or changed."""
        return _etag(self.values)

    @cached_property
    def values(self) -> list[LineValues]:
        """The values that a client sees of each line."""
        return [line.values for line in self.items]

    @property
    def total_items(self) -> int:
        """The number of units, not of lines."""
        return sum([line.quantity for line in self.items])

    @property
    def total_price(self) -> Decimal:
        """The price of all units of all lines."""
        return sum([line.price * line.quantity for line in self.items], Decimal("0.00"))

    @property
    def price_changes(self) -> int:
        """The number of lines with a price change to show."""
        return len([line for line in self.items if line.change and line.news])


@dataclass(eq=False, repr=False)
class CartAndSaved(Cart):
    """A cart and the lines that are saved for later. Totals are those of the cart.

    :ivar saved: live saved lines, in the order in which they were added
    """

    saved: list[Line]

    @property
    def etag(self) -> str:
        """The ETag without quotes. It changes whenever a line or a saved line is added, removed or changed.

        It begins with the cart's own ETag, which a condition on the cart compares.
        """
        return f"{super().etag}{_etag([line.values for line in self.saved])}"


def _etag(lines: list[LineValues]) -> str:
    """Return the ETag of lines in their order, each by its product and version."""
    states = [f"{values[1]}-{values[2]}" for values in lines]
    return hashlib.blake2b(",".join(states).encode(), digest_size=12).hexdigest()


def cart_of(user_id: str, lines: Iterable[Line]) -> Cart:
    """Return a cart with these live lines, in the order in which they were added."""
    return Cart(user_id, in_order(lines))


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Return lines in the order in which they were added."""
    return sorted(lines, key=attrgetter("added_at", "product_id"))


def is_live(line: Line, now: datetime) -> bool:
    """Tell whether a line has not expired."""
    return line.ttl > int(now.timestamp())


def unless_expired(line: Line | None, now: datetime) -> Line | None:
    """Return the line, None if there is none or it has expired."""
    return line if line and is_live(line, now) else None


def live(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that have not expired."""
    now = datetime.now(UTC)
    return [line for line in lines if is_live(line, now)]


def with_price(line: Line, price: Decimal, now: datetime) -> Line:
    """Return the line with another price, as a new version."""
    return replace(line, price=price, priced_at=iso(now), updated_at=iso(now), version=next_version(line, now))


def next_version(row: Line | None, now: datetime) -> int:
    """Return the version of a line that replaces a row's content.

    The first version comes from the clock, so that a line that is removed and added again never repeats a version.

    :param row: the line in the row, live or expired; None if there is no row
    """
    return (row.version if row else int(now.timestamp() * 1_000_000)) + 1


def iso(moment: datetime) -> str:
    """Return a time in UTC such as ``2026-11-23T14:02:11.123456Z``."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

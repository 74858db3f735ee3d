"""The rules of a cart: pure functions of its lines, with no Flask and no boto3."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(eq=False, repr=False)
class Line:
    """One product in a cart. Times are ISO 8601 UTC with microseconds, so that their text sorts as they do."""

    product_id: int
    product_name: str
    quantity: int
    price: Decimal
    added_at: str
    updated_at: str
    version: int

    @property
    def etag(self) -> str:
        """Without its quotes. No two states of a line share one, even where it was removed and added again."""
        return str(self.version)

    @property
    def subtotal(self) -> Decimal:
        return self.price * self.quantity


@dataclass(eq=False, repr=False)
class Cart:
    user_id: str
    items: list[Line]

    @property
    def etag(self) -> str:
        """Without its quotes. It changes whenever a line comes, goes or changes."""
        state = ",".join(f"{line.product_id}:{line.version}" for line in self.items)
        return hashlib.blake2b(state.encode(), digest_size=12).hexdigest()

    @property
    def total_items(self) -> int:
        """Units, not lines."""
        return sum(line.quantity for line in self.items)

    @property
    def total_price(self) -> Decimal:
        return sum((line.subtotal for line in self.items), Decimal())


def cart_of(user_id: str, lines: Iterable[Line]) -> Cart:
    """The cart of these live lines, in the order in which they were added."""
    return Cart(user_id, sorted(lines, key=lambda line: (line.added_at, line.product_id)))

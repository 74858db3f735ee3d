"""What all carts hold, kept up to date beside them: totals now, flows by day, products. Read without a scan."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from flask import current_app

from cart.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Sort = Literal["units", "carts", "value"]


class Totals(NamedTuple):
    """What is in all carts now."""

    lines: int
    units: int
    value: Decimal


class Day(NamedTuple):
    """What happened on one UTC day. Units and values are those that were added, or lost with an abandoned line."""

    day: date
    lines_added: int = 0
    lines_removed: int = 0
    units_added: int = 0
    value_added: Decimal = Decimal()
    carts_cleared: int = 0
    lines_abandoned: int = 0
    value_abandoned: Decimal = Decimal()


class ProductTotals(NamedTuple):
    """What all carts hold of one product now; zeros where none does."""

    product_id: int
    carts: int = 0
    units: int = 0
    value: Decimal = Decimal()


def get_aggregates() -> "Aggregates":
    """The aggregates of the app that is answering."""
    found: Aggregates | None = current_app.extensions.get("cart_aggregates")
    if found is None:
        config: Config = current_app.extensions["cart_config"]
        found = Aggregates(current_app.extensions["cart_table"].client, config)
        current_app.extensions["cart_aggregates"] = found
    return found


class Aggregates:
    """The aggregates of one table. Values are in the money's whole unit, to the cent.

    Every method may raise ``Throttled`` (429) or ``Unavailable`` (503). An expired line counts until DynamoDB has
    deleted it, which it does within a few days.
    """

    def __init__(self, client: "DynamoDBClient", config: Config) -> None:
        self.client = client
        self.name = config.dynamodb_table_name

    def totals(self) -> Totals:
        """One Query of one partition."""
        raise NotImplementedError

    def days(self, first: date, last: date) -> list[Day]:
        """Every UTC day from ``first`` to ``last``, both included, zeros where nothing happened. One Query."""
        raise NotImplementedError

    def top(self, sort: Sort, limit: int) -> list[ProductTotals]:
        """The products with the most, the most first; equals by the smaller ``product_id``. One Query a board.

        :param limit: 1 or more
        """
        raise NotImplementedError

    def product(self, product_id: int) -> ProductTotals:
        """One Query of the product's partition."""
        raise NotImplementedError

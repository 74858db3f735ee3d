"""What all carts hold, kept up to date beside them: totals now, flows by day, products. Read without a scan.

Each aggregate is spread over ``SHARDS`` rows, so that those who add to it at the same time do not meet; it is the sum
of all rows of its partition, or of its day. The rows of an aggregate of what carts hold now begin with a generation,
which ``rebuild`` moves on: what a line holds is in one of them at any time.

| row | ``user_id`` | ``item_id`` | attributes |
|---|---|---|---|
| all carts | ``TOTALS#`` | ``{generation}#{shard}`` | ``lines``, ``units``, ``cents`` |
| a product | ``PRODUCT#{product_id}`` | ``{generation}#{shard}`` | the same |
| a product as the boards have it | ``PRODUCT#{product_id}`` | ``BOARD`` | the same, ``revision`` |
| an entry of a board | ``TOP#{sort}#{product_id % BOARDS}`` | ``{10^20 - 1 - number}#{product_id}`` | |
| a day | ``DAYS#`` | ``{day}#{shard}`` | ``FLOWS`` |
| what was counted of a line | ``COUNTED#{user_id}`` | ``LINE#{product_id}`` | see ``bookkeeping`` |
| that a record was counted | ``COUNTED#{user_id}`` | ``RECORD#{position}`` | ``ttl`` |
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from flask import current_app

from cart.config import Config
from cart.dynamodb.client import call
from cart.dynamodb.keys import BOARD, DAYS, GENERATION, PRODUCT, TOP, TOTALS, Row, row_key
from cart.dynamodb.retries import attempts
from cart.errors import Throttled

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Sort = Literal["units", "carts", "value"]

SHARDS = 4
BOARDS = 4  # over which each list of top products is spread
AMOUNTS = ("lines", "units", "cents")  # a line is of one product in one cart
AMOUNT_OF: dict[Sort, str] = {"carts": "lines", "units": "units", "value": "cents"}
FLOWS = (
    *("lines_added", "lines_removed", "units_added", "cents_added", "carts_cleared"),
    *("lines_abandoned", "cents_abandoned"),
)
MOST = 10**20 - 1
BATCH_KEYS = 100  # the most that one BatchGetItem takes


class Totals(NamedTuple):
    """What is in all carts now."""

    lines: int
    units: int
    value: Decimal


class Day(NamedTuple):
    """What happened on one UTC day. Units and value are those of what was added, or of what was abandoned."""

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
    """The aggregates of the app that is answering, which are made when they are first asked for."""
    found: Aggregates | None = current_app.extensions.get("cart_aggregates")
    if found is None:
        client, config = current_app.extensions["cart_table"].client, current_app.extensions["cart_config"]
        found = current_app.extensions["cart_aggregates"] = Aggregates(client, config)
    return found


class Aggregates:
    """The aggregates of one table, as of the latest change that was counted: usually seconds ago.

    An expired line counts until DynamoDB has deleted it, which it does within a few days. Every method may raise
    ``Throttled`` (429) or ``Unavailable`` (503).
    """

    def __init__(self, client: "DynamoDBClient", config: Config) -> None:
        self.client = client
        self.name = config.dynamodb_table_name

    def totals(self) -> Totals:
        """One Query."""
        total = summed(self.partition(TOTALS), AMOUNTS)
        return Totals(total["lines"], total["units"], money(total["cents"]))

    def days(self, first: date, last: date) -> list[Day]:
        """Every UTC day from ``first`` to ``last``, both included, zeros where nothing happened. One Query a MB."""
        found: dict[str, list[Row]] = {}
        for row in self.partition(DAYS, first.isoformat(), f"{last.isoformat()}~"):
            found.setdefault(row["item_id"]["S"].partition("#")[0], []).append(row)
        every = (first + timedelta(days) for days in range((last - first).days + 1))
        return [_day(day, found.get(day.isoformat(), [])) for day in every]

    def top(self, sort: Sort, limit: int) -> list[ProductTotals]:
        """The products with the most, the most first; of equals, the smaller ``product_id``. No scan.

        A Query of ``limit`` entries on each of the ``BOARDS``, and a BatchGetItem for each 100 products.

        :param limit: 1 or more
        """
        entries = [
            row["item_id"]["S"]
            for board in range(BOARDS)
            for row in self.partition(f"{TOP}{sort}#{board}", Limit=limit, only_first=True)
        ]
        ids = list(dict.fromkeys(int(entry.partition("#")[2]) for entry in sorted(entries)[:limit]))
        rows = self.rows(map(board_key, ids))
        found = [_product(product_id, [rows.get((f"{PRODUCT}{product_id}", BOARD), {})]) for product_id in ids]
        return sorted(found, key=lambda product: (-getattr(product, sort), product.product_id))

    def product(self, product_id: int) -> ProductTotals:
        """One Query."""
        return _product(product_id, shards(self.partition(f"{PRODUCT}{product_id}")))

    def partition(
        self, user_id: str, first: str = "", last: str = "~", only_first: bool = False, **params: Any
    ) -> Iterator[Row]:
        """The rows of a partition, in order, strongly consistent. One Query a MB.

        :param first, last: of the sort keys, both included
        :param only_first: of the pages
        """
        while True:
            page = call(
                self.client,
                "query",
                TableName=self.name,
                KeyConditionExpression="user_id = :user_id AND item_id BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":user_id": {"S": user_id},
                    ":first": {"S": first or "!"},
                    ":last": {"S": last},
                },
                ConsistentRead=True,
                **params,
            )
            yield from page["Items"]
            if only_first or "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def rows(self, keys: Iterable[Row]) -> dict[tuple[str, str], Row]:
        """Those of these rows that are there, by their key, strongly consistent. A BatchGetItem for each 100."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), BATCH_KEYS):
            unread = wanted[start : start + BATCH_KEYS]
            for _ in attempts():
                request = {self.name: {"Keys": unread, "ConsistentRead": True}}
                answer = call(self.client, "batch_get_item", RequestItems=request)
                for row in answer["Responses"].get(self.name, []):
                    found[row["user_id"]["S"], row["item_id"]["S"]] = row
                unread = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                if not unread:
                    break
            else:
                raise Throttled
        return found


def board_key(product_id: int) -> Row:
    return row_key(f"{PRODUCT}{product_id}", BOARD)


def entry_key(sort: Sort, amount: int, product_id: int) -> Row:
    """Of an entry that a Query finds before those with less."""
    return row_key(f"{TOP}{sort}#{product_id % BOARDS}", f"{MOST - amount:020}#{product_id:016}")


def shards(rows: Iterable[Row]) -> list[Row]:
    """Those of an aggregate's partition that it is the sum of."""
    return [row for row in rows if row["item_id"]["S"] not in (BOARD, GENERATION)]


def summed(rows: Iterable[Row], names: Iterable[str]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total.update({name: int(row[name]["N"]) for name in names if name in row})
    return total


def money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _product(product_id: int, rows: Iterable[Row]) -> ProductTotals:
    total = summed(rows, AMOUNTS)
    return ProductTotals(product_id, total["lines"], total["units"], money(total["cents"]))


def _day(day: date, rows: Iterable[Row]) -> Day:
    total = summed(rows, FLOWS)
    return Day(
        day,
        total["lines_added"],
        total["lines_removed"],
        total["units_added"],
        money(total["cents_added"]),
        total["carts_cleared"],
        total["lines_abandoned"],
        money(total["cents_abandoned"]),
    )

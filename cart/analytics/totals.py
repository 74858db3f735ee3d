"""Read the aggregates of all carts without a scan: current totals, flows by day, and rankings of products.

Each aggregate is split into ``SHARDS`` rows, so that concurrent writers rarely use the same row; its value is the sum
of all rows of its partition, or of its day. The sort keys of totals and products begin with the number of a
generation. ``rebuild`` starts a new generation and moves every line to it; at any time each line is counted in exactly
one generation.

| row | ``user_id`` | ``item_id`` | attributes |
|---|---|---|---|
| all carts | ``TOTALS#`` | ``{generation}#{shard}`` | ``lines``, ``units``, ``cents`` |
| a product | ``PRODUCT#{product_id}`` | ``{generation}#{shard}`` | the same |
| a product as the rankings have it | ``PRODUCT#{product_id}`` | ``BOARD`` | the same, ``revision`` |
| an entry of a ranking | ``TOP#{sort}#{product_id % BOARDS}`` | ``{10^20 - 1 - number}#{product_id}`` | |
| a day | ``DAYS#`` | ``{day}#{shard}`` | ``FLOWS`` |
| what was counted of a line | ``COUNTED#{user_id}`` | ``LINE#{product_id}`` | see ``counter`` |
| the mark of a counted record | ``COUNTED#{user_id}`` | ``RECORD#{position}`` | ``ttl`` |
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
from cart.http.extensions import get_config, get_table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Sort = Literal["units", "carts", "value"]

SHARDS = 4
BOARDS = 4  # partitions of each ranking
AMOUNTS = ("lines", "units", "cents")  # of one product, lines are carts: a cart has one line of it
AMOUNT_OF: dict[Sort, str] = {"carts": "lines", "units": "units", "value": "cents"}
FLOWS = (
    *("lines_added", "lines_removed", "units_added", "cents_added", "carts_cleared"),
    *("lines_abandoned", "cents_abandoned"),
)
MAX_AMOUNT = 10**20 - 1
BATCH_KEYS = 100  # the maximum of one BatchGetItem


class Totals(NamedTuple):
    """Current totals of all carts."""

    lines: int
    units: int
    value: Decimal


class Day(NamedTuple):
    """Changes of all carts on one UTC day."""

    day: date
    lines_added: int = 0
    lines_removed: int = 0
    units_added: int = 0
    value_added: Decimal = Decimal()
    carts_cleared: int = 0
    lines_abandoned: int = 0
    value_abandoned: Decimal = Decimal()


class ProductTotals(NamedTuple):
    """Current totals of one product over all carts; zeros if no cart holds it."""

    product_id: int
    carts: int = 0
    units: int = 0
    value: Decimal = Decimal()


def get_aggregates() -> "Aggregates":
    """Return the current app's aggregates; the first call creates them."""
    aggregates: Aggregates | None = current_app.extensions.get("cart_aggregates")
    if aggregates is None:
        aggregates = current_app.extensions["cart_aggregates"] = Aggregates(get_table().client, get_config())
    return aggregates


class Aggregates:
    """The aggregates of one table. They contain all changes that were counted, usually up to some seconds ago.

    An expired line counts until DynamoDB deletes it, usually within a few days. Every method may raise ``Throttled``
    (429) or ``Unavailable`` (503).
    """

    def __init__(self, client: "DynamoDBClient", config: Config) -> None:
        self.client = client
        self.name = config.dynamodb_table_name

    def totals(self) -> Totals:
        """Return what all carts hold now. One Query."""
        total = sum_attributes(self.partition(TOTALS), AMOUNTS)
        return Totals(total["lines"], total["units"], from_cents(total["cents"]))

    def days(self, first: date, last: date) -> list[Day]:
        """Return every UTC day from ``first`` to ``last``, both included; zeros if nothing happened. One Query a MB."""
        rows_by_day: dict[str, list[Row]] = {}
        for row in self.partition(DAYS, first.isoformat(), f"{last.isoformat()}~"):
            rows_by_day.setdefault(row["item_id"]["S"].partition("#")[0], []).append(row)
        every_day = (first + timedelta(days) for days in range((last - first).days + 1))
        return [_day(day, rows_by_day.get(day.isoformat(), [])) for day in every_day]

    def top(self, sort: Sort, limit: int) -> list[ProductTotals]:
        """Return the top products, the highest amount first; of equal amounts, the smaller ``product_id`` first.

        One Query of ``limit`` entries in each of the ``BOARDS`` partitions, and a BatchGetItem for each 100 products.

        :param limit: 1 or more
        """
        entries = [
            row["item_id"]["S"]
            for board in range(BOARDS)
            for row in self.partition(f"{TOP}{sort}#{board}", Limit=limit, first_page_only=True)
        ]
        ids = list(dict.fromkeys(int(entry.partition("#")[2]) for entry in sorted(entries)[:limit]))
        rows = self.rows(map(board_key, ids))
        products = [_product(product_id, [rows.get((f"{PRODUCT}{product_id}", BOARD), {})]) for product_id in ids]
        return sorted(products, key=lambda product: (-getattr(product, sort), product.product_id))

    def product(self, product_id: int) -> ProductTotals:
        """Return what all carts hold of a product now. One Query."""
        return _product(product_id, shard_rows(self.partition(f"{PRODUCT}{product_id}")))

    def partition(
        self, user_id: str, first: str = "", last: str = "~", first_page_only: bool = False, **params: Any
    ) -> Iterator[Row]:
        """Yield the rows of a partition by sort key, strongly consistent. One Query a MB.

        :param user_id: the partition key
        :param first, last: the range of sort keys, both included
        :param params: further parameters of the Query
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
            if first_page_only or "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def rows(self, keys: Iterable[Row]) -> dict[tuple[str, str], Row]:
        """Return the rows with these keys that exist, strongly consistent. A BatchGetItem for each 100 keys.

        :return: the rows by partition and sort key
        """
        all_keys, rows = list(keys), {}
        for start in range(0, len(all_keys), BATCH_KEYS):
            unread = all_keys[start : start + BATCH_KEYS]
            for _ in attempts():
                request = {self.name: {"Keys": unread, "ConsistentRead": True}}
                answer = call(self.client, "batch_get_item", RequestItems=request)
                for row in answer["Responses"].get(self.name, []):
                    rows[row["user_id"]["S"], row["item_id"]["S"]] = row
                unread = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                if not unread:
                    break
            else:
                raise Throttled
        return rows


def board_key(product_id: int) -> Row:
    """Return the key of the row that keeps a product's amounts as the rankings have them."""
    return row_key(f"{PRODUCT}{product_id}", BOARD)


def entry_key(sort: Sort, amount: int, product_id: int) -> Row:
    """Return the key of a product's entry in a ranking. Higher amounts sort first."""
    return row_key(f"{TOP}{sort}#{product_id % BOARDS}", f"{MAX_AMOUNT - amount:020}#{product_id:016}")


def shard_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of a partition that are parts of the aggregate, without its other rows."""
    return [row for row in rows if row["item_id"]["S"] not in (BOARD, GENERATION)]


def sum_attributes(rows: Iterable[Row], names: Iterable[str]) -> Counter[str]:
    """Return the sum of each of these number attributes over all rows."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update({name: int(row[name]["N"]) for name in names if name in row})
    return total


def from_cents(cents: int) -> Decimal:
    """Return an amount of money in units of the currency, with two decimals."""
    return Decimal(cents).scaleb(-2)


def _product(product_id: int, rows: Iterable[Row]) -> ProductTotals:
    total = sum_attributes(rows, AMOUNTS)
    return ProductTotals(product_id, total["lines"], total["units"], from_cents(total["cents"]))


def _day(day: date, rows: Iterable[Row]) -> Day:
    total = sum_attributes(rows, FLOWS)
    return Day(
        day,
        total["lines_added"],
        total["lines_removed"],
        total["units_added"],
        from_cents(total["cents_added"]),
        total["carts_cleared"],
        total["lines_abandoned"],
        from_cents(total["cents_abandoned"]),
    )

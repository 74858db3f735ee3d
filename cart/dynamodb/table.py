"""The table of carts: the DynamoDB requests that read and change lines, and what their failed conditions mean."""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cart.config import Config
from cart.dynamodb.client import call, send
from cart.dynamodb.failures import ConditionFailed, VersionChanged, member
from cart.dynamodb.keys import LINE_PREFIXES, Row, line_key
from cart.dynamodb.retries import MAX_ROUNDS, attempts
from cart.dynamodb.rows import (
    LINE_ATTRIBUTES,
    NOT_LIVE,
    PRICE_CHANGE_ATTRIBUTES,
    UNREADABLE,
    IfMatch,
    NotALine,
    StoredCart,
    cleared_row,
    is_live,
    line_of,
    line_values,
    live_condition,
    live_delete_params,
    live_line,
    number,
    projected_line_of,
    readable_rows,
    version_condition,
)
from cart.errors import OutcomeUnknown, Throttled, Unavailable
from cart.model.limits import Limits, line_not_found, refuse_increase, refuse_line, refuse_quantity, refuse_stock
from cart.model.lines import CART, SAVED, Line, Place, iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TRANSACTION_ROWS = 100  # the most that one TransactWriteItems takes
DAY_SECONDS = 86_400
BATCH_ROWS = 25  # the most that one BatchWriteItem takes
NO_ROW = "attribute_not_exists(item_id)"
REMOVE_PRICE_CHANGE = f"REMOVE {', '.join(PRICE_CHANGE_ATTRIBUTES)}"


class CartTable:
    """Carts in DynamoDB, with one row for each line.

    An expired row counts as absent, also before DynamoDB has deleted it.

    Every method may raise ``Throttled`` (429) or ``Unavailable`` (503).
    """

    def __init__(self, client: "DynamoDBClient", config: Config) -> None:
        self.client = client
        self.name = config.dynamodb_table_name
        self.ttl_seconds = {CART: config.cart_ttl_days * DAY_SECONDS, SAVED: config.saved_ttl_days * DAY_SECONDS}
        self.limits = Limits(config.cart_max_quantity, config.cart_max_lines)

    def lines(self, user_id: str, place: Place = CART) -> list[Line]:
        """Return the live lines of a cart or saved list, in no order. One strongly consistent Query for each MB."""
        try:
            return [projected_line_of(row) for row in self._line_rows(user_id, place)]
        except UNREADABLE:
            return [projected_line_of(row) for row in self._repaired_rows(user_id, place)]

    def cart(self, user_id: str) -> StoredCart:
        """Return a cart, of which a user that has none has an empty one. One strongly consistent Query for each MB."""
        try:
            return StoredCart(user_id, self._line_rows(user_id, CART))
        except UNREADABLE:
            return StoredCart(user_id, self._repaired_rows(user_id, CART))

    def _line_rows(self, user_id: str, place: Place) -> list[Row]:
        """Return the rows of live lines, with ``LINE_ATTRIBUTES``."""
        pages = self._query_live(user_id, place, ProjectionExpression=LINE_ATTRIBUTES)
        return [row for page in pages for row in page["Items"]]

    def _repaired_rows(self, user_id: str, place: Place) -> list[Row]:
        """Read the rows of live lines again, with all attributes, and return them in a form that can be read."""
        rows = (row for page in self._query_live(user_id, place) for row in page["Items"])
        return [row for row in readable_rows(rows) if is_live(row)]

    def all_lines(self, user_id: str) -> dict[Place, dict[int, Line]]:
        """Return all lines by place and product, live and expired. One Query for each MB."""
        lines: dict[Place, dict[int, Line]] = {CART: {}, SAVED: {}}
        for page in self._query(user_id):
            for row in page["Items"]:
                try:
                    line = line_of(row)
                except NotALine:
                    continue
                place = CART if row["item_id"]["S"].startswith(LINE_PREFIXES[CART]) else SAVED
                lines[place][line.product_id] = line
        return lines

    def count_lines(self, user_id: str, place: Place) -> int:
        """Return the number of live lines. One Query for each MB."""
        return sum(page["Count"] for page in self._query_live(user_id, place, Select="COUNT"))

    def _query_live(self, user_id: str, place: Place, **params: Any) -> Iterator[Row]:
        return self._query(
            user_id,
            place,
            FilterExpression="#ttl > :epoch",
            ExpressionAttributeNames={"#ttl": "ttl"},
            values={":epoch": number(time.time())},
            **params,
        )

    def add_item(
        self,
        user_id: str,
        product_id: int,
        product_name: str,
        quantity: int,
        price: Decimal,
        stock: int | None = None,
        place: Place = CART,
    ) -> Line:
        """Add units of a product; the line takes this name and price.

        One UpdateItem; two to replace an expired line, and one Query to count the lines if the line is new.

        :param quantity: units to add, 1 to ``max_quantity``
        :param price: of one unit, in whole cents
        :param stock: units in stock, which the line must not exceed; None if the stock is not known
        :return: the line as stored
        :raise QuantityLimit: the line would exceed ``max_quantity`` (409)
        :raise InsufficientStock: the line would exceed ``stock`` (409)
        :raise LinesLimit: the cart would exceed ``max_lines`` (409)
        :raise OutcomeUnknown: the answer was lost; the units may have been added (503)
        """
        values = {
            ":product_id": number(product_id),
            ":product_name": {"S": product_name},
            ":quantity": number(quantity),
            ":price": {"N": str(price)},
            ":one": number(1),
        }
        if stock is not None and quantity > stock:
            refuse_stock(stock)
        line = self._add(user_id, place, product_id, quantity, stock, values)
        if line.added_at == line.updated_at:
            try:
                self._keep_to_max_lines(user_id, place, line)
            except (Throttled, Unavailable):  # they say that nothing was added
                raise OutcomeUnknown from None
        return line

    def _add(self, user_id: str, place: Place, product_id: int, quantity: int, stock: int | None, values: Row) -> Line:
        fields = "SET product_id = :product_id, product_name = :product_name, price = :price, priced_at = :now"
        # the remaining units, and the first version of a new line: see next_version
        limits = {":room": number(self.limits.units(stock) - quantity), ":start": number(time.time() * 1_000_000)}
        for _ in range(MAX_ROUNDS):
            try:
                return self._update_line(
                    user_id,
                    place,
                    product_id,
                    f"{fields}, added_at = if_not_exists(added_at, :now),"
                    " version = if_not_exists(version, :start) + :one ADD quantity :quantity",
                    "attribute_not_exists(item_id)"
                    " OR (#ttl > :epoch AND quantity <= :room AND attribute_exists(price))",
                    values | limits,
                )
            except ConditionFailed as failed:
                if line := live_line(failed.row):
                    refuse_quantity(self.limits, line.quantity, quantity, stock)
            try:
                return self._update_line(
                    user_id,
                    place,
                    product_id,
                    f"{fields}, added_at = :now, quantity = :quantity,"
                    f" version = if_not_exists(version, :start) + :one {REMOVE_PRICE_CHANGE}",
                    NOT_LIVE,
                    values | {":start": limits[":start"], ":number": {"S": "N"}},
                )
            except ConditionFailed:
                continue  # another request replaced the line, or DynamoDB deleted it: start again
        raise Throttled

    def _keep_to_max_lines(self, user_id: str, place: Place, line: Line) -> None:
        """Remove a new line if it exceeds ``max_lines``; of several concurrent adds, all may be removed.

        A line that another request has changed since is kept, since that change was confirmed.

        :raise LinesLimit: the line was removed (409)
        """
        if self.count_lines(user_id, place) > self.limits.lines:
            with suppress(VersionChanged):
                self.remove_item(user_id, line.product_id, frozenset({line.version}), place)
                refuse_line(place, self.limits.lines)

    def set_quantity(
        self, user_id: str, product_id: int, quantity: int, if_match: IfMatch = None, stock: int | None = None
    ) -> Line:
        """Set the quantity of one live line. One conditional UpdateItem, no read.

        :param quantity: units, 1 to ``max_quantity``
        :param stock: units in stock; more are allowed only if the line has them already. None if it is not known
        :return: the line as stored
        :raise LineNotFound: no such line, or it has expired (404)
        :raise VersionChanged: the line has another version
        :raise InsufficientStock: the quantity exceeds ``stock`` and that of the line (409)
        """
        condition, versions = live_condition(if_match)
        if stock is not None and quantity > stock:
            condition += " AND quantity >= :quantity"
        try:
            return self._update_line(
                user_id,
                CART,
                product_id,
                "SET quantity = :quantity, version = if_not_exists(version, :one) + :one",
                condition,
                {":quantity": number(quantity), ":one": number(1)} | versions,
            )
        except ConditionFailed as failed:
            line = live_line(failed.row)
            if line is None:
                raise line_not_found(CART, product_id) from None
            is_version = if_match is None or if_match == "*" or line.version in if_match
            if is_version and stock is not None and quantity > max(stock, line.quantity):
                refuse_increase(stock, line.quantity)
            raise VersionChanged(line) from None

    def remove_item(self, user_id: str, product_id: int, if_match: IfMatch = None, place: Place = CART) -> None:
        """Remove one line, if it is there. One DeleteItem.

        :raise VersionChanged: the live line has another version, or with ``if_match`` there is none
        """
        conditional = {} if if_match is None else live_delete_params(if_match)
        try:
            self.delete(line_key(user_id, place, product_id), **conditional)
        except ConditionFailed as failed:
            raise VersionChanged(live_line(failed.row)) from None

    def clear(self, user_id: str) -> None:
        """Remove every line of the cart, expired lines too, but no saved line.

        One Query for each MB, and one BatchWriteItem for each 25 rows: the lines and one ``cleared_row``. If it is
        interrupted, some lines are removed; the next call removes the others.
        """
        pages = self._query(user_id, CART, ProjectionExpression="user_id, item_id")
        writes: list[Row] = [{"DeleteRequest": {"Key": key}} for page in pages for key in page["Items"]]
        if writes:
            writes.append({"PutRequest": {"Item": cleared_row(user_id)}})
        self.write_batches(writes)

    def put_line(self, user_id: str, place: Place, line: Line, read: Line | None) -> Row:
        """Return the transaction action that stores a line if its row has not changed, and sets a new expiry.

        :param read: the line of the row, or None if there was no row
        """
        values = line_values(line) | {"ttl": number(time.time() + self.ttl_seconds[place])}
        new = {f":{name}": value for name, value in values.items()}
        condition, versions = version_condition(frozenset({read.version})) if read else (NO_ROW, {})
        return {
            "Update": {
                "TableName": self.name,
                "Key": line_key(user_id, place, line.product_id),
                "UpdateExpression": "SET "
                + ", ".join(f"#{name} = :{name}" for name in values)
                + ("" if line.change else f" {REMOVE_PRICE_CHANGE}"),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {f"#{name}": name for name in values},
                "ExpressionAttributeValues": new | versions,
            }
        }

    def take_line(self, user_id: str, place: Place, line: Line) -> Row:
        """Return the transaction action that removes a line if it has not changed since it was read."""
        key = line_key(user_id, place, line.product_id)
        return {"Delete": {"TableName": self.name, "Key": key} | live_delete_params(frozenset({line.version}))}

    def live_rows(self, partition: str) -> Iterator[Row]:
        """Return the rows of a partition key that have not expired. One Query for each MB."""
        return (row for page in self._query(partition) for row in page["Items"] if is_live(row))

    def size(self) -> tuple[int, int]:
        """Return the items and bytes of the table, which DynamoDB counts about every six hours. One DescribeTable."""
        table = member(send(self.client.describe_table, TableName=self.name), "Table")
        return member(table, "ItemCount", int), member(table, "TableSizeBytes", int)

    def check(self) -> None:
        """Check that the table answers. One Query of a key that no cart can have, for half a read unit."""
        call(
            self.client,
            "query",
            TableName=self.name,
            KeyConditionExpression="user_id = :user_id",
            ExpressionAttributeValues={":user_id": {"S": "#"}},
            Limit=1,
        )

    def _query(
        self, user_id: str, place: Place | None = None, values: Row | None = None, **params: Any
    ) -> Iterator[Row]:
        """Yield the answers to a strongly consistent Query of a user's rows, page by page.

        :param place: read only the lines of this place
        :param values: further expression attribute values
        """
        condition = "user_id = :user_id"
        values = {":user_id": {"S": user_id}} | (values or {})
        if place:
            condition += " AND begins_with(item_id, :prefix)"
            values[":prefix"] = {"S": LINE_PREFIXES[place]}
        while True:
            page = call(
                self.client,
                "query",
                TableName=self.name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **params,
            )
            yield page
            if "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update_line(
        self, user_id: str, place: Place, product_id: int, update: str, condition: str, values: Row
    ) -> Line:
        """Update a line, and set a new expiry. One UpdateItem.

        :param update: an update expression that starts with SET
        :raise ConditionFailed: the condition did not hold; the exception has the row
        """
        now = datetime.now(UTC)
        answer = call(
            self.client,
            "update_item",
            TableName=self.name,
            Key=line_key(user_id, place, product_id),
            UpdateExpression=update.replace("SET ", "SET updated_at = :now, #ttl = :ttl, ", 1),
            ConditionExpression=condition,
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=values
            | {
                ":now": {"S": iso(now)},
                ":epoch": number(now.timestamp()),
                ":ttl": number(now.timestamp() + self.ttl_seconds[place]),
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return line_of(answer["Attributes"])

    def row(self, key: Row) -> Row | None:
        """Return one row, expired or not, or None. One strongly consistent GetItem."""
        row: Row | None = call(self.client, "get_item", TableName=self.name, Key=key, ConsistentRead=True).get("Item")
        return row

    def delete(self, key: Row, **conditional: Any) -> None:
        """Delete one row if it is there. One DeleteItem.

        :param conditional: parameters of DeleteItem
        :raise ConditionFailed: the condition did not hold
        """
        call(self.client, "delete_item", TableName=self.name, Key=key, **conditional)

    def transact(self, actions: list[Row]) -> None:
        """Carry out actions together. One TransactWriteItems, or no request if there are no actions.

        With the token, DynamoDB recognizes a request that is sent again.

        :raise TransactionCancelled: a condition did not hold; nothing was changed
        """
        if actions:
            call(self.client, "transact_write_items", TransactItems=actions, ClientRequestToken=str(uuid.uuid4()))

    def write_batches(self, writes: list[Row]) -> None:
        """Put and delete rows, in no order. One BatchWriteItem for each 25 rows.

        :param writes: requests of BatchWriteItem
        """
        for start in range(0, len(writes), BATCH_ROWS):
            self._write_batch(writes[start : start + BATCH_ROWS])

    def _write_batch(self, writes: list[Row]) -> None:
        """Write at most ``BATCH_ROWS`` rows, and repeat those that DynamoDB did not process."""
        unprocessed: list[Any] = writes
        for _ in attempts():
            answer = call(self.client, "batch_write_item", RequestItems={self.name: unprocessed})
            unprocessed = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not unprocessed:
                return
        raise Throttled

"""The table gateway: key shapes, expressions, and what a failed condition means."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from flask import current_app

from cart.config import Config
from cart.dynamodb import ConditionFailed, Row, TransactionCancelled, back_off, call
from cart.errors import (
    IdempotencyKeyReused,
    LineNotFound,
    LinesLimit,
    OutcomeUnknown,
    QuantityLimit,
    Throttled,
    Unavailable,
)
from cart.lines import Line
from cart.observability import seconds_since

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

IfMatch = frozenset[int] | Literal["*"] | None  # the versions a caller has read, any at all, or no matter

LINE = "ITEM#"
IDEMPOTENCY = "IDEMPOTENCY#"
RECORD_TTL_SECONDS = 86_400
TRANSACTION_ROWS = 100  # the most that one TransactWriteItems takes
DAY_SECONDS = 86_400
BATCH_ROWS = 25  # the most that one BatchWriteItem takes
CONTEND_FOR_SECONDS = 2  # of a transaction, with others that are at work on its rows
MAX_ROUNDS = 8  # of a loop that others' writes, or DynamoDB's load, can send round again


class IdempotencyKey(NamedTuple):
    """Of a request that is to be carried out once, however often it comes."""

    hash: str  # of what the client chose
    fingerprint: str  # of the request that came with it


class Answer(NamedTuple):
    """What a client is told, as it is kept beside the change."""

    status: int
    body: str
    location: str
    etag: str
    replayed: bool = False


MakeAnswer = Callable[[Line], Answer]
Change = Callable[[], tuple[list[Row], Answer]]


class VersionChanged(Exception):
    """``If-Match`` did not hold. ``line`` is the live line as it is, None where there is none."""

    def __init__(self, line: Line | None) -> None:
        self.line = line


def get_table() -> "CartTable":
    """The gateway of the app that is answering."""
    table: CartTable = current_app.extensions["cart_table"]
    return table


class CartTable:
    """Carts in DynamoDB: one row a line. An expired row is absent, whether DynamoDB has deleted it yet or not.

    Every method may raise ``Throttled`` (429) or ``Unavailable`` (503).
    """

    def __init__(self, client: "DynamoDBClient", config: Config) -> None:
        self.client = client
        self.name = config.dynamodb_table_name
        self.ttl_seconds = config.cart_ttl_days * DAY_SECONDS
        self.max_quantity = config.cart_max_quantity
        self.max_lines = config.cart_max_lines

    def lines(self, user_id: str) -> list[Line]:
        """The live lines of a cart, in no order. One strongly consistent Query for each MB."""
        return [_line(row) for page in self._query_live(user_id) for row in page["Items"]]

    def _count_lines(self, user_id: str) -> int:
        return sum(page["Count"] for page in self._query_live(user_id, Select="COUNT"))

    def _query_live(self, user_id: str, **params: Any) -> Iterator[Row]:
        return self._query(
            user_id,
            FilterExpression="#ttl > :epoch",
            ExpressionAttributeNames={"#ttl": "ttl"},
            values={":epoch": _number(time.time())},
            **params,
        )

    def add_item(self, user_id: str, product_id: int, product_name: str, quantity: int, price: Decimal) -> Line:
        """Add units of a product; name and price become those given.

        One UpdateItem; two to revive an expired line, and one Query more to count the lines when this is a new one.

        :param quantity: units to add, 1 to ``max_quantity``
        :param price: of one unit, in whole cents
        :return: the line as stored
        :raise QuantityLimit: the line would exceed ``max_quantity`` (409)
        :raise LinesLimit: the cart would exceed ``max_lines`` (409)
        :raise OutcomeUnknown: the answer was lost, the units may have been added or not (503)
        """
        values = {
            ":product_id": _number(product_id),
            ":product_name": {"S": product_name},
            ":quantity": _number(quantity),
            ":price": {"N": str(price)},
            ":one": _number(1),
        }
        line = self._add(user_id, product_id, quantity, values)
        if line.added_at == line.updated_at:
            try:
                self._keep_to_max_lines(user_id, line)
            except (Throttled, Unavailable):  # which would say that nothing was added
                raise OutcomeUnknown from None
        return line

    def _add(self, user_id: str, product_id: int, quantity: int, values: Row) -> Line:
        fields = "SET product_id = :product_id, product_name = :product_name, price = :price"
        # a version starts from the clock, so that a line that is removed and added again has none twice
        fresh = {":room": _number(self.max_quantity - quantity), ":start": _number(time.time() * 1_000_000)}
        for _ in range(MAX_ROUNDS):
            try:
                return self._update_line(
                    user_id,
                    product_id,
                    f"{fields}, added_at = if_not_exists(added_at, :now),"
                    " version = if_not_exists(version, :start) + :one ADD quantity :quantity",
                    "attribute_not_exists(item_id) OR (#ttl > :epoch AND quantity <= :room)",
                    values | fresh,
                )
            except ConditionFailed as failed:
                if line := _live_line(failed.row):
                    _refuse_quantity(line, quantity, self.max_quantity)
            try:
                return self._update_line(
                    user_id,
                    product_id,
                    f"{fields}, added_at = :now, quantity = :quantity, version = version + :one",
                    "attribute_exists(item_id) AND #ttl <= :epoch",
                    values,
                )
            except ConditionFailed:
                continue  # revived by another request, or deleted by DynamoDB: add to what is there now
        raise Throttled

    def _keep_to_max_lines(self, user_id: str, line: Line) -> None:
        """Take a new line back where it is one too many. Of adds that race for the last place, all may lose.

        A line that somebody else has changed in the meantime stays: that change was promised.

        :raise LinesLimit: it was taken back
        """
        if self._count_lines(user_id) > self.max_lines:
            with suppress(VersionChanged):
                self.remove_item(user_id, line.product_id, frozenset({line.version}))
                _refuse_line(self.max_lines)

    def add_item_once(self, user_id: str, item: dict[str, Any], key: IdempotencyKey, answer: MakeAnswer) -> Answer:
        """``add_item``, and the record that it was done, in one transaction.

        One GetItem and one TransactWriteItems; a new line costs a Query too, to count the lines.

        :param answer: makes of the stored line what the caller is told, now and at each repeat
        :raise IdempotencyKeyReused: the key came with another request (422)
        """

        def change() -> tuple[list[Row], Answer]:
            row = self._row(user_id, f"{LINE}{item['product_id']}")
            line = self._with_item(user_id, row, item)
            return [self._put_line(user_id, line, row)], answer(line)

        return self._once(user_id, key, change)

    def _with_item(self, user_id: str, row: Row | None, item: dict[str, Any]) -> Line:
        """The line that an item makes of the row that is there."""
        line, now = _live_line(row), datetime.now(UTC)
        if line and line.quantity + item["quantity"] > self.max_quantity:
            _refuse_quantity(line, item["quantity"], self.max_quantity)
        if not line and self._count_lines(user_id) >= self.max_lines:
            _refuse_line(self.max_lines)
        return Line(
            **item | {"quantity": item["quantity"] + (line.quantity if line else 0)},
            added_at=line.added_at if line else _iso(now),
            updated_at=_iso(now),
            version=int(row["version"]["N"]) + 1 if row else int(now.timestamp() * 1_000_000) + 1,
        )

    def _once(self, user_id: str, key: IdempotencyKey, change: Change) -> Answer:
        """Make a change and the record of its answer together; where the record is there, give its answer again.

        :param change: reads what it needs; the actions of a transaction that fail if that has changed, and the answer
        """
        started = time.perf_counter()
        attempt = 0
        while True:
            try:
                actions, answer = change()
                self._transact([self._put_record(user_id, key, answer), *actions])
            except (QuantityLimit, LinesLimit, TransactionCancelled) as error:
                record = self._row(f"{IDEMPOTENCY}{user_id}", key.hash)
                if record and _is_live(record):
                    return _replay(record, key)
                if not isinstance(error, TransactionCancelled):
                    raise
                if seconds_since(started) > CONTEND_FOR_SECONDS:
                    raise Throttled from None
            else:
                return answer
            back_off(attempt)
            attempt += 1

    def set_quantity(self, user_id: str, product_id: int, quantity: int, if_match: IfMatch = None) -> Line:
        """Set one live line's quantity. One conditional UpdateItem, no read.

        :param quantity: units, 1 to ``max_quantity``
        :return: the line as stored
        :raise LineNotFound: no such line, or it has expired (404)
        :raise VersionChanged: the line has another version
        """
        condition, versions = _live_condition(if_match)
        try:
            return self._update_line(
                user_id,
                product_id,
                "SET quantity = :quantity, version = version + :one",
                condition,
                {":quantity": _number(quantity), ":one": _number(1)} | versions,
            )
        except ConditionFailed as failed:
            if line := _live_line(failed.row):
                raise VersionChanged(line) from None
            raise LineNotFound(f"The cart has no line of product {product_id}.") from None

    def remove_item(self, user_id: str, product_id: int, if_match: IfMatch = None) -> None:
        """Remove one line, if it is there. One DeleteItem.

        :raise VersionChanged: the live line has another version, or with ``if_match`` there is none
        """
        conditional = {} if if_match is None else _if_live(if_match)
        try:
            call(self.client, "delete_item", TableName=self.name, Key=_key(user_id, product_id), **conditional)
        except ConditionFailed as failed:
            raise VersionChanged(_live_line(failed.row)) from None

    def remove_lines(self, user_id: str, lines: list[Line]) -> None:
        """Remove these lines if each is as it was read. One TransactWriteItems for each 100.

        :raise TransactionCancelled: one of them has changed
        """
        deletes = [
            {
                "Delete": {"TableName": self.name, "Key": _key(user_id, line.product_id)}
                | _if_live(frozenset({line.version}))
            }
            for line in lines
        ]
        for start in range(0, len(deletes), TRANSACTION_ROWS):
            self._transact(deletes[start : start + TRANSACTION_ROWS])

    def clear(self, user_id: str) -> None:
        """Remove every line, the expired too. A Query for each MB and a BatchWriteItem for each 25 lines.

        A run that dies in the middle has removed some lines; the next one removes the rest.
        """
        for page in self._query(user_id, ProjectionExpression="user_id, item_id"):
            keys = page["Items"]
            for start in range(0, len(keys), BATCH_ROWS):
                self._delete_batch(keys[start : start + BATCH_ROWS])

    def size(self) -> tuple[int, int]:
        """Items and bytes, which DynamoDB counts about every six hours. One DescribeTable, which is free."""
        table = self.client.describe_table(TableName=self.name)["Table"]
        return table["ItemCount"], table["TableSizeBytes"]

    def check(self) -> None:
        """Prove that the table answers: one Query of a key that no cart can have, half a read unit."""
        call(
            self.client,
            "query",
            TableName=self.name,
            KeyConditionExpression="user_id = :user_id",
            ExpressionAttributeValues={":user_id": {"S": "#"}},
            Limit=1,
        )

    def _query(self, user_id: str, values: Row | None = None, **params: Any) -> Iterator[Row]:
        """The answers to a Query of the cart's lines, page by page, each strongly consistent."""
        values = {":user_id": {"S": user_id}, ":line": {"S": LINE}} | (values or {})
        while True:
            page = call(
                self.client,
                "query",
                TableName=self.name,
                KeyConditionExpression="user_id = :user_id AND begins_with(item_id, :line)",
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **params,
            )
            yield page
            if "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update_line(self, user_id: str, product_id: int, update: str, condition: str, values: Row) -> Line:
        """One UpdateItem that also renews the line's life. ``update`` starts with its SET clause.

        :raise ConditionFailed: with the row that is there
        """
        now = datetime.now(UTC)
        answer = call(
            self.client,
            "update_item",
            TableName=self.name,
            Key=_key(user_id, product_id),
            UpdateExpression=update.replace("SET ", "SET updated_at = :now, #ttl = :ttl, ", 1),
            ConditionExpression=condition,
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=values
            | {
                ":now": {"S": _iso(now)},
                ":epoch": _number(now.timestamp()),
                ":ttl": _number(now.timestamp() + self.ttl_seconds),
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return _line(answer["Attributes"])

    def _row(self, user_id: str, item_id: str) -> Row | None:
        """One row, strongly consistent, expired or not."""
        key = {"user_id": {"S": user_id}, "item_id": {"S": item_id}}
        row: Row | None = call(self.client, "get_item", TableName=self.name, Key=key, ConsistentRead=True).get("Item")
        return row

    def _put_line(self, user_id: str, line: Line, read: Row | None) -> Row:
        """The action of a transaction that stores a line, if its row is as it was read."""
        condition = "version = :read" if read else "attribute_not_exists(item_id)"
        fields = ("product_id", "product_name", "quantity", "price", "added_at", "updated_at", "version")
        values = {
            ":product_id": _number(line.product_id),
            ":product_name": {"S": line.product_name},
            ":quantity": _number(line.quantity),
            ":price": {"N": str(line.price)},
            ":added_at": {"S": line.added_at},
            ":updated_at": {"S": line.updated_at},
            ":version": _number(line.version),
            ":ttl": _number(time.time() + self.ttl_seconds),
        }
        return {
            "Update": {
                "TableName": self.name,
                "Key": _key(user_id, line.product_id),
                "UpdateExpression": "SET #ttl = :ttl, " + ", ".join(f"{field} = :{field}" for field in fields),
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": values | ({":read": read["version"]} if read else {}),
            }
        }

    def _put_record(self, user_id: str, key: IdempotencyKey, answer: Answer) -> Row:
        """The action of a transaction that keeps an answer, if the key has none that is still good."""
        now = time.time()
        return {
            "Put": {
                "TableName": self.name,
                "Item": {
                    "user_id": {"S": f"{IDEMPOTENCY}{user_id}"},
                    "item_id": {"S": key.hash},
                    "fingerprint": {"S": key.fingerprint},
                    "status": _number(answer.status),
                    "body": {"S": answer.body},
                    "location": {"S": answer.location},
                    "etag": {"S": answer.etag},
                    "ttl": _number(now + RECORD_TTL_SECONDS),
                },
                "ConditionExpression": "attribute_not_exists(item_id) OR #ttl <= :epoch",
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": {":epoch": _number(now)},
            }
        }

    def _transact(self, actions: list[Row]) -> None:
        """One TransactWriteItems. Its token lets DynamoDB tell a second sending from a second request.

        :raise TransactionCancelled: a condition did not hold
        """
        call(self.client, "transact_write_items", TransactItems=actions, ClientRequestToken=str(uuid.uuid4()))

    def _delete_batch(self, keys: list[Row]) -> None:
        left: list[Any] = [{"DeleteRequest": {"Key": key}} for key in keys]
        for attempt in range(MAX_ROUNDS):
            answer = call(self.client, "batch_write_item", RequestItems={self.name: left})
            left = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not left:
                return
            back_off(attempt)
        raise Throttled


def _key(user_id: str, product_id: int) -> Row:
    return {"user_id": {"S": user_id}, "item_id": {"S": f"{LINE}{product_id}"}}


def _number(value: float) -> Row:
    return {"N": str(int(value))}


def _line(row: Row) -> Line:
    return Line(
        product_id=int(row["product_id"]["N"]),
        product_name=row["product_name"]["S"],
        quantity=int(row["quantity"]["N"]),
        price=Decimal(row["price"]["N"]),
        added_at=row["added_at"]["S"],
        updated_at=row["updated_at"]["S"],
        version=int(row["version"]["N"]),
    )


def _is_live(row: Row) -> bool:
    return int(row["ttl"]["N"]) > int(time.time())


def _live_line(row: Row | None) -> Line | None:
    """The line of a row that is there and has not expired."""
    return _line(row) if row and _is_live(row) else None


def _live_condition(if_match: IfMatch) -> tuple[str, Row]:
    """The condition of a write to a line that must be live, with one of these versions; and the versions' values."""
    live = "attribute_exists(item_id) AND #ttl > :epoch"
    if if_match is None or if_match == "*":
        return live, {}
    values = {f":version{place}": _number(version) for place, version in enumerate(sorted(if_match))}
    return f"{live} AND version IN ({', '.join(values) or ':none'})", values or {":none": _number(-1)}


def _if_live(if_match: IfMatch) -> Row:
    """``_live_condition``, as the parameters of a delete."""
    condition, versions = _live_condition(if_match)
    return {
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ExpressionAttributeValues": {":epoch": _number(time.time())} | versions,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _replay(record: Row, key: IdempotencyKey) -> Answer:
    if record["fingerprint"]["S"] != key.fingerprint:
        raise IdempotencyKeyReused
    body, location, etag = (record[name]["S"] for name in ("body", "location", "etag"))
    return Answer(int(record["status"]["N"]), body, location, etag, replayed=True)


def _refuse_line(limit: int) -> NoReturn:
    raise LinesLimit(f"The cart has {limit} lines, the most that it may have.", limit=limit)


def _refuse_quantity(line: Line, quantity: int, limit: int) -> NoReturn:
    room = max(limit - line.quantity, 0)
    raise QuantityLimit(
        f"The line holds {line.quantity} units; {quantity} more would exceed the limit.",
        {"quantity": [f"At most {room} more."]},
        limit=limit,
        quantity=line.quantity,
    )

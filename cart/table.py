"""The table gateway: key shapes, expressions, and what a failed condition means. The only importer of boto3."""

import logging
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)
from flask import current_app

from cart.config import Config
from cart.errors import LineNotFound, OutcomeUnknown, QuantityLimit, Throttled, Unavailable
from cart.lines import Line
from cart.observability import count

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

Row = dict[str, Any]

LINE = "ITEM#"
DAY_SECONDS = 86_400
BATCH_ROWS = 25  # the most that one BatchWriteItem takes
MAX_ROUNDS = 8  # of a loop that others' writes, or DynamoDB's load, can send round again

# A call that fails has failed 4.5 seconds after it began: no retry is decided on after the first second,
# it waits at most half a second more, and lasts no longer than both timeouts together.
CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 2
RETRY_FOR_SECONDS = 1
BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 0.5

THROTTLING = {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
AWS_ERRORS = (ClientError, BotoCoreError)
NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError)


class ConditionFailed(Exception):
    """The condition of a write did not hold. ``row`` is the row as it was, None where there was none."""

    def __init__(self, row: Row | None) -> None:
        self.row = row


def connect(config: Config, patient: bool = False, service: str = "dynamodb") -> Any:
    """A client for the configured region, and for DynamoDB the configured endpoint.

    botocore's own retries are off: it sends an ``ADD`` whose answer was lost again, which counts twice.
    ``CartTable._call`` retries instead, and knows what may be sent twice.

    :param patient: with botocore's own timeouts and retries, for the commands that make or look at tables
    """
    session = boto3.Session(region_name=config.aws_region)
    endpoint_url = config.dynamodb_endpoint_url if service == "dynamodb" else None
    # An engine on a laptop checks no credentials, but botocore signs nothing without some.
    anonymous = endpoint_url and not session.get_credentials()
    return session.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint_url,
        aws_access_key_id="local" if anonymous else None,
        aws_secret_access_key="local" if anonymous else None,
        config=None
        if patient
        else ClientConfig(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"total_max_attempts": 1},
            max_pool_connections=50,
            tcp_keepalive=True,
        ),
    )


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

    def lines(self, user_id: str) -> list[Line]:
        """The live lines of a cart, in no order. One strongly consistent Query for each MB."""
        pages = self._query(
            user_id,
            FilterExpression="#ttl > :epoch",
            ExpressionAttributeNames={"#ttl": "ttl"},
            values={":epoch": _number(time.time())},
        )
        return [_line(row) for page in pages for row in page]

    def add_item(self, user_id: str, product_id: int, product_name: str, quantity: int, price: Decimal) -> Line:
        """Add units of a product; name and price become those given. One UpdateItem, two to revive an expired line.

        :param quantity: units to add, 1 to ``max_quantity``
        :param price: of one unit, in whole cents
        :return: the line as stored
        :raise QuantityLimit: the line would exceed ``max_quantity`` (409)
        :raise OutcomeUnknown: the answer was lost, the units may have been added or not (503)
        """
        values = {
            ":product_id": _number(product_id),
            ":product_name": {"S": product_name},
            ":quantity": _number(quantity),
            ":price": {"N": str(price)},
            ":one": _number(1),
        }
        fields = "SET product_id = :product_id, product_name = :product_name, price = :price"
        room = {":room": _number(self.max_quantity - quantity)}
        for _ in range(MAX_ROUNDS):
            try:
                return self._update_line(
                    user_id,
                    product_id,
                    f"{fields}, added_at = if_not_exists(added_at, :now) ADD quantity :quantity, version :one",
                    "attribute_not_exists(item_id) OR (#ttl > :epoch AND quantity <= :room)",
                    values | room,
                )
            except ConditionFailed as failed:
                if failed.row and _is_live(failed.row):
                    _refuse_quantity(_line(failed.row), quantity, self.max_quantity)
            try:
                return self._update_line(
                    user_id,
                    product_id,
                    f"{fields}, added_at = :now, quantity = :quantity ADD version :one",
                    "attribute_exists(item_id) AND #ttl <= :epoch",
                    values,
                )
            except ConditionFailed:
                continue  # revived by another request, or deleted by DynamoDB: add to what is there now
        raise Throttled

    def set_quantity(self, user_id: str, product_id: int, quantity: int) -> Line:
        """Set one live line's quantity. One conditional UpdateItem, no read.

        :param quantity: units, 1 to ``max_quantity``
        :return: the line as stored
        :raise LineNotFound: no such line, or it has expired (404)
        """
        try:
            return self._update_line(
                user_id,
                product_id,
                "SET quantity = :quantity ADD version :one",
                "attribute_exists(item_id) AND #ttl > :epoch",
                {":quantity": _number(quantity), ":one": _number(1)},
                resend=True,
            )
        except ConditionFailed:
            raise LineNotFound(f"The cart has no line of product {product_id}.") from None

    def remove_item(self, user_id: str, product_id: int) -> None:
        """Remove one line, if it is there. One DeleteItem."""
        self._call("delete_item", TableName=self.name, Key=_key(user_id, product_id))

    def clear(self, user_id: str) -> None:
        """Remove every line, the expired too. A Query for each MB and a BatchWriteItem for each 25 lines.

        A run that dies in the middle has removed some lines; the next one removes the rest.
        """
        pages = self._query(user_id, ProjectionExpression="user_id, item_id")
        for keys in pages:
            for start in range(0, len(keys), BATCH_ROWS):
                self._delete_batch(keys[start : start + BATCH_ROWS])

    def size(self) -> tuple[int, int]:
        """Items and bytes, which DynamoDB counts about every six hours. One DescribeTable, which is free."""
        table = self.client.describe_table(TableName=self.name)["Table"]
        return table["ItemCount"], table["TableSizeBytes"]

    def check(self) -> None:
        """Prove that the table answers: one Query of a key that no cart can have, half a read unit."""
        self._call(
            "query",
            TableName=self.name,
            KeyConditionExpression="user_id = :user_id",
            ExpressionAttributeValues={":user_id": {"S": "#"}},
            Limit=1,
        )

    def _query(self, user_id: str, values: Row | None = None, **params: Any) -> Iterator[list[Row]]:
        """The cart's rows, page by page, each strongly consistent."""
        values = {":user_id": {"S": user_id}, ":line": {"S": LINE}} | (values or {})
        while True:
            page = self._call(
                "query",
                TableName=self.name,
                KeyConditionExpression="user_id = :user_id AND begins_with(item_id, :line)",
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **params,
            )
            yield page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update_line(
        self, user_id: str, product_id: int, update: str, condition: str, values: Row, resend: bool = False
    ) -> Line:
        """One UpdateItem that also renews the line's life. ``update`` starts with its SET clause.

        :raise ConditionFailed: with the row that is there
        """
        now = datetime.now(UTC)
        answer = self._call(
            "update_item",
            resend=resend,
            TableName=self.name,
            Key=_key(user_id, product_id),
            UpdateExpression=update.replace("SET ", "SET updated_at = :now, #ttl = :ttl, ", 1),
            ConditionExpression=condition,
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=values
            | {
                ":now": {"S": now.isoformat(timespec="microseconds").replace("+00:00", "Z")},
                ":epoch": _number(now.timestamp()),
                ":ttl": _number(now.timestamp() + self.ttl_seconds),
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return _line(answer["Attributes"])

    def _delete_batch(self, keys: list[Row]) -> None:
        left: list[Any] = [{"DeleteRequest": {"Key": key}} for key in keys]
        for attempt in range(MAX_ROUNDS):
            answer = self._call("batch_write_item", RequestItems={self.name: left})
            left = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not left:
                return
            _back_off(attempt)
        raise Throttled

    def _call(self, operation: str, resend: bool = True, **params: Any) -> Any:
        """One DynamoDB operation, with jittered retries ("Error retries and exponential backoff in AWS").

        :param resend: whether the operation may be sent again when the first one may have been applied
        """
        started = time.monotonic()
        attempt = 0
        while True:
            try:
                count("DynamoDBRequests")
                answer = getattr(self.client, operation)(ReturnConsumedCapacity="TOTAL", **params)
                count("DynamoDBCapacityUnits", _capacity_units(answer))
                return answer
            except AWS_ERRORS as error:
                if _code(error) in THROTTLING:
                    count("DynamoDBThrottles")
                if _code(error) == "ConditionalCheckFailedException":
                    raise ConditionFailed(error.response.get("Item")) from None  # type: ignore[union-attr, arg-type]
                again = _is_passing(error) and (resend or _was_not_applied(error))
                if not again or time.monotonic() - started > RETRY_FOR_SECONDS:
                    raise _problem(operation, error, resend) from error
            _back_off(attempt)
            attempt += 1


def _capacity_units(answer: Any) -> float:
    consumed = answer.get("ConsumedCapacity", {})
    return (
        sum(one["CapacityUnits"] for one in consumed)
        if isinstance(consumed, list)
        else consumed.get("CapacityUnits", 0)
    )


def _code(error: Exception) -> str:
    """DynamoDB's name of an error, or the name of the exception where no answer came."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__


def _is_passing(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return _code(error) in THROTTLING or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    return isinstance(error, (HTTPClientError, *NEVER_SENT))


def _was_not_applied(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return isinstance(error, NEVER_SENT)


def _problem(operation: str, error: Exception, resend: bool) -> Exception:
    """What the client is told of a failed operation; the log has the rest."""
    if _code(error) in ("ValidationException", "ParamValidationError"):
        return error  # a defect of ours: 500, with the traceback in the log
    logger.error("DynamoDB %s failed: %s", operation, error)
    if _code(error) in THROTTLING:
        return Throttled()
    return Unavailable() if resend or _was_not_applied(error) else OutcomeUnknown()


def _back_off(attempt: int) -> None:
    time.sleep(random.uniform(0, min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(attempt, 8))))


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


def _refuse_quantity(line: Line, quantity: int, limit: int) -> NoReturn:
    room = max(limit - line.quantity, 0)
    raise QuantityLimit(
        f"The line holds {line.quantity} units; {quantity} more would exceed the limit.",
        {"quantity": [f"At most {room} more."]},
        limit=limit,
        quantity=line.quantity,
    )

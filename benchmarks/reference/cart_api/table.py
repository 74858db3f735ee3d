"""DynamoDB: the same table, keys and expressions as Cart's own."""

import os
import time
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cart_api.models import MAX_QUANTITY, Item, Line

TABLE = os.environ.get("DYNAMODB_TABLE_NAME", "dev-carts")
TTL_SECONDS = 30 * 86_400
BATCH_ROWS = 25
ROUNDS = 8


class ConditionFailed(Exception):
    """The condition of a write did not hold. ``row`` is the row as it was, None where there was none."""

    def __init__(self, row: dict[str, Any] | None) -> None:
        self.row = row


class LineNotFound(Exception):
    pass


class QuantityLimit(Exception):
    pass


def connect() -> Any:
    return boto3.client(
        "dynamodb",
        region_name=os.environ.get("AWS_REGION", "us-east-1"),
        endpoint_url=os.environ.get("DYNAMODB_ENDPOINT_URL"),
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}, tcp_keepalive=True),
    )


class CartTable:
    def __init__(self, client: Any) -> None:
        self.client = client

    def lines(self, user_id: str) -> list[Line]:
        pages = self._query(
            user_id,
            {":epoch": _number(time.time())},
            FilterExpression="#ttl > :epoch",
            ExpressionAttributeNames={"#ttl": "ttl"},
        )
        return sorted((_line(row) for page in pages for row in page), key=lambda line: (line.added_at, line.product_id))

    def add_item(self, user_id: str, item: Item) -> Line:
        values = {
            ":product_id": _number(item.product_id),
            ":product_name": {"S": item.product_name},
            ":quantity": _number(item.quantity),
            ":price": {"N": str(item.price)},
            ":one": _number(1),
        }
        fields = "product_id = :product_id, product_name = :product_name, price = :price"
        for _ in range(ROUNDS):
            try:
                return self._update(
                    user_id,
                    item.product_id,
                    f"{fields}, added_at = if_not_exists(added_at, :now) ADD quantity :quantity, version :one",
                    "attribute_not_exists(item_id) OR (#ttl > :epoch AND quantity <= :room)",
                    values | {":room": _number(MAX_QUANTITY - item.quantity)},
                )
            except ConditionFailed as failed:
                if failed.row and int(failed.row["ttl"]["N"]) > time.time():
                    raise QuantityLimit from None
            try:
                return self._update(
                    user_id,
                    item.product_id,
                    f"{fields}, added_at = :now, quantity = :quantity ADD version :one",
                    "attribute_exists(item_id) AND #ttl <= :epoch",
                    values,
                )
            except ConditionFailed:
                continue
        raise TimeoutError

    def set_quantity(self, user_id: str, product_id: int, quantity: int) -> Line:
        try:
            return self._update(
                user_id,
                product_id,
                "quantity = :quantity ADD version :one",
                "attribute_exists(item_id) AND #ttl > :epoch",
                {":quantity": _number(quantity), ":one": _number(1)},
            )
        except ConditionFailed:
            raise LineNotFound from None

    def remove_item(self, user_id: str, product_id: int) -> None:
        self.client.delete_item(TableName=TABLE, Key=_key(user_id, product_id))

    def clear(self, user_id: str) -> None:
        for keys in self._query(user_id, ProjectionExpression="user_id, item_id"):
            for start in range(0, len(keys), BATCH_ROWS):
                self._delete_batch(keys[start : start + BATCH_ROWS])

    def check(self) -> None:
        self.client.query(
            TableName=TABLE,
            KeyConditionExpression="user_id = :user_id",
            ExpressionAttributeValues={":user_id": {"S": "#"}},
            Limit=1,
        )

    def _query(self, user_id: str, values: dict[str, Any] | None = None, **params: Any) -> Any:
        while True:
            page = self.client.query(
                TableName=TABLE,
                KeyConditionExpression="user_id = :user_id AND begins_with(item_id, :line)",
                ExpressionAttributeValues={":user_id": {"S": user_id}, ":line": {"S": "ITEM#"}} | (values or {}),
                ConsistentRead=True,
                **params,
            )
            yield page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update(self, user_id: str, product_id: int, update: str, condition: str, values: dict[str, Any]) -> Line:
        now = datetime.now(UTC)
        try:
            answer = self.client.update_item(
                TableName=TABLE,
                Key=_key(user_id, product_id),
                UpdateExpression=f"SET updated_at = :now, #ttl = :ttl, {update}",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues=values
                | {
                    ":now": {"S": now.isoformat(timespec="microseconds").replace("+00:00", "Z")},
                    ":epoch": _number(now.timestamp()),
                    ":ttl": _number(now.timestamp() + TTL_SECONDS),
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ConditionFailed(error.response.get("Item")) from None
            raise
        return _line(answer["Attributes"])

    def _delete_batch(self, keys: list[dict[str, Any]]) -> None:
        left = [{"DeleteRequest": {"Key": key}} for key in keys]
        for attempt in range(ROUNDS):
            left = self.client.batch_write_item(RequestItems={TABLE: left}).get("UnprocessedItems", {}).get(TABLE, [])
            if not left:
                return
            time.sleep(0.05 * 2**attempt)
        raise TimeoutError


def _key(user_id: str, product_id: int) -> dict[str, Any]:
    return {"user_id": {"S": user_id}, "item_id": {"S": f"ITEM#{product_id}"}}


def _number(value: float) -> dict[str, str]:
    return {"N": str(int(value))}


def _line(row: dict[str, Any]) -> Line:
    return Line(
        product_id=row["product_id"]["N"],
        product_name=row["product_name"]["S"],
        quantity=row["quantity"]["N"],
        price=row["price"]["N"],
        added_at=row["added_at"]["S"],
    )

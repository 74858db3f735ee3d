"""A table on one of the engines."""

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from cart.commands import provision
from cart.config import Config
from cart.dynamodb.client import connect
from cart.dynamodb.table import BATCH_ROWS

ENGINES = ["moto", "ministack", "dynamodb-local"]
CUP = {"product_id": 42, "product_name": "Espresso cup", "quantity": 2, "price": 19.99}


@dataclass
class Store:
    """A table on one of the engines; the methods read and write it without the service."""

    engine: str
    config: Config
    client: Any

    def rows(self, user_id: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("query").paginate(
            TableName=self.config.dynamodb_table_name,
            KeyConditionExpression="user_id = :u",
            ExpressionAttributeValues={":u": {"S": user_id}},
            ConsistentRead=True,
        )
        return [row for page in pages for row in page["Items"]]

    def put(self, user_id: str, product_id: int, **attributes: Any) -> None:
        row = {
            "user_id": {"S": user_id},
            "item_id": {"S": f"ITEM#{product_id}"},
            "product_id": {"N": str(product_id)},
            "product_name": {"S": "Espresso cup"},
            "quantity": {"N": "2"},
            "price": {"N": "19.99"},
            "added_at": {"S": "2026-01-01T00:00:00.000000Z"},
            "updated_at": {"S": "2026-01-01T00:00:00.000000Z"},
            "version": {"N": "1"},
            "ttl": {"N": "4102444800"},
        }
        self.client.put_item(TableName=self.config.dynamodb_table_name, Item=row | attributes)

    def expire(self, user_id: str, ttl: int = 1) -> None:
        """Make all rows of a cart expire."""
        for row in self.rows(user_id):
            self.client.put_item(TableName=self.config.dynamodb_table_name, Item=row | {"ttl": {"N": str(ttl)}})

    def empty(self) -> None:
        table = self.config.dynamodb_table_name
        pages = self.client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="user_id, item_id")
        deletes = [{"DeleteRequest": {"Key": key}} for page in pages for key in page["Items"]]
        for start in range(0, len(deletes), BATCH_ROWS):
            unprocessed = {table: deletes[start : start + BATCH_ROWS]}
            assert not self.client.batch_write_item(RequestItems=unprocessed)["UnprocessedItems"]


def make_store(engine: str, url: str, with_stream: bool = False, **settings: Any) -> Store:
    config = Config(
        dynamodb_endpoint_url=url, dynamodb_table_name=f"test-{uuid.uuid4().hex[:8]}", log_level="WARNING", **settings
    )
    client = connect(config, boto_defaults=True)
    provision.create(client, config.dynamodb_table_name, lambda _: None, with_stream)
    # ministack and DynamoDB Local delete expired rows within the minute: the tests are about those that are still there
    client.update_time_to_live(
        TableName=config.dynamodb_table_name, TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}
    )
    return Store(engine, config, client)


SHARED_ON_MOTO: list[Store] = []  # emptied after each test module


def engine_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of the shared engine that is the parameter of a fixture."""
    url: str = request.getfixturevalue(f"{request.param.replace('-', '_')}_url")
    return url


def shared_store(request: pytest.FixtureRequest) -> Store:
    """Make a table on the shared engine that is the parameter of a fixture."""
    store = make_store(request.param, engine_url(request))
    if store.engine == "moto":
        SHARED_ON_MOTO.append(store)
    return store

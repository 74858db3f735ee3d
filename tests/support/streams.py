"""What Lambda does with the table's stream: batches cut and signed as DynamoDB's are."""

import random
from typing import Any

from cart.commands.follow import Stream
from cart.config import Config
from cart.dynamodb.client import connect


def stream_of(config: Config, client: Any) -> Stream:
    """That of a table on DynamoDB Local."""
    arn = client.describe_table(TableName=config.dynamodb_table_name)["Table"]["LatestStreamArn"]
    return Stream(connect(config, boto_defaults=True, service="dynamodbstreams"), arn)


def by_ttl(record: dict[str, Any]) -> dict[str, Any]:
    """A REMOVE as DynamoDB signs its own, which DynamoDB Local does not."""
    return record | {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}


def cuts(records: list[dict[str, Any]], dice: random.Random, most: int) -> list[list[dict[str, Any]]]:
    """In batches of random sizes."""
    batches = []
    while records:
        size = dice.randint(1, most)
        batches.append(records[:size])
        records = records[size:]
    return batches

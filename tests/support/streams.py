"""What Lambda does with the table's stream: it sends batches of records, in DynamoDB's form."""

import random
from typing import Any

from cart.commands.follow import Stream
from cart.config import Config
from cart.dynamodb.client import connect


def stream_of(config: Config, client: Any) -> Stream:
    """Return the stream of a table on DynamoDB Local."""
    arn = client.describe_table(TableName=config.dynamodb_table_name)["Table"]["LatestStreamArn"]
    return Stream(connect(config, boto_defaults=True, service="dynamodbstreams"), arn)


def by_ttl(record: dict[str, Any]) -> dict[str, Any]:
    """Mark a REMOVE as made by TTL, as DynamoDB does and DynamoDB Local does not."""
    return record | {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}


def cuts(records: list[dict[str, Any]], random_source: random.Random, most: int) -> list[list[dict[str, Any]]]:
    """Cut the records into batches of random sizes."""
    batches = []
    while records:
        size = random_source.randint(1, most)
        batches.append(records[:size])
        records = records[size:]
    return batches

"""The table's stream, and what Lambda does with it: read from DynamoDB Local, and handed over in events."""

import random
from datetime import datetime
from typing import Any

import boto3

from cart.config import Config


class Stream:
    """All records of a table's stream so far, in the shape of Lambda's events."""

    def __init__(self, config: Config, client: Any) -> None:
        self.client = boto3.client(
            "dynamodbstreams",
            region_name=config.aws_region,
            endpoint_url=config.dynamodb_endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        self.arn = client.describe_table(TableName=config.dynamodb_table_name)["Table"]["LatestStreamArn"]
        self.iterators: dict[str, str | None] = {}

    def read(self) -> list[dict[str, Any]]:
        """Those that have come since the last call, shard by shard in order."""
        for shard in self.client.describe_stream(StreamArn=self.arn)["StreamDescription"]["Shards"]:
            if shard["ShardId"] not in self.iterators:
                self.iterators[shard["ShardId"]] = self.client.get_shard_iterator(
                    StreamArn=self.arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
        return [record for shard in sorted(self.iterators) for record in self._read_shard(shard)]

    def _read_shard(self, shard: str) -> list[dict[str, Any]]:
        found = []
        while iterator := self.iterators[shard]:
            answer = self.client.get_records(ShardIterator=iterator, Limit=1000)
            self.iterators[shard] = answer.get("NextShardIterator")
            if not answer["Records"]:
                break
            found += [as_lambda_has_it(record, self.arn) for record in answer["Records"]]
        return found


def as_lambda_has_it(record: dict[str, Any], arn: str) -> dict[str, Any]:
    told = record["dynamodb"]
    at = told["ApproximateCreationDateTime"]
    seconds = at.timestamp() if isinstance(at, datetime) else at
    return record | {"eventSourceARN": arn, "dynamodb": told | {"ApproximateCreationDateTime": seconds}}


def by_ttl(record: dict[str, Any]) -> dict[str, Any]:
    """A REMOVE as DynamoDB signs its own, which DynamoDB Local does not."""
    return record | {"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}}


def passes_filter(record: dict[str, Any]) -> bool:
    """As the event source mapping's FilterCriteria let it."""
    keys = record["dynamodb"]["Keys"]
    return keys["item_id"]["S"].startswith("ITEM#") or (
        keys["user_id"]["S"].startswith("CLEARED#") and record["eventName"] == "INSERT"
    )


def cuts(records: list[dict[str, Any]], dice: random.Random, most: int) -> list[list[dict[str, Any]]]:
    """In batches of random sizes."""
    batches = []
    while records:
        size = dice.randint(1, most)
        batches.append(records[:size])
        records = records[size:]
    return batches

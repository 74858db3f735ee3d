"""Counts the changes of carts where no Lambda does: `flask analytics follow` reads the table's stream itself.

It keeps no place. All that the stream still has, the changes of a day, is read when it starts, and what was counted
before counts no second time; so it can end at any time, and more than one may run.
"""

import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cart.analytics.counter import Bookkeeper
from cart.analytics.stream_batch import count_records
from cart.analytics.tally import is_counted
from cart.dynamodb.retries import attempts
from cart.logs import info

logger = logging.getLogger(__name__)

BATCH_RECORDS = 100
PAGE_RECORDS = 1000  # the most that one GetRecords takes
PAUSE_SECONDS = 1
ATTEMPTS = 6
GONE = {"ExpiredIteratorException", "TrimmedDataAccessException"}  # it stood still for too long

Record = dict[str, Any]


class Stream:
    """All that a table's stream has, in the shape of Lambda's events."""

    def __init__(self, streams: Any, arn: str) -> None:
        self.streams = streams
        self.arn = arn
        self.iterators: dict[str, str | None] = {}

    def read(self) -> list[Record]:
        """What has come since the last call, shard by shard; after a pause of minutes, all of it again."""
        try:
            for shard in self._new_shards():
                self.iterators[shard] = self.streams.get_shard_iterator(
                    StreamArn=self.arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
            return [record for shard in sorted(self.iterators) for record in self._read_shard(shard)]
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise
            self.iterators.clear()
            return []

    def _new_shards(self) -> list[str]:
        found: list[str] = []
        params: dict[str, Any] = {"StreamArn": self.arn}
        while True:
            told = self.streams.describe_stream(**params)["StreamDescription"]
            found += [shard["ShardId"] for shard in told["Shards"] if shard["ShardId"] not in self.iterators]
            if "LastEvaluatedShardId" not in told:
                return found
            params["ExclusiveStartShardId"] = told["LastEvaluatedShardId"]

    def _read_shard(self, shard: str) -> Iterator[Record]:
        while iterator := self.iterators[shard]:
            answer = self.streams.get_records(ShardIterator=iterator, Limit=PAGE_RECORDS)
            self.iterators[shard] = answer.get("NextShardIterator")
            yield from (_as_lambda_has_it(record, self.arn) for record in answer["Records"])
            if not answer["Records"]:
                return


def _as_lambda_has_it(record: Record, arn: str) -> Record:
    told = record["dynamodb"]
    at = told["ApproximateCreationDateTime"]
    seconds = at.timestamp() if isinstance(at, datetime) else at
    return record | {"eventSourceARN": arn, "dynamodb": told | {"ApproximateCreationDateTime": seconds}}


def follow(stream: Stream, bookkeeper: Bookkeeper, is_over: threading.Event) -> None:
    """Count what the stream brings until ``is_over`` is set, and then what it has brought by then.

    :raise ClientError, BotoCoreError: the stream cannot be read
    """
    while not is_over.wait(PAUSE_SECONDS):
        count_what_came(stream, bookkeeper)
    count_what_came(stream, bookkeeper)


def count_what_came(stream: Stream, bookkeeper: Bookkeeper) -> None:
    """Count all that the stream has brought since it was last read."""
    records = [record for record in stream.read() if is_counted(record)]
    for start in range(0, len(records), BATCH_RECORDS):
        _count(bookkeeper, records[start : start + BATCH_RECORDS])


def _count(bookkeeper: Bookkeeper, records: list[Record]) -> None:
    left = records
    for _ in attempts(ATTEMPTS):
        failed = set(count_records(bookkeeper, left))
        info(logger, f"Counted {len(left) - len(failed)} of {len(left)} changes")
        left = [record for record in left if record["dynamodb"]["SequenceNumber"] in failed]
        if not left:
            return
    logger.error("%s changes are given up, which `flask analytics rebuild` finds", len(left))

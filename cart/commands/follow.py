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
from cart.analytics.stream_batch import count_or_raise
from cart.analytics.tally import is_counted
from cart.dynamodb.client import send
from cart.dynamodb.failures import AWS_ERRORS, member
from cart.dynamodb.retries import attempts
from cart.errors import Problem
from cart.logs import info

logger = logging.getLogger(__name__)

BATCH_RECORDS = 100
PAGE_RECORDS = 1000  # the most that one GetRecords takes
PAUSE_SECONDS = 1
ATTEMPTS = 6
MAX_REASON_CHARACTERS = 300  # of an error that an engine answers, which may be a whole page
WHOLE_ROWS = "NEW_AND_OLD_IMAGES"
GONE = {"ExpiredIteratorException", "TrimmedDataAccessException"}  # it stood still for too long

Record = dict[str, Any]


class StreamUnreadable(Exception):
    """The table's stream cannot be read. The message says why, in one line."""


class Stream:
    """All that a table's stream has, in the shape of Lambda's events."""

    def __init__(self, streams: Any, arn: str) -> None:
        self.streams = streams
        self.arn = arn
        self.iterators: dict[str, str | None] = {}

    def read(self) -> list[Record]:
        """Return what has come since the last call, shard by shard; after a pause of minutes, all of it again.

        :raise StreamUnreadable: the engine refuses it, has no streams, or its records do not hold whole rows
        """
        try:
            for shard in self._new_shards():
                answer = send(
                    self.streams.get_shard_iterator,
                    StreamArn=self.arn,
                    ShardId=shard,
                    ShardIteratorType="TRIM_HORIZON",
                )
                self.iterators[shard] = member(answer, "ShardIterator", str)
            return [record for shard in sorted(self.iterators) for record in self._read_shard(shard)]
        except AWS_ERRORS as error:
            if not (isinstance(error, ClientError) and error.response["Error"]["Code"] in GONE):
                raise StreamUnreadable(" ".join(str(error).split())[:MAX_REASON_CHARACTERS]) from error
            self.iterators.clear()
            return []

    def _new_shards(self) -> list[str]:
        new_shards: list[str] = []
        params: dict[str, Any] = {"StreamArn": self.arn}
        while True:
            description = member(send(self.streams.describe_stream, **params), "StreamDescription")
            if (view := description.get("StreamViewType", WHOLE_ROWS)) != WHOLE_ROWS:
                raise StreamUnreadable(f"it holds {view}, must hold {WHOLE_ROWS}")
            shards = member(description, "Shards", list)
            new_shards += [shard["ShardId"] for shard in shards if shard["ShardId"] not in self.iterators]
            if "LastEvaluatedShardId" not in description:
                return new_shards
            params["ExclusiveStartShardId"] = description["LastEvaluatedShardId"]

    def _read_shard(self, shard: str) -> Iterator[Record]:
        while iterator := self.iterators[shard]:
            answer = send(self.streams.get_records, ShardIterator=iterator, Limit=PAGE_RECORDS)
            records = member(answer, "Records", list)
            self.iterators[shard] = answer.get("NextShardIterator")
            yield from (_as_lambda_has_it(record, self.arn) for record in records)
            if not records:
                return


def _as_lambda_has_it(record: Record, arn: str) -> Record:
    told = record["dynamodb"]
    at = told["ApproximateCreationDateTime"]
    seconds = at.timestamp() if isinstance(at, datetime) else at
    return record | {"eventSourceARN": arn, "dynamodb": told | {"ApproximateCreationDateTime": seconds}}


def _has_keys_alone(record: Record) -> bool:
    """Return whether the image of a new row lacks all that is not its key, as moto's do."""
    changed = record["dynamodb"]
    return changed.get("NewImage", {}).keys() == changed["Keys"].keys()


def follow(stream: Stream, bookkeeper: Bookkeeper, is_over: threading.Event) -> None:
    """Count what the stream brings until ``is_over`` is set, and then what it has brought by then.

    :raise StreamUnreadable: nothing is counted then
    :raise Throttled, Unavailable: DynamoDB takes no counts; the next start reads the same records again
    """
    while not is_over.wait(PAUSE_SECONDS):
        count_what_came(stream, bookkeeper)
    count_what_came(stream, bookkeeper)


def count_what_came(stream: Stream, bookkeeper: Bookkeeper) -> None:
    """Count all that the stream has brought since it was last read."""
    records = [record for record in stream.read() if is_counted(record)]
    if any(map(_has_keys_alone, records)):
        raise StreamUnreadable("its records hold keys instead of whole rows; use ministack or DynamoDB Local")
    for start in range(0, len(records), BATCH_RECORDS):
        _count(bookkeeper, records[start : start + BATCH_RECORDS])


def _count(bookkeeper: Bookkeeper, records: list[Record]) -> None:
    """Count these. One that cannot be counted alone is given up; none is where DynamoDB takes no counts."""
    remaining = records
    for attempt in attempts(ATTEMPTS):
        try:
            failed = count_or_raise(bookkeeper, remaining)
        except Problem:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            info(logger, f"Counted {len(remaining) - len(failed)} of {len(remaining)} changes")
            remaining = [record for record in remaining if record["dynamodb"]["SequenceNumber"] in failed]
        if not remaining:
            return
    logger.error("%s changes are given up, which `flask analytics rebuild` finds", len(remaining))

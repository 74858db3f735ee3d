"""Count the changes of carts without Lambda: `flask analytics follow` reads the table's stream itself.

It stores no position in the stream. When it starts, it reads all that the stream still holds, the changes of 24 hours;
changes that were counted before are not counted again. So it can stop at any time, and several can run at once.
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
MAX_REASON_CHARACTERS = 300  # an error of an engine may be a whole HTML page
WHOLE_ROWS = "NEW_AND_OLD_IMAGES"
EXPIRED_ITERATOR = {"ExpiredIteratorException", "TrimmedDataAccessException"}  # after a pause of minutes or a day

Record = dict[str, Any]


class StreamUnreadable(Exception):
    """The table's stream cannot be read. The message says why, in one line."""


class Stream:
    """The records of a table's stream, in the form in which Lambda receives them."""

    def __init__(self, streams: Any, arn: str) -> None:
        self.streams = streams
        self.arn = arn
        self.iterators: dict[str, str | None] = {}
        self.has_whole_rows = False  # whether the first new row had more than its key

    def read(self) -> list[Record]:
        """Return the records since the last call, shard by shard. After a pause of minutes, all are returned again.

        :raise StreamUnreadable: the engine refuses the request or has no streams, or the records lack whole rows
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
            if not (isinstance(error, ClientError) and error.response["Error"]["Code"] in EXPIRED_ITERATOR):
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
            yield from (_as_lambda_record(record, self.arn) for record in records)
            if not records:
                return


def _as_lambda_record(record: Record, arn: str) -> Record:
    change = record["dynamodb"]
    created_at = change["ApproximateCreationDateTime"]
    seconds = created_at.timestamp() if isinstance(created_at, datetime) else created_at
    return record | {"eventSourceARN": arn, "dynamodb": change | {"ApproximateCreationDateTime": seconds}}


def _has_keys_alone(record: Record) -> bool:
    """Return whether the image of a new row holds only its key, as moto's images do."""
    change = record["dynamodb"]
    return change.get("NewImage", {}).keys() == change["Keys"].keys()


def follow(stream: Stream, bookkeeper: Bookkeeper, stop: threading.Event) -> None:
    """Count the records of the stream until ``stop`` is set; those that have arrived by then are counted too.

    :raise StreamUnreadable: the stream cannot be read, so nothing is counted
    :raise Throttled, Unavailable: the counts cannot be written; the next start reads the same records again
    """
    while not stop.wait(PAUSE_SECONDS):
        count_new_records(stream, bookkeeper)
    count_new_records(stream, bookkeeper)


def count_new_records(stream: Stream, bookkeeper: Bookkeeper) -> None:
    """Count the records that the stream received since it was last read."""
    records = [record for record in stream.read() if is_counted(record)]
    if not stream.has_whole_rows and (new_rows := [record for record in records if "NewImage" in record["dynamodb"]]):
        if _has_keys_alone(new_rows[0]):
            raise StreamUnreadable("its records hold keys instead of whole rows; use ministack or DynamoDB Local")
        stream.has_whole_rows = True  # a later row with only its key is one that another program wrote
    for start in range(0, len(records), BATCH_RECORDS):
        _count(bookkeeper, records[start : start + BATCH_RECORDS])


def _count(bookkeeper: Bookkeeper, records: list[Record]) -> None:
    """Count records, and give up those that cannot be counted even alone.

    :raise Throttled, Unavailable: the counts cannot be written; no record was given up
    """
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
    logger.error("%s changes are given up; run `flask analytics rebuild` to count them", len(remaining))

"""Count a batch of records of the table's stream. A record that cannot be counted does not stop the others."""

import logging
from collections.abc import Mapping
from typing import Any

from cart.analytics.counter import CHUNK, Bookkeeper
from cart.analytics.tally import Change, change_of
from cart.dynamodb.failures import AWS_ERRORS
from cart.errors import Problem

logger = logging.getLogger(__name__)


def count_records(bookkeeper: Bookkeeper, records: list[Any]) -> list[str]:
    """Count records as ``count_or_raise`` does, and report failures in the form that Lambda expects.

    :return: the sequence numbers of the records that failed, which Lambda sends again; all of them if DynamoDB is
        unavailable or throttles
    """
    changes, failed = _read(records)
    try:
        failed |= _count_all(bookkeeper, changes)
    except Problem:
        failed |= changes.keys()
    return sorted(failed, key=int)


def count_or_raise(bookkeeper: Bookkeeper, records: list[Any]) -> set[str]:
    """Count records, and return the sequence numbers of those that cannot be counted.

    :param records: in the shape of Lambda's events
    :raise Throttled, Unavailable: some records may not have been counted
    """
    changes, failed = _read(records)
    return failed | _count_all(bookkeeper, changes)


def _count_all(bookkeeper: Bookkeeper, changes: Mapping[str, Change]) -> set[str]:
    """Count changes, then refresh the rankings for each of their products.

    The rankings are refreshed for records that were counted before, too: the process that counted them may have
    crashed before it refreshed.

    :param changes: by sequence number
    :return: the sequence numbers of those that failed
    """
    failed, numbers = set[str](), list(changes)
    for start in range(0, len(numbers), CHUNK):
        failed |= _count(bookkeeper, {number: changes[number] for number in numbers[start : start + CHUNK]})
    for product_id in {change.line.product_id for change in changes.values() if change.line}:
        bookkeeper.refresh(product_id)
    return failed


def _read(records: list[Any]) -> tuple[dict[str, Change], set[str]]:
    """Return the changes that count, by sequence number, and the sequence numbers of unreadable records."""
    changes, failed = {}, set()
    for record in records:
        number = record["dynamodb"]["SequenceNumber"]
        try:
            if change := change_of(record):
                changes[number] = change
        except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError):
            logger.exception("Record %s of the stream cannot be read", number)
            failed.add(number)
    return changes, failed


def _count(bookkeeper: Bookkeeper, changes: Mapping[str, Change]) -> set[str]:
    """Count changes together or, if DynamoDB refuses a value in one of them, one by one; return those that failed."""
    try:
        bookkeeper.count(list(changes.values()))
    except AWS_ERRORS:
        if len(changes) == 1:
            logger.exception("Record %s of the stream cannot be counted", *changes)
            return set(changes)
        return {failed for number, change in changes.items() for failed in _count(bookkeeper, {number: change})}
    return set()

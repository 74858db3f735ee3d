"""Records of the table's stream, made without a table."""

from collections.abc import Iterator
from datetime import date
from itertools import count
from typing import Any

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/carts/stream/2026-11-23T00:00:00.000"
DAY = date(2026, 11, 23)
NOON = 1_795_435_200  # noon of that day, in seconds
NEVER = 4_102_444_800
numbers = count(100_000)


def image(quantity: int = 2, price: str = "19.99", added_at: str = "a", ttl: int = NEVER) -> dict[str, Any]:
    """Return the attributes of a line that are counted."""
    return {
        "quantity": {"N": str(quantity)},
        "price": {"N": price},
        "added_at": {"S": added_at},
        "ttl": {"N": str(ttl)},
    }


def record(
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    user: str = "ann",
    item_id: str = "ITEM#42",
    at: float = NOON,
    number: int | None = None,
    **members: Any,
) -> dict[str, Any]:
    """Return a record as Lambda passes it on. The later it is made, the higher its sequence number."""
    kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    images = {name: attributes for name, attributes in (("OldImage", old), ("NewImage", new)) if attributes is not None}
    made_record = {
        "ApproximateCreationDateTime": at,
        "Keys": {"user_id": {"S": user}, "item_id": {"S": item_id}},
        "SequenceNumber": str(number or next(numbers)),
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    return {
        "eventID": "e",
        "eventName": kind,
        "eventSource": "aws:dynamodb",
        "eventSourceARN": ARN,
        "dynamodb": made_record | images,
    } | members


def cleared(user: str = "ann", **members: Any) -> dict[str, Any]:
    return record(None, {"ttl": {"N": "1"}}, f"CLEARED#{user}", "5f2c", **members)


def history(images: list[dict[str, Any] | None], **members: Any) -> Iterator[dict[str, Any]]:
    """Yield the records of a line that had each of these images in turn; None: there was no line."""
    for old, new in zip([None, *images], images, strict=False):
        if old != new:
            yield record(old, new, **members)

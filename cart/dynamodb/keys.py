"""Keys of the table's rows. Every prefix of a partition or sort key is defined here."""

from typing import Any

from cart.model.lines import CART, SAVED, Place

Row = dict[str, Any]  # attributes by name, as DynamoDB's JSON has them: {"user_id": {"S": "user123"}}

PRODUCT_INDEX = "ProductIndex"  # holds each row with a `product_id`, which only lines may have

# Sort keys of lines, whose partition key is the user's id
LINE_PREFIXES = {CART: "ITEM#", SAVED: "SAVED#"}

# Partition keys. A user_id has no `#`, so no client can reach these rows by a URL
IDEMPOTENCY = "IDEMPOTENCY#"
SHARE = "SHARE#"
SHARES = "SHARES#"
PRICE_JOB = "JOB#"
PRICE_JOBS = "JOBS#"  # jobs that are not finished
CLEARED = "CLEARED#"
TOTALS = "TOTALS#"
DAYS = "DAYS#"
PRODUCT = "PRODUCT#"
TOP = "TOP#"
COUNTED = "COUNTED#"
REBUILD = "REBUILD#"

# Sort keys of aggregates
GENERATION = "GENERATION"  # the row beside the totals that holds the number of the current generation
BOARD = "BOARD"
COUNTED_LINE = "LINE#"
RECORD = "RECORD#"
DRIFT = "DRIFT#"  # differences that a rebuild found


def row_key(user_id: str, item_id: str) -> Row:
    """Return the key of a row, by its partition and its sort key."""
    return {"user_id": {"S": user_id}, "item_id": {"S": item_id}}


def line_key(user_id: str, place: Place, product_id: int) -> Row:
    """Return the key of a line in the cart or in the saved list."""
    return row_key(user_id, f"{LINE_PREFIXES[place]}{product_id}")

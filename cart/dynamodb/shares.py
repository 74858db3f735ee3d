"""Links to carts: two rows each, one found by the link's token and one by the cart's owner."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from cart.dynamodb.client import ConditionFailed
from cart.dynamodb.keys import SHARE, SHARES, Row, row_key
from cart.dynamodb.rows import is_live, number
from cart.dynamodb.table import CartTable


class Share(NamedTuple):
    """A link to a cart. Its token is not kept: ``share_id`` is the hash of it."""

    share_id: str
    owner: str
    access: str
    created_at: str
    ttl: int

    @property
    def expires_at(self) -> str:
        return datetime.fromtimestamp(self.ttl, UTC).isoformat().replace("+00:00", "Z")


def put_share(table: CartTable, share: Share) -> None:
    """Keep a link: one row by which its token finds it, one by which its owner does. One TransactWriteItems."""
    keys = (share_key(share.share_id), listed_share_key(share.owner, share.share_id))
    table.transact([{"Put": {"TableName": table.name, "Item": key | share_values(share)}} for key in keys])


def find_share(table: CartTable, share_id: str) -> Share | None:
    """A link that is good, or None: unknown, revoked and expired are one, for the price of one GetItem."""
    row = table.row(share_key(share_id))
    return share_of(share_id, row) if row and is_live(row) else None


def list_shares(table: CartTable, owner: str) -> list[Share]:
    """The links to a cart that are good, in the order in which they were made. One Query."""
    found = (share_of(row["item_id"]["S"], row) for row in table.live_rows(f"{SHARES}{owner}"))
    return sorted(found, key=lambda share: share.created_at)


def delete_share(table: CartTable, owner: str, share_id: str) -> None:
    """End a link, if it is this owner's. Two DeleteItem, the first of which ends it."""
    with suppress(ConditionFailed):  # somebody else's
        table.delete(
            share_key(share_id),
            ConditionExpression="attribute_not_exists(item_id) OR #owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}},
        )
    table.delete(listed_share_key(owner, share_id))


def share_key(share_id: str) -> Row:
    return row_key(f"{SHARE}{share_id}", "SHARE")


def listed_share_key(owner: str, share_id: str) -> Row:
    """Of the row by which an owner finds a share: the share's own is found by its token alone."""
    return row_key(f"{SHARES}{owner}", share_id)


def share_values(share: Share) -> Row:
    """The attributes of either of a share's rows but for its key."""
    return {
        "owner": {"S": share.owner},
        "access": {"S": share.access},
        "created_at": {"S": share.created_at},
        "ttl": number(share.ttl),
    }


def share_of(share_id: str, row: Row) -> Share:
    return Share(share_id, row["owner"]["S"], row["access"]["S"], row["created_at"]["S"], int(row["ttl"]["N"]))

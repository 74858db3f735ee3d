"""Links to carts. Each has two rows: one is read by the token of the link, and one by the owner of the cart."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from cart.dynamodb.failures import ConditionFailed
from cart.dynamodb.keys import SHARE, SHARES, Row, row_key
from cart.dynamodb.rows import is_live, number
from cart.dynamodb.table import CartTable

ACCESSES = ("view", "edit")


class Share(NamedTuple):
    """A link to a cart.

    :ivar share_id: the hash of the link's token; the token itself is not stored
    :ivar owner: the ``user_id`` of the cart
    :ivar access: ``view`` or ``edit``
    :ivar ttl: epoch seconds of its end
    """

    share_id: str
    owner: str
    access: str
    created_at: str
    ttl: int

    @property
    def expires_at(self) -> str:
        """The end of the link, in ISO 8601."""
        return datetime.fromtimestamp(self.ttl, UTC).isoformat().replace("+00:00", "Z")


def put_share(table: CartTable, share: Share) -> None:
    """Store both rows of a link. One TransactWriteItems."""
    keys = (_share_key(share.share_id), _owner_key(share.owner, share.share_id))
    table.transact([{"Put": {"TableName": table.name, "Item": key | _share_values(share)}} for key in keys])


def find_share(table: CartTable, share_id: str) -> Share | None:
    """Return a valid link; None if it is unknown, revoked or expired. One GetItem."""
    row = table.row(_share_key(share_id))
    return _share_of(share_id, row) if row and is_live(row) else None


def list_shares(table: CartTable, owner: str) -> list[Share]:
    """Return the valid links to a cart, in the order in which they were made. One Query."""
    shares = (_share_of(row["item_id"]["S"], row) for row in table.live_rows(f"{SHARES}{owner}"))
    return sorted(shares, key=lambda share: share.created_at)


def delete_share(table: CartTable, owner: str, share_id: str) -> None:
    """Revoke a link if it belongs to this owner. Two DeleteItem; the first revokes it."""
    with suppress(ConditionFailed):  # it belongs to another owner
        table.delete(
            _share_key(share_id),
            ConditionExpression="attribute_not_exists(item_id) OR #owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}},
        )
    table.delete(_owner_key(owner, share_id))


def delete_shares(table: CartTable, shares: list[Share]) -> None:
    """Revoke links. Two BatchWriteItem for each 25 links; the first revokes them.

    If it is interrupted after some batches, the links that still work, and those whose second row is left, are still
    listed.
    """
    for keys in (
        [_share_key(share.share_id) for share in shares],
        [_owner_key(share.owner, share.share_id) for share in shares],
    ):
        table.write_batches([{"DeleteRequest": {"Key": key}} for key in keys])


def is_revoked(table: CartTable, share_id: str) -> bool:
    """Return whether a link that was valid has been revoked since; it may have expired. One GetItem."""
    return table.row(_share_key(share_id)) is None


def _share_key(share_id: str) -> Row:
    return row_key(f"{SHARE}{share_id}", "SHARE")


def _owner_key(owner: str, share_id: str) -> Row:
    """Return the key of the row that is read to list the links of an owner."""
    return row_key(f"{SHARES}{owner}", share_id)


def _share_values(share: Share) -> Row:
    """Return the attributes of both rows of a share, without the key."""
    return {
        "owner": {"S": share.owner},
        "access": {"S": share.access},
        "created_at": {"S": share.created_at},
        "ttl": number(share.ttl),
    }


def _share_of(share_id: str, row: Row) -> Share:
    return Share(share_id, row["owner"]["S"], row["access"]["S"], row["created_at"]["S"], int(row["ttl"]["N"]))

"""The views of links to a cart, and of the cart that is behind one."""

import logging
import secrets
from datetime import UTC, datetime
from typing import Any

from flask import Response

from cart.carts import items, transfer
from cart.carts.examples import EXAMPLE_ITEM, EXAMPLE_LINE, EXAMPLE_LINK, EXAMPLE_RECEIPT, EXAMPLE_SHARED_CART
from cart.carts.items import ADD_PROBLEMS, LINE_ETAG, LINE_HEADERS, REMOVE_PROBLEMS, SET_PROBLEMS
from cart.carts.receipt_schemas import CopyRequestSchema, receipt_schema
from cart.carts.schemas import ItemSchema, QuantityRequestSchema, SharedCart, line_schema, shared_cart_schema
from cart.carts.share_schemas import ShareListSchema, ShareRequestSchema, ShareWithTokenSchema
from cart.dynamodb import shares
from cart.dynamodb.shares import Share
from cart.dynamodb.table import DAY_SECONDS
from cart.errors import (
    BODY,
    CALLER,
    STORE,
    Forbidden,
    IdempotencyKeyReused,
    InvalidInput,
    OutcomeUnknown,
    ShareNotFound,
    SharesLimit,
    Throttled,
    Unavailable,
)
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_config, get_table
from cart.http.headers import IDEMPOTENCY_KEY, IF_MATCH, location_of
from cart.http.request import hash_of, idempotency_key
from cart.http.response import absolute_path, respond, respond_empty, respond_kept
from cart.logs import info
from cart.messages import Message
from cart.model.lines import iso

logger = logging.getLogger(__name__)

EXAMPLE_TOKEN = "q0sWmcXwJ1kqkz8XyT3nH4v7bA9eRfLd"  # noqa: S105 - of no cart

blueprint = CartBlueprint("shares", __name__, description="Links that let others see or fill a cart")


@blueprint.route("/cart/<user_id:user_id>/shares", methods=["POST"])
@blueprint.problems(SharesLimit, *CALLER, *BODY, *STORE, OutcomeUnknown)
@blueprint.arguments(ShareRequestSchema, example={"access": "view", "expires_in_days": 7})
@blueprint.response(
    201,
    ShareWithTokenSchema,
    example=EXAMPLE_LINK | {"token": EXAMPLE_TOKEN},
    headers=location_of("The shared cart"),
)
def create_share(body: dict[str, Any], user_id: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a link to the cart

    The token is in this answer only, because only its hash is stored. So a repeat makes another link. `GET` lists all
    links, so that you can revoke one whose token you never received.
    """
    info(logger, f"Sharing the cart of user {user_id}")
    table, limit = get_table(), get_config().cart_max_shares
    if len(shares.list_shares(table, user_id)) >= limit:
        raise SharesLimit(f"The cart has {limit} links, the most that it may have.", limit=limit)
    token = secrets.token_urlsafe(24)  # 192 bits
    now = datetime.now(UTC)
    ttl = int(now.timestamp()) + body["expires_in_days"] * DAY_SECONDS
    share = Share(hash_of(token), user_id, body["access"], iso(now), ttl)
    shares.put_share(table, share)
    members = share._asdict() | {"expires_at": share.expires_at, "token": token}
    return members, 201, {"Location": absolute_path(f"/shared/{token}")}


@blueprint.route("/cart/<user_id:user_id>/shares")
@blueprint.problems(InvalidInput, *CALLER, *STORE)
@blueprint.response(200, ShareListSchema, example={"shares": [EXAMPLE_LINK]})
def list_shares(user_id: str) -> dict[str, Any]:
    """List the links to the cart, without their tokens

    A token is only in the answer to the request that created its link. Revoked and expired links are not listed.
    """
    info(logger, f"Getting the links to the cart of user {user_id}")
    return {"shares": shares.list_shares(get_table(), user_id)}


@blueprint.route("/cart/<user_id:user_id>/shares/<share_id:share_id>", methods=["DELETE"])
@blueprint.problems(InvalidInput, *CALLER, *STORE, OutcomeUnknown)
@blueprint.response(204, description="The link does not work any more, or did not exist")
def revoke_share(user_id: str, share_id: str) -> Response:
    """Revoke a link, at once

    From then on, requests with its token are a 404. A link that does not exist, or no longer, is a 204 too.
    """
    info(logger, f"Revoking a link to the cart of user {user_id}")
    shares.delete_share(get_table(), user_id, share_id)
    return respond_empty()


@blueprint.route("/cart/<user_id:user_id>/copy", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(ShareNotFound, *CALLER, *BODY, IdempotencyKeyReused, *STORE, OutcomeUnknown)
@blueprint.arguments(CopyRequestSchema, example={"share_token": EXAMPLE_TOKEN, "strategy": "sum"})
@blueprint.response(200, receipt_schema, example=EXAMPLE_RECEIPT)
def copy_shared_cart(body: dict[str, Any], user_id: str) -> Response:
    """Copy a shared cart into this one

    This follows the rules of a merge, but the source stays as it is, and saved lines are not copied. A repeat adds the
    lines again, unless it has the same `Idempotency-Key`.
    """
    info(logger, f"Copying a shared cart into that of user {user_id}")
    owner = _find(body["share_token"]).owner
    if owner == user_id:
        message = Message("Must be of another cart.", "same-cart")
        raise InvalidInput("Not valid: share_token.", {"share_token": [message]})
    key = idempotency_key(body, user_id)
    return respond_kept(transfer.copy(user_id, owner, body["strategy"], body["dry_run"], key))


@blueprint.route("/shared/<token>")
@blueprint.problems(ShareNotFound, *STORE)
@blueprint.response(200, shared_cart_schema, example=EXAMPLE_SHARED_CART)
@blueprint.open_by_link
def get_shared_cart(token: str) -> Response:
    """Get the cart behind a link

    The answer does not contain the owner's id.
    """
    share = _find(token)
    cart = get_table().cart(share.owner)
    return respond(shared_cart_schema.dumps(SharedCart(share, cart)))


@blueprint.route("/shared/<token>/items", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(ShareNotFound, Forbidden, *ADD_PROBLEMS)
@blueprint.arguments(ItemSchema, example=EXAMPLE_ITEM)
@blueprint.response(201, line_schema, example=EXAMPLE_LINE, headers=LINE_HEADERS)
@blueprint.open_by_link
def add_shared_item(item: dict[str, Any], token: str) -> Response:
    """Add an item to a shared cart, if the link allows it

    The rules are the same as for the owner, except for the `Idempotency-Key`: it must be a UUID, unless you also send a
    bearer token. The answer is 404 if the link was ended while the request was carried out.
    """
    share, table = _find_to_edit(token), get_table()
    response = items.add(share.owner, item, share_id=share.share_id)
    try:
        # a merge ends the links before it reads the lines: what was added after that would stay where nobody looks
        if shares.is_revoked(table, share.share_id):
            raise ShareNotFound
    except (Throttled, Unavailable):  # they say that nothing was added
        raise OutcomeUnknown from None
    return response


@blueprint.route("/shared/<token>/items/<product_id:product_id>", methods=["PUT"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(ShareNotFound, Forbidden, *SET_PROBLEMS)
@blueprint.arguments(QuantityRequestSchema, example={"quantity": 3})
@blueprint.response(200, line_schema, example=EXAMPLE_LINE, headers=LINE_ETAG)
@blueprint.open_by_link
def set_shared_quantity(body: dict[str, int], token: str, product_id: int) -> Response:
    """Set the quantity of a line of a shared cart, if the link allows it

    The rules are the same as for the owner.
    """
    return items.set_quantity(_find_to_edit(token).owner, product_id, body["quantity"])


@blueprint.route("/shared/<token>/items/<product_id:product_id>", methods=["DELETE"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(ShareNotFound, Forbidden, *REMOVE_PROBLEMS)
@blueprint.response(204, description="The line is not in the cart any more, or was not in it")
@blueprint.open_by_link
def remove_shared_item(token: str, product_id: int) -> Response:
    """Remove a line of a shared cart, if the link allows it

    The rules are the same as for the owner.
    """
    return items.remove(_find_to_edit(token).owner, product_id)


def _find(token: str) -> Share:
    """:raise ShareNotFound: unknown, revoked or expired: nothing tells which, nor does the time it takes"""
    if share := shares.find_share(get_table(), hash_of(token)):
        return share
    raise ShareNotFound


def _find_to_edit(token: str) -> Share:
    share = _find(token)
    if share.access != "edit":
        raise Forbidden("The link is for viewing only.")
    return share

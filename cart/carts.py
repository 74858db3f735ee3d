"""The views of a cart and its lines."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from flask import Response, current_app, request, url_for
from werkzeug.http import quote_etag

from cart.auth import new_guest_id
from cart.dynamodb import TransactionCancelled
from cart.errors import (
    BODY,
    CALLER,
    STORE,
    IdempotencyKeyReused,
    InvalidInput,
    LineNotFound,
    LinesLimit,
    OutcomeUnknown,
    QuantityLimit,
    Throttled,
    VersionConflict,
)
from cart.lines import Cart, Line, cart_of
from cart.observability import count
from cart.schemas import (
    EXAMPLE_CART,
    EXAMPLE_GUEST,
    EXAMPLE_ITEM,
    EXAMPLE_LINE,
    CartSchema,
    GuestSchema,
    ItemSchema,
    LineSchema,
    QuantitySchema,
)
from cart.table import Answer, VersionChanged, get_table
from cart.wire import CartBlueprint, empty, idempotency_key, line_versions, respond

logger = logging.getLogger(__name__)

blueprint = CartBlueprint("carts", __name__, url_prefix="/cart", description="A shopper's cart and its lines")


LINE_HEADERS = {
    "Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "The line"},
    "ETag": {"schema": {"type": "string"}, "description": "The line's version, for If-Match"},
}
ETAG = {"ETag": LINE_HEADERS["ETag"]}
# If-Match and Idempotency-Key are described in words: as parameters, tools that make requests from the document would
# take their 412 and 422 for refusals of what the document allows.
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Answer 304 if the cart's ETag is this",
}


@blueprint.route("", methods=["POST"])
@blueprint.response(201, GuestSchema, example=EXAMPLE_GUEST, headers={"Location": LINE_HEADERS["Location"]})
@blueprint.doc(security=[])
@blueprint.problems()
def create_guest_cart() -> tuple[dict[str, str], dict[str, str]]:
    """Start a guest's cart

    The id cannot be guessed, and whoever holds it holds the cart. Nothing is stored before the first item is added.
    """
    user_id = new_guest_id()
    return {"user_id": user_id}, {"Location": url_for("carts.get_cart", user_id=user_id)}


@blueprint.route("/<user_id:user_id>", parameters=[IF_NONE_MATCH])
@blueprint.response(200, CartSchema, example=EXAMPLE_CART, headers=ETAG)
@blueprint.alt_response(304, description="It is still as If-None-Match says")
@blueprint.problems(InvalidInput, *CALLER, *STORE)
def get_cart(user_id: str) -> Response | tuple[Cart, dict[str, str]]:
    """Get cart

    A cart that nobody has filled is empty, not missing.
    """
    logger.info("Getting cart for user %s", user_id)
    cart = cart_of(user_id, get_table().lines(user_id))
    if request.if_none_match.contains_weak(cart.etag):
        return empty(304, cart.etag)
    return cart, {"ETag": quote_etag(cart.etag)}


@blueprint.route("/<user_id:user_id>/items", methods=["POST"])
@blueprint.arguments(ItemSchema, example=EXAMPLE_ITEM)
@blueprint.response(201, LineSchema, example=EXAMPLE_LINE, headers=LINE_HEADERS)
@blueprint.problems(QuantityLimit, LinesLimit, *CALLER, *BODY, IdempotencyKeyReused, *STORE, OutcomeUnknown)
def add_item(item: dict[str, Any], user_id: str) -> Response:
    """Add an item

    The quantity is added to what the cart already has of the product; name and price become those given.

    With an `Idempotency-Key` header (a string in double quotes), a repeat within 24 hours is not carried out, but
    answered as the first was, with `Idempotency-Replayed: true`; the same key with another body is a 422.
    """
    logger.info("Adding item to cart for user %s", user_id)
    if key := idempotency_key(item):
        answer = get_table().add_item_once(user_id, item, key, partial(_added, user_id))
    else:
        answer = _added(user_id, get_table().add_item(user_id, **item))
    if not answer.replayed:
        count("ItemsAdded", item["quantity"])
    return respond(answer)


def _added(user_id: str, line: Line) -> Answer:
    location = f"/cart/{user_id}/items/{line.product_id}"
    return Answer(201, current_app.json.dumps(LineSchema().dump(line)), location, line.etag)


@blueprint.route("/<user_id:user_id>/items/<product_id:product_id>", methods=["PUT"])
@blueprint.arguments(QuantitySchema, example={"quantity": 3})
@blueprint.response(200, LineSchema, example=EXAMPLE_LINE, headers=ETAG)
@blueprint.problems(LineNotFound, VersionConflict, *CALLER, *BODY, *STORE, OutcomeUnknown)
def set_quantity(body: dict[str, int], user_id: str, product_id: int) -> tuple[Line, dict[str, str]]:
    """Set the quantity of a line

    With `If-Match` and the line's ETag, only if it is as you read it; else 412, with the line as it is.
    """
    logger.info("Setting quantity in cart for user %s", user_id)
    with _conflicts_shown():
        line = get_table().set_quantity(user_id, product_id, body["quantity"], line_versions())
    return line, {"ETag": quote_etag(line.etag)}


@blueprint.route("/<user_id:user_id>/items/<product_id:product_id>", methods=["DELETE"])
@blueprint.response(204, description="The line is not in the cart, whether or not it was")
@blueprint.problems(InvalidInput, VersionConflict, *CALLER, *STORE, OutcomeUnknown)
def remove_item(user_id: str, product_id: int) -> Response:
    """Remove a line

    With `If-Match` and the line's ETag, only if it is as you read it; else 412, with the line as it is.
    """
    logger.info("Removing item from cart for user %s", user_id)
    with _conflicts_shown():
        get_table().remove_item(user_id, product_id, line_versions())
    return empty(204)


@blueprint.route("/<user_id:user_id>", methods=["DELETE"])
@blueprint.response(204, description="The cart is empty, whether or not it was")
@blueprint.problems(InvalidInput, VersionConflict, *CALLER, *STORE, OutcomeUnknown)
def clear(user_id: str) -> Response:
    """Clear the cart

    With `If-Match` and the cart's ETag, only if it is as you read it; else 412, with the cart as it is.
    """
    logger.info("Clearing cart for user %s", user_id)
    if request.if_match:
        _clear_if_unchanged(user_id)
    else:
        get_table().clear(user_id)
    count("CartsCleared")
    return empty(204)


def _clear_if_unchanged(user_id: str) -> None:
    """Remove the lines that the caller has read, each only as it was read; one that was added since stays."""
    cart = cart_of(user_id, get_table().lines(user_id))
    try:
        if not request.if_match.contains(cart.etag):
            raise TransactionCancelled
        get_table().remove_lines(user_id, cart.items)
    except TransactionCancelled:
        current = cart_of(user_id, get_table().lines(user_id))
        if request.if_match.contains(current.etag):  # as it was read: others were only at work on its rows
            raise Throttled from None
        raise VersionConflict(current=CartSchema().dump(current)) from None


@contextmanager
def _conflicts_shown() -> Iterator[None]:
    """Tell a caller whose ``If-Match`` did not hold what is there instead."""
    try:
        yield
    except VersionChanged as changed:
        raise VersionConflict(current=LineSchema().dump(changed.line) if changed.line else None) from None

"""The views of what a shopper has saved for later."""

import logging
from typing import Any

from flask import Response

from cart.carts import items
from cart.carts.examples import EXAMPLE_ITEM, EXAMPLE_LINE, EXAMPLE_MOVED_LINE
from cart.carts.items import LINE_HEADERS, REMOVE_PROBLEMS, SAVE_PROBLEMS
from cart.carts.receipt_schemas import moved_line_schema
from cart.carts.schemas import ItemSchema, SavedSchema, line_schema
from cart.carts.transfer import move
from cart.errors import CALLER, STORE, IdempotencyKeyReused, InvalidInput, LineNotFound, LinesLimit, OutcomeUnknown
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_table
from cart.http.headers import IDEMPOTENCY_KEY, IF_MATCH
from cart.http.request import idempotency_key
from cart.http.response import respond_kept
from cart.logs import info
from cart.model.lines import CART, SAVED, in_order

logger = logging.getLogger(__name__)

blueprint = CartBlueprint("saved", __name__, url_prefix="/cart/<user_id:user_id>", description="Saved for later")

MOVE_PROBLEMS = (
    *(LineNotFound, LinesLimit, *CALLER),
    *(InvalidInput, IdempotencyKeyReused, *STORE, OutcomeUnknown),
)


@blueprint.route("/saved")
@blueprint.problems(InvalidInput, *CALLER, *STORE)
@blueprint.response(200, SavedSchema, example={"user_id": "user123", "items": [EXAMPLE_LINE]})
def get_saved(user_id: str) -> dict[str, Any]:
    """Get what is saved

    The lines are in the order in which they were added. A list that has never been used is empty; it is never a 404.
    """
    info(logger, f"Getting what user {user_id} has saved")
    return {"user_id": user_id, "items": in_order(get_table().lines(user_id, SAVED))}


@blueprint.route("/saved", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(*CALLER, *SAVE_PROBLEMS)
@blueprint.arguments(ItemSchema, example=EXAMPLE_ITEM)
@blueprint.response(201, line_schema, example=EXAMPLE_LINE, headers=LINE_HEADERS)
def save_item(item: dict[str, Any], user_id: str) -> Response:
    """Save an item

    The quantity is added to what is already saved of the product. The request takes an `Idempotency-Key`.
    """
    info(logger, f"Saving an item for user {user_id}")
    return items.add(user_id, item, SAVED)


@blueprint.route("/saved/<product_id:product_id>", methods=["DELETE"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(*CALLER, *REMOVE_PROBLEMS)
@blueprint.response(204, description="The line is not saved any more, or was not saved")
def remove_saved(user_id: str, product_id: int) -> Response:
    """Remove what is saved of a product

    With `If-Match` and the line's ETag, only if the line has not changed; else 412, with the current line.
    """
    info(logger, f"Removing what user {user_id} has saved")
    return items.remove(user_id, product_id, SAVED)


@blueprint.route("/items/<product_id:product_id>/save-for-later", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(*MOVE_PROBLEMS)
@blueprint.response(200, moved_line_schema, example=EXAMPLE_MOVED_LINE, headers=LINE_HEADERS)
def save_for_later(user_id: str, product_id: int) -> Response:
    """Save a line of the cart for later

    Its quantity is added to what is already saved of the product; `cut` is the number of units that were removed, since
    they exceed the limit. The answer is the saved line. A repeat with the same `Idempotency-Key` gets the first answer;
    without a key it is a 404, because the line has moved.
    """
    info(logger, f"Saving a line for later for user {user_id}")
    answer = move(user_id, product_id, CART, SAVED, idempotency_key(None, user_id))
    return respond_kept(answer, f"/cart/{user_id}/saved/{product_id}")


@blueprint.route("/saved/<product_id:product_id>/move-to-cart", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(*MOVE_PROBLEMS)
@blueprint.response(200, moved_line_schema, example=EXAMPLE_MOVED_LINE, headers=LINE_HEADERS)
def move_to_cart(user_id: str, product_id: int) -> Response:
    """Move what is saved of a product to the cart

    Its quantity is added to the cart's line; `cut` is the number of units that were removed, since they exceed the
    limit. The answer is the cart's line. A repeat with the same `Idempotency-Key` gets the first answer; without a key
    it is a 404, because the line has moved.
    """
    info(logger, f"Moving a saved line to the cart of user {user_id}")
    answer = move(user_id, product_id, SAVED, CART, idempotency_key(None, user_id))
    return respond_kept(answer, f"/cart/{user_id}/items/{product_id}")

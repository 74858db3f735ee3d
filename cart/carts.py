"""The views of a cart and its lines."""

import logging
from typing import Any

from flask import Response, url_for

from cart.errors import BODY, STORE, InvalidInput, LineNotFound, OutcomeUnknown, QuantityLimit
from cart.lines import Cart, Line, cart_of
from cart.observability import count
from cart.schemas import (
    EXAMPLE_CART,
    EXAMPLE_ITEM,
    EXAMPLE_LINE,
    CartSchema,
    ItemSchema,
    LineSchema,
    QuantitySchema,
)
from cart.table import get_table
from cart.wire import CartBlueprint, no_content

logger = logging.getLogger(__name__)

blueprint = CartBlueprint("carts", __name__, url_prefix="/cart", description="A shopper's cart and its lines")


@blueprint.route("/<user_id:user_id>")
@blueprint.response(200, CartSchema, example=EXAMPLE_CART)
@blueprint.problems(InvalidInput, *STORE)
def get_cart(user_id: str) -> Cart:
    """Get cart

    A cart that nobody has filled is empty, not missing.
    """
    logger.info("Getting cart for user %s", user_id)
    return cart_of(user_id, get_table().lines(user_id))


@blueprint.route("/<user_id:user_id>/items", methods=["POST"])
@blueprint.arguments(ItemSchema, example=EXAMPLE_ITEM)
@blueprint.response(
    201,
    LineSchema,
    example=EXAMPLE_LINE,
    headers={"Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "The line"}},
)
@blueprint.problems(QuantityLimit, *BODY, *STORE, OutcomeUnknown)
def add_item(item: dict[str, Any], user_id: str) -> tuple[Line, dict[str, str]]:
    """Add an item

    The quantity is added to what the cart already has of the product; name and price become those given.
    """
    logger.info("Adding item to cart for user %s", user_id)
    line = get_table().add_item(user_id, **item)
    count("ItemsAdded", item["quantity"])
    return line, {"Location": url_for("carts.set_quantity", user_id=user_id, product_id=line.product_id)}


@blueprint.route("/<user_id:user_id>/items/<product_id:product_id>", methods=["PUT"])
@blueprint.arguments(QuantitySchema, example={"quantity": 3})
@blueprint.response(200, LineSchema, example=EXAMPLE_LINE)
@blueprint.problems(LineNotFound, *BODY, *STORE)
def set_quantity(body: dict[str, int], user_id: str, product_id: int) -> Line:
    """Set the quantity of a line"""
    logger.info("Setting quantity in cart for user %s", user_id)
    return get_table().set_quantity(user_id, product_id, body["quantity"])


@blueprint.route("/<user_id:user_id>/items/<product_id:product_id>", methods=["DELETE"])
@blueprint.response(204, description="The line is not in the cart, whether or not it was")
@blueprint.problems(InvalidInput, *STORE)
def remove_item(user_id: str, product_id: int) -> Response:
    """Remove a line"""
    logger.info("Removing item from cart for user %s", user_id)
    get_table().remove_item(user_id, product_id)
    return no_content()


@blueprint.route("/<user_id:user_id>", methods=["DELETE"])
@blueprint.response(204, description="The cart is empty, whether or not it was")
@blueprint.problems(InvalidInput, *STORE)
def clear(user_id: str) -> Response:
    """Clear the cart"""
    logger.info("Clearing cart for user %s", user_id)
    get_table().clear(user_id)
    count("CartsCleared")
    return no_content()

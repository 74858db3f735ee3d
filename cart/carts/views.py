"""The views of a cart and its lines."""

import logging
from typing import Any

from flask import Response, request

from cart.carts import items, transfer
from cart.carts.examples import (
    EXAMPLE_CART,
    EXAMPLE_GUEST,
    EXAMPLE_ITEM,
    EXAMPLE_LINE,
    EXAMPLE_RECEIPT,
    EXAMPLE_VALIDATION,
)
from cart.carts.items import ADD_PROBLEMS, LINE_ETAG, LINE_HEADERS, REMOVE_PROBLEMS, SET_PROBLEMS
from cart.carts.receipt_schemas import MergeRequestSchema, receipt_schema, validation_schema
from cart.carts.schemas import (
    CartQuerySchema,
    GuestSchema,
    ItemSchema,
    QuantityRequestSchema,
    ValidateQuerySchema,
    cart_and_saved_schema,
    cart_schema,
    line_schema,
)
from cart.context import count
from cart.dynamodb.failures import TransactionCancelled
from cart.errors import (
    BODY,
    CALLER,
    STORE,
    CartVersionConflict,
    CatalogUnavailable,
    IdempotencyKeyReused,
    InvalidInput,
    NoCatalog,
    OutcomeUnknown,
    Throttled,
)
from cart.http import auth
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_table
from cart.http.headers import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, etag_of, location_of
from cart.http.request import idempotency_key, if_match_etags, matches_cart, strong_etags
from cart.http.response import absolute_path, respond, respond_empty, respond_kept
from cart.logs import info
from cart.messages import Message
from cart.model.lines import CART, SAVED, CartAndSaved, in_order, live

logger = logging.getLogger(__name__)

CART_ETAG = etag_of("the cart")

blueprint = CartBlueprint("carts", __name__, url_prefix="/cart", description="A shopper's cart and its lines")


@blueprint.route("", methods=["POST"])
@blueprint.problems(InvalidInput)
@blueprint.response(201, GuestSchema, example=EXAMPLE_GUEST, headers=location_of("The cart"))
@blueprint.open
def create_guest_cart() -> tuple[dict[str, str], int, dict[str, str]]:
    """Start a guest's cart

    The id cannot be guessed, and whoever has it can use the cart. Nothing is stored before the first item is added.
    """
    user_id = auth.new_guest_id()
    return {"user_id": user_id}, 201, {"Location": absolute_path(f"/cart/{user_id}")}


@blueprint.route("/<user_id:user_id>")
@blueprint.takes(IF_NONE_MATCH)
@blueprint.problems(InvalidInput, *CALLER, *STORE)
@blueprint.arguments(CartQuerySchema, location="query")
@blueprint.response(200, cart_and_saved_schema, example=EXAMPLE_CART, headers=CART_ETAG)
@blueprint.alt_response(304, description="The cart has not changed: `If-None-Match` is its ETag", headers=CART_ETAG)
def get_cart(query: dict[str, str], user_id: str) -> Response:
    """Get cart

    A cart that nobody has filled is empty; it is never a 404.
    """
    info(logger, f"Getting cart for user {user_id}")
    cart = _cart_and_saved(user_id) if "include" in query else get_table().cart(user_id)
    etag = cart.etag
    current = request._get_current_object()  # type: ignore[attr-defined] # one look-up, not two
    if "HTTP_IF_NONE_MATCH" in current.environ and current.if_none_match.contains_weak(etag):
        return respond_empty(304, etag=etag)
    return respond(cart_and_saved_schema.dumps(cart), etag=etag)


def _cart_and_saved(user_id: str) -> CartAndSaved:
    lists = get_table().all_lines(user_id)
    return CartAndSaved(user_id, in_order(live(lists[CART].values())), in_order(live(lists[SAVED].values())))


@blueprint.route("/<user_id:user_id>/items", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(*CALLER, *ADD_PROBLEMS)
@blueprint.arguments(ItemSchema, example=EXAMPLE_ITEM)
@blueprint.response(201, line_schema, example=EXAMPLE_LINE, headers=LINE_HEADERS)
def add_item(item: dict[str, Any], user_id: str) -> Response:
    """Add an item

    The quantity is added to what the cart already has of the product. Name and price become those of the request. If
    the service has a catalogue, they come from there, and may be left out; then all units of the line must be in stock.

    With the header `Idempotency-Key` (a string in double quotes), a repeat within 24 hours is not carried out again: it
    gets the first answer, with `Idempotency-Replayed: true`. The same key with another body is a 422.
    """
    info(logger, f"Adding item to cart for user {user_id}")
    return items.add(user_id, item)


@blueprint.route("/<user_id:user_id>/items/<product_id:product_id>", methods=["PUT"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(*CALLER, *SET_PROBLEMS)
@blueprint.arguments(QuantityRequestSchema, example={"quantity": 3})
@blueprint.response(200, line_schema, example=EXAMPLE_LINE, headers=LINE_ETAG)
def set_quantity(body: dict[str, int], user_id: str, product_id: int) -> Response:
    """Set the quantity of a line

    With `If-Match` and the line's ETag, only if the line has not changed; else 412, with the current line.
    """
    info(logger, f"Setting quantity in cart for user {user_id}")
    return items.set_quantity(user_id, product_id, body["quantity"])


@blueprint.route("/<user_id:user_id>/items/<product_id:product_id>", methods=["DELETE"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(*CALLER, *REMOVE_PROBLEMS)
@blueprint.response(204, description="The line is not in the cart any more, or was not in it")
def remove_item(user_id: str, product_id: int) -> Response:
    """Remove a line

    With `If-Match` and the line's ETag, only if the line has not changed; else 412, with the current line.
    """
    info(logger, f"Removing item from cart for user {user_id}")
    return items.remove(user_id, product_id)


@blueprint.route("/<user_id:user_id>/merge", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(*CALLER, *BODY, IdempotencyKeyReused, *STORE, OutcomeUnknown)
@blueprint.arguments(MergeRequestSchema, example={"source_user_id": EXAMPLE_GUEST["user_id"], "strategy": "sum"})
@blueprint.response(200, receipt_schema, example=EXAMPLE_RECEIPT)
def merge_carts(body: dict[str, Any], user_id: str) -> Response:
    """Merge another cart into this one, as when a guest logs in

    Each line of the source, and each saved line, moves once, whatever else happens to either cart. Then the source is
    empty, and merging it again changes nothing. Units beyond the limit of a line are removed, and lines beyond the
    limit of the cart stay in the source; the receipt lists both. Of two prices, the newer one is kept. The links to
    the source end; `dry_run` leaves them as they are.

    The caller needs the right to both carts. The request takes an `Idempotency-Key`.
    """
    info(logger, f"Merging a cart into that of user {user_id}")
    source_id = body["source_user_id"]
    auth.require_right_to(source_id)
    if source_id == user_id:
        message = Message("Must be another cart's.", "same-cart")
        raise InvalidInput({"source_user_id": [message]})
    key = idempotency_key(body, user_id)
    return respond_kept(transfer.merge(user_id, source_id, body["strategy"], body["dry_run"], key))


@blueprint.route("/<user_id:user_id>/validate", methods=["POST"])
@blueprint.takes(IDEMPOTENCY_KEY)
@blueprint.problems(
    *(NoCatalog, InvalidInput, *CALLER, IdempotencyKeyReused),
    *(*STORE, CatalogUnavailable, OutcomeUnknown),
)
@blueprint.arguments(ValidateQuerySchema, location="query")
@blueprint.response(200, validation_schema, example=EXAMPLE_VALIDATION)
def validate_cart(query: dict[str, bool], user_id: str) -> Response | dict[str, Any]:
    """Check the cart against the catalogue, before it is paid for

    The answer says for each line whether its price has changed, whether enough units are in stock, and whether the
    product is still sold. Nothing is changed.

    With `fix=true` the cart is corrected: prices and names become the catalogue's, quantities are reduced to the stock,
    and what cannot be bought is saved for later, if there is room. The answer lists each correction, and has the cart
    after it. Fixing again changes nothing more. The request takes an `Idempotency-Key`.
    """
    from cart.carts import validation  # noqa: PLC0415 - only where it is used

    info(logger, f"Validating the cart of user {user_id}")
    if query["fix"]:
        return respond_kept(validation.fix(user_id, idempotency_key("fix", user_id)))
    return validation.check_cart(user_id)


@blueprint.route("/<user_id:user_id>", methods=["DELETE"])
@blueprint.takes(IF_MATCH)
@blueprint.problems(InvalidInput, CartVersionConflict, *CALLER, *STORE, OutcomeUnknown)
@blueprint.response(204, description="The cart is empty")
def clear_cart(user_id: str) -> Response:
    """Clear the cart

    With `If-Match` and the cart's ETag, only if the cart has not changed; else 412, with the current cart.
    """
    info(logger, f"Clearing cart for user {user_id}")
    if if_match_etags():
        _clear_if_unchanged(user_id)
    else:
        get_table().clear(user_id)
    count("CartsCleared")
    return respond_empty()


def _clear_if_unchanged(user_id: str) -> None:
    """Remove the lines that the caller has read, each only as it was read; one that was added since stays.

    A repeat of a clear that was interrupted removes the rest.
    """
    from cart.dynamodb.clears import clear_as_read, continue_clear  # noqa: PLC0415 - only where it is used

    table = get_table()
    cart = table.cart(user_id)
    try:
        if matches_cart(request.if_match, cart.etag):
            clear_as_read(table, cart)
        elif not continue_clear(table, cart, strong_etags(request.if_match)):
            raise TransactionCancelled
    except TransactionCancelled:
        current = get_table().cart(user_id)
        if matches_cart(request.if_match, current.etag):  # as it was read: others were only at work on its rows
            raise Throttled from None
        raise CartVersionConflict(cart_schema.dump(current), current.etag) from None

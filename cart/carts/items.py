"""What can be done to an item, in HTTP's terms, by whoever reaches its cart: the owner, or the holder of a link."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from flask import Response, current_app, request

from cart.carts.schemas import line_schema
from cart.context import count
from cart.dynamodb.idempotency import KeptAnswer, add_item_once
from cart.dynamodb.table import VersionChanged
from cart.errors import (
    BODY,
    STORE,
    CatalogUnavailable,
    IdempotencyKeyReused,
    InsufficientStock,
    InvalidInput,
    LineNotFound,
    LinesLimit,
    OutcomeUnknown,
    ProductNotFound,
    QuantityLimit,
    VersionConflict,
)
from cart.http.extensions import get_table
from cart.http.request import idempotency_key, line_versions
from cart.http.response import respond, respond_empty, respond_kept
from cart.http.schema import Constant
from cart.model.limits import refuse_stock
from cart.model.lines import CART, Line, Place


def location_of(what: str) -> Constant:
    """The header, for OpenAPI."""
    return Constant(Location={"schema": {"type": "string", "format": "uri-reference"}, "description": what})


ETAG = Constant(
    ETag={"schema": {"type": "string"}, "description": "The version of the line or the cart, for `If-Match`"}
)
LINE_HEADERS = Constant(location_of("The line") | ETAG)
# If-Match and Idempotency-Key are described in words: as parameters, tools that make requests from the document would
# take their 412 and 422 for refusals of what the document allows.
ADD_PROBLEMS = (
    *(ProductNotFound, QuantityLimit, LinesLimit, InsufficientStock),
    *(*BODY, IdempotencyKeyReused, *STORE, CatalogUnavailable, OutcomeUnknown),
)
SET_PROBLEMS = (
    *(LineNotFound, ProductNotFound, InsufficientStock, VersionConflict),
    *(*BODY, *STORE, CatalogUnavailable, OutcomeUnknown),
)
REMOVE_PROBLEMS = (InvalidInput, VersionConflict, *STORE, OutcomeUnknown)


def add(user_id: str, item: dict[str, Any], place: Place = CART) -> Response:
    """Answer a POST of an item, once for each ``Idempotency-Key``."""
    sold = partial(_as_sold, item, place)
    if key := idempotency_key(item):
        answer = add_item_once(get_table(), user_id, item["product_id"], sold, key, _added, place)
    else:
        answer = _added(get_table().add_item(user_id, **sold(), place=place))
    if not answer.replayed:
        count("ItemsAdded", item["quantity"])
    return respond_kept(answer, f"{request.path}/{item['product_id']}")


def _as_sold(item: dict[str, Any], place: Place) -> dict[str, Any]:
    """An item with the catalogue's name and price, and for a cart the stock, if there is a catalogue."""
    catalog = current_app.extensions.get("cart_catalog")
    if catalog is None:
        return item
    product = catalog.product(item["product_id"])
    return item | {
        "product_name": product.name,
        "price": product.price,
        "stock": product.stock if place == CART else None,
    }


def _added(line: Line) -> KeptAnswer:
    return KeptAnswer(201, line_schema.dumps(line), line.etag)


def set_quantity(user_id: str, product_id: int, quantity: int) -> Response:
    """Answer a PUT of a line, with ``If-Match`` only where it is as the caller read it."""
    if catalog := current_app.extensions.get("cart_catalog"):
        stock = catalog.product(product_id).stock
        if quantity > stock:
            refuse_stock(stock)
    with _conflicts_shown():
        line = get_table().set_quantity(user_id, product_id, quantity, line_versions())
    return respond(line_schema.dumps(line), etag=line.etag)


def remove(user_id: str, product_id: int, place: Place = CART) -> Response:
    """Answer a DELETE of a line, with ``If-Match`` only where it is as the caller read it."""
    with _conflicts_shown():
        get_table().remove_item(user_id, product_id, line_versions(), place)
    return respond_empty()


@contextmanager
def _conflicts_shown() -> Iterator[None]:
    """Tell a caller whose ``If-Match`` did not hold what is there instead."""
    try:
        yield
    except VersionChanged as changed:
        raise VersionConflict(current=line_schema.dump(changed.line) if changed.line else None) from None

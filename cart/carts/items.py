"""Add, set and remove an item over HTTP: the same for the owner of a cart and for the holder of a link to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from flask import Response, current_app, request

from cart.carts.schemas import line_schema
from cart.context import count
from cart.dynamodb.failures import VersionChanged
from cart.dynamodb.idempotency import KeptAnswer, add_item_once
from cart.errors import (
    BODY,
    STORE,
    CatalogUnavailable,
    IdempotencyKeyReused,
    InsufficientStock,
    InvalidInput,
    LineNotFound,
    LinesLimit,
    LineVersionConflict,
    OutcomeUnknown,
    ProductNotFound,
    ProductUnreadable,
    QuantityLimit,
)
from cart.http.extensions import get_table
from cart.http.headers import etag_of, location_of
from cart.http.request import idempotency_key, line_versions
from cart.http.response import respond, respond_empty, respond_kept
from cart.http.schema import Constant
from cart.model.lines import CART, Line, Place

LINE_ETAG = etag_of("the line")
LINE_HEADERS = Constant(location_of("The line") | LINE_ETAG)
ADD_PROBLEMS = (
    *(ProductNotFound, QuantityLimit, LinesLimit, InsufficientStock, ProductUnreadable),
    *(*BODY, IdempotencyKeyReused, *STORE, CatalogUnavailable, OutcomeUnknown),
)
SAVE_PROBLEMS = tuple(kind for kind in ADD_PROBLEMS if kind is not InsufficientStock)  # saving needs no stock
SET_PROBLEMS = (
    *(LineNotFound, ProductNotFound, InsufficientStock, ProductUnreadable, LineVersionConflict),
    *(*BODY, *STORE, CatalogUnavailable, OutcomeUnknown),
)
REMOVE_PROBLEMS = (InvalidInput, LineVersionConflict, *STORE, OutcomeUnknown)


def add(user_id: str, item: dict[str, Any], place: Place = CART, share_id: str | None = None) -> Response:
    """Answer the POST of an item; with an ``Idempotency-Key``, it is added once.

    :param item: as ``ItemSchema`` loads it
    :param share_id: of the link by which the caller came, None for others
    """
    complete_item = partial(_with_catalog_values, item, place)
    if key := idempotency_key(item, user_id, share_id):
        answer = add_item_once(get_table(), user_id, item["product_id"], complete_item, key, _created, place)
    else:
        answer = _created(get_table().add_item(user_id, **complete_item(), place=place))
    if not answer.replayed:
        count("ItemsAdded", item["quantity"])
    return respond_kept(answer, f"{request.path}/{item['product_id']}")


def _with_catalog_values(item: dict[str, Any], place: Place) -> dict[str, Any]:
    """Return the item with the catalogue's name and price and, for the cart, its stock, if there is a catalogue."""
    catalog = current_app.extensions.get("cart_catalog")
    if catalog is None:
        return item
    product = catalog.product(item["product_id"])
    return item | {
        "product_name": product.name,
        "price": product.price,
        "stock": product.stock if place == CART else None,
    }


def _created(line: Line) -> KeptAnswer:
    return KeptAnswer(201, line_schema.dumps(line), line.etag)


def set_quantity(user_id: str, product_id: int, quantity: int) -> Response:
    """Answer the PUT of a line; with ``If-Match``, only if the line has not changed since the caller read it."""
    catalog = current_app.extensions.get("cart_catalog")
    stock = catalog.product(product_id).stock if catalog else None
    with _version_conflict_answered():
        line = get_table().set_quantity(user_id, product_id, quantity, line_versions(), stock)
    return respond(line_schema.dumps(line), etag=line.etag)


def remove(user_id: str, product_id: int, place: Place = CART) -> Response:
    """Answer the DELETE of a line; with ``If-Match``, only if the line has not changed since the caller read it."""
    with _version_conflict_answered():
        get_table().remove_item(user_id, product_id, line_versions(), place)
    return respond_empty()


@contextmanager
def _version_conflict_answered() -> Iterator[None]:
    """Answer 412 with the current line if the condition of ``If-Match`` does not hold."""
    try:
        yield
    except VersionChanged as changed:
        line = changed.line
        raise LineVersionConflict(line_schema.dump(line) if line else None, line.etag if line else None) from None

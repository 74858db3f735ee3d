"""The shapes of items, lines and carts.

What shoppers wait for has a second implementation beside the fields, ``fast_load`` or ``fast_dumps``, which costs a
tenth of marshmallow's. tests/unit/test_schemas.py compares each with marshmallow.
"""

from decimal import Decimal
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from flask import current_app
from marshmallow import EXCLUDE, fields, post_dump, validate

from cart.carts.share_schemas import access_field
from cart.dynamodb.shares import Share
from cart.http.converters import MAX_PRODUCT_ID
from cart.http.fields import (
    INT64,
    MAX_NAME_CHARACTERS,
    MAX_PRICE,
    NAME_PATTERN,
    Length,
    Price,
    Range,
    WholeNumber,
    check_printable,
    given_price,
    has_visible_character,
)
from cart.http.schema import JsonSchema, RequestSchema
from cart.messages import Message
from cart.model.lines import Cart, CartAndSaved, Line, LineValues, PriceChange
from cart.model.money import CENT


class UpToMaxQuantity(validate.Validator):
    """1 to the app's ``CART_MAX_QUANTITY``. ``min`` and ``max`` are read by apispec for the documentation."""

    min = 1

    @property
    def max(self) -> int:
        return int(current_app.config["CART_MAX_QUANTITY"])

    def __call__(self, value: int) -> int:
        return Range(self.min, self.max)(value)


def _quantity() -> WholeNumber:
    return WholeNumber(required=True, validate=UpToMaxQuantity(), metadata={"description": "Units"})


class _SchemaWithQuantity(RequestSchema):
    """A schema of the current app, whose ``CART_MAX_QUANTITY`` it knows."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._max_quantity = int(current_app.config["CART_MAX_QUANTITY"])

    def _is_quantity(self, value: Any) -> bool:
        return type(value) is int and 1 <= value <= self._max_quantity


class CartQuerySchema(RequestSchema):
    """The query of a request for a cart; unknown parameters are ignored."""

    class Meta(RequestSchema.Meta):
        unknown = EXCLUDE

    loads_nothing = True

    include = fields.String(
        validate=validate.OneOf(["saved"], error=Message("Must be saved.", "not-one-of", choices=["saved"])),
        metadata={"description": "`saved` includes what is saved for later"},
    )


class ValidateQuerySchema(RequestSchema):
    """The query of a request that validates a cart; unknown parameters are ignored."""

    class Meta(RequestSchema.Meta):
        unknown = EXCLUDE

    fix = fields.Boolean(
        load_default=False,
        truthy={"true"},
        falsy={"false"},
        error_messages={"invalid": Message("Must be true or false.", "not-a-boolean")},
        metadata={"description": "Correct the cart"},
    )


class QuantityRequestSchema(_SchemaWithQuantity):
    quantity = _quantity()

    def fast_load(self, data: Any) -> dict[str, int] | None:
        if type(data) is dict and len(data) == 1 and self._is_quantity(data.get("quantity")):
            return data
        return None


class ItemSchema(_SchemaWithQuantity):
    """An item to add. With a catalogue, its name and price count, and the request need not have any."""

    def __init__(self, **kwargs: Any) -> None:
        """Make the schema for the current app."""
        partial = ("product_name", "price") if current_app.config["CATALOG_URL"] else None
        super().__init__(**{"partial": partial} | kwargs)

    product_id = WholeNumber(required=True, validate=Range(1, MAX_PRODUCT_ID), metadata=INT64)
    product_name = fields.String(
        required=True,
        validate=validate.And(Length(1, MAX_NAME_CHARACTERS), check_printable),
        metadata={
            "pattern": NAME_PATTERN,
            "minLength": 1,
            "maxLength": MAX_NAME_CHARACTERS,
        },
    )
    quantity = _quantity()
    price = given_price()

    def fast_load(self, data: Any) -> dict[str, Any] | None:
        if type(data) is not dict or len(data) != 4:
            return None
        product_id, name, price = data.get("product_id"), data.get("product_name"), data.get("price")
        if (
            type(product_id) is int
            and 1 <= product_id <= MAX_PRODUCT_ID
            and type(name) is str
            and 1 <= len(name) <= MAX_NAME_CHARACTERS
            and name.isprintable()  # neither a control character nor a surrogate, and no space but U+0020
            and has_visible_character(name)
            and self._is_quantity(data.get("quantity"))
            and (type(price) is int or (type(price) is Decimal and price.as_tuple().exponent in (0, -1, -2)))
            and CENT <= price <= MAX_PRICE
        ):
            return data | {"price": Decimal(price).quantize(CENT)}
        return None


class LineSchema(JsonSchema):
    product_id = fields.Integer(required=True, metadata=INT64)
    product_name = fields.String(required=True)
    quantity = fields.Integer(required=True, metadata={"description": "Units"})
    price = Price(required=True, metadata={"description": "Of one unit, as last added or accepted"})
    subtotal = Price(required=True, metadata={"description": "price × quantity"})
    added_at = fields.String(required=True, metadata={"format": "date-time", "description": "ISO 8601, UTC"})
    version = fields.Integer(
        required=True, metadata=INT64 | {"description": "In double quotes, this is the line's ETag"}
    )
    current_price = Price(metadata={"description": "Of one unit, if the price has changed and was not accepted yet"})
    price_changed_at = fields.String(
        metadata={"format": "date-time", "description": "When the price changed; only with `current_price`"}
    )

    @post_dump
    def _without_none(self, members: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in members.items() if value is not None}

    def fast_dumps(self, line: Line) -> str:
        return _dump_line(line.values)


def _dump_line(values: LineValues) -> str:
    added_at, product_id, version, name, quantity, price, change = values
    news = change.of_line_at(price) if change else None
    return _line_text(product_id, name, quantity, price, price * quantity, added_at, version, news)


def _line_text(
    product_id: int,
    name: str,
    quantity: int,
    price: Decimal,
    subtotal: Decimal,
    added_at: str,
    version: int | str,
    news: PriceChange | None,
) -> str:
    """Return the JSON text of a line: the only place where it is written."""
    change = f', "current_price": {news.price:.2f}, "price_changed_at": "{news.changed_at}"' if news else ""
    return (
        f'{{"product_id": {product_id}, "product_name": {quoted(name)}, "quantity": {quantity}, '
        f'"price": {price!s}, "subtotal": {subtotal!s}, "added_at": "{added_at}", "version": {version}{change}}}'
    )


def _lines(attribute: str | None = None) -> "fields.List[Any]":
    return fields.List(
        fields.Nested(LineSchema),
        required=True,
        attribute=attribute,
        metadata={"description": "In the order in which they were added"},
    )


def _price_changes(attribute: str | None = None) -> fields.Integer:
    return fields.Integer(
        required=True, attribute=attribute, metadata={"description": "Lines that have a `current_price`"}
    )


class CartSchema(JsonSchema):
    user_id = fields.String(required=True)
    items = _lines()
    total_items = fields.Integer(required=True, metadata={"description": "Units, not lines"})
    total_price = Price(required=True, metadata={"description": "Sum of the subtotals"})
    price_changes = _price_changes()

    def fast_dumps(self, cart: Cart) -> str:
        return _dump_cart(cart)


class CartAndSavedSchema(CartSchema):
    saved = fields.List(
        fields.Nested(LineSchema), metadata={"description": "With `include=saved`; not part of any total"}
    )

    def fast_dumps(self, cart: Cart) -> str:
        if not isinstance(cart, CartAndSaved):
            return _dump_cart(cart)
        saved = ", ".join([_dump_line(line.values) for line in cart.saved])
        return f'{_dump_cart(cart)[:-1]}, "saved": [{saved}]}}'


class SavedSchema(JsonSchema):
    user_id = fields.String(required=True)
    items = _lines()


class SharedCart(NamedTuple):
    share: Share
    cart: Cart


class SharedCartSchema(JsonSchema):
    """The cart behind a link, of a ``SharedCart``. It does not say whose it is."""

    access = access_field(required=True, attribute="share.access")
    expires_at = fields.String(required=True, attribute="share.expires_at", metadata={"format": "date-time"})
    items = _lines("cart.items")
    total_items = fields.Integer(
        required=True, attribute="cart.total_items", metadata={"description": "Units, not lines"}
    )
    total_price = Price(required=True, attribute="cart.total_price", metadata={"description": "Sum of the subtotals"})
    price_changes = _price_changes("cart.price_changes")

    def fast_dumps(self, shared: SharedCart) -> str:
        share = shared.share
        return f'{{"access": "{share.access}", "expires_at": "{share.expires_at}", {_dump_contents(shared.cart)}}}'


def _dump_cart(cart: Cart) -> str:
    return f'{{"user_id": {quoted(cart.user_id)}, {_dump_contents(cart)}}}'


def _dump_contents(cart: Cart) -> str:
    """Return the JSON text of the lines and totals of a cart, without the braces."""
    lines, units, total, price_changes = [], 0, Decimal("0.00"), 0
    for added_at, product_id, version, name, quantity, price, change in cart.values:
        subtotal = price * quantity
        units += quantity
        total += subtotal
        news = change.of_line_at(price) if change else None
        if news:
            price_changes += 1
        lines.append(_line_text(product_id, name, quantity, price, subtotal, added_at, version, news))
    joined = ", ".join(lines)
    return f'"items": [{joined}], "total_items": {units}, "total_price": {total!s}, "price_changes": {price_changes}'


class GuestSchema(JsonSchema):
    user_id = fields.String(
        required=True, metadata={"description": "Cannot be guessed; whoever has it can use the cart"}
    )


line_schema = LineSchema()
cart_schema = CartSchema()
cart_and_saved_schema = CartAndSavedSchema()
shared_cart_schema = SharedCartSchema()

"""The shapes of requests and responses. What arrives is judged here, once, before anything else sees it."""

from typing import Any

from flask import current_app
from marshmallow import EXCLUDE, Schema, fields, post_dump, validate

from cart.http.converters import MAX_PRODUCT_ID, UserId
from cart.http.fields import (
    MAX_NAME_CHARACTERS,
    MAX_PRICE,
    Price,
    StrictBoolean,
    WholeNumber,
    check_printable,
    given_price,
)
from cart.model.lines import (
    CHANGED,
    DISCONTINUED,
    INSUFFICIENT_STOCK,
    LEFT,
    OUT_OF_STOCK,
    PRICE_CHANGED,
    SAVED_FOR_LATER,
)
from cart.model.money import CENT
from cart.model.transfer import LINES_LIMIT, MOVE, QUANTITY_LIMIT, STRATEGIES


class UpToMaxQuantity(validate.Validator):
    """1 to the app's ``CART_MAX_QUANTITY``. ``min`` and ``max`` are read by apispec for the documentation."""

    min = 1

    @property
    def max(self) -> int:
        return int(current_app.config["CART_MAX_QUANTITY"])

    def __call__(self, value: int) -> int:
        return validate.Range(self.min, self.max)(value)


def _quantity() -> WholeNumber:
    return WholeNumber(required=True, validate=UpToMaxQuantity(), metadata={"description": "Units"})


class QuantitySchema(Schema):
    quantity = _quantity()


class ItemSchema(Schema):
    """An item to add. With a catalogue, its name and price count, and the request need not have any."""

    def __init__(self, **kwargs: Any) -> None:
        """Make the schema for the current app."""
        partial = ("product_name", "price") if current_app.config["CATALOG_URL"] else None
        super().__init__(**{"partial": partial} | kwargs)

    product_id = WholeNumber(required=True, validate=validate.Range(1, MAX_PRODUCT_ID))
    product_name = fields.String(
        required=True,
        validate=validate.And(validate.Length(1, MAX_NAME_CHARACTERS), check_printable),
        metadata={
            "pattern": r"^(?=.*\S)[^\u0000-\u001F\u007F-\u009F]+$",
            "minLength": 1,
            "maxLength": MAX_NAME_CHARACTERS,
        },
    )
    quantity = _quantity()
    price = given_price()


class ProductSchema(Schema):
    """What the products service says of a product, as far as it is used."""

    class Meta:
        unknown = EXCLUDE

    product_id = WholeNumber(required=True)
    name = fields.String(required=True, validate=validate.And(validate.Length(1), check_printable))
    price = Price(required=True, validate=validate.Range(CENT, MAX_PRICE))


class InventorySchema(Schema):
    """What it says of a product's stock."""

    class Meta:
        unknown = EXCLUDE

    stock_quantity = WholeNumber(required=True, validate=validate.Range(0))


class LineSchema(Schema):
    product_id = fields.Integer(required=True)
    product_name = fields.String(required=True)
    quantity = fields.Integer(required=True, metadata={"description": "Units"})
    price = Price(required=True, metadata={"description": "Of one unit, when it was last added"})
    subtotal = Price(required=True, metadata={"description": "price × quantity"})
    added_at = fields.String(required=True, metadata={"format": "date-time", "description": "ISO 8601, UTC"})
    version = fields.Integer(required=True, metadata={"description": "In quotes, it is the line's ETag"})
    current_price = Price(metadata={"description": "Of one unit, where it has changed since and was not accepted"})
    price_changed_at = fields.String(metadata={"format": "date-time", "description": "With `current_price`"})

    @post_dump
    def _only_news(self, members: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in members.items() if value is not None}


class GuestSchema(Schema):
    user_id = fields.String(required=True)


def _lines() -> "fields.List[Any]":
    return fields.List(
        fields.Nested(LineSchema), required=True, metadata={"description": "In the order in which they were added"}
    )


def _price_changes() -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": "Lines that have a `current_price`"})


class CartSchema(Schema):
    user_id = fields.String(required=True)
    items = _lines()
    total_items = fields.Integer(required=True, metadata={"description": "Units, not lines"})
    total_price = Price(required=True, metadata={"description": "By each line's `price`"})
    price_changes = _price_changes()


class SavedSchema(Schema):
    user_id = fields.String(required=True)
    items = _lines()


class CartAndSavedSchema(CartSchema):
    saved = fields.List(fields.Nested(LineSchema), metadata={"description": "With `include=saved`; no total counts it"})


class MovedLineSchema(LineSchema):
    cut = fields.Integer(required=True, metadata={"description": "Units beyond the limit, which are gone"})


class TransferSchema(Schema):
    """How lines join those of another cart."""

    strategy = fields.String(
        load_default="sum",
        validate=validate.OneOf(STRATEGIES),
        metadata={
            "description": "The quantity where both have a product: the `sum`, the `max`imum, `keep` the target's, or "
            "`replace` it by the source's"
        },
    )
    dry_run = StrictBoolean(load_default=False, metadata={"description": "Only say what would be done"})


class MergeSchema(TransferSchema):
    source_user_id = fields.String(
        required=True,
        validate=validate.Regexp(rf"^{UserId.pattern}\Z", error=UserId.message),
        metadata={"description": "A guest's cart, or with the admin scope any"},
    )


class CopySchema(TransferSchema):
    share_token = fields.String(required=True, validate=validate.Length(1, 200))


class QuantityAtPriceSchema(Schema):
    quantity = fields.Integer(required=True)
    price = Price(required=True)


class ReceiptLineSchema(Schema):
    product_id = fields.Integer(required=True)
    product_name = fields.String(required=True)
    place = fields.String(required=True, validate=validate.OneOf(["cart", "saved"]))
    rule = fields.String(
        required=True,
        validate=validate.OneOf([*STRATEGIES, MOVE]),
        metadata={"description": "The strategy, or `move` where the target had no such line"},
    )
    source = fields.Nested(QuantityAtPriceSchema, required=True, metadata={"description": "As it was"})
    target = fields.Nested(QuantityAtPriceSchema, required=True, allow_none=True)
    result = fields.Nested(
        QuantityAtPriceSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null: the line was left in the source"},
    )
    price_from = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Whose price and name it has: the newer. `source` or `target`"},
    )
    cut = fields.Integer(required=True, metadata={"description": "Units beyond the limit, which are gone"})
    reason = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": f"`{QUANTITY_LIMIT}`: units were cut; `{LINES_LIMIT}`: the line was left"},
    )


class ReceiptSchema(Schema):
    strategy = fields.String(required=True)
    dry_run = fields.Boolean(required=True)
    lines = fields.List(fields.Nested(ReceiptLineSchema), required=True)
    cart = fields.Nested(CartAndSavedSchema, required=True, metadata={"description": "The target, afterwards"})


class LineProblemSchema(Schema):
    type = fields.String(
        required=True,
        validate=validate.OneOf([PRICE_CHANGED, OUT_OF_STOCK, INSUFFICIENT_STOCK, DISCONTINUED]),
        metadata={"description": f"`{DISCONTINUED}`: the catalogue does not know the product any more"},
    )
    old = Price(metadata={"description": f"With `{PRICE_CHANGED}`: the line's price"})
    new = Price(metadata={"description": f"With `{PRICE_CHANGED}`: the catalogue's"})
    available = fields.Integer(metadata={"description": f"With `{INSUFFICIENT_STOCK}`: units"})


class LineFixSchema(QuantityAtPriceSchema):
    action = fields.String(
        required=True,
        validate=validate.OneOf([CHANGED, SAVED_FOR_LATER, LEFT]),
        metadata={
            "description": f"`{CHANGED}`: the line; `{SAVED_FOR_LATER}`: it joined what is saved; `{LEFT}`: it should "
            "have, but there is no room"
        },
    )
    quantity = fields.Integer(required=True, metadata={"description": "Of the line as it now is, where it now is"})
    cut = fields.Integer(required=True, metadata={"description": "Units beyond the stock or the limit, which are gone"})


class CheckedLineSchema(Schema):
    product_id = fields.Integer(required=True)
    product_name = fields.String(required=True)
    quantity = fields.Integer(required=True, metadata={"description": "As it was found"})
    price = Price(required=True, metadata={"description": "As it was found"})
    problems = fields.List(
        fields.Nested(LineProblemSchema), required=True, metadata={"description": "Empty: it is well"}
    )
    fix = fields.Nested(LineFixSchema, metadata={"description": "With `fix=true`, if there was a problem"})


class ValidationSchema(Schema):
    valid = fields.Boolean(
        required=True, metadata={"description": "No line has a problem; with `fix=true`, none has one any more"}
    )
    lines = fields.List(fields.Nested(CheckedLineSchema), required=True)
    cart = fields.Nested(CartAndSavedSchema, metadata={"description": "With `fix=true`: afterwards"})


class NewShareSchema(Schema):
    access = fields.String(load_default="view", validate=validate.OneOf(["view", "edit"]))
    expires_in_days = WholeNumber(load_default=7, validate=validate.Range(1, 365))


class ShareSchema(Schema):
    share_id = fields.String(required=True)
    access = fields.String(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    expires_at = fields.String(required=True, metadata={"format": "date-time"})


class ShareWithTokenSchema(ShareSchema):
    token = fields.String(required=True, metadata={"description": "Shown this once: only its hash is kept"})


class SharesSchema(Schema):
    shares = fields.List(fields.Nested(ShareSchema), required=True)


class SharedCartSchema(Schema):
    access = fields.String(required=True)
    expires_at = fields.String(required=True, metadata={"format": "date-time"})
    items = fields.List(fields.Nested(LineSchema), required=True)
    total_items = fields.Integer(required=True, metadata={"description": "Units, not lines"})
    total_price = Price(required=True)
    price_changes = _price_changes()


class HealthSchema(Schema):
    status = fields.String(required=True, validate=validate.Equal("ok"))

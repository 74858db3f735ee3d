"""The shapes of requests and responses. What arrives is judged here, once, before anything else sees it."""

import unicodedata
from decimal import Decimal
from typing import Any

from flask import current_app
from marshmallow import Schema, ValidationError, fields, validate

from cart.wire import MAX_PRODUCT_ID

CENT = Decimal("0.01")
MAX_PRICE = Decimal("9999999.99")
EXAMPLE_ITEM = {"product_id": 42, "product_name": "Espresso cup", "quantity": 2, "price": Decimal("19.99")}
EXAMPLE_LINE = EXAMPLE_ITEM | {
    "subtotal": Decimal("39.98"),
    "added_at": "2026-11-23T09:30:00.123456Z",
    "version": 1795426200123457,
}
EXAMPLE_GUEST = {"user_id": "guest-7TzYh0bU2mBzXxS4o3JkP9aQcVdL1wEf"}
EXAMPLE_CART = {
    "user_id": "user123",
    "items": [EXAMPLE_LINE],
    "total_items": 2,
    "total_price": Decimal("39.98"),
}


class Price(fields.Decimal):
    """A JSON number with at most two decimals. A string or a boolean is refused, not converted."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(places=2, **kwargs)

    def _validated(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.make_error("invalid")
        cents = super()._validated(value)
        if cents != value:
            raise ValidationError("Must have at most 2 decimals.")
        return cents


class WholeNumber(fields.Integer):
    """A JSON integer. ``2.0`` is one (JSON Schema, section 6.1.1); ``"2"``, ``true`` and ``1e2`` are not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, Decimal) and _is_whole(value):
            value = int(value)
        return super()._validated(value)


def _is_whole(number: Decimal) -> bool:
    """Written with a fraction of zeros, and short enough to convert: no bound of ours has more digits."""
    return (
        number.is_finite() and -20 < int(number.as_tuple().exponent) < 0 and number.adjusted() < 20 and number % 1 == 0
    )


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


def _printable(name: str) -> None:
    if not name.strip():
        raise ValidationError("Must not be blank.")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise ValidationError("Must not have control characters or lone surrogates.")


class ItemSchema(Schema):
    product_id = WholeNumber(required=True, validate=validate.Range(1, MAX_PRODUCT_ID))
    product_name = fields.String(
        required=True,
        validate=validate.And(validate.Length(1, 200), _printable),
        metadata={"pattern": r"^(?=.*\S)[^\u0000-\u001F\u007F-\u009F]+$", "minLength": 1, "maxLength": 200},
    )
    quantity = _quantity()
    price = Price(
        required=True,
        validate=validate.Range(CENT, MAX_PRICE),
        metadata={"multipleOf": CENT, "description": "Of one unit"},
    )


class LineSchema(Schema):
    product_id = fields.Integer(required=True)
    product_name = fields.String(required=True)
    quantity = fields.Integer(required=True, metadata={"description": "Units"})
    price = Price(required=True, metadata={"description": "Of one unit, when it was last added"})
    subtotal = Price(required=True, metadata={"description": "price × quantity"})
    added_at = fields.String(required=True, metadata={"format": "date-time", "description": "ISO 8601, UTC"})
    version = fields.Integer(required=True, metadata={"description": "In quotes, it is the line's ETag"})


class GuestSchema(Schema):
    user_id = fields.String(required=True)


class CartSchema(Schema):
    user_id = fields.String(required=True)
    items = fields.List(
        fields.Nested(LineSchema), required=True, metadata={"description": "In the order in which they were added"}
    )
    total_items = fields.Integer(required=True, metadata={"description": "Units, not lines"})
    total_price = Price(required=True)


class HealthSchema(Schema):
    status = fields.String(required=True, validate=validate.Equal("ok"))

"""The shapes of what is said of prices that change, and of the carts that hold a product."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, validate

from cart.http.converters import MAX_PRODUCT_ID
from cart.http.fields import Price, WholeNumber, given_price
from cart.http.schema import Constant, JsonSchema
from cart.model.lines import iso

CLOCK_SKEW = timedelta(minutes=5)  # of the products service
EXAMPLE_PRICE_JOB = Constant(
    {
        "job_id": "0c9d1b7e5a3f48629d7e4b1c8a6f3520",
        "product_id": 42,
        "price": Decimal("21.50"),
        "changed_at": "2026-11-23T14:00:00.000000Z",
        "created_at": "2026-11-23T14:02:11.123456Z",
        "status": "running",
        "seen": 300,
        "changed": 298,
        "skipped": 2,
    }
)
EXAMPLE_HOLDERS = Constant(
    {
        "product_id": 42,
        "carts": [
            {
                "user_id": "user123",
                "place": "cart",
                "quantity": 2,
                "price": Decimal("19.99"),
                "added_at": "2026-11-23T09:30:00.123456Z",
            }
        ],
        "next_cursor": "Y2FydCB1c2VyMTIz",
    }
)


class Moment(fields.String):
    """A moment as RFC 3339 writes it, in any zone; loaded as ``lines.iso`` writes it. The future is refused."""

    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"format": "date-time"} | kwargs.pop("metadata", {})
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not self.form.fullmatch(text):
            raise ValidationError("Must be a time with its zone, as 2026-11-23T14:02:11Z (RFC 3339).")
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError("There is no such time.") from None
        if moment > datetime.now(UTC) + CLOCK_SKEW:
            raise ValidationError("Must not be in the future.")
        return iso(moment)


class NewPriceSchema(JsonSchema):
    price = given_price()
    changed_at = Moment(metadata={"description": "When it changed, by the products service's clock; now, if left out"})


class PriceEventSchema(NewPriceSchema):
    """The detail of an event, whose sender may add members of his own."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = WholeNumber(required=True, validate=validate.Range(1, MAX_PRODUCT_ID))
    changed_at = Moment(required=True)


class PriceJobSchema(JsonSchema):
    job_id = fields.String(required=True)
    product_id = fields.Integer(required=True)
    price = Price(required=True)
    changed_at = fields.String(required=True, metadata={"format": "date-time"})
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    status = fields.String(required=True, validate=validate.OneOf(["running", "done"]))
    seen = fields.Integer(required=True, metadata={"description": "Lines so far, in carts and saved"})
    changed = fields.Integer(required=True, metadata={"description": "Of those, the ones that have the new price"})
    skipped = fields.Integer(
        required=True, metadata={"description": "Those that had gone or expired, or know of a newer change"}
    )


class AcceptSchema(JsonSchema):
    product_ids = fields.List(
        WholeNumber(validate=validate.Range(1, MAX_PRODUCT_ID)),
        validate=validate.Length(1, 100),
        metadata={"description": "All, if left out"},
    )


class HolderSchema(JsonSchema):
    user_id = fields.String(required=True)
    place = fields.String(required=True, validate=validate.OneOf(["cart", "saved"]))
    quantity = fields.Integer(required=True, metadata={"description": "Units"})
    price = Price(required=True)
    added_at = fields.String(required=True, metadata={"format": "date-time"})


class HoldersSchema(JsonSchema):
    product_id = fields.Integer(required=True)
    carts = fields.List(
        fields.Nested(HolderSchema),
        required=True,
        metadata={"description": "Fewer than the limit, or none, where lines have expired"},
    )
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "Where to go on; null: there are no more"}
    )


price_job_schema = PriceJobSchema()

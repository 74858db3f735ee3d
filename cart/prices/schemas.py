"""Schemas of the requests and responses about price changes and the carts that hold a product, with examples."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, fields

from cart.http.converters import MAX_PRODUCT_ID, UserId, not_in_range
from cart.http.fields import INT64, Length, NumberInQuery, OneOf, Price, Range, WholeNumber, given_price
from cart.http.schema import Constant, JsonSchema, RequestSchema
from cart.messages import Message
from cart.model.lines import CART, SAVED, iso
from cart.prices.job_rows import Holder

MAX_LIMIT = 100
NOT_A_LIMIT = not_in_range(1, MAX_LIMIT)
CLOCK_SKEW = timedelta(minutes=5)  # how far the clock of the products service may be ahead
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
    """A time in the form of RFC 3339, in any zone; loaded in the form of ``lines.iso``. The future is refused."""

    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
    default_error_messages = {
        "form": Message("Must be a time with its zone, such as 2026-11-23T14:02:11Z (RFC 3339).", "not-a-time"),
        "no_such_time": Message("There is no such time.", "no-such-time"),
        "future": Message("Must not be in the future.", "in-the-future"),
    }

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"format": "date-time"} | kwargs.pop("metadata", {})
        super().__init__(metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not self.form.fullmatch(text):
            raise self.make_error("form")
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.make_error("no_such_time") from None
        if moment > datetime.now(UTC) + CLOCK_SKEW:
            raise self.make_error("future")
        return iso(moment)


class PriceRequestSchema(RequestSchema):
    """The body of a request that changes a price."""

    price = given_price()
    changed_at = Moment(
        metadata={"description": "When the price changed, by the clock of the products service; by default now"}
    )


class PriceEventSchema(PriceRequestSchema):
    """The detail of an event that changes a price; unknown members are ignored."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = WholeNumber(required=True, validate=Range(1, MAX_PRODUCT_ID), metadata=INT64)
    changed_at = Moment(required=True)


class PriceJobSchema(JsonSchema):
    """The job of a price change, and its progress."""

    job_id = fields.String(required=True)
    product_id = fields.Integer(required=True, metadata=INT64)
    price = Price(required=True, metadata={"description": "The new price of one unit"})
    changed_at = fields.String(
        required=True,
        metadata={"format": "date-time", "description": "When the price changed, by the clock of the products service"},
    )
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "description": "When the change arrived here"}
    )
    status = fields.String(
        required=True,
        validate=OneOf(["running", "done"]),
        metadata={"description": "`done`: all lines of the product were processed"},
    )
    seen = fields.Integer(
        required=True, metadata={"description": "Lines that were processed so far, in carts and saved"}
    )
    changed = fields.Integer(required=True, metadata={"description": "Lines of these that show the new price now"})
    skipped = fields.Integer(
        required=True,
        metadata={"description": "Lines of these that were removed or had expired, or have a newer price change"},
    )


class AcceptRequestSchema(RequestSchema):
    """The body of a request that accepts price changes."""

    product_ids = fields.List(
        WholeNumber(validate=Range(1, MAX_PRODUCT_ID), metadata=INT64),
        validate=Length(1, 100),
        metadata={"description": "By default all products of the cart"},
    )


class HolderSchema(JsonSchema):
    """A line of a product, and the cart or saved list that holds it."""

    user_id = fields.String(required=True)
    place = fields.String(
        required=True,
        validate=OneOf(["cart", "saved"]),
        metadata={"description": "The list that has the line: the cart, or what is saved for later"},
    )
    quantity = fields.Integer(required=True, metadata={"description": "Units"})
    price = Price(required=True, metadata={"description": "Of one unit, as last added or accepted"})
    added_at = fields.String(required=True, metadata={"format": "date-time"})


class Cursor(fields.String):
    """The last holder of a page, for the next page. It names no product, and so leads to no other than the path's."""

    default_error_messages = {"invalid": Message("Must be a next_cursor that was answered.", "not-a-cursor")}

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        return urlsafe_b64encode(f"{value.place} {value.user_id}".encode()).decode().rstrip("=")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            place, _, user_id = urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode().partition(" ")
        except ValueError:  # not base64, or not of UTF-8
            raise self.make_error("invalid") from None
        for known in (CART, SAVED):
            if place == known and UserId.form.fullmatch(user_id):
                return Holder(user_id, known)
        raise self.make_error("invalid")


class HoldersQuerySchema(RequestSchema):
    """The query of a request for a page of the carts that hold a product."""

    error_messages = {"unknown": Message("Unknown parameter.", "unknown-field")}

    limit = NumberInQuery(
        load_default=50,
        validate=Range(1, MAX_LIMIT, error=NOT_A_LIMIT),
        error_messages={"invalid": NOT_A_LIMIT},
        metadata={"description": "Lines to read; expired ones are left out of the answer"},
    )
    cursor = Cursor(metadata={"description": "The `next_cursor` of the previous answer"})


class HoldersSchema(JsonSchema):
    """A page of the carts and saved lists that hold a product."""

    product_id = fields.Integer(required=True, metadata=INT64)
    carts = fields.List(
        fields.Nested(HolderSchema),
        required=True,
        metadata={"description": "Can be fewer than the limit, or none, because expired lines are left out"},
    )
    next_cursor = Cursor(
        required=True, allow_none=True, metadata={"description": "For the next page; null: this is the last one"}
    )


price_job_schema = PriceJobSchema()

"""Schemas of the requests and responses of the analytics API, with examples."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields, post_load

from cart.http.fields import INT64, NumberInQuery, OneOf, Price, Range
from cart.http.schema import Constant, JsonSchema, RequestSchema
from cart.messages import Message

MAX_DAYS = 366
DEFAULT_DAYS = 30
MAX_PRODUCTS = 100
SORTS = ("units", "carts", "value")  # those of `totals.Sort`, not imported: a shopper's cold start would load it

EXAMPLE_PRODUCT = Constant({"product_id": 42, "carts": 17, "units": 40, "value": Decimal("799.60")})
EXAMPLE_PRODUCTS = Constant({"sort": "units", "products": [EXAMPLE_PRODUCT]})
EXAMPLE_DAY = Constant(
    {
        "day": "2026-11-23",
        "lines_added": 120,
        "lines_removed": 14,
        "units_added": 310,
        "value_added": Decimal("5120.40"),
        "carts_cleared": 3,
        "lines_abandoned": 22,
        "value_abandoned": Decimal("640.05"),
    }
)
EXAMPLE_SUMMARY = Constant(
    {
        "from": "2026-11-23",
        "to": "2026-11-23",
        "totals": {"lines": 812, "units": 2044, "value": Decimal("30410.15")},
        "days": [EXAMPLE_DAY],
    }
)
EXAMPLE_FLOWS = Constant(
    {
        **{name: EXAMPLE_DAY[name] for name in ("lines_added", "value_added", "lines_abandoned", "value_abandoned")},
        "lines_rate": Decimal("0.1833"),
        "value_rate": Decimal("0.1250"),
    }
)
EXAMPLE_ABANDONMENT = Constant(
    {
        "from": "2026-11-23",
        "to": "2026-11-23",
        "total": EXAMPLE_FLOWS,
        "days": [{"day": "2026-11-23"} | EXAMPLE_FLOWS],
    }
)
EXAMPLE_PRODUCTS_CSV = "product_id,carts,units,value\r\n42,17,40,799.60\r\n"
EXAMPLE_DAYS_CSV = f"{','.join(EXAMPLE_DAY)}\r\n{','.join(map(str, EXAMPLE_DAY.values()))}\r\n"
EXAMPLE_ABANDONMENT_CSV = (
    f"day,{','.join(EXAMPLE_FLOWS)}\r\n2026-11-23,{','.join(map(str, EXAMPLE_FLOWS.values()))}\r\n"
)


class Period(NamedTuple):
    """A range of UTC days, the first and the last included."""

    first: date
    last: date


class DayInQuery(fields.Date):
    """A day as ``YYYY-MM-DD``; the other forms of ISO 8601 are refused."""

    default_error_messages = {"invalid": Message("Must be a day such as 2026-11-23.", "not-a-day")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class PeriodSchema(RequestSchema):
    """The period that a query asks for; ``load`` returns a ``Period``."""

    first = DayInQuery(
        data_key="from",
        metadata={"description": f"The first UTC day; by default {DEFAULT_DAYS} days up to the last one"},
    )
    last = DayInQuery(
        data_key="to", metadata={"description": f"The last UTC day, today by default; {MAX_DAYS} days at most"}
    )

    @post_load
    def _period(self, query: dict[str, date], **_: Any) -> Period:
        last = query.get("last", datetime.now(UTC).date())
        first = query.get("first", date.fromordinal(max(last.toordinal() - DEFAULT_DAYS + 1, 1)))
        if first > last:
            text = f"Must not be after {last}, the last day."
            raise ValidationError(Message(text, "after-last-day", last=last.isoformat()), "from")
        if (last - first).days >= MAX_DAYS:
            text = f"At most {MAX_DAYS} days, up to {last}."
            raise ValidationError(Message(text, "too-many-days", max=MAX_DAYS, last=last.isoformat()), "from")
        return Period(first, last)


class TopSchema(RequestSchema):
    """The parameters of a ranking of products."""

    sort = fields.String(
        load_default="units",
        validate=OneOf(SORTS),
        metadata={"description": "The figure by which products are ranked"},
    )
    limit = NumberInQuery(
        load_default=20,
        validate=Range(1, MAX_PRODUCTS),
        metadata={"description": "The most products in the answer"},
    )


def _day() -> fields.Date:
    return fields.Date(required=True, metadata={"description": "UTC"})


def _value(description: str) -> Price:
    return Price(required=True, metadata={"description": description})


def _rate(quantity: str) -> fields.Decimal:
    return fields.Decimal(
        required=True,
        allow_none=True,
        metadata={"description": f"{quantity} abandoned for each added; null if nothing was added"},
    )


class TotalsSchema(JsonSchema):
    """Current totals of all carts."""

    lines = fields.Integer(required=True, metadata=INT64)
    units = fields.Integer(required=True, metadata=INT64)
    value = _value("price × quantity")


class DailyChangesSchema(JsonSchema):
    """Changes of all carts on one UTC day."""

    day = _day()
    lines_added = fields.Integer(required=True, metadata=INT64)
    lines_removed = fields.Integer(required=True, metadata=INT64)
    units_added = fields.Integer(required=True, metadata=INT64)
    value_added = Price(required=True)
    carts_cleared = fields.Integer(required=True, metadata=INT64)
    lines_abandoned = fields.Integer(
        required=True, metadata=INT64 | {"description": "Lines that were deleted after they had expired"}
    )
    value_abandoned = Price(required=True)


class SummarySchema(JsonSchema):
    """Current totals of all carts, and their changes on each day of a period."""

    first = fields.Date(data_key="from", required=True)
    last = fields.Date(data_key="to", required=True)
    totals = fields.Nested(TotalsSchema, required=True, metadata={"description": "What all carts hold now"})
    days = fields.List(fields.Nested(DailyChangesSchema), required=True)


class ProductTotalsSchema(JsonSchema):
    """Current totals of one product over all carts."""

    product_id = fields.Integer(required=True, metadata=INT64)
    carts = fields.Integer(required=True, metadata=INT64 | {"description": "Carts that hold the product"})
    units = fields.Integer(required=True, metadata=INT64)
    value = _value("price × quantity")


class ProductRankingSchema(JsonSchema):
    """A ranking of products."""

    sort = fields.String(
        required=True, validate=OneOf(SORTS), metadata={"description": "The figure by which the products are ranked"}
    )
    products = fields.List(fields.Nested(ProductTotalsSchema), required=True)


class FlowsSchema(JsonSchema):
    """Lines and values that were added and abandoned, and the rate of abandonment."""

    lines_added = fields.Integer(required=True, metadata=INT64)
    value_added = Price(required=True)
    lines_abandoned = fields.Integer(required=True, metadata=INT64)
    value_abandoned = Price(required=True)
    lines_rate = _rate("Lines")
    value_rate = _rate("Value")


class FlowsOfDaySchema(FlowsSchema):
    """Lines and values that were added and abandoned on one UTC day."""

    day = _day()

    class Meta(JsonSchema.Meta):
        fields = ("day", *FlowsSchema._declared_fields)


class AbandonmentSchema(JsonSchema):
    """Lines and values that were added and abandoned, in a whole period and on each of its days."""

    first = fields.Date(data_key="from", required=True)
    last = fields.Date(data_key="to", required=True)
    total = fields.Nested(FlowsSchema, required=True, metadata={"description": "Of the whole period"})
    days = fields.List(fields.Nested(FlowsOfDaySchema), required=True)

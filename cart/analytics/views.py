"""Views of what all carts hold and of what is abandoned, as JSON or CSV."""

import csv
import io
import logging
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from flask import Response, request
from werkzeug.datastructures import MIMEAccept

from cart.analytics.schemas import (
    EXAMPLE_ABANDONMENT,
    EXAMPLE_ABANDONMENT_CSV,
    EXAMPLE_DAYS_CSV,
    EXAMPLE_PRODUCT,
    EXAMPLE_PRODUCTS,
    EXAMPLE_PRODUCTS_CSV,
    EXAMPLE_SUMMARY,
    AbandonmentSchema,
    DailyChangesSchema,
    FlowsOfDaySchema,
    Period,
    PeriodSchema,
    ProductRankingSchema,
    ProductTotalsSchema,
    SummarySchema,
    TopSchema,
)
from cart.errors import CALLER, STORE, InvalidInput, NotAcceptable
from cart.http.blueprint import CartBlueprint, View
from cart.http.problems import PROBLEM_JSON
from cart.http.response import respond
from cart.http.schema import Constant, JsonSchema
from cart.logs import info
from cart.messages import Message

if TYPE_CHECKING:
    from cart.analytics.totals import Aggregates, Day

logger = logging.getLogger(__name__)

JSON, CSV = "application/json", "text/csv"
FOUR_DECIMALS = Decimal("0.0001")

blueprint = CartBlueprint(
    "analytics",
    __name__,
    url_prefix="/analytics",
    description="What all carts hold, and what is abandoned; needs the admin scope",
)


def _aggregates() -> "Aggregates":
    from cart.analytics.totals import get_aggregates  # noqa: PLC0415 - not loaded for shoppers' requests

    return get_aggregates()


VARY = Constant(Vary="Vary")


def _document_answers(schema: type[JsonSchema], example: Any, csv_example: str) -> Callable[[View], View]:
    """Return a decorator that documents a response in JSON and in CSV."""
    as_json = blueprint.response(200, schema, example=example, headers=VARY)
    as_csv = blueprint.alt_response(200, schema={"type": "string"}, example=csv_example, headers=VARY, content_type=CSV)
    problems = blueprint.problems(NotAcceptable, InvalidInput, *CALLER, *STORE)
    return lambda view: problems(as_json(as_csv(view)))


@blueprint.route("/summary")
@_document_answers(SummarySchema, EXAMPLE_SUMMARY, EXAMPLE_DAYS_CSV)
@blueprint.arguments(PeriodSchema, location="query")
def get_summary(period: Period) -> Response:
    """Get what all carts hold now, and what was added and removed on each day

    As CSV only the days. Costs two Query.
    """
    info(logger, f"Getting the summary from {period.first} to {period.last}")
    aggregates = _aggregates()
    days = aggregates.days(*period)
    return _respond(
        SummarySchema, {**period._asdict(), "totals": aggregates.totals(), "days": days}, DailyChangesSchema, days
    )


@blueprint.route("/products")
@_document_answers(ProductRankingSchema, EXAMPLE_PRODUCTS, EXAMPLE_PRODUCTS_CSV)
@blueprint.arguments(TopSchema, location="query")
def get_top_products(ranking: dict[str, Any]) -> Response:
    """Get the top products of all carts

    Of products with the same figure, the one with the smaller id comes first. Costs four Query and a BatchGetItem,
    whatever the number of products.
    """
    sort = ranking["sort"]
    info(logger, f"Getting the top products by {sort}")
    products = _aggregates().top(sort, ranking["limit"])
    return _respond(ProductRankingSchema, {"sort": sort, "products": products}, ProductTotalsSchema, products)


@blueprint.route("/products/<product_id:product_id>")
@_document_answers(ProductTotalsSchema, EXAMPLE_PRODUCT, EXAMPLE_PRODUCTS_CSV)
def get_product_totals(product_id: int) -> Response:
    """Get how much all carts hold of a product

    Zeros if no cart holds it. Costs one Query.
    """
    info(logger, f"Getting what carts hold of product {product_id}")
    product = _aggregates().product(product_id)
    return _respond(ProductTotalsSchema, product, ProductTotalsSchema, [product])


@blueprint.route("/abandonment")
@_document_answers(AbandonmentSchema, EXAMPLE_ABANDONMENT, EXAMPLE_ABANDONMENT_CSV)
@blueprint.arguments(PeriodSchema, location="query")
def get_abandonment(period: Period) -> Response:
    """Get what was abandoned on each day, next to what was added

    A line is abandoned when DynamoDB deletes it after it has expired. So the lines abandoned on a day are not those
    that were added on that day, and a rate can be greater than 1. As CSV only the days. Costs one Query.
    """
    info(logger, f"Getting what was abandoned from {period.first} to {period.last}")
    days = _aggregates().days(*period)
    by_day = [{"day": day.day} | _flows([day]) for day in days]
    return _respond(
        AbandonmentSchema, {**period._asdict(), "total": _flows(days), "days": by_day}, FlowsOfDaySchema, by_day
    )


def _flows(days: "list[Day]") -> dict[str, Any]:
    """Return the sums of what was added and abandoned on these days, and their rates."""
    names = ("lines_added", "value_added", "lines_abandoned", "value_abandoned")
    sums = {name: sum(getattr(day, name) for day in days) for name in names}
    return sums | {
        "lines_rate": _rate(sums["lines_abandoned"], sums["lines_added"]),
        "value_rate": _rate(sums["value_abandoned"], sums["value_added"]),
    }


def _rate(abandoned: Decimal | int, added: Decimal | int) -> Decimal | None:
    return (Decimal(abandoned) / added).quantize(FOUR_DECIMALS) if added else None


def _respond(schema: type[JsonSchema], value: Any, row_schema: type[JsonSchema], rows: Iterable[Any]) -> Response:
    """Return the response in the format that the client prefers.

    :param schema, value: for JSON
    :param row_schema, rows: for CSV
    """
    if _preferred_type() == CSV:
        response = Response(_csv(row_schema(), rows), content_type=f"{CSV}; charset=utf-8; header=present")
    else:
        response = respond(schema().dumps(value))
    response.headers["Vary"] = "Accept"
    return response


def _preferred_type() -> str:
    """Return the type that ``Accept`` prefers (RFC 9110, section 12.5.1). Its parameters but ``q`` are ignored.

    A client that accepts only problems means JSON: generated clients list all types of an operation in any order.

    :raise NotAcceptable: the client accepts neither JSON nor CSV (406)
    """
    if not request.accept_mimetypes:
        return JSON
    accepted = MIMEAccept([(item.partition(";")[0].rstrip(), quality) for item, quality in request.accept_mimetypes])
    media_type = accepted.best_match([JSON, CSV]) or (JSON if accepted.quality(PROBLEM_JSON) else None)
    if media_type is None:
        message = Message(f"Must allow {JSON} or {CSV}.", "not-one-of", choices=[JSON, CSV])
        raise NotAcceptable(f"Accept {JSON} or {CSV}.", {"Accept": [message]})
    return media_type


def _csv(schema: JsonSchema, rows: Iterable[Any]) -> str:
    """Return rows as CSV with a header (RFC 4180).

    All cells are numbers or days, so none needs protection from being read as a formula by a spreadsheet.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [str(field.data_key or name) for name, field in schema.dump_fields.items()])
    writer.writeheader()
    writer.writerows(schema.dump(row) for row in rows)
    return text.getvalue()

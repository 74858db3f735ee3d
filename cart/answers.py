"""What is answered, as JSON. Lines and carts are written straight: the schemas say the same, at ten times the cost."""

from collections.abc import Iterable
from decimal import Decimal
from json.encoder import encode_basestring_ascii as quoted
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request
from marshmallow import Schema
from werkzeug.datastructures import Headers

from cart.lines import Cart, CartAndSaved, Line, etag_of
from cart.rows import Row, exact_price, shown_line_of
from cart.table import Answer
from cart.wire import instance_of

NOTHING = Decimal("0.00")


def line_json(line: Line) -> str:
    """As ``LineSchema`` has it, to the byte."""
    news = _news_json(line) if line.change else ""
    product_id, name, quantity, price = line.product_id, line.product_name, line.quantity, line.price
    return _line_json(product_id, name, quantity, price, line.subtotal, line.added_at, line.version, news)


def _line_json(
    product_id: int | str,
    product_name: str,
    quantity: int,
    price: Decimal,
    subtotal: Decimal,
    added_at: str,
    version: int | str,
    news: str,
) -> str:
    """:param news: further members, each with a comma before it"""
    return (
        f'{{"product_id": {product_id}, "product_name": {quoted(product_name)}, "quantity": {quantity}, '
        f'"price": {price!s}, "subtotal": {subtotal!s}, "added_at": "{added_at}", "version": {version}{news}}}'
    )


def _news_json(line: Line) -> str:
    """The members of a line whose price has changed, each with a comma before it."""
    news = line.news
    return f', "current_price": {news.price:.2f}, "price_changed_at": "{news.changed_at}"' if news else ""


def lines_json(lines: Iterable[Line]) -> str:
    return f"[{', '.join(map(line_json, lines))}]"


def cart_json(cart: Cart) -> str:
    """As ``CartSchema`` or ``CartAndSavedSchema`` has it, to the byte."""
    saved = f', "saved": {lines_json(cart.saved)}' if isinstance(cart, CartAndSaved) else ""
    return f'{{"user_id": {quoted(cart.user_id)}, {contents_json(cart)}{saved}}}'


def cart_json_of(user_id: str, rows: Iterable[Row]) -> tuple[str, str]:
    """The JSON and the ETag of a cart, straight from its live rows.

    They are what ``cart_json`` and ``Cart.etag`` make of their lines, without the lines: this is what is asked most.
    """
    shown, units, total, price_changes = [], 0, NOTHING, 0
    for row in rows:
        product_id, version, price = row["product_id"]["N"], row["version"]["N"], exact_price(row["price"]["N"])
        added_at, quantity = row["added_at"]["S"], int(row["quantity"]["N"])
        news = _news_json(shown_line_of(row)) if "current_price" in row else ""
        if news:
            price_changes += 1
        subtotal = price * quantity
        units += quantity
        total += subtotal
        name = row["product_name"]["S"]
        line = _line_json(product_id, name, quantity, price, subtotal, added_at, version, news)
        shown.append((added_at, int(product_id), f"{product_id}-{version}", line))
    shown.sort()
    lines = ", ".join([line for _, _, _, line in shown])
    body = f'{{"user_id": {quoted(user_id)}, {_contents_json(f"[{lines}]", units, total, price_changes)}}}'
    return body, etag_of([state for _, _, state, _ in shown])


def contents_json(cart: Cart) -> str:
    """The members of a cart that do not say whose it is."""
    return _contents_json(lines_json(cart.items), cart.total_items, cart.total_price, cart.price_changes)


def _contents_json(items: str, units: int, total: Decimal, price_changes: int) -> str:
    return f'"items": {items}, "total_items": {units}, "total_price": {total!s}, "price_changes": {price_changes}'


class _Answered(Response):
    """A response whose headers are right as they are, and its body whole: there is nothing to look for and correct."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        return self.headers

    def get_app_iter(self, environ: Any) -> Iterable[bytes]:
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


def shown(schema: type[Schema], value: Any, status: int = 200, location: str | None = None) -> Response:
    """An answer as a schema has it, for what is not asked for all the time."""
    return respond(Answer(status, current_app.json.dumps(instance_of(schema).dump(value))), location)


def respond(answer: Answer, location: str | None = None) -> Response:
    """An answer as it was made, or as it was kept.

    :param location: the path of what it is about
    """
    response = _Answered(answer.body, answer.status, content_type="application/json")
    if location:
        response.headers.add("Location", request.root_path + quote(location))
    if answer.etag:
        response.headers.add("ETag", f'"{answer.etag}"')
    if answer.replayed:
        response.headers.add("Idempotency-Replayed", "true")
    return response


def empty(status: int, etag: str | None = None) -> Response:
    """An answer with no body, and without the Content-Type that Flask gives to every answer."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    if etag:
        response.headers["ETag"] = f'"{etag}"'
    return response

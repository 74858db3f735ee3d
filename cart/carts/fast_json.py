"""What is answered, as JSON. Lines and carts are written straight: the schemas say the same, at ten times the cost."""

from collections.abc import Iterable
from decimal import Decimal
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from flask import current_app

from cart.carts.examples import EXAMPLE_ITEM
from cart.dynamodb.keys import Row
from cart.dynamodb.rows import exact_price, shown_line_of
from cart.http.converters import MAX_PRODUCT_ID
from cart.http.fields import MAX_NAME_CHARACTERS, MAX_PRICE
from cart.model.lines import Cart, CartAndSaved, Line, etag_of
from cart.model.money import CENT

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


def plain_quantity(body: Any) -> dict[str, int] | None:
    """What ``QuantitySchema`` loads of a body that is plainly right; None of one that it has to judge."""
    if type(body) is dict and len(body) == 1 and _is_plain_quantity(body.get("quantity")):
        return body
    return None


def plain_item(body: Any) -> dict[str, Any] | None:
    """What ``ItemSchema`` loads of a body that is plainly right; None of one that it has to judge."""
    if type(body) is not dict or len(body) != len(EXAMPLE_ITEM):
        return None
    product_id, name, price = body.get("product_id"), body.get("product_name"), body.get("price")
    if (
        type(product_id) is int
        and 1 <= product_id <= MAX_PRODUCT_ID
        and type(name) is str
        and 1 <= len(name) <= MAX_NAME_CHARACTERS
        and name.isprintable()  # neither a control character nor a surrogate, and no space but U+0020
        and not name.isspace()
        and _is_plain_quantity(body.get("quantity"))
        and (type(price) is int or (type(price) is Decimal and price.as_tuple().exponent in (0, -1, -2)))
        and CENT <= price <= MAX_PRICE
    ):
        return body | {"price": Decimal(price).quantize(CENT)}
    return None


def _is_plain_quantity(quantity: Any) -> bool:
    return type(quantity) is int and 1 <= quantity <= current_app.config["CART_MAX_QUANTITY"]

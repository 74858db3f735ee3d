"""The shapes of the products service's answers. They are read with tolerance: one odd product must not block a cart."""

import re
from decimal import Decimal
from typing import Any

from marshmallow import fields, validate

from cart.http import json
from cart.http.fields import MAX_NAME_CHARACTERS, MAX_PRICE, Price, WholeNumber, check_printable
from cart.http.schema import JsonSchema

_NUMBER_TEXT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def _number_of(value: Any) -> Any:
    """Return the number that a text has in JSON's notation without an exponent; anything else is returned as it is.

    Other notations are ambiguous: `1,000` and `1.000,00` depend on the country.
    """
    return json.loads(value) if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value) else value


class _CatalogPrice(Price):
    def _validated(self, value: Any) -> Decimal:
        return abs(cents) if (cents := super()._validated(_number_of(value))) == 0 else cents  # no -0.00


class _CatalogNumber(WholeNumber):
    def _validated(self, value: Any) -> int:
        return super()._validated(_number_of(value))


class _CatalogName(fields.String):
    """A text, which is loaded as a line may have it: one line without control characters, of at most 200 characters."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = re.sub("[\ud800-\udfff]", "", super()._deserialize(value, attr, data, **kwargs))
        line = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
        return line.strip()[:MAX_NAME_CHARACTERS].rstrip()


class ProductSchema(JsonSchema):
    """A product as the products service sends it: id, name and price. Other members are ignored."""

    product_id = _CatalogNumber(required=True)
    name = _CatalogName(required=True, validate=check_printable)
    price = _CatalogPrice(required=True, validate=validate.Range(0, MAX_PRICE))


class InventorySchema(JsonSchema):
    """The stock of a product, in units. ``null`` and numbers below 0 mean none."""

    stock_quantity = _CatalogNumber(required=True, allow_none=True)


product_schema = ProductSchema()
inventory_schema = InventorySchema()

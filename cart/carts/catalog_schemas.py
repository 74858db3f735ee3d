"""The shapes of what the products service answers, as far as they are used."""

from marshmallow import EXCLUDE, fields, validate

from cart.http.fields import MAX_PRICE, Price, WholeNumber, check_printable
from cart.http.schema import JsonSchema
from cart.model.money import CENT


class ProductSchema(JsonSchema):
    """What the products service says of a product, as far as it is used."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = WholeNumber(required=True)
    name = fields.String(required=True, validate=validate.And(validate.Length(1), check_printable))
    price = Price(required=True, validate=validate.Range(CENT, MAX_PRICE))


class InventorySchema(JsonSchema):
    """What it says of a product's stock."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    stock_quantity = WholeNumber(required=True, validate=validate.Range(0))


product_schema = ProductSchema()
inventory_schema = InventorySchema()

"""The shapes of the products service's answers. Members that are not used here are ignored."""

from marshmallow import EXCLUDE, fields, validate

from cart.http.fields import MAX_PRICE, Price, WholeNumber, check_printable
from cart.http.schema import JsonSchema
from cart.model.money import CENT


class ProductSchema(JsonSchema):
    """A product: its id, name and price."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = WholeNumber(required=True)
    name = fields.String(required=True, validate=validate.And(validate.Length(1), check_printable))
    price = Price(required=True, validate=validate.Range(CENT, MAX_PRICE))


class InventorySchema(JsonSchema):
    """The stock of a product, in units."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    stock_quantity = WholeNumber(required=True, validate=validate.Range(0))


product_schema = ProductSchema()
inventory_schema = InventorySchema()

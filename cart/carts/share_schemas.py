"""The shapes of links to a cart."""

from typing import Any

from marshmallow import fields

from cart.dynamodb.shares import ACCESSES
from cart.http.fields import OneOf, Range, WholeNumber
from cart.http.schema import JsonSchema, RequestSchema


def access_field(**kwargs: Any) -> fields.String:
    """Return the field of what a link allows."""
    description = "`view`: whoever has the link can see the cart; `edit`: and change it"
    return fields.String(validate=OneOf(ACCESSES), metadata={"description": description}, **kwargs)


class ShareRequestSchema(RequestSchema):
    access = access_field(load_default="view")
    expires_in_days = WholeNumber(load_default=7, validate=Range(1, 365))


class ShareSchema(JsonSchema):
    share_id = fields.String(required=True, metadata={"description": "By which the owner revokes the link"})
    access = access_field(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    expires_at = fields.String(required=True, metadata={"format": "date-time"})


class ShareWithTokenSchema(ShareSchema):
    token = fields.String(required=True, metadata={"description": "In this answer only: the service stores its hash"})


class ShareListSchema(JsonSchema):
    shares = fields.List(fields.Nested(ShareSchema), required=True)

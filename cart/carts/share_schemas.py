"""The shapes of links to a cart."""

from marshmallow import fields

from cart.dynamodb.shares import ACCESSES
from cart.http.fields import OneOf, Range, WholeNumber
from cart.http.schema import JsonSchema, RequestSchema


class ShareRequestSchema(RequestSchema):
    access = fields.String(load_default="view", validate=OneOf(ACCESSES))
    expires_in_days = WholeNumber(load_default=7, validate=Range(1, 365))


class ShareSchema(JsonSchema):
    share_id = fields.String(required=True)
    access = fields.String(required=True, validate=OneOf(ACCESSES))
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    expires_at = fields.String(required=True, metadata={"format": "date-time"})


class ShareWithTokenSchema(ShareSchema):
    token = fields.String(required=True, metadata={"description": "In this answer only: the service stores its hash"})


class SharesSchema(JsonSchema):
    shares = fields.List(fields.Nested(ShareSchema), required=True)

"""Views that tell whether the process runs and whether the table answers."""

from typing import Any

from marshmallow import fields, validate

from cart.errors import STORE
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_table
from cart.http.schema import JsonSchema

OK = {"status": "ok"}


class HealthSchema(JsonSchema):
    status = fields.String(required=True, validate=validate.Equal("ok"))


health_schema = HealthSchema()
blueprint = CartBlueprint("health", __name__, url_prefix="/health", description="For load balancers and monitoring")


@blueprint.route("")
@blueprint.problems()
@blueprint.response(200, health_schema, example=OK)
@blueprint.open
def get_health() -> dict[str, Any]:
    """Check that the process runs

    It does not call DynamoDB.
    """
    return OK


@blueprint.route("/ready")
@blueprint.problems(*STORE)
@blueprint.response(200, health_schema, example=OK)
@blueprint.open
def get_readiness() -> dict[str, Any]:
    """Check that the table answers

    Otherwise the answer is 429 or 503.
    """
    get_table().check()
    return OK

"""Whether the service is alive, and whether it can do its work."""

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
blueprint = CartBlueprint("health", __name__, url_prefix="/health", description="For load balancers and people")


@blueprint.route("")
@blueprint.problems()
@blueprint.response(200, health_schema, example=OK)
@blueprint.open
def alive() -> dict[str, Any]:
    """Is the process alive?"""
    return OK


@blueprint.route("/ready")
@blueprint.problems(*STORE)
@blueprint.response(200, health_schema, example=OK)
@blueprint.open
def ready() -> dict[str, Any]:
    """Does the table answer?"""
    get_table().check()
    return OK

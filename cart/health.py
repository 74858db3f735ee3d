"""Views that tell whether the process runs and whether the table answers."""

from flask import Response

from cart.carts.schemas import HealthSchema
from cart.errors import STORE
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_table
from cart.http.response import shown

OK = {"status": "ok"}

blueprint = CartBlueprint("health", __name__, url_prefix="/health", description="For load balancers and monitoring")


@blueprint.route("")
@blueprint.response(200, HealthSchema, example=OK)
@blueprint.open
@blueprint.problems()
def alive() -> Response:
    """Check that the process runs"""
    return shown(HealthSchema, OK)


@blueprint.route("/ready")
@blueprint.response(200, HealthSchema, example=OK)
@blueprint.open
@blueprint.problems(*STORE)
def ready() -> Response:
    """Check that the table answers"""
    get_table().check()
    return shown(HealthSchema, OK)

"""Whether the service is alive, and whether it can do its work."""

from flask import Response

from cart.carts.schemas import HealthSchema
from cart.errors import STORE
from cart.http.blueprint import CartBlueprint
from cart.http.extensions import get_table
from cart.http.response import shown

OK = {"status": "ok"}

blueprint = CartBlueprint("health", __name__, url_prefix="/health", description="For load balancers and people")


@blueprint.route("")
@blueprint.response(200, HealthSchema, example=OK)
@blueprint.open
@blueprint.problems()
def alive() -> Response:
    """Is the process alive?"""
    return shown(HealthSchema, OK)


@blueprint.route("/ready")
@blueprint.response(200, HealthSchema, example=OK)
@blueprint.open
@blueprint.problems(*STORE)
def ready() -> Response:
    """Does the table answer?"""
    get_table().check()
    return shown(HealthSchema, OK)

"""Whether the service is alive, and whether it can do its work."""

from cart.errors import STORE
from cart.schemas import HealthSchema
from cart.table import get_table
from cart.wire import CartBlueprint

OK = {"status": "ok"}

blueprint = CartBlueprint("health", __name__, url_prefix="/health", description="For load balancers and people")


@blueprint.route("")
@blueprint.response(200, HealthSchema, example=OK)
@blueprint.doc(security=[])
@blueprint.problems()
def alive() -> dict[str, str]:
    """Is the process alive?"""
    return OK


@blueprint.route("/ready")
@blueprint.response(200, HealthSchema, example=OK)
@blueprint.doc(security=[])
@blueprint.problems(*STORE)
def ready() -> dict[str, str]:
    """Does the table answer?"""
    get_table().check()
    return OK

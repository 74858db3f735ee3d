"""The address of the service itself: it leads to Swagger UI."""

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from cart.http.auth import open_to_all

blueprint = Blueprint("docs", __name__)


@blueprint.route("/")
@open_to_all
def show_docs() -> Response:
    """Redirect to Swagger UI.

    Under a known prefix the Location has it, since API Gateway serves its stage without a slash at the end, too.
    Otherwise it is relative, so that it holds under a prefix that a proxy takes away.
    """
    return redirect(f"{request.root_path}/docs" if request.root_path else "docs")

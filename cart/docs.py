"""The route ``/``, which redirects to Swagger UI."""

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from cart.http.auth import open_to_all

blueprint = Blueprint("docs", __name__)


@blueprint.route("/")
@open_to_all
def show_docs() -> Response:
    """Redirect to Swagger UI.

    The Location contains a known prefix, since API Gateway also serves its stage without a slash at the end. Without a
    known prefix it is relative, so that it is right behind a proxy that removes a prefix.
    """
    return redirect(f"{request.root_path}/docs" if request.root_path else "docs")

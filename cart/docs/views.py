"""The OpenAPI document, and Swagger UI, which shows it.

Swagger UI's own files are served from the package flask-swagger-ui, as the app's static files.
"""

from pathlib import Path
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirect

from cart.http.auth import open_to_all
from cart.http.extensions import get_api
from cart.http.response import respond_file, respond_page

PAGES = Path(__file__).parent / "pages"
# No content from other origins, no inline scripts, no framing (the page asks for a token). Swagger UI puts styles into
# its elements, and has images as data.
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)

blueprint = Blueprint("docs", __name__)


@blueprint.route("/")
@open_to_all
def redirect_to_docs() -> Redirect:
    """Redirect to Swagger UI.

    The Location contains a known prefix, since API Gateway also serves its stage without a slash at the end. Without a
    known prefix it is relative, so that it is right behind a proxy that removes a prefix.
    """
    return redirect(f"{request.root_path}/docs" if request.root_path else "docs")


@blueprint.route("/openapi.json")
@open_to_all
def show_document() -> Response:
    """Return the OpenAPI document. Its server is the address of this request, so no shared cache may keep it."""
    origin = f"{request.scheme}://{request.host}" if request.host else ""  # it is empty if the header is malformed
    address = f"{origin}{quote(request.root_path)}" or "/"
    response = Response(get_api().document_of(address), content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.route("/docs")
@open_to_all
def show_page() -> Response:
    """Return Swagger UI's page. Its URLs are relative, so that they also work below a prefix such as a stage's."""
    return respond_page(PAGES / "docs.html", POLICY)


@blueprint.route("/docs/start.js")
@open_to_all
def show_script() -> Response:
    """Return the script of the page, which starts Swagger UI."""
    return respond_file(PAGES / "start.js", "text/javascript")

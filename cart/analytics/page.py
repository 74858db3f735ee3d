"""The page /analytics, as it lies in cart/pages: it holds no data, and asks the API for it as anybody would.

Nothing is read before it is asked for. uPlot is that of the npm package, pinned by ``tests/test_page.py``.
"""

from pathlib import Path

from flask import Blueprint, Response, request

from cart.errors import NotFound
from cart.http.auth import open_to_all

PAGES = Path(__file__).parent / "pages"
ASSETS = {
    **dict.fromkeys(("analytics.css", "uplot.css"), "text/css"),
    **dict.fromkeys(("analytics.js", "api.js", "charts.js", "theme.js", "uplot.js"), "text/javascript"),
}
# Nothing from elsewhere, nothing inline, no frame around the form for a token, and that form is never sent
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

blueprint = Blueprint("page", __name__)


@blueprint.route("/analytics")
@open_to_all
def show() -> Response:
    """The page. Its addresses are relative, so that they hold under a prefix such as API Gateway's stage."""
    response = _file("analytics.html", "text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.route("/analytics/assets/<name>")
@open_to_all
def show_asset(name: str) -> Response:
    """:raise NotFound: there is no such file (404)"""
    if name not in ASSETS:
        raise NotFound
    return _file(name, ASSETS[name])


def _file(name: str, media_type: str) -> Response:
    """A file, or 304. Its ETag is made of what it holds: in Lambda's package every file is dated 1980."""
    response = Response((PAGES / name).read_bytes(), content_type=f"{media_type}; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response

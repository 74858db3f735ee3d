"""Serve the page /analytics and its files, from the folder pages/.

The page contains no data: its scripts request them from the API. uPlot is a copy of the npm package's file; a test
compares its checksum.
"""

from pathlib import Path

from flask import Blueprint, Response

from cart.errors import NotFound
from cart.http.auth import open_to_all
from cart.http.response import respond_file, respond_page

PAGES = Path(__file__).parent / "pages"
ASSETS = {
    **dict.fromkeys(("analytics.css", "uplot.css"), "text/css"),
    **dict.fromkeys(("analytics.js", "api.js", "charts.js", "theme.js", "uplot.js"), "text/javascript"),
}
# No content from other origins, no inline scripts or styles, no framing (the page asks for a token), and no form
# submission: a script reads the form
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

blueprint = Blueprint("page", __name__)


@blueprint.route("/analytics")
@open_to_all
def show() -> Response:
    """Return the page. Its URLs are relative, so that they also work below a prefix such as API Gateway's stage."""
    return respond_page(PAGES / "analytics.html", POLICY)


@blueprint.route("/analytics/assets/<name>")
@open_to_all
def show_asset(name: str) -> Response:
    """Return a file of the page.

    :raise NotFound: there is no such file (404)
    """
    if name not in ASSETS:
        raise NotFound
    return respond_file(PAGES / name, ASSETS[name])

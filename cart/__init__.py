"""Cart: a headless shopping-cart service on DynamoDB."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from flask import Flask

from cart import health, logs
from cart.analytics import page
from cart.analytics import views as analytics_views
from cart.bus import Bus
from cart.carts import saved_views, share_views
from cart.carts import views as cart_views
from cart.config import Config
from cart.docs import views as docs_views
from cart.dynamodb.client import connect
from cart.dynamodb.table import CartTable
from cart.http import auth, request_log
from cart.http.app import CartFlask
from cart.http.converters import CONVERTERS, document_url_parts
from cart.http.json import MAX_BODY_BYTES
from cart.http.problems import ProblemApi
from cart.http.request import refuse_unread_conditions
from cart.prices import views as price_views

VERSION = "0.1.0"
DESCRIPTION = """A shopping cart for shop fronts: carts of guests and users, saved lists, merge at login, links to
carts, validation against a products service, price changes, and what all carts hold.

- Money is a JSON number with at most two decimals. Times are ISO 8601 in UTC.
- Errors are RFC 9457 problems; decide by their `type`.
- With an `Idempotency-Key`, a POST can be repeated without being carried out twice.
- With `If-Match` and an ETag, a change is made only if nothing has changed since you read it.

*Try it out* sends real requests to this service.
"""
NO_SECURITY: dict[str, Any] = {"security": []}
BEARER: dict[str, Any] = {
    "security": [{"bearer": []}],
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}},
}


def create_app(config: Config | None = None) -> Flask:
    """Build the WSGI app; this is the only place where its parts are joined.

    :param config: the settings, or None to read them from the environment
    :raise ConfigError: a setting has a bad value
    """
    config = config or Config.from_env()
    logs.configure_logging(config.log_level)
    # /docs/... is Swagger UI as flask-swagger-ui ships it: no CDN, and no view of ours to serve files
    app = CartFlask(__name__, static_folder=_swagger_ui_folder(), static_url_path="/docs")
    app.config.from_mapping(
        ENVIRONMENT=config.environment,
        METRICS_NAMESPACE=config.metrics_namespace,
        CART_MAX_QUANTITY=config.cart_max_quantity,
        CATALOG_URL=config.catalog_url,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES + 1,  # one more, to tell a body that is cut off from one that fits
        API_TITLE="Cart",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={"servers": [{"url": "/"}], "info": {"description": DESCRIPTION}}
        | (NO_SECURITY if config.auth_mode == "none" else BEARER),
    )
    app.url_map.merge_slashes = False
    app.url_map.converters |= CONVERTERS
    app.extensions["cart_config"] = config
    app.extensions["cart_table"] = CartTable(connect(config), config)
    if config.catalog_url:
        from cart.carts.catalog import Catalog  # noqa: PLC0415 - only where it is used

        app.extensions["cart_catalog"] = Catalog(config)
    app.extensions["cart_bus"] = Bus(config)
    request_log.init_app(app)
    api = ProblemApi(app)
    document_url_parts(api)
    for views in (cart_views, saved_views, share_views, price_views, analytics_views, health):
        api.register_blueprint(views.blueprint)
    app.extensions["cart_api"] = api
    app.register_blueprint(docs_views.blueprint)
    app.register_blueprint(page.blueprint)
    auth.init_app(app, config)
    app.before_request(refuse_unread_conditions)
    if config.cors_origins:
        from cart.http import cors  # noqa: PLC0415 - only where it is used

        cors.init_app(app, config.cors_origins)
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        from cart.commands import cli, compression  # noqa: PLC0415 - not shipped to Lambda

        cli.init_app(app)
        app.wsgi_app = compression.Compression(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _swagger_ui_folder() -> Path:
    spec = importlib.util.find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise SystemExit("cart: flask-swagger-ui is not installed; run pip install -r requirements.txt")
    return Path(spec.origin).parent / "dist"

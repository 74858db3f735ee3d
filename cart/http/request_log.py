"""A log line for each request, with its id, route, status, duration and metrics."""

import logging
import re
import time
from functools import cache
from json.encoder import encode_basestring_ascii as quoted
from secrets import token_hex
from typing import Any

from flask import Flask, Response, current_app, request
from flask_smorest.spec.plugins import FlaskPlugin

from cart.context import RequestContext, current_request
from cart.logs import embedded_metrics, info

logger = logging.getLogger(__name__)

_VALID_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def init_app(app: Flask) -> None:
    """Give each request an id and a log line. The line has the pattern of the route, not the path."""
    app.before_request(_start)
    app.after_request(_finish)
    app.teardown_request(_end)


def _start() -> None:
    current_request.set(RequestContext(_find_request_id(request.environ)))


def _end(_: BaseException | None) -> None:
    current_request.set(None)


def _find_request_id(environ: dict[str, Any]) -> str:
    """Return the first valid id: the caller's, API Gateway's or Lambda's; else a new one."""
    if (caller_id := environ.get("HTTP_X_REQUEST_ID")) and _VALID_ID.fullmatch(caller_id):
        return str(caller_id)
    event, context = environ.get("lambda.event"), environ.get("lambda.context")
    if event and (gateway_id := event.get("requestContext", {}).get("requestId")) and _VALID_ID.fullmatch(gateway_id):
        return str(gateway_id)
    if context and (lambda_id := getattr(context, "aws_request_id", None)) and _VALID_ID.fullmatch(lambda_id):
        return str(lambda_id)
    return token_hex(16)


def _finish(response: Response) -> Response:
    context = current_request.get() or RequestContext("-")
    response.headers.add("X-Request-ID", context.id)
    current, config, status = request._get_current_object(), current_app.config, response.status_code  # type: ignore[attr-defined]
    route = _route_template(current.url_rule.rule) if current.url_rule else None
    duration_ms = round((time.perf_counter() - context.started) * 1000, 2)
    values = {"Requests": 1, "Duration": duration_ms, **context.counts}
    if status >= 400:
        values["Errors5xx" if status >= 500 else "Errors4xx"] = 1
    members = (
        f', "method": {quoted(current.method)}, "route": {quoted(route) if route else "null"}, "status": {status}, '
        f'"duration_ms": {duration_ms}{embedded_metrics(config["METRICS_NAMESPACE"], config["ENVIRONMENT"], values)}'
    )
    info(logger, f"{current.method} {route or '-'} {status}", members)
    return response


@cache
def _route_template(rule: str) -> str:
    return FlaskPlugin.flaskpath2openapi(rule)

"""One log line for each request, with its id, route, status, duration and metrics."""

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

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def init_app(app: Flask) -> None:
    """Give every request an id and one log line: method, route (the pattern), status, duration, metrics."""
    app.before_request(_start)
    app.after_request(_finish)
    app.teardown_request(_end)


def _start() -> None:
    current_request.set(RequestContext(_find_request_id(request.environ)))


def _end(_: BaseException | None) -> None:
    current_request.set(None)


def _find_request_id(environ: dict[str, Any]) -> str:
    """The caller's id if it is sane, else API Gateway's, else Lambda's, else a new one."""
    if (asked := environ.get("HTTP_X_REQUEST_ID")) and _SANE_ID.fullmatch(asked):
        return str(asked)
    event, context = environ.get("lambda.event"), environ.get("lambda.context")
    if event and (of_gateway := event.get("requestContext", {}).get("requestId")) and _SANE_ID.fullmatch(of_gateway):
        return str(of_gateway)
    if context and (of_lambda := getattr(context, "aws_request_id", None)) and _SANE_ID.fullmatch(of_lambda):
        return str(of_lambda)
    return token_hex(16)


def _finish(response: Response) -> Response:
    answering = current_request.get() or RequestContext("-")
    response.headers.add("X-Request-ID", answering.id)
    asked, config, status = request._get_current_object(), current_app.config, response.status_code  # type: ignore[attr-defined]
    route = _route_template(asked.url_rule.rule) if asked.url_rule else None
    duration_ms = round((time.perf_counter() - answering.started) * 1000, 2)
    values = {"Requests": 1, "Duration": duration_ms, **answering.counts}
    if status >= 400:
        values["Errors5xx" if status >= 500 else "Errors4xx"] = 1
    members = (
        f', "method": {quoted(asked.method)}, "route": {quoted(route) if route else "null"}, "status": {status}, '
        f'"duration_ms": {duration_ms}{embedded_metrics(config["METRICS_NAMESPACE"], config["ENVIRONMENT"], values)}'
    )
    info(logger, f"{asked.method} {route or '-'} {status}", members)
    return response


@cache
def _route_template(rule: str) -> str:
    return FlaskPlugin.flaskpath2openapi(rule)

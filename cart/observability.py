"""JSON logs on stdout, one line per event, each with the id of the request it belongs to; and metrics in them."""

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii as quoted
from secrets import token_hex
from typing import Any

from flask import Flask, Response, current_app, request
from flask_smorest.spec.plugins import FlaskPlugin

logger = logging.getLogger(__name__)

# What CloudWatch is told, each with its unit. One dimension, Environment: every other one would multiply the bill.
METRICS = {
    "Requests": "Count",
    "Errors4xx": "Count",
    "Errors5xx": "Count",
    "Duration": "Milliseconds",
    "DynamoDBRequests": "Count",
    "DynamoDBCapacityUnits": "Count",
    "DynamoDBThrottles": "Count",
    "ItemsAdded": "Count",
    "CartsCleared": "Count",
    "TableItems": "Count",
    "TableSize": "Bytes",
    "ChangesCounted": "Count",
    "ChangesFailed": "Count",
}


class _Answering:
    """The request that is being answered: its id, when it began, and what was counted since."""

    __slots__ = ("counts", "id", "started")

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self.started = time.perf_counter()
        self.counts: dict[str, float] = {}


_answering: ContextVar[_Answering | None] = ContextVar("answering", default=None)
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def seconds_since(started: float) -> float:
    """Seconds since the request that is being answered began; where none is, since ``started``, a perf_counter."""
    answering = _answering.get()
    return time.perf_counter() - (answering.started if answering else started)


def request_id() -> str:
    """The id of the request this thread is answering, ``-`` where there is none."""
    answering = _answering.get()
    return answering.id if answering else "-"


@lru_cache(2)
def _time(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _line(created: float, level: str, message: str, name: str, members: str) -> str:
    second = int(created)
    moment = f"{_time(second)}.{int((created - second) * 1000):03}Z"
    return (
        f'{{"time": "{moment}", "level": "{level}", "message": {quoted(message)}, '
        f'"request_id": {quoted(request_id())}, "logger": "{name}"{members}}}\n'
    )


def info(logger: logging.Logger, message: str, members: str = "") -> None:
    """Log a line of INFO, straight to stdout. ``logging``'s records would take a tenth of a request.

    :param members: more of the line's JSON, each with a comma before it
    """
    if logger.isEnabledFor(logging.INFO):
        sys.stdout.write(_line(time.time(), "INFO", message, logger.name, members))
        sys.stdout.flush()


class _Formatter(logging.Formatter):
    """One JSON object a line, of what is not logged by ``info``."""

    def format(self, record: logging.LogRecord) -> str:
        members = f', "exc_info": {quoted(self.formatException(record.exc_info))}' if record.exc_info else ""
        return _line(record.created, record.levelname, record.getMessage(), record.name, members).rstrip("\n")


class _Stdout(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever ``sys.stdout`` is now, which test runners exchange."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stdout


def configure_logging(level: str) -> None:
    """Send the log of this process to stdout as JSON: ours from ``level`` on, libraries' from WARNING on.

    The root's handlers are replaced, since Lambda's runtime brings one that would print each event twice.
    """
    handler = _Stdout()
    handler.setFormatter(_Formatter())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("cart").setLevel(level)


def count(metric: str, amount: float = 1) -> None:
    """Add to one of ``METRICS``, for the log line of the request that is being answered, if one is."""
    if answering := _answering.get():
        answering.counts[metric] = answering.counts.get(metric, 0) + amount


def embedded_metrics(namespace: str | None, environment: str, values: Mapping[str, float]) -> str:
    """Members of a log line from which CloudWatch makes metrics ("Embedded metric format specification").

    :param values: metric to value; none is sent for a metric that is not there
    :return: JSON, each with a comma before it; nothing where there is no namespace
    """
    if not namespace:
        return ""
    members = "".join([f', "{name}": {value}' for name, value in values.items()])
    head = f'"Timestamp": {int(time.time() * 1000)}, "CloudWatchMetrics": {_directive(namespace, tuple(values))}'
    return f', "_aws": {{{head}}}, "Environment": {quoted(environment)}{members}'


@cache
def _directive(namespace: str, names: tuple[str, ...]) -> str:
    metrics = [{"Name": name, "Unit": METRICS[name]} for name in names]
    return json.dumps([{"Namespace": namespace, "Dimensions": [["Environment"]], "Metrics": metrics}])


def init_app(app: Flask) -> None:
    """Give every request an id and one log line: method, route (the pattern), status, duration, metrics."""
    app.before_request(_start)
    app.after_request(_finish)
    app.teardown_request(_end)


def _start() -> None:
    _answering.set(_Answering(_find_request_id(request.environ)))


def _end(_: BaseException | None) -> None:
    _answering.set(None)


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
    answering = _answering.get() or _Answering("-")
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

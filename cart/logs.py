"""JSON logs on stdout, one line per event, each with the id of the request it belongs to; and metrics in them."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii as quoted

from cart.context import request_id

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

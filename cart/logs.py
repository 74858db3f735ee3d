"""JSON log lines on stdout, with the id of the request that they belong to, and metrics in these lines.

A line that cannot be written (full disk, closed pipe) is dropped and counted, and changes no answer. A line before the
next one that can be written says how many are missing. If the reader of a pipe stops reading but keeps it open, the
process blocks at a later line, since the kernel blocks the write.
"""

import hashlib
import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii as quoted

from cart.context import request_id

# Metrics for CloudWatch, with their units. Environment is the only dimension: each other one would multiply the costs.
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
    """Write a log line of level INFO to stdout, without ``logging``, which would take a tenth of a request's CPU time.

    :param members: further JSON members of the line, each with a comma before it
    """
    if logger.isEnabledFor(logging.INFO):
        _write(_line(time.time(), "INFO", without_secrets(message), logger.name, members))


_SECRETS = re.compile(r"(?P<guest>guest-[A-Za-z0-9_-]{32})|(?<=/shared/)(?P<token>[A-Za-z0-9_-]+)")


def without_secrets(text: str) -> str:
    """Return the text with a short hash in place of each guest id and each token of a shared link.

    Both give access to a cart. The hash, of 32 bits, shows whether two lines are about the same cart.
    """
    if "guest-" in text or "/shared/" in text:
        return _SECRETS.sub(_hashed, text)
    return text


def _hashed(secret: re.Match[str]) -> str:
    digest = hashlib.blake2b(secret[0].encode(), digest_size=4).hexdigest()
    return f"guest-#{digest}" if secret["guest"] else f"#{digest}"


class _Output:
    """State of the output.

    :cvar dropped: lines that could not be written since the last line that was written
    """

    dropped = 0


def _write(line: str) -> None:
    """Write a line to the current ``sys.stdout``, or drop it if that fails."""
    try:
        if _Output.dropped:
            message = f"{_Output.dropped} log lines before this one could not be written"
            sys.stdout.write(_line(time.time(), "ERROR", message, __name__, ""))
            sys.stdout.flush()
            _Output.dropped = 0
        sys.stdout.write(line)
        sys.stdout.flush()
    except (OSError, ValueError):  # ValueError: stdout is closed
        _Output.dropped += 1


class _JsonLines(logging.Handler):
    """Write the records of ``logging``: warnings, errors and the log of libraries."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, with its traceback if it has one."""
        members = ""
        if record.exc_info:
            traceback = logging.Formatter().formatException(record.exc_info)
            members = f', "exc_info": {quoted(without_secrets(traceback))}'
        message = without_secrets(record.getMessage())
        _write(_line(record.created, record.levelname, message, record.name, members))


def configure_logging(level: str) -> None:
    """Send the log of this process to stdout as JSON, from WARNING on for libraries.

    The handlers of the root logger are replaced: Lambda's runtime adds one that would print each line twice.

    :param level: the lowest level of this service's own lines
    """
    logging.root.handlers = [_JsonLines()]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("cart").setLevel(level)


def embedded_metrics(namespace: str | None, environment: str, values: Mapping[str, float]) -> str:
    """Return members of a log line that CloudWatch reads as metrics ("Embedded metric format specification").

    :param values: amounts by metric, a name in ``METRICS``
    :return: JSON members, each with a comma before it, or an empty text without a namespace
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

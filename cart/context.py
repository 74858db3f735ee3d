"""The request that is being handled: its id, its start and its counters."""

import time
from contextvars import ContextVar


class RequestContext:
    """A request that is being handled.

    :ivar started: ``time.perf_counter()`` at its start
    :ivar counts: amounts by metric
    """

    __slots__ = ("counts", "id", "started")

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self.started = time.perf_counter()
        self.counts: dict[str, float] = {}


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)


def seconds_since(started: float) -> float:
    """Return the seconds since the start of the current request; without a request, since ``started``.

    :param started: a value of ``time.perf_counter()``
    """
    request = current_request.get()
    return time.perf_counter() - (request.started if request else started)


def request_id() -> str:
    """Return the id of the current request, or ``-`` if there is no request."""
    request = current_request.get()
    return request.id if request else "-"


def count(metric: str, amount: float = 1) -> None:
    """Add to a counter of the current request, which its log line reports. Do nothing without a request.

    :param metric: a name in ``logs.METRICS``
    """
    if request := current_request.get():
        request.counts[metric] = request.counts.get(metric, 0) + amount

"""The request that is being handled: its id, when it began, and what was counted since."""

import time
from contextvars import ContextVar


class RequestContext:
    """The request that is being answered: its id, when it began, and what was counted since."""

    __slots__ = ("counts", "id", "started")

    def __init__(self, request_id: str) -> None:
        self.id = request_id
        self.started = time.perf_counter()
        self.counts: dict[str, float] = {}


current_request: ContextVar[RequestContext | None] = ContextVar("current_request", default=None)


def seconds_since(started: float) -> float:
    """Seconds since the request that is being answered began; where none is, since ``started``, a perf_counter."""
    answering = current_request.get()
    return time.perf_counter() - (answering.started if answering else started)


def request_id() -> str:
    """The id of the request this thread is answering, ``-`` where there is none."""
    answering = current_request.get()
    return answering.id if answering else "-"


def count(metric: str, amount: float = 1) -> None:
    """Add to one of ``METRICS``, for the log line of the request that is being answered, if one is."""
    if answering := current_request.get():
        answering.counts[metric] = answering.counts.get(metric, 0) + amount

"""EventBridge: events for other services, and events that the function sends to itself."""

import json
import logging
import time
from functools import cached_property
from typing import Any

import simplejson

from cart.config import Config
from cart.context import seconds_since
from cart.dynamodb.client import LAST_START_SECONDS, connect, send
from cart.dynamodb.failures import AWS_ERRORS, Failure, NotAnAnswer, code_of, failure_of, member
from cart.dynamodb.retries import Retries
from cart.errors import Unavailable

logger = logging.getLogger(__name__)

SOURCE = "cart"
RESULT = {"EventId", "ErrorCode"}  # the result of each event has one of these
ENTRIES = 10  # the most that one PutEvents takes

Entry = dict[str, Any]


class Bus:
    """The events of this stage.

    :ivar name: the bus for events about carts, or None if none are sent
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.name = config.event_bus_name
        self.environment = config.environment

    @cached_property
    def client(self) -> Any:
        """boto3's client, which is made when the first event is sent: most functions never send one."""
        return connect(self._config, service="events")

    @property
    def step_type(self) -> str:
        """The ``DetailType`` of ``step``: the rule of this stage in zappa_settings.json matches only this value."""
        return f"PriceChangeStep-{self.environment}"

    def cart_price_changed(self, **detail: Any) -> Entry:
        """Return an event for the service that notifies shoppers. Prices are JSON numbers, as in a cart."""
        text = simplejson.dumps(detail | {"environment": self.environment}, use_decimal=True)
        return {"Source": SOURCE, "DetailType": "CartPriceChanged", "Detail": text, "EventBusName": self.name}

    def step(self, job_id: str) -> Entry:
        """Return an event that starts the function again for a job, over the default bus of the account."""
        return {"Source": SOURCE, "DetailType": self.step_type, "Detail": json.dumps({"job_id": job_id})}

    def send(self, entries: list[Entry]) -> None:
        """Send events at least once; those that EventBridge refused are sent again.

        :param entries: at most ``ENTRIES`` events
        :raise Unavailable: some events may not have been accepted (503)
        """
        pending, retries, started = entries, Retries(), time.perf_counter()
        while seconds_since(started) <= LAST_START_SECONDS:
            try:
                refused = self._put(pending)
            except AWS_ERRORS as error:
                reason, failure, code = str(error), failure_of(error), code_of(error)
            else:
                if not refused:
                    retries.succeeded()
                    return
                reason, code = str([result["ErrorCode"] for _, result in refused]), ""
                # after partial success, only the time limits further attempts
                failure = Failure.THROTTLED if len(refused) == len(pending) else Failure.CONTENTION
                pending = [entry for entry, _ in refused]
            if not retries.wait(failure, code):
                logger.error("EventBridge does not accept events: %s", reason)
                break
        raise Unavailable("EventBridge does not accept events. Try again in a few seconds.")

    def _put(self, entries: list[Entry]) -> list[tuple[Entry, dict[str, Any]]]:
        """Send events once; return those that EventBridge refused, each with its result.

        :raise NotAnAnswer: the answer does not have a result for each event
        """
        results = member(send(self.client.put_events, Entries=entries), "Entries", list)
        if len(results) != len(entries) or not all(result and RESULT & result.keys() for result in results):
            raise NotAnAnswer("an answer of EventBridge does not have a result for each event")
        return [(entry, result) for entry, result in zip(entries, results, strict=True) if "ErrorCode" in result]

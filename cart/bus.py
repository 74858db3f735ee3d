"""EventBridge: word that goes out, and what the function sends to itself."""

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
RESULT = {"EventId", "ErrorCode"}  # either is in the result of each event
ENTRIES = 10  # the most that one PutEvents takes

Entry = dict[str, Any]


class Bus:
    """Events of this stage. The client is made when the first is sent: most functions never send one.

    :ivar name: of the bus that hears of carts, or None
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.name = config.event_bus_name
        self.environment = config.environment

    @cached_property
    def client(self) -> Any:
        return connect(self._config, service="events")

    @property
    def step_type(self) -> str:
        """Each stage has its own, for which its rule in zappa_settings.json looks."""
        return f"PriceChangeStep-{self.environment}"

    def cart_price_changed(self, **detail: Any) -> Entry:
        """Word for whoever tells shoppers. Prices are JSON numbers, as in a cart."""
        text = simplejson.dumps(detail | {"environment": self.environment}, use_decimal=True)
        return {"Source": SOURCE, "DetailType": "CartPriceChanged", "Detail": text, "EventBusName": self.name}

    def step(self, job_id: str) -> Entry:
        """What the function sends to itself, over the account's default bus."""
        return {"Source": SOURCE, "DetailType": self.step_type, "Detail": json.dumps({"job_id": job_id})}

    def send(self, entries: list[Entry]) -> None:
        """Send at most ``ENTRIES`` events at least once; those that EventBridge did not take are sent again.

        :raise Unavailable: some may not have been taken
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
                # where some were taken, the time alone limits the attempts for the others
                failure = Failure.THROTTLED if len(refused) == len(pending) else Failure.CONTENTION
                pending = [entry for entry, _ in refused]
            if not retries.wait(failure, code):
                logger.error("EventBridge does not take events: %s", reason)
                break
        raise Unavailable("EventBridge does not take events, try again shortly.")

    def _put(self, entries: list[Entry]) -> list[tuple[Entry, dict[str, Any]]]:
        """Send events once; return those that EventBridge refused, with its results.

        :raise NotAnAnswer: the answer does not tell of each event whether it was taken
        """
        results = member(send(self.client.put_events, Entries=entries), "Entries", list)
        if len(results) != len(entries) or not all(result and RESULT & result.keys() for result in results):
            raise NotAnAnswer("an answer of EventBridge does not tell of each event whether it was taken")
        return [(entry, result) for entry, result in zip(entries, results, strict=True) if "ErrorCode" in result]

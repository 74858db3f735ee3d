"""EventBridge: word that goes out, and what the function sends to itself."""

import json
import logging
import time
from functools import cached_property
from typing import Any

import simplejson

from cart.config import Config
from cart.context import seconds_since
from cart.dynamodb.client import AWS_ERRORS, LAST_START_SECONDS, RETRY_FOR_SECONDS, back_off, connect
from cart.errors import Unavailable

logger = logging.getLogger(__name__)

SOURCE = "cart"
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
        left, attempt, started = entries, 0, time.perf_counter()
        while seconds_since(started) <= LAST_START_SECONDS:
            try:
                results = self.client.put_events(Entries=left)["Entries"]
                failed = [(entry, result) for entry, result in zip(left, results, strict=True) if "ErrorCode" in result]
                left, why = [entry for entry, _ in failed], str([result["ErrorCode"] for _, result in failed])
            except AWS_ERRORS as error:
                why = str(error)
            if not left:
                return
            if seconds_since(started) > RETRY_FOR_SECONDS:
                logger.error("EventBridge does not take events: %s", why)
                break
            back_off(attempt)
            attempt += 1
        raise Unavailable("EventBridge does not take events, try again shortly.")

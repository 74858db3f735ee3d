"""Where Lambda comes in: Zappa's handler, but for the events of EventBridge, which Zappa hands to nobody.

Its rule is made from ``events`` in zappa_settings.json, and this is its ``lambda_handler``.
"""

from typing import Any

from handler import lambda_handler as zappas  # type: ignore[import-not-found] # Zappa's, in the zip; it makes the app

from cart.events import price_changed


def handle(event: Any, context: Any) -> Any:
    """Answer one event of whatever kind."""
    kind = event.get("detail-type", "Scheduled Event")
    return zappas(event, context) if kind == "Scheduled Event" else price_changed(event, context)

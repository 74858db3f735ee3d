"""What Lambda calls (`lambda_handler` in zappa_settings.json): Zappa's handler, but for what Zappa hands to nobody.

Those are events of EventBridge that come by a pattern, and the records of the table's stream: Zappa looks up their
function by the stream's ARN as it was when the zip was made, and takes those of another for done. It is shipped beside
``cart``, not in it: to import it must not be to import the app before `wsgi.py` has seen to the garbage collector.
"""

from typing import Any

from handler import lambda_handler as zappas  # Zappa's, in the zip; it makes the app


def handle(event: Any, context: Any) -> Any:
    """Answer one event of whatever kind. What is not for those who shop is imported when it comes."""
    if event.get("detail-type", "Scheduled Event") != "Scheduled Event":
        from cart.events import price_changed  # noqa: PLC0415

        return price_changed(event, context)
    if (records := event.get("Records")) and records[0].get("eventSource") == "aws:dynamodb":
        from cart.events import count_changes  # noqa: PLC0415

        return count_changes(event, context)
    return zappas(event, context)

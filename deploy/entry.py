"""Lambda's entry point (`lambda_handler` in zappa_settings.json): Zappa's handler, and two kinds of events more.

Zappa does not pass on events of EventBridge that match a pattern. For records of the table's stream it looks up a
function by the stream's ARN at the time of packing; if the ARN differs, it drops the records as if they were handled.
This module is shipped next to the package ``cart``, not in it: importing it must not import the app before `wsgi.py`
has configured the garbage collector.
"""

from typing import Any

from handler import lambda_handler as zappa_handler  # in the zip; its import creates the app


def handle(event: Any, context: Any) -> Any:
    """Handle an event of any kind, and return its result.

    What HTTP requests do not need is imported at the first event that needs it.
    """
    if event.get("detail-type", "Scheduled Event") != "Scheduled Event":
        from cart.events import price_changed  # noqa: PLC0415

        return price_changed(event, context)
    if (records := event.get("Records")) and records[0].get("eventSource") == "aws:dynamodb":
        from cart.events import count_changes  # noqa: PLC0415

        return count_changes(event, context)
    return zappa_handler(event, context)

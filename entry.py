"""What Lambda calls (`lambda_handler` in zappa_settings.json): what the table's stream tells is counted, all else is
Zappa's.

Zappa's handler finds the function for a stream's records by the stream's ARN, as it was when the zip was made, and
takes those of another for done.
"""

from typing import Any

from handler import lambda_handler as zappas_handler


def handle(event: Any, context: Any) -> Any:
    records = event.get("Records")
    if records and records[0].get("eventSource") == "aws:dynamodb":
        from cart.events import count_changes  # noqa: PLC0415 - not for those who shop

        return count_changes(event, context)
    return zappas_handler(event, context)

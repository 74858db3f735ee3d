"""What is called without HTTP: by Zappa, or by `entry.py`."""

import logging
from typing import Any

from flask import current_app

from cart.bookkeeping import Bookkeeper
from cart.counting import count_records
from cart.observability import embedded_metrics, info
from cart.table import get_table

logger = logging.getLogger(__name__)


def report_table_size(event: Any, context: Any) -> None:
    """Log the table's items and bytes as metrics, which DynamoDB does not send to CloudWatch itself."""
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        items, size_bytes = get_table().size()
        _report(f"The table has {items} items of {size_bytes} bytes", {"TableItems": items, "TableSize": size_bytes})


def count_changes(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """Count what the table's stream tells of carts, in the aggregates.

    :param event: up to a batch of records; any may have come before, and some that are older may come later
    :return: the records that were not counted, by sequence number: Lambda sends again from the first of them on
        ("Configuring partial batch response with DynamoDB and Lambda")
    """
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        bookkeeper = Bookkeeper(get_table().client, current_app.extensions["cart_config"])
        failed, records = count_records(bookkeeper, event["Records"]), len(event["Records"])
        values = {"ChangesCounted": records - len(failed), "ChangesFailed": len(failed)}
        _report(f"Counted {values['ChangesCounted']} of {records} changes", values)
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


def _report(message: str, values: dict[str, int]) -> None:
    config = current_app.config
    info(logger, message, embedded_metrics(config["METRICS_NAMESPACE"], config["ENVIRONMENT"], values))

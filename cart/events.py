"""What is called without HTTP: by Zappa, by the clock; by `cart/entry.py`, for EventBridge and the table's stream."""

import json
import logging
from typing import Any

from flask import current_app
from marshmallow import ValidationError

from cart.analytics.counter import Bookkeeper
from cart.analytics.stream_batch import count_records
from cart.http.extensions import get_bus, get_config, get_table
from cart.http.parser import invalid_input
from cart.logs import embedded_metrics, info
from cart.prices import jobs
from cart.prices.schemas import PriceEventSchema

logger = logging.getLogger(__name__)


def report_table_size(event: Any, context: Any) -> None:
    """Log the table's items and bytes as metrics, which DynamoDB does not send to CloudWatch itself."""
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        items, size_bytes = get_table().size()
        _report(f"The table has {items} items of {size_bytes} bytes", {"TableItems": items, "TableSize": size_bytes})


def price_changed(event: Any, context: Any) -> None:
    """An event of EventBridge: the price of a product has changed, or the next step of such a change is due.

    What cannot be read is logged and left: to be sent it again would not help. What fails raises, and Lambda calls
    again ("How Lambda handles errors and retries with asynchronous invocation").

    :param event: whose ``detail`` is ``{"product_id", "price", "changed_at"}``, or ``{"job_id"}``
    """
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        if event["detail-type"] == get_bus().step_type:
            _step(event["detail"]["job_id"])
            return
        try:
            # the runtime has read its numbers as floats, whose shortest text is what was sent
            change = PriceEventSchema().loads(json.dumps(event["detail"]))
        except ValidationError as error:
            logger.error(
                "An event of a price change is not valid: %s", invalid_input(error.messages_dict).members["errors"]
            )
            return
        _step(jobs.start(**change).job_id)


def resume_price_changes(event: Any, context: Any) -> None:
    """Go on with price changes that died, and that Lambda has given up."""
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        for job in jobs.go_on_with_all():
            info(logger, f"Price change {job.job_id} goes on")


def _step(job_id: str) -> None:
    bus = get_bus()
    if jobs.run_step(get_table(), bus, job_id):
        bus.send([bus.step(job_id)])


def count_changes(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """Count what the table's stream tells of carts, in the aggregates.

    :param event: up to a batch of records; any may have come before, and some that are older may come later
    :return: the records that were not counted, by sequence number: Lambda sends again from the first of them on
        ("Configuring partial batch response with DynamoDB and Lambda")
    """
    from wsgi import app  # noqa: PLC0415 - made by then, with its client

    with app.app_context():
        bookkeeper = Bookkeeper(get_table().client, get_config())
        failed, records = count_records(bookkeeper, event["Records"]), len(event["Records"])
        values = {"ChangesCounted": records - len(failed), "ChangesFailed": len(failed)}
        _report(f"Counted {values['ChangesCounted']} of {records} changes", values)
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


def _report(message: str, values: dict[str, int]) -> None:
    config = current_app.config
    info(logger, message, embedded_metrics(config["METRICS_NAMESPACE"], config["ENVIRONMENT"], values))

"""Lambda entry points for schedules, EventBridge and the table's stream.

Zappa calls those of schedules, by their names in zappa_settings.json; ``deploy/entry.py`` calls the others.
"""

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
    """Log the table's number of items and bytes as metrics. DynamoDB does not send them to CloudWatch itself."""
    from wsgi import app  # noqa: PLC0415 - Lambda has created it by now

    with app.app_context():
        items, size_bytes = get_table().size()
        _report(f"The table has {items} items of {size_bytes} bytes", {"TableItems": items, "TableSize": size_bytes})


def price_changed(event: Any, context: Any) -> None:
    """Handle an event of EventBridge: start a price change, or do the next step of one.

    An event that is not valid is logged and dropped, since a retry would not help. After an exception Lambda retries
    ("How Lambda handles errors and retries with asynchronous invocation").

    :param event: its ``detail`` is ``{"product_id", "price", "changed_at"}``, or ``{"job_id"}`` for a step
    """
    from wsgi import app  # noqa: PLC0415 - Lambda has created it by now

    with app.app_context():
        if event["detail-type"] == get_bus().step_type:
            _run_step(event["detail"]["job_id"])
            return
        try:
            # Lambda's runtime has parsed numbers as floats; written as JSON they are again the text that was sent
            change = PriceEventSchema().loads(json.dumps(event["detail"]))
        except ValidationError as error:
            logger.error(
                "The event of a price change is not valid: %s", invalid_input(error.messages_dict).members["errors"]
            )
            return
        _run_step(jobs.start(**change).job_id)


def resume_price_changes(event: Any, context: Any) -> None:
    """Resume price changes whose worker crashed and that Lambda does not retry any more."""
    from wsgi import app  # noqa: PLC0415 - Lambda has created it by now

    with app.app_context():
        for job in jobs.resume_all():
            info(logger, f"Resuming price change {job.job_id}")


def _run_step(job_id: str) -> None:
    bus = get_bus()
    if jobs.run_step(get_table(), bus, job_id):
        bus.send([bus.step(job_id)])


def count_changes(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """Count the changes of carts that the table's stream contains, in the aggregates.

    :param event: a batch of records; some may have been counted before, and older records may follow
    :return: the sequence numbers of the records that were not counted; Lambda sends the batch again from the first of
        them ("Configuring partial batch response with DynamoDB and Lambda")
    """
    from wsgi import app  # noqa: PLC0415 - Lambda has created it by now

    with app.app_context():
        bookkeeper = Bookkeeper(get_table().client, get_config())
        failed, records = count_records(bookkeeper, event["Records"]), len(event["Records"])
        values = {"ChangesCounted": records - len(failed), "ChangesFailed": len(failed)}
        _report(f"Counted {values['ChangesCounted']} of {records} changes", values)
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}


def _report(message: str, values: dict[str, int]) -> None:
    config = current_app.config
    info(logger, message, embedded_metrics(config["METRICS_NAMESPACE"], config["ENVIRONMENT"], values))

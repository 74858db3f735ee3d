"""Subscribe a stage's function to the stream of its table. Zappa calls ``subscribe`` at its end (`callbacks`).

Zappa's own `event_source` is not sufficient. It sets no starting position, which a stream needs, and no retries. Its
handler finds the function by the stream's ARN, which is known only after the table is created, and drops records for
which it finds no function: see `entry.py`. The numbers are in zappa_settings.json.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from cart.analytics.tally import COUNTED_RECORDS
from cart.config import uncounted_queue

QUEUE_RETENTION_SECONDS = 1_209_600  # of messages about records that could not be counted; the maximum of SQS
RETRY_FOR_SECONDS = 120
TEMPORARY_ERRORS = {
    "InvalidParameterValueException",  # the role's policy is not in effect everywhere yet
    "ResourceInUseException",  # the mapping is being created or changed
}
FilterCriteria = {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in COUNTED_RECORDS]}

MakeClient = Callable[[str], Any]


def subscribe(zappa_cli: Any) -> None:
    """Create or update the mapping from the table's stream to the function, and the queue for failed batches.

    :param zappa_cli: Zappa's object for the stage that it has deployed
    :raise SystemExit: the table has no stream
    """
    stage = zappa_cli.stage_config
    function, table = zappa_cli.lambda_name, stage["aws_environment_variables"]["DYNAMODB_TABLE_NAME"]
    client: MakeClient = zappa_cli.zappa.boto_session.client
    stream, functions = _stream(client, table), client("lambda")
    parameters = stage["table_stream"] | {
        "FunctionName": function,
        "FilterCriteria": FilterCriteria,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": _queue(client("sqs"), uncounted_queue(function))}},
    }
    if existing := mappings(functions, stream, function):
        _retry(lambda: functions.update_event_source_mapping(UUID=existing[0]["UUID"], **parameters))
    else:
        start = {"EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON"}
        _retry(lambda: functions.create_event_source_mapping(**start, **parameters))
    print(f"{function} counts the changes of {table}")  # noqa: T201


def unsubscribe(client: MakeClient, function: str, table: str) -> None:
    """Delete the mappings of a function that was deleted; do nothing if the function exists.

    The queue stays: its messages name the records that were not counted.
    """
    functions = client("lambda")
    stream = _stream(client, table)
    with suppress(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName=function)
        return  # Zappa asked for a confirmation, and the answer was no
    for mapping in mappings(functions, stream, function):
        functions.delete_event_source_mapping(UUID=mapping["UUID"])


def mappings(functions: Any, stream: str, function: str) -> list[dict[str, Any]]:
    """Return the mappings from a stream to a function, even if the function does not exist."""
    pages = functions.get_paginator("list_event_source_mappings").paginate(EventSourceArn=stream)
    return [
        mapping
        for page in pages
        for mapping in page["EventSourceMappings"]
        if mapping["FunctionArn"].partition(":function:")[2].split(":")[0] == function
    ]


def _stream(client: MakeClient, table: str) -> str:
    arn: str | None = client("dynamodb").describe_table(TableName=table)["Table"].get("LatestStreamArn")
    if not arn:
        raise SystemExit(f"cart: {table} has no stream; run flask --app wsgi table create to turn it on")
    return arn


def _queue(sqs: Any, name: str) -> str:
    """Create the queue if it does not exist, and return its ARN."""
    attributes = {"MessageRetentionPeriod": str(QUEUE_RETENTION_SECONDS)}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn


def _retry(request: Callable[[], Any]) -> None:
    """Send a request, and retry while it fails with one of ``TEMPORARY_ERRORS``."""
    deadline = time.monotonic() + RETRY_FOR_SECONDS
    while True:
        try:
            request()
        except ClientError as error:
            if error.response["Error"]["Code"] not in TEMPORARY_ERRORS or time.monotonic() > deadline:
                raise
            time.sleep(3)
        else:
            return

"""Subscribes a stage's function to the stream of its table: Zappa calls ``subscribe`` when it is done (`callbacks`).

Zappa's own `event_source` cannot do it. It says no starting position, which a stream needs, and nothing of retries;
and its handler finds the function by the stream's ARN, which is known only when the table is there, and takes what it
finds no function for as done: see `entry.py`. The numbers are in zappa_settings.json.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from cart.analytics.tally import COUNTED_RECORDS
from cart.config import uncounted_queue

KEPT_SECONDS = 1_209_600  # what could not be counted, the most that SQS keeps
WITHIN_SECONDS = 120
PASSING = {
    "InvalidParameterValueException",  # the role's policy is not known everywhere yet
    "ResourceInUseException",  # the mapping is being made or changed
}
FilterCriteria = {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in COUNTED_RECORDS]}

MakeClient = Callable[[str], Any]


def subscribe(zappa_cli: Any) -> None:
    """Make the mapping from the table's stream to the function, or bring it in line; and the queue of what fails.

    :raise SystemExit: the table has no stream
    """
    stage = zappa_cli.stage_config
    function, table = zappa_cli.lambda_name, stage["aws_environment_variables"]["DYNAMODB_TABLE_NAME"]
    client: MakeClient = zappa_cli.zappa.boto_session.client
    stream, functions = _stream(client, table), client("lambda")
    wanted = stage["table_stream"] | {
        "FunctionName": function,
        "FilterCriteria": FilterCriteria,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": _queue(client("sqs"), uncounted_queue(function))}},
    }
    if there := mappings(functions, stream, function):
        _patiently(lambda: functions.update_event_source_mapping(UUID=there[0]["UUID"], **wanted))
    else:
        start = {"EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON"}
        _patiently(lambda: functions.create_event_source_mapping(**start, **wanted))
    print(f"Counts the changes of {table}")  # noqa: T201


def unsubscribe(client: MakeClient, function: str, table: str) -> None:
    """When the function is gone. The queue stays: it tells of what was not counted."""
    functions = client("lambda")
    stream = _stream(client, table)
    with suppress(functions.exceptions.ResourceNotFoundException):
        functions.get_function(FunctionName=function)
        return  # somebody has thought better of it
    for one in mappings(functions, stream, function):
        functions.delete_event_source_mapping(UUID=one["UUID"])


def mappings(functions: Any, stream: str, function: str) -> list[dict[str, Any]]:
    """From the stream to the function, whether or not that is there."""
    pages = functions.get_paginator("list_event_source_mappings").paginate(EventSourceArn=stream)
    found = [one for page in pages for one in page["EventSourceMappings"]]
    return [one for one in found if one["FunctionArn"].partition(":function:")[2].split(":")[0] == function]


def _stream(client: MakeClient, table: str) -> str:
    arn: str | None = client("dynamodb").describe_table(TableName=table)["Table"].get("LatestStreamArn")
    if not arn:
        raise SystemExit(f"cart: {table} has no stream; flask --app wsgi table create turns it on")
    return arn


def _queue(sqs: Any, name: str) -> str:
    """The ARN of the queue, which is made unless it is there."""
    url = sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": str(KEPT_SECONDS)})["QueueUrl"]
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn


def _patiently(ask: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            ask()
        except ClientError as error:
            if error.response["Error"]["Code"] not in PASSING or time.monotonic() > deadline:
                raise
            time.sleep(3)
        else:
            return

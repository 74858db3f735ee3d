"""Create the CloudWatch dashboard and the alarms of a stage, and set how long its logs are kept."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cart.config import Config, uncounted_queue
from cart.dynamodb.client import connect

PERIOD_SECONDS = 300
P99_DURATION_MS = 1000
ITERATOR_AGE_MS = 900_000  # a stream keeps its records for a day
DYNAMODB_OPERATIONS = ("Query", "UpdateItem", "DeleteItem", "BatchWriteItem")


def create(config: Config, retention_days: int, topic_arn: str | None, say: Callable[[str], None]) -> None:
    """Create or update the dashboard, the alarms and the retention of logs. Can be run again at any time.

    :param retention_days: for the function's log group, one of the numbers that CloudWatch Logs accepts
    :param topic_arn: the SNS topic that is notified of alarms, None for no notification
    :param say: called with one line of output for each thing that was done
    """
    name = f"cart-{config.environment}"
    _keep_logs(connect(config, boto_defaults=True, service="logs"), f"/aws/lambda/{name}", retention_days)
    say(f"Log group /aws/lambda/{name}: logs are kept for {retention_days} days")
    cloudwatch = connect(config, boto_defaults=True, service="cloudwatch")
    cloudwatch.put_dashboard(DashboardName=name, DashboardBody=json.dumps(dashboard(config)))
    say(f"Dashboard {name}: created")
    for alarm in alarms(config):
        cloudwatch.put_metric_alarm(**alarm, AlarmActions=[topic_arn] if topic_arn else [])
        say(f"Alarm {alarm['AlarmName']}: created")


def dashboard(config: Config) -> dict[str, Any]:
    """Return the dashboard's body ("Dashboard body structure and syntax")."""
    function = ["FunctionName", f"cart-{config.environment}"]
    table = ["TableName", config.dynamodb_table_name]
    stage = ["Environment", config.environment]
    queue = ["QueueName", uncounted_queue(f"cart-{config.environment}")]
    namespace = config.metrics_namespace or "Cart"
    graphs = [
        (
            "Invocations and errors",
            "Sum",
            [["AWS/Lambda", metric, *function] for metric in ("Invocations", "Errors", "Throttles")],
        ),
        (
            "Lambda duration (ms)",
            "p99",
            [["AWS/Lambda", "Duration", *function, {"stat": stat}] for stat in ("p50", "p99")],
        ),
        ("Requests", "Sum", [[namespace, metric, *stage] for metric in ("Requests", "Errors4xx", "Errors5xx")]),
        ("Request duration (ms)", "p99", [[namespace, "Duration", *stage, {"stat": stat}] for stat in ("p50", "p99")]),
        (
            "Items added, carts cleared",
            "Sum",
            [[namespace, metric, *stage] for metric in ("ItemsAdded", "CartsCleared")],
        ),
        (
            "DynamoDB requests, capacity units and throttles, counted by the service",
            "Sum",
            [
                [namespace, metric, *stage]
                for metric in ("DynamoDBRequests", "DynamoDBCapacityUnits", "DynamoDBThrottles")
            ],
        ),
        (
            "Capacity consumed",
            "Sum",
            [
                ["AWS/DynamoDB", metric, *table]
                for metric in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
            ],
        ),
        (
            "Throttled",
            "Sum",
            [["AWS/DynamoDB", metric, *table] for metric in ("ReadThrottleEvents", "WriteThrottleEvents")],
        ),
        (
            "DynamoDB latency (ms)",
            "Average",
            [
                ["AWS/DynamoDB", "SuccessfulRequestLatency", *table, "Operation", operation]
                for operation in DYNAMODB_OPERATIONS
            ],
        ),
        ("Items in the table", "Maximum", [[namespace, "TableItems", *stage]]),
        ("Size of the table (bytes)", "Maximum", [[namespace, "TableSize", *stage]]),
        (
            "Age of the oldest change that is not counted yet (ms)",
            "Maximum",
            [["AWS/Lambda", "IteratorAge", *function]],
        ),
        (
            "Changes counted, failed and to be retried, given up",
            "Sum",
            [
                *([namespace, metric, *stage] for metric in ("ChangesCounted", "ChangesFailed")),
                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", *queue, {"stat": "Maximum"}],
            ],
        ),
    ]
    return {
        "widgets": [
            {
                "type": "metric",
                "x": 8 * (index % 3),
                "y": 6 * (index // 3),
                "width": 8,
                "height": 6,
                "properties": {
                    "title": title,
                    "region": config.aws_region,
                    "view": "timeSeries",
                    "stat": stat,
                    "period": PERIOD_SECONDS,
                    "metrics": metrics,
                },
            }
            for index, (title, stat, metrics) in enumerate(graphs)
        ]
    }


def alarms(config: Config) -> list[dict[str, Any]]:
    """Return the alarms, as parameters of ``PutMetricAlarm``.

    They are for errors, throttles, a slow 99th percentile, and changes that are not counted.
    """
    function = [{"Name": "FunctionName", "Value": f"cart-{config.environment}"}]
    table = [{"Name": "TableName", "Value": config.dynamodb_table_name}]
    stage = [{"Name": "Environment", "Value": config.environment}]
    queue = [{"Name": "QueueName", "Value": uncounted_queue(f"cart-{config.environment}")}]
    namespace = config.metrics_namespace or "Cart"
    more_than_0 = {"Statistic": "Sum", "Threshold": 0, "EvaluationPeriods": 1}
    metrics: list[tuple[str, dict[str, Any]]] = [
        ("function-errors", {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": function} | more_than_0),
        ("5xx", {"Namespace": namespace, "MetricName": "Errors5xx", "Dimensions": stage} | more_than_0),
        (
            "function-throttles",
            {"Namespace": "AWS/Lambda", "MetricName": "Throttles", "Dimensions": function} | more_than_0,
        ),
        (
            "read-throttles",
            {"Namespace": "AWS/DynamoDB", "MetricName": "ReadThrottleEvents", "Dimensions": table} | more_than_0,
        ),
        (
            "write-throttles",
            {"Namespace": "AWS/DynamoDB", "MetricName": "WriteThrottleEvents", "Dimensions": table} | more_than_0,
        ),
        (
            "p99-duration",
            {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": function}
            | {"ExtendedStatistic": "p99", "Threshold": P99_DURATION_MS, "EvaluationPeriods": 3},
        ),
        (
            "iterator-age",
            {"Namespace": "AWS/Lambda", "MetricName": "IteratorAge", "Dimensions": function}
            | {"Statistic": "Maximum", "Threshold": ITERATOR_AGE_MS, "EvaluationPeriods": 1},
        ),
        (
            "changes-failed",
            {"Namespace": namespace, "MetricName": "ChangesFailed", "Dimensions": stage}
            | {"Statistic": "Sum", "Threshold": 0, "EvaluationPeriods": 3},
        ),
        (
            "changes-given-up",
            {"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible", "Dimensions": queue}
            | {"Statistic": "Maximum", "Threshold": 0, "EvaluationPeriods": 1},
        ),
    ]
    return [
        {
            "AlarmName": f"cart-{config.environment}-{name}",
            "Period": PERIOD_SECONDS,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        | metric
        for name, metric in metrics
    ]


def _keep_logs(logs: Any, group: str, retention_days: int) -> None:
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=retention_days)

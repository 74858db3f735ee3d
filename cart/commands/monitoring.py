"""One CloudWatch dashboard and the alarms of a stage, and how long its logs are kept."""

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
    """Make or renew all of it; can be run again at any time.

    :param retention_days: of the function's log group, one of the numbers that CloudWatch Logs takes
    :param topic_arn: the SNS topic that hears of an alarm, or None
    """
    name = f"cart-{config.environment}"
    _keep_logs(connect(config, patient=True, service="logs"), f"/aws/lambda/{name}", retention_days)
    say(f"Log group /aws/lambda/{name}: kept for {retention_days} days")
    cloudwatch = connect(config, patient=True, service="cloudwatch")
    cloudwatch.put_dashboard(DashboardName=name, DashboardBody=json.dumps(dashboard(config)))
    say(f"Dashboard {name}: made")
    for alarm in alarms(config):
        cloudwatch.put_metric_alarm(**alarm, AlarmActions=[topic_arn] if topic_arn else [])
        say(f"Alarm {alarm['AlarmName']}: made")


def dashboard(config: Config) -> dict[str, Any]:
    """The dashboard's body ("Dashboard body structure and syntax")."""
    function = ["FunctionName", f"cart-{config.environment}"]
    table = ["TableName", config.dynamodb_table_name]
    ours = ["Environment", config.environment]
    queue = ["QueueName", uncounted_queue(f"cart-{config.environment}")]
    namespace = config.metrics_namespace or "Cart"
    graphs = [
        (
            "Invocations and errors",
            "Sum",
            [["AWS/Lambda", one, *function] for one in ("Invocations", "Errors", "Throttles")],
        ),
        (
            "Lambda duration (ms)",
            "p99",
            [["AWS/Lambda", "Duration", *function, {"stat": one}] for one in ("p50", "p99")],
        ),
        ("Requests", "Sum", [[namespace, one, *ours] for one in ("Requests", "Errors4xx", "Errors5xx")]),
        ("Request duration (ms)", "p99", [[namespace, "Duration", *ours, {"stat": one}] for one in ("p50", "p99")]),
        ("Items added, carts cleared", "Sum", [[namespace, one, *ours] for one in ("ItemsAdded", "CartsCleared")]),
        (
            "DynamoDB requests, units and throttles, as the service saw them",
            "Sum",
            [[namespace, one, *ours] for one in ("DynamoDBRequests", "DynamoDBCapacityUnits", "DynamoDBThrottles")],
        ),
        (
            "Capacity consumed",
            "Sum",
            [["AWS/DynamoDB", one, *table] for one in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")],
        ),
        (
            "Throttled",
            "Sum",
            [["AWS/DynamoDB", one, *table] for one in ("ReadThrottleEvents", "WriteThrottleEvents")],
        ),
        (
            "DynamoDB latency (ms)",
            "Average",
            [["AWS/DynamoDB", "SuccessfulRequestLatency", *table, "Operation", one] for one in DYNAMODB_OPERATIONS],
        ),
        ("Items in the table", "Maximum", [[namespace, "TableItems", *ours]]),
        ("Size of the table (bytes)", "Maximum", [[namespace, "TableSize", *ours]]),
        ("Age of the oldest change not yet counted (ms)", "Maximum", [["AWS/Lambda", "IteratorAge", *function]]),
        (
            "Changes counted, failed for now, given up",
            "Sum",
            [
                *([namespace, one, *ours] for one in ("ChangesCounted", "ChangesFailed")),
                ["AWS/SQS", "ApproximateNumberOfMessagesVisible", *queue, {"stat": "Maximum"}],
            ],
        ),
    ]
    return {
        "widgets": [
            {
                "type": "metric",
                "x": 8 * (place % 3),
                "y": 6 * (place // 3),
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
            for place, (title, stat, metrics) in enumerate(graphs)
        ]
    }


def alarms(config: Config) -> list[dict[str, Any]]:
    """Errors, throttles, a slow p99, and changes that are not counted, as ``PutMetricAlarm`` takes them."""
    function = [{"Name": "FunctionName", "Value": f"cart-{config.environment}"}]
    table = [{"Name": "TableName", "Value": config.dynamodb_table_name}]
    ours = [{"Name": "Environment", "Value": config.environment}]
    queue = [{"Name": "QueueName", "Value": uncounted_queue(f"cart-{config.environment}")}]
    namespace = config.metrics_namespace or "Cart"
    any_at_all = {"Statistic": "Sum", "Threshold": 0, "EvaluationPeriods": 1}
    watched: list[tuple[str, dict[str, Any]]] = [
        ("function-errors", {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": function} | any_at_all),
        ("5xx", {"Namespace": namespace, "MetricName": "Errors5xx", "Dimensions": ours} | any_at_all),
        (
            "function-throttles",
            {"Namespace": "AWS/Lambda", "MetricName": "Throttles", "Dimensions": function} | any_at_all,
        ),
        (
            "read-throttles",
            {"Namespace": "AWS/DynamoDB", "MetricName": "ReadThrottleEvents", "Dimensions": table} | any_at_all,
        ),
        (
            "write-throttles",
            {"Namespace": "AWS/DynamoDB", "MetricName": "WriteThrottleEvents", "Dimensions": table} | any_at_all,
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
            {"Namespace": namespace, "MetricName": "ChangesFailed", "Dimensions": ours}
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
        for name, metric in watched
    ]


def _keep_logs(logs: Any, group: str, retention_days: int) -> None:
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.put_retention_policy(logGroupName=group, retentionInDays=retention_days)

"""Metrics in the log, and the dashboard and alarms that `flask monitoring create` makes in CloudWatch (moto)."""

import json
from dataclasses import replace

import boto3
import pytest

import wsgi
from cart import create_app
from cart.commands import monitoring
from cart.events import report_table_size
from cart.logs import METRICS
from tests.support.embedded_metrics import read_embedded
from tests.support.local_stage import settings
from tests.support.stores import CUP


@pytest.fixture
def app(store):
    return create_app(replace(store.config, log_level="INFO", metrics_namespace="Shop"))


@pytest.fixture
def metrics_of(app, capsys):
    """Return ``metrics_of(method, path, body)``: the metrics that CloudWatch reads from the request's log line."""

    def call(method, path, body=None):
        app.test_client().open(path, method=method, json=body)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
        return read_embedded(json.loads(line))

    return call


def test_each_request_logs_its_metrics(metrics_of, user, store):
    real = store.engine != "moto"  # moto does not model units, but reports some

    def expected(units, **other_metrics):
        return {"Requests": 1, "DynamoDBRequests": 1, "DynamoDBCapacityUnits": units, **other_metrics}

    metrics_of("POST", f"/cart/{user}/items", CUP)
    added = metrics_of("POST", f"/cart/{user}/items", CUP | {"quantity": 3})
    read = metrics_of("GET", f"/cart/{user}")
    missing = metrics_of("PUT", f"/cart/{user}/items/7", {"quantity": 1})
    refused = metrics_of("POST", f"/cart/{user}/items", {})
    cleared = metrics_of("DELETE", f"/cart/{user}")
    assert added == expected(1 if real else added["DynamoDBCapacityUnits"], ItemsAdded=3)
    assert read == expected(1 if real else read["DynamoDBCapacityUnits"])
    assert missing == {"Requests": 1, "DynamoDBRequests": 1, "Errors4xx": 1}
    assert refused == {"Requests": 1, "Errors4xx": 1}
    assert cleared == expected(4 if real else cleared["DynamoDBCapacityUnits"], CartsCleared=1) | {
        "DynamoDBRequests": 2
    }


def test_failed_requests_are_counted(metrics_of, user, app, monkeypatch):
    monkeypatch.setattr(app.extensions["cart_table"], "name", "nothing-there")
    assert metrics_of("GET", f"/cart/{user}") == {"Requests": 1, "DynamoDBRequests": 1, "Errors5xx": 1}


def test_table_size_is_logged_as_a_metric(app, store, user, capsys, monkeypatch):
    store.put(user, 1)
    monkeypatch.setattr(wsgi, "app", app)
    capsys.readouterr()
    report_table_size({}, None)
    values = read_embedded(json.loads(capsys.readouterr().out))
    assert values["TableItems"] > 0
    assert values["TableSize"] >= 0


def test_without_a_namespace_no_metrics_are_logged(store, user, capsys):
    create_app(replace(store.config, log_level="INFO")).test_client().get(f"/cart/{user}")
    assert "_aws" not in capsys.readouterr().out


@pytest.fixture
def moto_clients(moto_url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    return {name: boto3.client(name, region_name="us-east-1") for name in ("cloudwatch", "logs")}


def test_repeated_create_makes_one_dashboard_and_the_alarms(moto_clients, store):
    config = replace(store.config, environment="staging", metrics_namespace="Shop")
    for days in (7, 30):
        options = ["--retention-days", str(days), "--topic-arn", "arn:aws:sns:us-east-1:123456789012:ops"]
        result = create_app(config).test_cli_runner().invoke(args=["monitoring", "create", *options])
        assert result.exit_code == 0, result.output
    cloudwatch, logs = moto_clients["cloudwatch"], moto_clients["logs"]
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/cart-staging")["logGroups"]
    assert group["retentionInDays"] == 30
    body = json.loads(cloudwatch.get_dashboard(DashboardName="cart-staging")["DashboardBody"])
    assert body == monitoring.dashboard(config)
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="cart-staging-")["MetricAlarms"]
    assert {alarm["AlarmName"].removeprefix("cart-staging-") for alarm in alarms} == {
        *("function-errors", "5xx", "function-throttles", "read-throttles", "write-throttles", "p99-duration"),
        *("iterator-age", "changes-failed", "changes-given-up"),
    }
    assert all(alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:123456789012:ops"] for alarm in alarms)


def test_alarms_watch_changes_that_are_not_counted(store):
    """The alarms are on the stream's mapping and on its failure queue."""
    alarms = {alarm["AlarmName"]: alarm for alarm in monitoring.alarms(replace(store.config, environment="dev"))}
    age, given_up = alarms["cart-dev-iterator-age"], alarms["cart-dev-changes-given-up"]
    assert age["Dimensions"] == [{"Name": "FunctionName", "Value": "cart-dev"}]
    assert (
        age["Threshold"] < settings()["dev"]["table_stream"]["MaximumRecordAgeInSeconds"] * 1000
    )  # before any record is lost
    assert given_up["Dimensions"] == [{"Name": "QueueName", "Value": "cart-dev-uncounted"}]
    assert alarms["cart-dev-changes-failed"]["MetricName"] in METRICS


def test_dashboard_has_all_metrics(store):
    config = replace(store.config, environment="dev", metrics_namespace="Shop")
    widgets = monitoring.dashboard(config)["widgets"]
    shown_metrics = {tuple(metric[:2]) for widget in widgets for metric in widget["properties"]["metrics"]}
    assert shown_metrics >= {("AWS/Lambda", name) for name in ("Invocations", "Duration", "Errors", "IteratorAge")}
    assert ("AWS/SQS", "ApproximateNumberOfMessagesVisible") in shown_metrics
    assert shown_metrics >= {
        ("AWS/DynamoDB", name)
        for name in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "SuccessfulRequestLatency")
    }
    assert {name for namespace, name in shown_metrics if namespace == "Shop"} == METRICS.keys()
    places = [(widget["x"], widget["y"]) for widget in widgets]
    assert len(set(places)) == len(places)
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)

"""The whole deployment cycle with plain `zappa`, against moto instead of AWS.

moto runs no functions without Docker: the uploaded zip is fetched from it, and run as Lambda runs it.
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import boto3
import pytest

from cart import create_app
from cart.analytics.tally import is_counted
from cart.commands import engines, provision
from cart.config import Config
from cart.dynamodb import client
from deploy import subscription
from tests.support.documents import Page
from tests.support.local_stage import (
    API,
    CREDENTIALS,
    SHOP,
    Run,
    content,
    copy_project,
    header,
    output_of,
    pattern_event,
    rest_event,
    run,
    scheduled_event,
    settings,
    unpack,
    zappa,
)
from tests.support.project import ROOT
from tests.support.records import image, record
from tests.support.stores import CUP

NAME = "cart-local"
TABLE = "local-carts"
BUCKET = "change-me-cart-deployments"
LOG_GROUP = f"/aws/lambda/{NAME}"
ROLE = f"{NAME}-ZappaLambdaExecutionRole"

RULES = {
    f"{NAME}-cart.events.report_table_size",
    f"{NAME}-cart.events.resume_price_changes",
    f"{NAME}-price-changed",
}
PRICE = {"product_id": 42, "price": 21.5, "changed_at": "2026-11-23T14:00:00Z"}
JOB = hashlib.sha256(b"42 21.50 2026-11-23T14:00:00.000000Z").hexdigest()[:32]

# What undeploy does not delete, by the names in docs/operations.md
STAYS = {
    f"table {TABLE}": "the table",
    f"bucket {BUCKET}": "the S3 bucket",
    f"role {ROLE}": "the IAM role `cart-STAGE-ZappaLambdaExecutionRole`",
    f"log group {LOG_GROUP}": "the log group",
    f"queue {NAME}-uncounted": "the queue `cart-STAGE-uncounted`",
}


@dataclass
class Aws:
    """moto, and the resources in it."""

    url: str

    def client(self, service: str) -> Any:
        names = {name.lower(): value for name, value in CREDENTIALS.items()}
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.url, **names)

    def function(self) -> dict[str, Any]:
        return self.client("lambda").get_function(FunctionName=NAME)

    def environ(self) -> dict[str, str]:
        """Return the function's environment, with moto as AWS."""
        variables = self.function()["Configuration"]["Environment"]["Variables"]
        return variables | {"AWS_ENDPOINT_URL": self.url}

    def rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        rows = self.client("dynamodb").scan(TableName=TABLE)["Items"]
        return {(row["user_id"]["S"], row["item_id"]["S"]): row for row in rows}

    def inventory(self) -> set[str]:
        """List everything that Zappa makes, except the objects in the bucket."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return {
            *(f"function {entry['FunctionName']}" for entry in self.client("lambda").list_functions()["Functions"]),
            *(f"api {entry['name']}" for entry in self.client("apigateway").get_rest_apis()["items"]),
            *(f"http api {entry['Name']}" for entry in self.client("apigatewayv2").get_apis()["Items"]),
            *(f"stack {entry['StackName']}" for entry in stacks),
            *(f"rule {entry['Name']}" for entry in self.client("events").list_rules()["Rules"]),
            *(f"topic {entry['TopicArn']}" for entry in self.client("sns").list_topics()["Topics"]),
            *(f"role {entry['RoleName']}" for entry in self.client("iam").list_roles()["Roles"]),
            *(f"policy {entry['PolicyName']}" for entry in self.client("iam").list_policies(Scope="Local")["Policies"]),
            *(f"bucket {entry['Name']}" for entry in self.client("s3").list_buckets()["Buckets"]),
            *(f"log group {entry['logGroupName']}" for entry in self.client("logs").describe_log_groups()["logGroups"]),
            *(f"queue {entry.rpartition('/')[2]}" for entry in self.client("sqs").list_queues().get("QueueUrls", [])),
            *(f"mapping to {entry['FunctionArn'].rpartition(':')[2]}" for entry in self.mappings()),
            *(f"table {entry}" for entry in self.client("dynamodb").list_tables()["TableNames"]),
        }

    def mappings(self) -> list[dict[str, Any]]:
        return self.client("lambda").list_event_source_mappings()["EventSourceMappings"]

    def objects(self) -> list[str]:
        return [entry["Key"] for entry in self.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """moto with the additions of ``moto_plugin``, and the stage's table, as `table create` makes it."""
    port = engines.free_port()
    plugin = ROOT / "tests" / "support" / "moto_plugin.py"
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        command = [sys.executable, str(plugin), "-H", engines.HOST, "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            fake_aws = Aws(f"http://{engines.HOST}:{port}")
            assert engines.wait_until_listens(fake_aws.url, 60, lambda: process.poll() is None), Path(
                log.name
            ).read_text()
            provision.create(fake_aws.client("dynamodb"), TABLE, lambda _: None)
            yield fake_aws
        finally:
            engines.stop(process)


@dataclass
class Deployment:
    """Stage `local` after its deployment, and after an update with more memory and one more variable."""

    aws: Aws
    deployed: dict[str, Any]
    updated: dict[str, Any]
    status: dict[str, Any]
    undeploy: Callable[[], str]
    zappa: Callable[..., str]


@pytest.fixture(scope="module")
def cycle(aws, project, tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("deployed"))

    def do(*arguments: str) -> str:
        process = zappa(folder, *arguments, AWS_ENDPOINT_URL=aws.url)
        assert process.returncode == 0, output_of(process)
        return process.stdout

    assert "Deployment complete" in do("deploy", "local")
    deployed = aws.function()
    change_settings(folder)
    assert "live" in do("update", "local")
    status = json.loads(do("status", "local", "--json").splitlines()[-1])
    return Deployment(aws, deployed, aws.function(), status, lambda: do("undeploy", "local", "-y"), do)


def change_settings(folder: Path) -> None:
    stages = json.loads((folder / "zappa_settings.json").read_text())
    stages["local"]["memory_size"] = 768
    stages["local"]["aws_environment_variables"]["CART_MAX_QUANTITY"] = "7"
    stages["local"]["table_stream"] = stages["base"]["table_stream"] | {"BatchSize": 50}
    (folder / "zappa_settings.json").write_text(json.dumps(stages))


def test_deploy_makes_the_function_of_the_settings(cycle):
    configuration, stage_settings = cycle.deployed["Configuration"], settings()["local"]
    assert configuration["Runtime"] == stage_settings["runtime"]
    assert configuration["Handler"] == stage_settings["lambda_handler"]
    assert configuration["Timeout"] == stage_settings["timeout_seconds"]
    assert configuration["MemorySize"] == stage_settings["memory_size"]
    assert configuration["Environment"]["Variables"] == stage_settings["aws_environment_variables"]
    assert configuration["Role"].endswith(ROLE)


def test_deploy_attaches_the_policy_of_the_stage(cycle):
    iam = cycle.aws.client("iam")
    assert iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"] == []
    (name,) = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]
    assert policy == json.loads((ROOT / "deploy/policies/local.json").read_text())


def test_update_applies_changed_settings(cycle):
    before, after = cycle.deployed["Configuration"], cycle.updated["Configuration"]
    assert (before["MemorySize"], after["MemorySize"]) == (settings()["local"]["memory_size"], 768)
    added = after["Environment"]["Variables"].items() - before["Environment"]["Variables"].items()
    assert added == {("CART_MAX_QUANTITY", "7")}
    assert before["CodeSha256"] != after["CodeSha256"]


def test_status_reports_the_deployment(cycle):
    assert cycle.status["Lambda Name"] == NAME
    assert cycle.status["Lambda Versions"] == 3  # $LATEST, and one version for each deployment
    assert re.fullmatch(r"https://\w+\.execute-api\.us-east-1\.amazonaws\.com/local", cycle.status["API Gateway URL"])
    assert cycle.status["Num. Event Rules"] == len(RULES)


def test_rules_call_the_function(cycle):
    """Two rules have a schedule. One has a pattern, which Zappa passes to EventBridge as it is in the settings."""
    events, function = cycle.aws.client("events"), cycle.updated["Configuration"]["FunctionArn"]
    rules = {rule["Name"]: rule for rule in events.list_rules()["Rules"]}
    assert rules.keys() == RULES
    for name in RULES:
        (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
        assert function.startswith(target["Arn"])
    (source,) = [rule["event_source"] for rule in settings()["local"]["events"] if "event_source" in rule]
    assert json.loads(rules[f"{NAME}-price-changed"]["EventPattern"]) == source["event_pattern"]
    policy = json.loads(cycle.aws.client("lambda").get_policy(FunctionName=NAME)["Policy"])
    allowed = [rule["Condition"]["ArnLike"]["AWS:SourceArn"] for rule in policy["Statement"]]
    assert {rule["Arn"] for rule in rules.values()} <= set(allowed)


def test_function_is_subscribed_to_the_stream_once(cycle):
    """Deploy subscribes it, and update corrects the subscription."""
    (mapping,) = cycle.aws.mappings()
    table = cycle.aws.client("dynamodb").describe_table(TableName=TABLE)["Table"]
    assert mapping["EventSourceArn"] == table["LatestStreamArn"]
    assert mapping["FunctionArn"].endswith(f":function:{NAME}")
    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping.items() >= settings()["local"]["table_stream"].items() - {("BatchSize", 100)}
    assert mapping["BatchSize"] == 50  # set by the update
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"].endswith(f":{NAME}-uncounted")
    assert mapping["FilterCriteria"] == subscription.FilterCriteria


def test_stream_filter_passes_only_lines_and_clears():
    """By "Filter rules for event source mappings": all fields of one of the patterns must match."""

    def passes(kind, user_id, item_id):
        stream_record = record(None, image(), user_id, item_id, eventName=kind)
        lets = any(
            matches(stream_record, json.loads(stream_filter["Pattern"]))
            for stream_filter in subscription.FilterCriteria["Filters"]
        )
        assert lets == is_counted(stream_record)  # by those who read the stream themselves
        return lets

    def matches(value, pattern):
        if isinstance(pattern, list):
            return any(
                value.startswith(alternative["prefix"]) if isinstance(alternative, dict) else value == alternative
                for alternative in pattern
            )
        return all(matches(value[name], alternative) for name, alternative in pattern.items())

    for kind in ("INSERT", "MODIFY", "REMOVE"):
        assert passes(kind, "ann", "ITEM#42")
        assert passes(kind, "CLEARED#ann", "5f2c") == (kind == "INSERT")
        for own in (("ann", "SAVED#42"), ("COUNTED#ann", "LINE#42"), ("PRODUCT#42", "1#0"), ("IDEMPOTENCY#ann", "x")):
            assert not passes(kind, *own)


def test_api_passes_every_path_and_method_to_the_function(cycle):
    gateway = cycle.aws.client("apigateway")
    (api,) = gateway.get_rest_apis()["items"]
    resources = gateway.get_resources(restApiId=api["id"])["items"]
    methods = {resource["path"]: set(resource["resourceMethods"]) for resource in resources}
    assert methods == {"/": {"ANY"}, "/{proxy+}": {"ANY"}}


FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png")


@dataclass
class EventRun:
    """The events of one run, each with a name, and their answers."""

    process: Run
    answers: dict[str, dict[str, Any]]
    aws: Aws

    def json(self, name: str) -> Any:
        return json.loads(content(self.answers[name]))


@pytest.fixture(scope="module")
def event_run(cycle, tmp_path_factory):
    """The deployed zip, fetched from moto and unpacked, answers all events in one process."""
    folder = tmp_path_factory.mktemp("fetched")
    with urllib.request.urlopen(cycle.updated["Code"]["Location"]) as response:
        (folder / "function.zip").write_bytes(response.read())
    tree = unpack(folder / "function.zip", folder / "task")
    rules = {rule["Name"]: rule["Arn"] for rule in cycle.aws.client("events").list_rules()["Rules"]}
    line = CUP | {"quantity": 3}
    events = {
        "add": rest_event("POST", "/cart/ann/items", line),
        "add base64": rest_event("POST", "/cart/ann/items", line | {"product_name": "Tåsse"}, packed=True),
        "add another": rest_event("POST", "/cart/ann/items", line | {"product_id": 7, "quantity": 1}),
        "add a third": rest_event("POST", "/cart/ann/items", line | {"product_id": 8}),
        "too many": rest_event("POST", "/cart/ann/items", line),
        "set": rest_event("PUT", "/cart/ann/items/7", {"quantity": 2}),
        "set nothing": rest_event("PUT", "/cart/ann/items/99", {"quantity": 2}),
        "remove": rest_event("DELETE", "/cart/ann/items/8"),
        "read": rest_event("GET", "/cart/ann"),
        "add to clear": rest_event("POST", "/cart/bob/items", line),
        "clear": rest_event("DELETE", "/cart/bob"),
        "read cleared": rest_event("GET", "/cart/bob"),
        "own domain": rest_event("POST", "/cart/eve/items", line, host=SHOP),
        "encoded": rest_event("POST", "/cart/auth0%7Ceve%40x%2By/items", line),
        "decoded": rest_event("GET", "/cart/auth0|eve@x+y"),
        "encoded twice": rest_event("GET", "/cart/auth0%257Ceve"),
        "encoded slash": rest_event("GET", "/cart/a%2Fb"),
        "malformed": rest_event("POST", "/cart/ann/items", "{"),
        "no body": rest_event("POST", "/cart/ann/items"),
        "not there": rest_event("GET", "/nothing/here"),
        "wrong method": rest_event("PATCH", "/cart/ann"),
        "own id": rest_event("GET", "/health", X_Request_ID="mine"),
        "health": rest_event("GET", "/health"),
        "ready": rest_event("GET", "/health/ready"),
        "openapi": rest_event("GET", "/openapi.json"),
        "openapi on own domain": rest_event("GET", "/openapi.json", host=SHOP),
        "docs": rest_event("GET", "/docs"),
        "docs on own domain": rest_event("GET", "/docs", host=SHOP),
        **{name: rest_event("GET", f"/docs/{name}") for name in FILES},
        "schedule": scheduled_event(rules[f"{NAME}-cart.events.report_table_size"]),
        "resume": scheduled_event(rules[f"{NAME}-cart.events.resume_price_changes"]),
        "price": pattern_event("ProductPriceChanged", PRICE),
        "read with news": rest_event("GET", "/cart/ann"),
        "carts": rest_event("GET", "/products/42/carts"),
    }
    process = run(tree, folder, list(events.values()), cycle.aws.environ())
    return EventRun(process, dict(zip(events, process.answers, strict=True)), cycle.aws)


def test_app_is_made_before_the_first_event(event_run):
    assert event_run.process.made_first


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("add", 201),
        ("set", 200),
        ("remove", 204),
        ("read", 200),
        ("clear", 204),
        ("health", 200),
        ("ready", 200),
        ("openapi", 200),
        ("docs", 200),
        ("malformed", 400),
        ("no body", 415),
        ("not there", 404),
        ("set nothing", 404),
        ("encoded slash", 404),
        ("wrong method", 405),
        ("too many", 409),
        ("encoded twice", 422),
    ],
)
def test_each_event_gets_its_status(event_run, name, status):
    assert event_run.answers[name]["statusCode"] == status, content(event_run.answers[name])


def test_cart_has_all_added_lines(event_run):
    cart = event_run.json("read")
    assert [(line["product_id"], line["quantity"]) for line in cart["items"]] == [(42, 6), (7, 2)]
    assert cart["items"][0]["product_name"] == "Tåsse"  # sent in base64
    assert (cart["total_items"], cart["total_price"]) == (8, 159.92)
    assert event_run.json("read cleared")["items"] == []


def test_price_change_from_eventbridge_reaches_the_carts(event_run):
    cart = event_run.json("read with news")
    assert {line["product_id"]: line.get("current_price") for line in cart["items"]} == {42: 21.5, 7: None}
    assert (cart["price_changes"], cart["total_price"]) == (1, 159.92)
    assert {cart["user_id"] for cart in event_run.json("carts")["carts"]} == {"ann", "eve", "auth0|eve@x+y"}


def test_rows_are_in_the_table(event_run):
    rows = {key: row for key, row in event_run.aws.rows().items() if not key[0].startswith("CLEARED#")}
    assert rows.keys() == {
        ("ann", "ITEM#42"),
        ("ann", "ITEM#7"),
        ("eve", "ITEM#42"),
        ("auth0|eve@x+y", "ITEM#42"),
        (f"JOB#{JOB}", "JOB"),
    }
    assert rows["ann", "ITEM#42"]["quantity"] == {"N": "6"}
    assert rows["ann", "ITEM#42"]["product_name"] == {"S": "Tåsse"}


def test_updated_variable_is_used(event_run):
    """The update has set CART_MAX_QUANTITY=7."""
    assert event_run.json("too many")["limit"] == 7


def test_location_has_the_stage_where_the_url_has_it(event_run):
    assert header(event_run.answers["add"], "Location") == "/local/cart/ann/items/42"
    assert header(event_run.answers["own domain"], "Location") == "/cart/eve/items/42"


def test_percent_encoded_user_is_the_same_user(event_run):
    assert event_run.json("encoded") == event_run.json("decoded")["items"][0]
    assert event_run.json("decoded")["user_id"] == "auth0|eve@x+y"


def test_json_is_sent_as_text(event_run):
    """API Gateway decodes base64 only for known values of Accept; most clients would get the encoded text."""
    problems = ("malformed", "no body", "not there", "wrong method", "too many", "set nothing", "encoded twice")
    for name in (*problems, "read", "add", "openapi", "docs"):
        assert not event_run.answers[name].get("isBase64Encoded"), name
    for name in problems:
        assert header(event_run.answers[name], "Content-Type") == "application/problem+json"
        assert event_run.json(name)["status"] == event_run.answers[name]["statusCode"]


def test_request_id_is_the_callers_or_the_apis(event_run):
    assert header(event_run.answers["own id"], "X-Request-ID") == "mine"
    assert header(event_run.answers["health"], "X-Request-ID") == "of-the-api"
    assert {line["request_id"] for line in event_run.process.log() if line.get("route") == "/health"} == {
        "mine",
        "of-the-api",
    }


def test_documentation_is_complete(event_run):
    """It is equal to the installed files byte by byte, whether sent as text or as base64."""
    spec = importlib.util.find_spec("flask_swagger_ui")
    for name in FILES:
        assert content(event_run.answers[name]) == (Path(spec.origin).parent / "dist" / name).read_bytes(), name
    local_answer = create_app(Config(cart_max_quantity=7)).test_client().get("/openapi.json")
    local_document = json.loads(local_answer.data)
    for name, address in (("openapi", f"https://{API}/local"), ("openapi on own domain", f"https://{SHOP}")):
        assert event_run.json(name) == local_document | {"servers": [{"url": address}]}


@pytest.mark.parametrize(
    ("name", "page"), [("docs", f"https://{API}/local/docs"), ("docs on own domain", f"https://{SHOP}/docs")]
)
def test_page_links_to_files_of_its_stage(event_run, name, page):
    text = content(event_run.answers[name]).decode()
    links = [urljoin(page, link) for link in re.findall(r'(?:src|href)="([^"#]+)"', text)]
    assert f"{page}/swagger-ui-bundle.js" in links
    assert all(link.startswith(f"{page}/") for link in links)


def test_log_has_json_lines_and_no_events(event_run):
    lines = event_run.process.printed.splitlines()
    assert lines.pop(0) == "Instancing.."  # Zappa's line, once in each process
    assert {json.loads(line)["level"] for line in lines} == {"INFO"}
    assert "X-Forwarded" not in event_run.process.printed
    assert event_run.process.traced == ""


def test_schedule_reports_the_table_size(event_run):
    (report,) = [line for line in event_run.process.log() if "TableItems" in line]
    assert report["Environment"] == "local"


def test_unknown_stage_prints_one_line(project):
    process = zappa(project, "status", "nosuch")
    assert process.returncode != 0
    lines = output_of(process).splitlines()
    # Zappa asks PyPI for its newest version, and prints a line if PyPI cannot be reached
    (line,) = (line for line in lines if "pypi.org" not in line)
    assert line == "Error: Please define stage 'nosuch' in your Zappa settings."


def test_missing_virtual_environment_is_reported(project):
    process = zappa(project, "package", "local", VIRTUAL_ENV=None, PATH="/usr/bin:/bin")
    assert process.returncode != 0
    assert "requires an active virtual environment" in output_of(process)
    assert "Traceback" not in output_of(process)


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("nosuch", f"there is no stage 'nosuch' in zappa_settings.json; there are {', '.join(sorted(settings()))}"),
        ("local", f"set {client.CREDENTIALS}"),
    ],
)
def test_make_reports_missing_requirements_before_it_deploys(project, stage, line):
    """Plain Zappa prints a traceback without credentials."""
    nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ = inherited | nobody | {"AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "deploy.stages", "deploy", stage]
    process = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert output_of(process).strip() == f"cart: {line}"


def test_rollback_and_undeploy_leave_only_the_documented_resources(cycle, event_run):
    """It runs last and in this order, since each step undoes what the other tests read."""
    aws = cycle.aws
    cycle.zappa("rollback", "local", "-n", "1")
    assert aws.function()["Configuration"]["CodeSha256"] == cycle.deployed["Configuration"]["CodeSha256"]
    assert aws.function()["Configuration"]["MemorySize"] == 768  # rollback restores the code, but not the settings

    aws.client("logs").create_log_group(logGroupName=LOG_GROUP)  # as Lambda does with the first event
    assert aws.inventory() - STAYS.keys() == {
        *(f"function {NAME}", f"api {NAME}", f"stack {NAME}", f"mapping to {NAME}"),
        *(f"rule {name}" for name in RULES),
    }
    subscription.unsubscribe(aws.client, NAME, TABLE)
    assert len(aws.mappings()) == 1  # while the function exists
    cycle.undeploy()
    subscription.unsubscribe(aws.client, NAME, TABLE)
    assert aws.inventory() == STAYS.keys()
    # zips of deploy and update, which only stage `local` deletes (delete_s3_zip); no template, nothing of rollback
    assert [re.sub(r"\d+", "N", key) for key in aws.objects()] == [f"{NAME}-N.zip"] * 2
    assert aws.rows()

    listed = Page(ROOT / "docs" / "operations.md").section("What undeploy leaves")
    assert [words for words in STAYS.values() if f"\n- {words}" not in listed] == []

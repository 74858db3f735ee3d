"""A stage's function may do exactly what the code does, and only to the stage's own resources."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from botocore import xform_name

import wsgi
from cart import create_app
from cart.analytics.totals import Aggregates
from cart.events import count_changes, price_changed, report_table_size, resume_price_changes
from cart.prices import jobs
from deploy import stage_files, subscription
from tests.support.aggregate_rows import put_product
from tests.support.local_stage import CREDENTIALS, pattern_event, settings
from tests.support.products_service import products_service
from tests.support.project import ROOT
from tests.support.records import DAY, history, image
from tests.support.stores import CUP, make_store

STAGES = ["dev", "staging", "production", "local"]
LOGS = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"}


def policy_of(stage: str) -> dict:
    return json.loads((ROOT / "deploy" / "policies" / f"{stage}.json").read_text())


def statements(stage: str) -> list[tuple[set[str], set[str]]]:
    """Return the actions and resources of each statement."""
    policy = policy_of(stage)
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
    return [(as_set(statement["Action"]), as_set(statement["Resource"])) for statement in policy["Statement"]]


def as_set(one_or_more: str | list[str]) -> set[str]:
    return {one_or_more} if isinstance(one_or_more, str) else set(one_or_more)


def actions_on(stage: str, service: str) -> tuple[set[str], set[str]]:
    (pairs,) = [pair for pair in statements(stage) if any(action.startswith(f"{service}:") for action in pair[0])]
    return pairs


def statement_on(stage: str, resource: str) -> tuple[set[str], set[str]]:
    (pairs,) = [pair for pair in statements(stage) if resource in pair[1]]
    return pairs


@dataclass
class Calls:
    operations: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    event_actions: set[str] = field(default_factory=set)
    buses: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def catalog():
    with products_service() as service:
        for product_id in range(1, 43):
            service.sell(product_id)
        yield service


@pytest.fixture(scope="module")
def calls(own_moto_url, catalog):
    """All operations of DynamoDB and EventBridge that are called while every feature is used."""
    store = make_store("moto", own_moto_url)
    app = create_app(replace(store.config, catalog_url=catalog.url, catalog_cache_seconds=0))
    recorded = Calls()

    def record_call(operation, params, **_):
        recorded.operations.add(operation)
        # a transaction needs the permissions of its actions, and none for itself
        parts = [part for item in params.get("TransactItems", []) for part in item.items()]
        recorded.actions |= {f"{kind}Item" for kind, _ in parts} or {operation}
        recorded.tables |= {action["TableName"] for _, action in parts}
        recorded.indexes |= {params["IndexName"]} if "IndexName" in params else set()
        recorded.tables |= (
            params["RequestItems"].keys() if "RequestItems" in params else {params.get("TableName")} - {None}
        )

    def record_event_call(operation, params, **_):
        recorded.event_actions.add(operation)
        recorded.buses |= {entry.get("EventBusName", "default") for entry in params["Entries"]}

    app.extensions["cart_table"].client.on("before", record_call)
    store.put("u", 42, ttl={"N": "1"})  # an expired line, to which the adds start a new one
    put_product(store, 41, 1, 1, 19_99)
    exercised = exercise_all(app)
    assert exercised == {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.partition(".")[0] in OURS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wsgi, "app", app)
        patch.setattr(jobs, "PAGE_LINES", 1)
        patch.setattr(jobs, "STEP_SECONDS", 0)
        for name, value in (
            CREDENTIALS | {"AWS_ENDPOINT_URL": own_moto_url, "AWS_LAMBDA_FUNCTION_NAME": "cart"}
        ).items():
            patch.setenv(name, value)
        app.extensions["cart_bus"].client.on("before", record_event_call)
        report_table_size({}, None)
        for number in range(2):
            store.put(f"u{number}", 42)
        detail = {"product_id": 42, "price": 1, "changed_at": "2026-01-01T00:00:00Z"}
        price_changed(pattern_event("ProductPriceChanged", detail), None)
        resume_price_changes({}, None)
        assert count_changes({"Records": [*history([image(1), image(2)])]}, None) == {"batchItemFailures": []}
    aggregates = Aggregates(app.extensions["cart_table"].client, store.config)
    assert aggregates.top("units", 1) == [aggregates.product(42)]
    assert [day.lines_added for day in aggregates.days(DAY, DAY)] == [1]
    assert aggregates.totals().units == 2
    assert recorded.tables == {store.config.dynamodb_table_name}
    return recorded


GATEWAYS = {"dynamodb/table.py", "prices/job_rows.py", "analytics/totals.py", "analytics/counter.py"}
SOURCES = {str(path.relative_to(ROOT / "cart")): path.read_text() for path in (ROOT / "cart").rglob("*.py")}
OURS = {"carts", "saved", "shares", "products", "analytics", "health"}


def requests():
    for product_id in [42, *range(1, 31)]:
        yield "POST", "/cart/u/items", CUP | {"product_id": product_id}
    yield "POST", "/cart", None
    yield "POST", "/cart/u/items", CUP, {"Idempotency-Key": "once"}
    yield "POST", "/cart/u/items", CUP, {"Idempotency-Key": "once"}
    yield "DELETE", "/cart/u", None, {"If-Match": "*"}
    yield "POST", "/cart/u/items", CUP | {"product_id": 1}
    yield "POST", "/cart/u/items", CUP | {"product_id": 2}
    yield "GET", "/cart/u", None
    yield "PUT", "/cart/u/items/1", {"quantity": 1}
    yield "PUT", "/cart/u/items/999", {"quantity": 1}
    yield "DELETE", "/cart/u/items/1", None
    yield "DELETE", "/cart/u", None
    yield "POST", "/cart/u/saved", CUP
    yield "GET", "/cart/u/saved", None
    yield "POST", "/cart/u/saved/42/move-to-cart", None
    yield "POST", "/cart/u/validate", None
    yield "POST", "/cart/u/validate?fix=true", None
    yield "POST", "/cart/u/items/42/save-for-later", None
    yield "POST", "/cart/v/merge", {"source_user_id": "u"}
    yield "DELETE", "/cart/v/saved/42", None
    link = yield "POST", "/cart/u/shares", {"access": "edit"}
    yield "GET", "/cart/u/shares", None
    yield "GET", f"/shared/{link['token']}", None
    yield "POST", f"/shared/{link['token']}/items", CUP
    yield "PUT", f"/shared/{link['token']}/items/42", {"quantity": 1}
    yield "POST", "/cart/w/copy", {"share_token": link["token"]}
    yield "DELETE", f"/shared/{link['token']}/items/42", None
    yield "DELETE", f"/cart/u/shares/{link['share_id']}", None
    job = yield "PUT", "/products/42/price", {"price": 1}
    while job["status"] == "running":
        job = yield "GET", f"/products/42/price-changes/{job['job_id']}", None
    yield "GET", "/products/42/carts", None
    yield "POST", "/cart/u/price-changes/accept", None
    for path in ("summary", "products", "products/42", "abandonment"):
        yield "GET", f"/analytics/{path}", None
    yield "GET", "/health", None
    yield "GET", "/health/ready", None


def exercise_all(app) -> set[str]:
    """Send all requests, each made from the previous answer; return the endpoints that answered."""
    request_generator, answer, endpoints = requests(), None, set()
    with suppress(StopIteration):
        while True:
            endpoint, answer = exercise(app, *request_generator.send(answer))
            endpoints.add(endpoint)
    return endpoints


def exercise(app, method, path, body, headers=None):
    with app.test_client() as client:
        answer = client.open(path, method=method, json=body, headers=headers)
    assert answer.status_code in {200, 201, 202, 204, 404}, (path, answer.data)
    return app.url_map.bind("").match(path.partition("?")[0], method)[0], answer.json if answer.is_json else None


def test_every_operation_in_the_source_was_called(calls):
    """The source names each operation where it is called."""
    source = "".join(SOURCES[name] for name in sorted(GATEWAYS))
    named = set(re.findall(r'call\(\s*(?:self|table)\.client,\s*"(\w+)"|self\.client\.(\w+)[(,]', source))
    assert {method or operation_name for method, operation_name in named} == {
        xform_name(operation) for operation in calls.operations
    }


def test_no_other_module_calls_dynamodb():
    callers = {name for name, text in SOURCES.items() if re.search(r"dynamodb\.client import .*\bcall\b", text)}
    assert callers == GATEWAYS | {
        "commands/rebuild.py"
    }  # the last is of a command, which uses the credentials of its user


def test_only_the_gateway_uses_dynamodb():
    users = {name for name, text in SOURCES.items() if re.search(r"^import boto3", text, re.M)}
    assert users == {"dynamodb/client.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_policy_allows_exactly_the_called_operations_on_the_own_table(stage, calls):
    arn = f"arn:aws:dynamodb:*:*:table/{stage}-carts"
    actions, resources = statement_on(stage, arn)
    assert actions == {f"dynamodb:{action}" for action in calls.actions}
    assert resources == {arn, *(f"{arn}/index/{index}" for index in calls.indexes)}


@pytest.mark.parametrize("stage", STAGES)
def test_policy_allows_lambda_to_read_the_own_stream(stage):
    """ "Process Amazon DynamoDB records with Lambda" lists what the role must permit."""
    actions, resources = statement_on(stage, f"arn:aws:dynamodb:*:*:table/{stage}-carts/stream/*")
    assert actions == {
        f"dynamodb:{action_name}" for action_name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    }
    assert len(resources) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_policy_allows_failed_records_only_to_the_own_queue(stage):
    actions, resources = actions_on(stage, "sqs")
    assert actions == {"sqs:SendMessage"}
    assert resources == {f"arn:aws:sqs:*:*:{subscription.uncounted_queue(f'cart-{stage}')}"}


@pytest.mark.parametrize("stage", STAGES)
def test_policy_allows_logs_only_to_the_own_group(stage):
    actions, resources = actions_on(stage, "logs")
    assert actions == LOGS
    group = f"arn:aws:logs:*:*:log-group:/aws/lambda/cart-{stage}"
    assert resources == {group, f"{group}:log-stream:*"}


@pytest.mark.parametrize("stage", STAGES)
def test_policy_allows_only_its_own_invocation(stage):
    actions, resources = actions_on(stage, "lambda")
    assert actions == {"lambda:InvokeFunction"}
    function = f"arn:aws:lambda:*:*:function:cart-{stage}"
    assert resources == {function, f"{function}:*"}


@pytest.mark.parametrize("stage", STAGES)
def test_policy_allows_exactly_the_called_event_operations(stage, calls):
    """A permission for another bus, EVENT_BUS_NAME, must be added."""
    actions, resources = actions_on(stage, "events")
    assert actions == {f"events:{action}" for action in calls.event_actions}
    assert resources == {f"arn:aws:events:*:*:event-bus/{bus}" for bus in calls.buses}


@pytest.mark.parametrize("stage", STAGES)
def test_policy_has_no_wide_wildcard(stage):
    for actions, resources in statements(stage):
        assert not any("*" in action or "?" in action for action in actions)
        for arn in resources:
            *_, region, account, resource = arn.split(":", 5)
            assert (region, account) == ("*", "*")  # the stage's file is the same in every account
            assert not resource.startswith("*")
    assert len(statements(stage)) == 6


@pytest.mark.parametrize("stage", STAGES)
def test_policies_of_stages_differ_only_by_name(stage):
    text = (ROOT / "deploy" / "policies" / f"{stage}.json").read_text()
    assert text.replace(stage, "STAGE") == (ROOT / "deploy/policies/dev.json").read_text().replace("dev", "STAGE")


def test_files_of_the_stages_equal_their_templates():
    for path, text in stage_files.render().items():
        assert path.read_text() == text, "run python -m deploy.stage_files"


def test_each_stage_has_a_policy():
    assert set(settings()) == set(STAGES)
    assert {path.stem for path in (ROOT / "deploy" / "policies").iterdir()} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_settings_of_each_stage_are_complete(stage):
    stage_settings = settings()[stage]
    assert stage_settings["attach_policy"] == f"deploy/policies/{stage}.json"
    environ = stage_settings["aws_environment_variables"]
    assert environ["ENVIRONMENT"] == stage
    assert environ["DYNAMODB_TABLE_NAME"] == f"{stage}-carts"
    assert environ["INSTANTIATE_LAMBDA_HANDLER_ON_IMPORT"] == "1"
    assert "environment_variables" not in stage_settings  # these would be in the zip
    assert stage_settings["project_name"] == "cart"
    assert stage_settings["runtime"] == "python3.11"
    assert stage_settings["architecture"] == "x86_64"
    assert stage_settings["keep_warm"] is False
    assert stage_settings["debug"] is False
    assert stage_settings["log_level"] == environ["LOG_LEVEL"] == "INFO"
    assert type(stage_settings["num_retained_versions"]) is int
    assert "base_path" not in stage_settings
    assert stage_settings.get("apigateway_version", "v1") == "v1"  # the other API type drops authorizers


def test_settings_of_stages_differ_only_in_the_listed_ones():
    """A result on one stage then holds on the next."""
    own = {"attach_policy", "aws_environment_variables", "events"}
    shared = [{name: value for name, value in settings()[stage].items() if name not in own} for stage in STAGES[:3]]
    assert shared[0] == shared[1] == shared[2]
    assert settings()["local"].items() >= (shared[0] | {"touch": False, "delete_s3_zip": False}).items()


@pytest.mark.parametrize("stage", STAGES)
def test_events_of_stages_differ_only_by_name(stage):
    """Two stages of one account then have separate rules."""
    expected, this = (json.dumps(settings()[name]["events"]) for name in ("dev", stage))
    assert this == expected.replace("dev", stage)

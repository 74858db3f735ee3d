"""`flask table create` and `flask table status` on all engines."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from cart import create_app
from cart.commands import provision
from cart.config import Config
from cart.dynamodb.client import connect
from tests.support.stores import Store


@pytest.fixture
def missing_table(store: Store) -> Config:
    """Settings for a table that does not exist."""
    return Config(
        dynamodb_endpoint_url=store.config.dynamodb_endpoint_url, dynamodb_table_name=f"fresh-{uuid.uuid4().hex[:8]}"
    )


@pytest.fixture
def run(missing_table):
    """Return a function that runs a flask command and returns its exit status and output."""
    runner = create_app(missing_table).test_cli_runner()

    def call(*args):
        result = runner.invoke(args=["table", *args])
        return result.exit_code, result.output

    return call


def test_create_makes_the_documented_table(run, missing_table, store):
    status, output = run("create")
    assert (status, output.splitlines()[-1]) == (0, f"Table {missing_table.dynamodb_table_name}: ready")
    table = store.client.describe_table(TableName=missing_table.dynamodb_table_name)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]} == {
        "user_id": "HASH",
        "item_id": "RANGE",
    }
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "ProductIndex"
    assert index["KeySchema"] == [{"AttributeName": "product_id", "KeyType": "HASH"}]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    ttl = store.client.describe_time_to_live(TableName=missing_table.dynamodb_table_name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    if store.engine != "dynamodb-local":
        assert table["SSEDescription"]["Status"] == "ENABLED"
        backups = store.client.describe_continuous_backups(TableName=missing_table.dynamodb_table_name)
        recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    else:
        assert output.count("point-in-time recovery is not offered by this engine") == 1


def test_second_create_changes_nothing(run, missing_table, store):
    run("create")
    store_again = Store(store.engine, missing_table, store.client)
    store_again.put("u", 1)
    status, output = run("create")
    assert status == 0
    assert f"Table {missing_table.dynamodb_table_name}: exists\n" in output
    assert len(store_again.rows("u")) == 1


def test_concurrent_creates_make_one_table(real_store):
    """Two containers may start at the same time."""
    name = f"fresh-{uuid.uuid4().hex[:8]}"
    lines: list[str] = []
    clients = [connect(real_store.config, boto_defaults=True) for _ in range(4)]
    together = threading.Barrier(len(clients), timeout=30)

    def create(client):
        together.wait()
        return provision.create(client, name, lines.append)

    with ThreadPoolExecutor(len(clients)) as pool:
        assert list(pool.map(create, clients)) == [{}] * len(clients)
    assert lines.count(f"Table {name}: creating") == 1


def test_create_corrects_ttl_recovery_and_stream(run, missing_table, store):
    definition = provision._definition()
    store.client.create_table(TableName=missing_table.dynamodb_table_name, **definition)
    assert run("status")[0] == 1
    status, output = run("create")
    assert status == 0
    assert "turned TTL on" in output
    assert "turned its stream on" in output
    assert ("turned point-in-time recovery on" in output) == (store.engine != "dynamodb-local")
    assert run("status")[0] == 0


def test_differences_that_cannot_be_changed_are_reported(run, missing_table, store):
    definition = provision._definition()
    definition["GlobalSecondaryIndexes"][0]["Projection"] = {"ProjectionType": "ALL"}
    definition["BillingMode"] = "PROVISIONED"
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    definition["ProvisionedThroughput"] = definition["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] = units
    store.client.create_table(TableName=missing_table.dynamodb_table_name, **definition)
    for command in ("create", "status"):
        status, output = run(command)
        assert status == 1
        assert "ProductIndex: product_id (N) HASH, ALL, ACTIVE" in output
        assert "PROVISIONED" in output
        assert "must be PAY_PER_REQUEST" in output or "DIFFERS" in output


def test_stream_with_other_images_is_reported_and_not_changed(run, missing_table, store):
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    store.client.create_table(
        TableName=missing_table.dynamodb_table_name, **provision._definition(), StreamSpecification=stream
    )
    status, output = run("create")
    assert status == 1
    assert "stream is KEYS_ONLY, must be NEW_AND_OLD_IMAGES" in output


def test_ttl_on_another_attribute_is_reported_and_not_changed(run, missing_table, store):
    store.client.create_table(TableName=missing_table.dynamodb_table_name, **provision._definition())
    other_ttl = {"Enabled": True, "AttributeName": "expires"}
    store.client.update_time_to_live(TableName=missing_table.dynamodb_table_name, TimeToLiveSpecification=other_ttl)
    status, output = run("create")
    assert status == 1
    assert "ttl is ENABLED on expires, must be ENABLED on ttl" in output


def test_status_prints_each_aspect(run, missing_table, store):
    run("create")
    Store(store.engine, missing_table, store.client).put("u", 1)
    status, output = run("status")
    assert status == 0
    aspects = dict(line.split(":", 1) for line in output.splitlines())
    aspects = {name: value.strip() for name, value in aspects.items()}
    assert aspects.pop("items") == "1"
    assert aspects.pop("size").endswith(" bytes")
    lacks = {"recovery", "encryption"} if store.engine == "dynamodb-local" else set()
    assert aspects == provision.REQUIRED | dict.fromkeys(lacks, provision.NOT_OFFERED)


def test_status_of_a_missing_table_prints_one_line(run, missing_table):
    status, output = run("status")
    assert status == 1
    assert output == (
        f"cart: there is no table {missing_table.dynamodb_table_name}; run flask --app wsgi table create to create it\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["create", "status"])
def test_unreachable_engine_prints_one_line(command, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # botocore would try ten times, for 25 seconds
    config = Config(dynamodb_endpoint_url="http://127.0.0.1:1")
    result = create_app(config).test_cli_runner().invoke(args=["table", command])
    assert result.exit_code == 1
    assert result.output.startswith("cart: Could not connect")
    assert result.output.count("\n") == 1


def test_recovery_is_requested_again_until_it_is_available(moto_url, monkeypatch):
    client = connect(Config(dynamodb_endpoint_url=moto_url), boto_defaults=True)
    refusals = [client.exceptions.ContinuousBackupsUnavailableException({"Error": {"Code": "x"}}, "x")]
    really = client.update_continuous_backups
    monkeypatch.setattr(provision.time, "sleep", lambda _: None)

    def not_yet(**params):
        if refusals:
            raise refusals.pop()
        return really(**params)

    monkeypatch.setattr(client, "update_continuous_backups", not_yet)
    assert provision.create(client, f"fresh-{uuid.uuid4().hex[:8]}", lambda _: None) == {}
    assert refusals == []

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
def fresh(store: Store) -> Config:
    """Settings of a table that is not there."""
    return Config(
        dynamodb_endpoint_url=store.config.dynamodb_endpoint_url, dynamodb_table_name=f"fresh-{uuid.uuid4().hex[:8]}"
    )


@pytest.fixture
def run(fresh):
    """Run a flask command; answers its exit status and output."""
    runner = create_app(fresh).test_cli_runner()

    def call(*args):
        result = runner.invoke(args=["table", *args])
        return result.exit_code, result.output

    return call


def test_create_makes_what_the_design_says(run, fresh, store):
    status, output = run("create")
    assert (status, output.splitlines()[-1]) == (0, f"Table {fresh.dynamodb_table_name}: ready")
    table = store.client.describe_table(TableName=fresh.dynamodb_table_name)["Table"]
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
    ttl = store.client.describe_time_to_live(TableName=fresh.dynamodb_table_name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    if store.engine != "dynamodb-local":
        assert table["SSEDescription"]["Status"] == "ENABLED"
        backups = store.client.describe_continuous_backups(TableName=fresh.dynamodb_table_name)
        recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    else:
        assert output.count("point-in-time recovery is not offered by this engine") == 1


def test_create_again_changes_nothing(run, fresh, store):
    run("create")
    store_again = Store(store.engine, fresh, store.client)
    store_again.put("u", 1)
    status, output = run("create")
    assert status == 0
    assert f"Table {fresh.dynamodb_table_name}: exists\n" in output
    assert len(store_again.rows("u")) == 1


def test_several_create_it_at_once(real_store):
    """As when two containers start."""
    name = f"fresh-{uuid.uuid4().hex[:8]}"
    said: list[str] = []
    clients = [connect(real_store.config, boto_defaults=True) for _ in range(4)]
    together = threading.Barrier(len(clients), timeout=30)

    def create(client):
        together.wait()
        return provision.create(client, name, said.append)

    with ThreadPoolExecutor(len(clients)) as pool:
        assert list(pool.map(create, clients)) == [{}] * len(clients)
    assert said.count(f"Table {name}: creating") == 1


def test_create_brings_ttl_recovery_and_stream_in_line(run, fresh, store):
    definition = provision._definition()
    store.client.create_table(TableName=fresh.dynamodb_table_name, **definition)
    assert run("status")[0] == 1
    status, output = run("create")
    assert status == 0
    assert "turned TTL on" in output
    assert "turned its stream on" in output
    assert ("turned point-in-time recovery on" in output) == (store.engine != "dynamodb-local")
    assert run("status")[0] == 0


def test_what_cannot_be_changed_in_place_is_reported(run, fresh, store):
    definition = provision._definition()
    definition["GlobalSecondaryIndexes"][0]["Projection"] = {"ProjectionType": "ALL"}
    definition["BillingMode"] = "PROVISIONED"
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    definition["ProvisionedThroughput"] = definition["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] = units
    store.client.create_table(TableName=fresh.dynamodb_table_name, **definition)
    for command in ("create", "status"):
        status, output = run(command)
        assert status == 1
        assert "ProductIndex: product_id (N) HASH, ALL, ACTIVE" in output
        assert "PROVISIONED" in output
        assert "must be PAY_PER_REQUEST" in output or "DIFFERS" in output


def test_a_stream_of_other_images_is_reported_and_left(run, fresh, store):
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    store.client.create_table(
        TableName=fresh.dynamodb_table_name, **provision._definition(), StreamSpecification=stream
    )
    status, output = run("create")
    assert status == 1
    assert "stream is KEYS_ONLY, must be NEW_AND_OLD_IMAGES" in output


def test_ttl_on_another_attribute_is_reported_and_left(run, fresh, store):
    store.client.create_table(TableName=fresh.dynamodb_table_name, **provision._definition())
    other = {"Enabled": True, "AttributeName": "expires"}
    store.client.update_time_to_live(TableName=fresh.dynamodb_table_name, TimeToLiveSpecification=other)
    status, output = run("create")
    assert status == 1
    assert "ttl is ENABLED on expires, must be ENABLED on ttl" in output


def test_status_prints_each_thing(run, fresh, store):
    run("create")
    Store(store.engine, fresh, store.client).put("u", 1)
    status, output = run("status")
    assert status == 0
    found = dict(line.split(":", 1) for line in output.splitlines())
    found = {name: value.strip() for name, value in found.items()}
    assert found.pop("items") == "1"
    assert found.pop("size").endswith(" bytes")
    lacks = {"recovery", "encryption"} if store.engine == "dynamodb-local" else set()
    assert found == provision.REQUIRED | dict.fromkeys(lacks, provision.NOT_OFFERED)


def test_status_of_no_table_is_one_line(run, fresh):
    status, output = run("status")
    assert status == 1
    assert output == (
        f"cart: there is no table {fresh.dynamodb_table_name}; run flask --app wsgi table create to create it\n"
    )


@pytest.mark.parametrize("command", ["create", "status"])
def test_an_engine_that_is_away_is_one_line(command):
    config = Config(dynamodb_endpoint_url="http://127.0.0.1:1")
    result = create_app(config).test_cli_runner().invoke(args=["table", command])
    assert result.exit_code == 1
    assert result.output.startswith("cart: Could not connect")
    assert result.output.count("\n") == 1


def test_recovery_that_is_not_ready_yet_is_asked_for_again(moto_url, monkeypatch):
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

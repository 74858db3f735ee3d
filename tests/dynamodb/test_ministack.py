"""What ministack does differently from DynamoDB Local, as far as this service can meet it.

Each test sends the same requests to both engines, so it fails when either changes. The other tests run on both alike.

| subject | ministack | DynamoDB Local | test |
|---|---|---|---|
| capacity of a Query | 1 unit, whatever it reads | by size; 0 if it reads nothing | `query_units` |
| capacity of a BatchGetItem | not reported | reported | `batch_get_units` |
| capacity of a transaction | an index write is charged once | it is charged twice | `transaction_units` |
| capacity of deleting rows that do not exist | 1 unit each, as on AWS | 2 units each | `batch_delete_units` |
| 1 MB page of a Query | ends before the row that would exceed it | ends after that row | `page_size` |
| a sum of numbers | without trailing zeros, as on AWS (`0.3`) | with them (`0.30`) | `sum_has_no_trailing_zeros` |
| a sum of more than 38 digits | is rounded | is refused | `sum_of_too_many_digits` |
| messages of errors | have other words; the codes are the same | | `messages` |
| region and account | each has its own tables | are ignored | `regions_and_accounts` |
| unsigned requests | are answered, except those of web pages | are refused | `unsigned_requests` |
| point-in-time recovery, encryption, tags | are accepted, without effect | not offered | `features` |
| size of a table | 200 bytes for each row; an index has none | the bytes stored | `table_size` |
| deletion of expired rows | once a minute; it writes no stream record | within seconds; it writes one | `expiry` |
| stream record's size | 0 | the bytes of keys and images | `record_size` |
| a stream that was turned off | the table reports it as off | the table reports no stream | `stream_turned_off` |
"""

import json
import re
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError

from cart.commands import engines, provision
from cart.dynamodb.client import call, connect
from tests.support.project import ROOT
from tests.support.stores import Store, make_store
from tests.support.streams import stream_of

EXPIRES_WITHIN_SECONDS = 90
# ministack's loop that deletes expired rows sleeps a minute at a time: here half a second
SERVER = ROOT / "cart" / "commands" / "ministack_server.py"
QUICK_EXPIRY = f"""
import runpy, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.5))
runpy.run_path({str(SERVER)!r}, run_name="__main__")
"""

Key = dict[str, Any]
Stores = tuple[Store, Store]


@pytest.fixture(scope="module")
def stores(ministack_url: str, dynamodb_local_url: str) -> Stores:
    """A table on ministack and one on DynamoDB Local."""
    return make_store("ministack", ministack_url), make_store("dynamodb-local", dynamodb_local_url)


@pytest.fixture
def streaming(ministack_url: str, dynamodb_local_url: str) -> Stores:
    """The same for one test alone, with streams."""
    return (
        make_store("ministack", ministack_url, with_stream=True),
        make_store("dynamodb-local", dynamodb_local_url, with_stream=True),
    )


def on_each(stores: Stores, probe: Callable[[Store], Any]) -> tuple[Any, ...]:
    """Return what the probe returns on ministack and on DynamoDB Local, or the code of the error that it raises."""

    def answer(store: Store) -> Any:
        try:
            return probe(store)
        except ClientError as error:
            return error.response["Error"]["Code"]

    return tuple(answer(store) for store in stores)


def key(user_id: str, item_id: Any = "ITEM#1") -> Key:
    return {"user_id": {"S": user_id}, "item_id": {"S": str(item_id)}}


def put(store: Store, row: Key) -> None:
    store.client.put_item(TableName=store.config.dynamodb_table_name, Item=row)


def query(store: Store, user_id: str) -> Any:
    """Read the first page of a user's rows."""
    return store.client.query(
        TableName=store.config.dynamodb_table_name,
        KeyConditionExpression="user_id = :u",
        ExpressionAttributeValues={":u": {"S": user_id}},
        ConsistentRead=True,
        ReturnConsumedCapacity="TOTAL",
    )


def sum_of(store: Store, user_id: str, start: str, addend: str) -> str:
    """Let the engine add two numbers."""
    put(store, key(user_id) | {"amount": {"N": start}})
    answer = store.client.update_item(
        TableName=store.config.dynamodb_table_name,
        Key=key(user_id),
        UpdateExpression="ADD amount :amount",
        ExpressionAttributeValues={":amount": {"N": addend}},
        ReturnValues="ALL_NEW",
    )
    return answer["Attributes"]["amount"]["N"]


def records_of(store: Store, user_id: str) -> list[dict[str, Any]]:
    """Return the stream records of a user."""
    records = stream_of(store.config, store.client).read()
    return [record for record in records if record["dynamodb"]["Keys"]["user_id"]["S"] == user_id]


def test_query_units(stores, user):
    def units(store):
        empty = query(store, user)["ConsumedCapacity"]["CapacityUnits"]
        for number in range(10):
            put(store, key(user, number) | {"padding": {"S": "x" * 4000}})
        return empty, query(store, user)["ConsumedCapacity"]["CapacityUnits"]

    assert on_each(stores, units) == ((1, 1), (0, 10))


def test_batch_get_units(stores, user):
    """So the service takes the answer for DynamoDB's by its ``Responses``."""

    def units(store):
        table = store.config.dynamodb_table_name
        put(store, key(user))
        answer = store.client.batch_get_item(
            RequestItems={table: {"Keys": [key(user)]}}, ReturnConsumedCapacity="TOTAL"
        )
        assert len(answer["Responses"][table]) == 1
        return [entry["CapacityUnits"] for entry in answer.get("ConsumedCapacity", [])]

    assert on_each(stores, units) == ([], [0.5])

    def rows(store):
        table = store.config.dynamodb_table_name
        asked = {table: {"Keys": [key(user)]}}
        return call(connect(store.config), "batch_get_item", RequestItems=asked)["Responses"][table]

    assert on_each(stores, rows) == ([key(user)], [key(user)])


def test_transaction_units(stores, user):
    def units(store):
        puts = [
            {"TableName": store.config.dynamodb_table_name, "Item": key(user, number) | {"product_id": {"N": "1"}}}
            for number in range(2)
        ]
        (consumed,) = store.client.transact_write_items(
            TransactItems=[{"Put": put_request} for put_request in puts], ReturnConsumedCapacity="INDEXES"
        )["ConsumedCapacity"]
        return consumed["CapacityUnits"], consumed["GlobalSecondaryIndexes"]["ProductIndex"]["CapacityUnits"]

    assert on_each(stores, units) == ((4 + 2, 2), (4 + 4, 4))


def test_batch_delete_units(stores, user):
    def units(store):
        deletes = [{"DeleteRequest": {"Key": key(user, number)}} for number in range(3)]
        (consumed,) = store.client.batch_write_item(
            RequestItems={store.config.dynamodb_table_name: deletes}, ReturnConsumedCapacity="TOTAL"
        )["ConsumedCapacity"]
        return consumed["CapacityUnits"]

    assert on_each(stores, units) == (3, 6)


def test_page_size(stores, user):
    def rows_of_first_page(store):
        for number in range(23):
            put(store, key(user, f"{number:02}") | {"padding": {"S": "x" * 50_000}})
        page = query(store, user)
        assert "LastEvaluatedKey" in page
        return len(page["Items"])

    assert on_each(stores, rows_of_first_page) == (20, 21)  # of 1,048,576 bytes


def test_sum_has_no_trailing_zeros(stores, user):
    assert on_each(stores, lambda store: sum_of(store, user, "0.1", "0.20")) == ("0.3", "0.30")


def test_sum_of_too_many_digits(stores, user):
    assert on_each(stores, lambda store: sum_of(store, user, "9" * 38, "0.2")) == (
        "1" + "0" * 38,
        "ValidationException",
    )


MESSAGES = {
    "a table that does not exist": (
        "ResourceNotFoundException",
        "Requested resource not found",
        "Cannot do operations on a non-existent table",
    ),
    "a table that exists": ("ResourceInUseException", "Table already exists: {}", "Cannot create preexisting table"),
    "a text as number": (
        "ValidationException",
        "1 validation error detected: The parameter cannot be converted to a numeric value: two",
        "A value provided cannot be converted into a number",
    ),
    "too long a key": (
        "ValidationException",
        "One or more parameter values were invalid:"
        " Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
        "Hash primary key values must be under 2048 bytes, and range primary key values must be under 1024 bytes",
    ),
    "a token used before": (
        "IdempotentParameterMismatchException",
        "Request token already in use for another request with a different payload",
        "",
    ),
}


def provoke(store: Store, error: str, user_id: str) -> None:
    client, table = store.client, store.config.dynamodb_table_name
    match error:
        case "a table that does not exist":
            client.get_item(TableName="missing", Key=key(user_id))
        case "a table that exists":
            client.create_table(TableName=table, **provision._definition())
        case "a text as number":
            put(store, key(user_id) | {"amount": {"N": "two"}})
        case "too long a key":
            put(store, key(user_id, "x" * 1025))
        case "a token used before":
            token = str(uuid.uuid4())
            for item_id in (1, 2):
                action = {"Put": {"TableName": table, "Item": key(user_id, item_id)}}
                client.transact_write_items(TransactItems=[action], ClientRequestToken=token)


@pytest.mark.parametrize("error", MESSAGES)
def test_messages(stores, user, error):
    """No code of the service reads a message; the codes and statuses are those of DynamoDB."""
    code, *messages = MESSAGES[error]
    for store, message in zip(stores, messages, strict=True):
        with pytest.raises(ClientError) as caught:
            provoke(store, error, user)
        assert caught.value.response["Error"] == {
            "Code": code,
            "Message": message.format(store.config.dynamodb_table_name),
        }
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(("region", "access_key"), [("eu-west-1", "local"), ("us-east-1", "222222222222")])
def test_regions_and_accounts(stores, region, access_key, monkeypatch):
    """ministack takes an access key of 12 digits as the account's id, and any other key as account 000000000000."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")

    def status(store):
        client = connect(replace(store.config, aws_region=region), boto_defaults=True)
        return client.describe_table(TableName=store.config.dynamodb_table_name)["Table"]["TableStatus"]

    assert stores[0].config.aws_region == "us-east-1"
    assert on_each(stores, status) == ("ResourceNotFoundException", "ACTIVE")


def test_unsigned_requests(stores):
    def ask(store, **more):
        headers = {
            "X-Amz-Target": "DynamoDB_20120810.ListTables",
            "Content-Type": "application/x-amz-json-1.0",
        } | more
        request = urllib.request.Request(store.config.dynamodb_endpoint_url, data=b"{}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return store.config.dynamodb_table_name in json.load(answer)["TableNames"]
        except HTTPError as refused:
            return refused.code, refused.read().decode().partition("#")[2][:26]

    of_page = {"Origin": "https://other.example"}
    assert on_each(stores, ask) == (True, (400, "MissingAuthenticationToken"))
    assert ask(stores[0], **of_page) == (403, "")


def test_features(stores):
    def recovery(store):
        backups = store.client.describe_continuous_backups(TableName=store.config.dynamodb_table_name)
        return backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]

    def table(store):
        return store.client.describe_table(TableName=store.config.dynamodb_table_name)["Table"]

    def tags(store):
        return store.client.list_tags_of_resource(ResourceArn=table(store)["TableArn"])["Tags"]

    assert on_each(stores, recovery) == ("ENABLED", "UnknownOperationException")
    assert on_each(stores, tags) == ([], "UnknownOperationException")
    assert on_each(stores, lambda store: table(store).get("SSEDescription", {}).get("Status")) == ("ENABLED", None)


def test_table_size(streaming, user):
    def sizes(store):
        put(store, key(user) | {"product_id": {"N": "1"}, "padding": {"S": "x" * 1000}})
        table = store.client.describe_table(TableName=store.config.dynamodb_table_name)["Table"]
        (index,) = table["GlobalSecondaryIndexes"]
        return table["ItemCount"], table["TableSizeBytes"] > 1000, index["ItemCount"], index["IndexSizeBytes"] > 0

    assert on_each(streaming, sizes) == ((1, False, 0, False), (1, True, 1, True))


@pytest.mark.slow
def test_expiry(dynamodb_local_url, user):
    """So on ministack an expired line stays counted in the analytics until `flask analytics rebuild`."""
    quick = engines.ministack_engine()._replace(command=[sys.executable, "-P", "-c", QUICK_EXPIRY])

    def names_of_records(store):
        store.put(user, 1, ttl={"N": "1700000000"})
        store.client.update_time_to_live(
            TableName=store.config.dynamodb_table_name,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"},
        )
        deadline = time.monotonic() + EXPIRES_WITHIN_SECONDS
        while store.rows(user):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return [record["eventName"] for record in records_of(store, user)]

    with engines.running(quick) as url:
        assert names_of_records(make_store("ministack", url, with_stream=True)) == ["INSERT"]
    assert names_of_records(make_store("dynamodb-local", dynamodb_local_url, with_stream=True)) == ["INSERT", "REMOVE"]


def test_record_size(streaming, user):
    def size(store):
        put(store, key(user))
        (record,) = records_of(store, user)
        return record["dynamodb"]["SizeBytes"] > 0

    assert on_each(streaming, size) == (False, True)


def test_stream_turned_off(streaming):
    def specification(store):
        table = store.config.dynamodb_table_name
        store.client.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
        return store.client.describe_table(TableName=table)["Table"].get("StreamSpecification")

    assert on_each(streaming, specification) == ({"StreamEnabled": False}, None)


def test_the_table_above_names_each_test():
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    assert re.findall(r"`(\w+)` \|$", __doc__ or "", re.MULTILINE) == tests[:-1]

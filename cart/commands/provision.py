"""Create the table, and compare an existing table with what it must be."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cart.dynamodb.keys import PRODUCT_INDEX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TTL_ATTRIBUTE = "ttl"
USABLE_WITHIN_SECONDS = 300

# The required properties of the table, as `table status` prints them
REQUIRED = {
    "status": "ACTIVE",
    "keys": "user_id (S) HASH, item_id (S) RANGE",
    "billing": "PAY_PER_REQUEST",
    "index": f"{PRODUCT_INDEX}: product_id (N) HASH, KEYS_ONLY, ACTIVE",
    "ttl": f"ENABLED on {TTL_ATTRIBUTE}",
    "recovery": "ENABLED",
    "encryption": "KMS ENABLED",
    "stream": "NEW_AND_OLD_IMAGES",
}
NOT_OFFERED = "not offered by this engine"


def create(client: "DynamoDBClient", name: str, say: Callable[[str], None], with_stream: bool = True) -> dict[str, str]:
    """Create the table if it does not exist, wait until it is usable, and turn on TTL, recovery and stream.

    :param say: called with one line of output for each thing that was done or that the engine does not offer
    :param with_stream: False leaves the stream as it is, for moto: it copies the whole stream at each transaction
    :return: the properties that differ and cannot be changed in place, with the table's values
    """
    try:
        client.create_table(TableName=name, **_definition())
        say(f"Table {name}: creating")
    except client.exceptions.ResourceInUseException:
        say(f"Table {name}: exists")
    _wait_until(lambda: properties(client, name)["status"] == "ACTIVE", f"{name} to become ACTIVE")
    _turn_on_ttl(client, name, say)
    _turn_on_recovery(client, name, say)
    if with_stream:
        _turn_on_stream(client, name, say)
    different = differences(properties(client, name))
    return {key: value for key, value in different.items() if with_stream or key != "stream"}


def properties(client: "DynamoDBClient", name: str) -> dict[str, str]:
    """Return the table's properties, with the keys of ``REQUIRED``.

    :raise ResourceNotFoundException: the table does not exist
    """
    table = client.describe_table(TableName=name)["Table"]
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}

    def keys(schema: list[Any]) -> str:
        return ", ".join(f"{key['AttributeName']} ({types[key['AttributeName']]}) {key['KeyType']}" for key in schema)

    return {
        "status": table["TableStatus"],
        "keys": keys(table["KeySchema"]),
        "billing": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "index": "; ".join(
            f"{index['IndexName']}: {keys(index['KeySchema'])}, "
            f"{index['Projection']['ProjectionType']}, {index['IndexStatus']}"
            for index in table.get("GlobalSecondaryIndexes", [])
        )
        or "none",
        "ttl": _ttl(client, name),
        "recovery": _recovery(client, name),
        "encryption": _encryption(table),
        "stream": table.get("StreamSpecification", {}).get("StreamViewType", "DISABLED"),
    }


def differences(actual: dict[str, str]) -> dict[str, str]:
    """Return those of the table's properties that differ from the required ones."""
    return {key: value for key, value in actual.items() if value not in (REQUIRED[key], NOT_OFFERED)}


def _definition() -> Any:
    return {
        "KeySchema": [
            {"AttributeName": "user_id", "KeyType": "HASH"},
            {"AttributeName": "item_id", "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": "user_id", "AttributeType": "S"},
            {"AttributeName": "item_id", "AttributeType": "S"},
            {"AttributeName": "product_id", "AttributeType": "N"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": PRODUCT_INDEX,
                "KeySchema": [{"AttributeName": "product_id", "KeyType": "HASH"}],
                # Enough to find the carts of a product; and a change of a quantity does not write the index
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "SSESpecification": {"Enabled": True},
    }


def _ttl(client: "DynamoDBClient", name: str) -> str:
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    status = ttl["TimeToLiveStatus"]
    return f"{status} on {ttl['AttributeName']}" if "AttributeName" in ttl else status


def _recovery(client: "DynamoDBClient", name: str) -> str:
    try:
        backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    except client.exceptions.ClientError as error:
        if _is_not_offered(error):
            return NOT_OFFERED
        raise
    return backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]


def _encryption(table: Any) -> str:
    if ":ddblocal:" in table["TableArn"]:
        return NOT_OFFERED
    sse = table.get("SSEDescription")
    return f"{sse['SSEType']} {sse['Status']}" if sse else "by a key that AWS owns"


def _turn_on_ttl(client: "DynamoDBClient", name: str, say: Callable[[str], None]) -> None:
    if _ttl(client, name) != "DISABLED":
        return  # on; if on another attribute, a change takes DynamoDB an hour, so it is reported as a difference
    ttl: Any = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
    with _allow_concurrent_change(client, lambda: _ttl(client, name) != "DISABLED"):
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
    _wait_until(lambda: _ttl(client, name) == REQUIRED["ttl"], "TTL")
    say(f"Table {name}: turned TTL on")


def _turn_on_recovery(client: "DynamoDBClient", name: str, say: Callable[[str], None]) -> None:
    status = _recovery(client, name)
    if status == NOT_OFFERED:
        say(f"Table {name}: point-in-time recovery is {NOT_OFFERED}; continuing without it")
    elif status != REQUIRED["recovery"]:
        _wait_until(lambda: _try_to_enable_recovery(client, name), "point-in-time recovery")
        say(f"Table {name}: turned point-in-time recovery on")


def _try_to_enable_recovery(client: "DynamoDBClient", name: str) -> bool:
    try:
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    except client.exceptions.ContinuousBackupsUnavailableException:
        return False  # DynamoDB refuses it for some seconds after a table is created
    return _recovery(client, name) == REQUIRED["recovery"]


def _turn_on_stream(client: "DynamoDBClient", name: str, say: Callable[[str], None]) -> None:
    if properties(client, name)["stream"] != "DISABLED":
        return  # on; a stream with other images cannot be changed, so it is reported as a difference
    stream: Any = {"StreamEnabled": True, "StreamViewType": REQUIRED["stream"]}
    with _allow_concurrent_change(client, lambda: properties(client, name)["stream"] != "DISABLED"):
        client.update_table(TableName=name, StreamSpecification=stream)
    _wait_until(lambda: properties(client, name)["status"] == "ACTIVE", f"{name} to become ACTIVE")
    say(f"Table {name}: turned its stream on")


@contextmanager
def _allow_concurrent_change(client: "DynamoDBClient", is_done: Callable[[], bool]) -> Iterator[None]:
    """Ignore that DynamoDB refuses a change if another process has made the same change meanwhile."""
    try:
        yield
    except client.exceptions.ClientError:
        if not is_done():
            raise


def _is_not_offered(error: Any) -> bool:
    return error.response["Error"]["Code"] == "UnknownOperationException"


def _wait_until(is_done: Callable[[], bool], event: str) -> None:
    deadline = time.monotonic() + USABLE_WITHIN_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {USABLE_WITHIN_SECONDS} seconds for {event}")
        time.sleep(1)

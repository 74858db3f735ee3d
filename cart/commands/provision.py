"""The table itself: what it must be, how it is made, and how what is there differs from that."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cart.dynamodb.keys import PRODUCT_INDEX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TTL_ATTRIBUTE = "ttl"
USABLE_WITHIN_SECONDS = 300

# Each aspect as `status` prints it, when it is right
WANTED = {
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
    """Make the table if it is not there, wait until it is usable, bring its TTL, recovery and stream in line.

    :param say: takes one line for each thing done or not to be had
    :param with_stream: or leave that as it is: moto copies all of a stream at each transaction, and nobody reads it
    :return: what differs and cannot be changed in place: aspect to what the table has
    """
    try:
        client.create_table(TableName=name, **_definition())
        say(f"Table {name}: creating")
    except client.exceptions.ResourceInUseException:
        say(f"Table {name}: already there")
    _wait_until(lambda: aspects(client, name)["status"] == "ACTIVE", f"{name} to become ACTIVE")
    _turn_on_ttl(client, name, say)
    _turn_on_recovery(client, name, say)
    if with_stream:
        _turn_on_stream(client, name, say)
    different = differences(aspects(client, name))
    return {aspect: found for aspect, found in different.items() if with_stream or aspect != "stream"}


def aspects(client: "DynamoDBClient", name: str) -> dict[str, str]:
    """Each of ``WANTED`` as the table has it.

    :raise ResourceNotFoundException: there is no such table
    """
    table = client.describe_table(TableName=name)["Table"]
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}

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


def differences(found: dict[str, str]) -> dict[str, str]:
    return {aspect: value for aspect, value in found.items() if value not in (WANTED[aspect], NOT_OFFERED)}


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
                # Enough to find the carts of a product, and a change of quantity does not write the index
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
        return  # on, or on another attribute, which DynamoDB takes an hour to change: reported as a difference
    wanted: Any = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
    with _or_found_done(client, lambda: _ttl(client, name) != "DISABLED"):
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
    _wait_until(lambda: _ttl(client, name) == WANTED["ttl"], "TTL")
    say(f"Table {name}: turned TTL on")


def _turn_on_recovery(client: "DynamoDBClient", name: str, say: Callable[[str], None]) -> None:
    found = _recovery(client, name)
    if found == NOT_OFFERED:
        say(f"Table {name}: point-in-time recovery is {NOT_OFFERED}, going on without")
    elif found != WANTED["recovery"]:
        _wait_until(lambda: _ask_for_recovery(client, name), "point-in-time recovery")
        say(f"Table {name}: turned point-in-time recovery on")


def _ask_for_recovery(client: "DynamoDBClient", name: str) -> bool:
    try:
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    except client.exceptions.ContinuousBackupsUnavailableException:
        return False  # for some seconds after a table is made
    return _recovery(client, name) == WANTED["recovery"]


def _turn_on_stream(client: "DynamoDBClient", name: str, say: Callable[[str], None]) -> None:
    if aspects(client, name)["stream"] != "DISABLED":
        return  # on, or with other images, and then it would have to be made anew: reported as a difference
    wanted: Any = {"StreamEnabled": True, "StreamViewType": WANTED["stream"]}
    with _or_found_done(client, lambda: aspects(client, name)["stream"] != "DISABLED"):
        client.update_table(TableName=name, StreamSpecification=wanted)
    _wait_until(lambda: aspects(client, name)["status"] == "ACTIVE", f"{name} to become ACTIVE")
    say(f"Table {name}: turned its stream on")


@contextmanager
def _or_found_done(client: "DynamoDBClient", is_done: Callable[[], bool]) -> Iterator[None]:
    """A change that DynamoDB refuses is none of ours if another who makes the table has made it by now."""
    try:
        yield
    except client.exceptions.ClientError:
        if not is_done():
            raise


def _is_not_offered(error: Any) -> bool:
    return error.response["Error"]["Code"] == "UnknownOperationException"


def _wait_until(is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + USABLE_WITHIN_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {USABLE_WITHIN_SECONDS} seconds for {what}")
        time.sleep(1)

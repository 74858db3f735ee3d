"""What is asked of DynamoDB for a change of a price: the lines of a product, the change on each, the job's row."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from cart.dynamodb.client import ConditionFailed, call
from cart.dynamodb.keys import LINE_PREFIXES, PRICE_JOB, PRICE_JOBS, PRODUCT_INDEX, Row, line_key, row_key
from cart.dynamodb.retries import attempts
from cart.dynamodb.rows import SHOWN, change_of, is_live, live_line, number, shown_line_of
from cart.dynamodb.table import CartTable
from cart.errors import Throttled
from cart.model.lines import Line, Place

JOB_TTL_SECONDS = 7 * 86_400
RUNNING, DONE = "running", "done"


class Holder(NamedTuple):
    """Who has a line of a product, and where: a position among its lines, whose order means nothing."""

    user_id: str
    place: Place


class Job(NamedTuple):
    """The work of one price change, and how far it has come.

    :ivar status: ``RUNNING``, also where nobody is at it any more, or ``DONE``
    :ivar seen: lines that were looked at; each is one of the ``changed``, which have the change, or of the ``skipped``,
        which had gone, had expired, or knew of a newer change
    :ivar cursor: the last line of the last page that is done
    :ivar lease_until: epoch seconds until which somebody is at it
    """

    job_id: str
    product_id: int
    price: Decimal
    changed_at: str
    created_at: str
    status: str = RUNNING
    seen: int = 0
    changed: int = 0
    skipped: int = 0
    cursor: Holder | None = None
    lease_until: float = 0

    @property
    def is_running(self) -> bool:
        return self.status == RUNNING

    @property
    def is_left(self) -> bool:
        """Whether there is work to do, and nobody at it."""
        return self.is_running and self.lease_until <= time.time()


def holders(
    table: CartTable, product_id: int, limit: int, after: Holder | None = None
) -> tuple[list[Holder], Holder | None]:
    """The lines of a product, live or not, and after which of them to go on. One Query of the index.

    The index is behind the table by as much as a second ("Global Secondary Indexes", eventual consistency).

    :param limit: lines, at most
    :return: None for the second where there are no more
    """
    params: Row = {"ExclusiveStartKey": _index_key(product_id, after)} if after else {}
    page = call(
        table.client,
        "query",
        TableName=table.name,
        IndexName=PRODUCT_INDEX,
        KeyConditionExpression="product_id = :product_id",
        ExpressionAttributeValues={":product_id": number(product_id)},
        Limit=limit,
        **params,
    )
    last = page.get("LastEvaluatedKey")
    return [_holder(row) for row in page["Items"]], _holder(last) if last else None


def _index_key(product_id: int, holder: Holder) -> Row:
    return line_key(*holder, product_id) | {"product_id": number(product_id)}


def _holder(row: Row) -> Holder:
    item_id: str = row["item_id"]["S"]
    place: Place = "cart" if item_id.startswith(LINE_PREFIXES["cart"]) else "saved"
    return Holder(row["user_id"]["S"], place)


def live_lines(table: CartTable, product_id: int, wanted: list[Holder]) -> list[tuple[Holder, Line]]:
    """The lines of these holders that are live. One BatchGetItem, and more for what DynamoDB did not get to.

    :param wanted: at most 100, the most that one BatchGetItem takes
    """
    keys = [line_key(*holder, product_id) for holder in wanted]
    expression = f"user_id, item_id, #ttl, {SHOWN}"
    found: dict[Holder, Line] = {}
    for _ in attempts():
        if not keys:
            return [(holder, found[holder]) for holder in wanted if holder in found]
        asked = {"Keys": keys, "ProjectionExpression": expression, "ExpressionAttributeNames": {"#ttl": "ttl"}}
        answer = call(table.client, "batch_get_item", RequestItems={table.name: asked})
        found |= {_holder(row): shown_line_of(row) for row in answer["Responses"][table.name] if is_live(row)}
        keys = answer.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
    raise Throttled


def record_price(table: CartTable, job: Job, holder: Holder) -> Decimal | None:
    """Record a change on one line, if it is there, live, and knows of none that is newer. One UpdateItem.

    What the shopper sees changes, and so does the line's version; its life does not begin again. To do it twice is to
    do it once. Of two changes of one moment, the higher price holds, so that all carts come to the same.

    :return: the line's own price, where it has the change now or had it already; else None
    """
    try:
        answer = call(
            table.client,
            "update_item",
            TableName=table.name,
            Key=line_key(*holder, job.product_id),
            UpdateExpression="SET current_price = :price, price_changed_at = :at, price_changed_from = price,"
            " version = version + :one",
            ConditionExpression="attribute_exists(item_id) AND #ttl > :epoch AND (attribute_not_exists(current_price)"
            " OR price_changed_at < :at OR (price_changed_at = :at AND current_price < :price))",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={
                ":price": {"N": str(job.price)},
                ":at": {"S": job.changed_at},
                ":one": number(1),
                ":epoch": number(time.time()),
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return change_of(answer["Attributes"]).line_price
    except ConditionFailed as failed:
        line = live_line(failed.row)
        is_this = line and line.change and line.change[:2] == (job.price, job.changed_at)
        return line.change.line_price if is_this and line and line.change else None


def put_job(table: CartTable, job: Job) -> Job:
    """Make a job, or find the one that is there. Two PutItem, the first of which lists it as not done."""
    expires = {"ttl": number(time.time() + JOB_TTL_SECONDS)}
    call(table.client, "put_item", TableName=table.name, Item=row_key(PRICE_JOBS, job.job_id) | expires)
    try:
        call(
            table.client,
            "put_item",
            TableName=table.name,
            Item=_job_key(job.job_id) | _job_values(job) | expires,
            ConditionExpression="attribute_not_exists(item_id) OR #ttl <= :epoch",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":epoch": number(time.time())},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ConditionFailed as failed:
        return _job_of(failed.row or {})
    return job


def job(table: CartTable, job_id: str) -> Job | None:
    """One GetItem."""
    row = call(table.client, "get_item", TableName=table.name, Key=_job_key(job_id), ConsistentRead=True).get("Item")
    return _job_of(row) if row and is_live(row) else None


def unfinished_jobs(table: CartTable) -> Iterator[Job]:
    """Those that are not done. One Query for each MB, and a GetItem for each."""
    for row in table.live_rows(PRICE_JOBS):
        found = job(table, row["item_id"]["S"])
        if found and found.is_running:
            yield found
        elif found:  # who has done it has died right then, or the change has come again
            unlist_job(table, found)


def unlist_job(table: CartTable, job: Job) -> None:
    """Note that a job is done. One DeleteItem."""
    call(table.client, "delete_item", TableName=table.name, Key=row_key(PRICE_JOBS, job.job_id))


def take_job(table: CartTable, job_id: str, owner: str, seconds: float) -> Job | None:
    """Take a running job that nobody is at, for some seconds; None where there is none. One UpdateItem."""
    now = time.time()
    try:
        answer = call(
            table.client,
            "update_item",
            TableName=table.name,
            Key=_job_key(job_id),
            UpdateExpression="SET lease_until = :until, lease_owner = :owner",
            # its owner too: the answer to a first sending may have been lost
            ConditionExpression="#status = :running AND (lease_until <= :now OR lease_owner = :owner)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":running": {"S": RUNNING},
                ":owner": {"S": owner},
                ":now": _seconds(now),
                ":until": _seconds(now + seconds),
            },
            ReturnValues="ALL_NEW",
        )
    except ConditionFailed:
        return None
    return _job_of(answer["Attributes"])


def keep_job(table: CartTable, job: Job, owner: str) -> bool:
    """Keep how far a job has come, unless somebody else has taken it. One UpdateItem. False: somebody has."""
    values = _job_values(job)
    try:
        call(
            table.client,
            "update_item",
            TableName=table.name,
            Key=_job_key(job.job_id),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression="lease_owner = :owner",
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()} | {":owner": {"S": owner}},
        )
    except ConditionFailed:
        return False
    return True


def _seconds(epoch: float) -> Row:
    return {"N": f"{epoch:.3f}"}


def _job_key(job_id: str) -> Row:
    return row_key(f"{PRICE_JOB}{job_id}", "JOB")


def _job_values(job: Job) -> Row:
    """``product``, for a row with a ``product_id`` is in the index."""
    cursor = {"cursor": {"L": [{"S": job.cursor.user_id}, {"S": job.cursor.place}]}} if job.cursor else {}
    return cursor | {
        "product": number(job.product_id),
        "price": {"N": str(job.price)},
        "changed_at": {"S": job.changed_at},
        "created_at": {"S": job.created_at},
        "status": {"S": job.status},
        "seen": number(job.seen),
        "changed": number(job.changed),
        "skipped": number(job.skipped),
        "lease_until": _seconds(job.lease_until),
    }


def _job_of(row: Row) -> Job:
    cursor: list[Any] = row["cursor"]["L"] if "cursor" in row else []
    return Job(
        row["user_id"]["S"].removeprefix(PRICE_JOB),
        int(row["product"]["N"]),
        Decimal(row["price"]["N"]),
        row["changed_at"]["S"],
        row["created_at"]["S"],
        row["status"]["S"],
        int(row["seen"]["N"]),
        int(row["changed"]["N"]),
        int(row["skipped"]["N"]),
        Holder(cursor[0]["S"], cursor[1]["S"]) if cursor else None,
        float(row["lease_until"]["N"]),
    )

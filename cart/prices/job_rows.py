"""DynamoDB requests of price changes: the lines of a product, the change on each line, and the job's row."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from cart.dynamodb.client import call
from cart.dynamodb.failures import ConditionFailed
from cart.dynamodb.keys import LINE_PREFIXES, PRICE_JOB, PRICE_JOBS, PRODUCT_INDEX, Row, line_key, row_key
from cart.dynamodb.retries import attempts
from cart.dynamodb.rows import (
    LINE_ATTRIBUTES,
    is_live,
    live_line,
    number,
    price_change_of,
    projected_line_of,
    readable_rows,
)
from cart.dynamodb.table import CartTable
from cart.errors import Throttled
from cart.model.lines import Line, Place

JOB_TTL_SECONDS = 7 * 86_400
RUNNING, DONE = "running", "done"


class Holder(NamedTuple):
    """The user and the place of a line of a product. Also a cursor in the list of a product's lines."""

    user_id: str
    place: Place


class Job(NamedTuple):
    """The job of one price change, and its progress.

    :ivar price: the new price
    :ivar changed_at: when the price changed, in the form of ``lines.iso``
    :ivar status: ``RUNNING``, also while no worker has it, or ``DONE``
    :ivar seen: number of lines that were processed: ``changed`` and ``skipped`` together
    :ivar changed: number of lines that have the change
    :ivar skipped: number of lines that were removed, had expired or had a newer change
    :ivar cursor: the last line of the last page that is done, None before the first page
    :ivar lease_until: epoch seconds until which a worker has the job
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
        """True if the job is not done."""
        return self.status == RUNNING

    @property
    def is_idle(self) -> bool:
        """True if the job is not done and no worker has it."""
        return self.is_running and self.lease_until <= time.time()


def holders(
    table: CartTable, product_id: int, limit: int, after: Holder | None = None
) -> tuple[list[Holder], Holder | None]:
    """Return a page of the lines of a product, expired ones included, and the cursor of the next page.

    One Query of the index, which can be behind the table by a second ("Global Secondary Indexes", eventual
    consistency).

    :param limit: maximum number of lines
    :param after: the cursor of the page before
    :return: the cursor is None if there are no more lines
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


def live_lines(table: CartTable, product_id: int, page: list[Holder]) -> list[tuple[Holder, Line]]:
    """Return those lines of a product that have not expired, in the order of their holders.

    One BatchGetItem, and another one for the keys that DynamoDB has not processed.

    :param page: the holders of the lines, at most 100, the maximum of one BatchGetItem
    :raise Throttled: DynamoDB did not process all keys in several attempts
    """
    keys = [line_key(*holder, product_id) for holder in page]
    expression = f"user_id, item_id, #ttl, {LINE_ATTRIBUTES}"
    lines: dict[Holder, Line] = {}
    for _ in attempts():
        if not keys:
            return [(holder, lines[holder]) for holder in page if holder in lines]
        request = {"Keys": keys, "ProjectionExpression": expression, "ExpressionAttributeNames": {"#ttl": "ttl"}}
        answer = call(table.client, "batch_get_item", RequestItems={table.name: request})
        rows = readable_rows(answer["Responses"][table.name])
        lines |= {_holder(row): projected_line_of(row) for row in rows if is_live(row)}
        keys = answer.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
    raise Throttled


def record_price(table: CartTable, job: Job, holder: Holder) -> Decimal | None:
    """Record a price change on a line, unless it is absent, has expired or has a newer change. One UpdateItem.

    The line gets a new version, since clients see the change; its ``ttl`` stays. Doing it twice has no further effect.
    Of two changes with the same ``changed_at`` the higher price is kept, so that all carts end with the same one.

    :return: the price for which the line was added, if it has this change now; else None
    """
    try:
        answer = call(
            table.client,
            "update_item",
            TableName=table.name,
            Key=line_key(*holder, job.product_id),
            UpdateExpression="SET current_price = :price, price_changed_at = :at, price_changed_from = price,"
            " version = if_not_exists(version, :one) + :one",
            ConditionExpression="attribute_type(quantity, :number) AND attribute_type(price, :number)"
            " AND (attribute_not_exists(version) OR attribute_type(version, :number)) AND #ttl > :epoch"
            " AND (attribute_not_exists(current_price)"
            " OR price_changed_at < :at OR (price_changed_at = :at AND current_price < :price))",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={
                ":price": {"N": str(job.price)},
                ":at": {"S": job.changed_at},
                ":one": number(1),
                ":epoch": number(time.time()),
                ":number": {"S": "N"},
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return price_change_of(answer["Attributes"]).line_price
    except ConditionFailed as failed:
        line = live_line(failed.row)
        change = line.change if line else None
        return change.line_price if change and change[:2] == (job.price, job.changed_at) else None


def put_job(table: CartTable, job: Job) -> Job:
    """Create a job, or return the stored one if it exists. Two PutItem; the first adds it to the unfinished jobs."""
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


def read_job(table: CartTable, job_id: str) -> Job | None:
    """Return a job, None if it does not exist or has expired. One GetItem."""
    row = call(table.client, "get_item", TableName=table.name, Key=_job_key(job_id), ConsistentRead=True).get("Item")
    return _job_of(row) if row and is_live(row) else None


def unfinished_jobs(table: CartTable) -> Iterator[Job]:
    """Yield the jobs that are not done. One Query for each MB, and a GetItem for each job."""
    for row in table.live_rows(PRICE_JOBS):
        job = read_job(table, row["item_id"]["S"])
        if job and job.is_running:
            yield job
        elif job:  # its worker crashed before `unlist_job`, or the same change was sent again later
            unlist_job(table, job)


def unlist_job(table: CartTable, job: Job) -> None:
    """Remove a job that is done from the list of unfinished jobs. One DeleteItem."""
    call(table.client, "delete_item", TableName=table.name, Key=row_key(PRICE_JOBS, job.job_id))


def lease_job(table: CartTable, job_id: str, owner: str, seconds: float) -> Job | None:
    """Lease a job that is not done, unless another worker has it. One UpdateItem.

    :param owner: identifies the worker
    :return: None if there is no such job
    """
    now = time.time()
    try:
        answer = call(
            table.client,
            "update_item",
            TableName=table.name,
            Key=_job_key(job_id),
            UpdateExpression="SET lease_until = :until, lease_owner = :owner",
            # allowed for its owner too: a retry after a lost answer finds its own lease
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


def save_job(table: CartTable, job: Job, owner: str) -> bool:
    """Save a job's progress and lease, unless another worker has leased it. One UpdateItem.

    :return: whether it was saved
    """
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
    # the attribute is `product`: a row with a `product_id` would be in the index of lines
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

"""The table gateway: key shapes, expressions, and what a failed condition means."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from flask import current_app

from cart.config import Config
from cart.dynamodb import ConditionFailed, TransactionCancelled, back_off, call, member, send
from cart.errors import (
    CatalogUnavailable,
    IdempotencyKeyReused,
    InsufficientStock,
    LineNotFound,
    LinesLimit,
    OutcomeUnknown,
    ProductNotFound,
    QuantityLimit,
    Throttled,
    Unavailable,
)
from cart.lines import Limits, Line, Place, iso, next_version, unless_expired
from cart.observability import seconds_since
from cart.rows import (
    CART,
    CHANGE,
    IDEMPOTENCY,
    PREFIXES,
    SAVED,
    SHARES,
    SHOWN,
    IfMatch,
    Row,
    Share,
    cleared_row,
    if_live,
    is_live,
    line_key,
    line_of,
    line_values,
    listed_share_key,
    live_condition,
    live_line,
    number,
    packed,
    row_key,
    share_key,
    share_of,
    share_values,
    shown_line_of,
    unpacked,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RECORD_TTL_SECONDS = 86_400
TRANSACTION_ROWS = 100  # the most that one TransactWriteItems takes
DAY_SECONDS = 86_400
BATCH_ROWS = 25  # the most that one BatchWriteItem takes
CONTEND_FOR_SECONDS = 2  # of a transaction, with others that are at work on its rows
UNFINISHED = 0
WITHOUT_CHANGE = f"REMOVE {', '.join(CHANGE)}"
NAMES = {CART: "The cart", SAVED: "The saved list"}
# of a change, whose first try may have been carried out nevertheless
REFUSALS = (LineNotFound, ProductNotFound, QuantityLimit, LinesLimit, InsufficientStock, CatalogUnavailable)
MAX_ROUNDS = 8  # of a loop that others' writes, or DynamoDB's load, can send round again


class IdempotencyKey(NamedTuple):
    """Of a request that is to be carried out once, however often it comes."""

    hash: str  # of what the client chose
    fingerprint: str  # of the request that came with it


class Answer(NamedTuple):
    """What a client is told, as it is kept beside the change."""

    status: int  # UNFINISHED where more transactions are to come
    body: str
    etag: str = ""  # of one that is UNFINISHED: how much is done, which only grows
    replayed: bool = False


MakeAnswer = Callable[[Line], Answer]
Change = Callable[[Answer | None], Iterator[tuple[list[Row], Answer]]]


class VersionChanged(Exception):
    """``If-Match`` did not hold. ``line`` is the live line as it is, None where there is none."""

    def __init__(self, line: Line | None) -> None:
        self.line = line


def get_table() -> "CartTable":
    """The gateway of the app that is answering."""
    table: CartTable = current_app.extensions["cart_table"]
    return table


class CartTable:
    """Carts in DynamoDB: one row a line. An expired row is absent, whether DynamoDB has deleted it yet or not.

    Every method may raise ``Throttled`` (429) or ``Unavailable`` (503).
    """

    def __init__(self, client: "DynamoDBClient", config: Config) -> None:
        self.client = client
        self.name = config.dynamodb_table_name
        self.ttl_seconds = {CART: config.cart_ttl_days * DAY_SECONDS, SAVED: config.saved_ttl_days * DAY_SECONDS}
        self.limits = Limits(config.cart_max_quantity, config.cart_max_lines)

    def lines(self, user_id: str, place: Place = CART) -> list[Line]:
        """The live lines of a cart, or those saved, in no order. One strongly consistent Query for each MB."""
        return [shown_line_of(row) for row in self.shown_rows(user_id, place)]

    def shown_rows(self, user_id: str, place: Place = CART) -> list[Row]:
        """The rows of those lines, with what a client sees of them."""
        pages = self._query_live(user_id, place, ProjectionExpression=SHOWN)
        return [row for page in pages for row in page["Items"]]

    def everything(self, user_id: str) -> dict[Place, dict[int, Line]]:
        """All lines, in the cart and saved, live or expired, by product. One Query for each MB."""
        found: dict[Place, dict[int, Line]] = {CART: {}, SAVED: {}}
        for page in self._query(user_id):
            for row in page["Items"]:
                line = line_of(row)
                found[CART if row["item_id"]["S"].startswith(PREFIXES[CART]) else SAVED][line.product_id] = line
        return found

    def _count_lines(self, user_id: str, place: Place) -> int:
        return sum(page["Count"] for page in self._query_live(user_id, place, Select="COUNT"))

    def _query_live(self, user_id: str, place: Place, **params: Any) -> Iterator[Row]:
        return self._query(
            user_id,
            place,
            FilterExpression="#ttl > :epoch",
            ExpressionAttributeNames={"#ttl": "ttl"},
            values={":epoch": number(time.time())},
            **params,
        )

    def add_item(
        self,
        user_id: str,
        product_id: int,
        product_name: str,
        quantity: int,
        price: Decimal,
        stock: int | None = None,
        place: Place = CART,
    ) -> Line:
        """Add units of a product; name and price become those given.

        One UpdateItem; two to revive an expired line, and one Query more to count the lines when this is a new one.

        :param quantity: units to add, 1 to ``max_quantity``
        :param price: of one unit, in whole cents
        :param stock: the units that the line may have at most, None for any
        :return: the line as stored
        :raise QuantityLimit: the line would exceed ``max_quantity`` (409)
        :raise InsufficientStock: the line would exceed ``stock`` (409)
        :raise LinesLimit: the cart would exceed ``max_lines`` (409)
        :raise OutcomeUnknown: the answer was lost, the units may have been added or not (503)
        """
        values = {
            ":product_id": number(product_id),
            ":product_name": {"S": product_name},
            ":quantity": number(quantity),
            ":price": {"N": str(price)},
            ":one": number(1),
        }
        if stock is not None and quantity > stock:
            refuse_stock(stock)
        line = self._add(user_id, place, product_id, quantity, stock, values)
        if line.added_at == line.updated_at:
            try:
                self._keep_to_max_lines(user_id, place, line)
            except (Throttled, Unavailable):  # which would say that nothing was added
                raise OutcomeUnknown from None
        return line

    def _add(self, user_id: str, place: Place, product_id: int, quantity: int, stock: int | None, values: Row) -> Line:
        fields = "SET product_id = :product_id, product_name = :product_name, price = :price, priced_at = :now"
        # see next_version
        fresh = {":room": number(self._most(stock) - quantity), ":start": number(time.time() * 1_000_000)}
        for _ in range(MAX_ROUNDS):
            try:
                return self._update_line(
                    user_id,
                    place,
                    product_id,
                    f"{fields}, added_at = if_not_exists(added_at, :now),"
                    " version = if_not_exists(version, :start) + :one ADD quantity :quantity",
                    "attribute_not_exists(item_id) OR (#ttl > :epoch AND quantity <= :room)",
                    values | fresh,
                )
            except ConditionFailed as failed:
                if line := live_line(failed.row):
                    self._refuse_quantity(line.quantity, quantity, stock)
            try:
                return self._update_line(
                    user_id,
                    place,
                    product_id,
                    f"{fields}, added_at = :now, quantity = :quantity, version = version + :one {WITHOUT_CHANGE}",
                    "attribute_exists(item_id) AND #ttl <= :epoch",
                    values,
                )
            except ConditionFailed:
                continue  # revived by another request, or deleted by DynamoDB: add to what is there now
        raise Throttled

    def _most(self, stock: int | None) -> int:
        """Units of one line."""
        return self.limits.quantity if stock is None else min(self.limits.quantity, stock)

    def _refuse_quantity(self, held: int, quantity: int, stock: int | None) -> NoReturn:
        limit = self.limits.quantity
        if stock is not None and stock < limit:
            refuse_stock(stock, held)
        raise QuantityLimit(
            f"The line holds {held} units; {quantity} more would exceed the limit.",
            {"quantity": [f"At most {max(limit - held, 0)} more."]},
            limit=limit,
            quantity=held,
        )

    def _keep_to_max_lines(self, user_id: str, place: Place, line: Line) -> None:
        """Take a new line back where it is one too many. Of adds that race for the last place, all may lose.

        A line that somebody else has changed in the meantime stays: that change was promised.

        :raise LinesLimit: it was taken back
        """
        if self._count_lines(user_id, place) > self.limits.lines:
            with suppress(VersionChanged):
                self.remove_item(user_id, line.product_id, frozenset({line.version}), place)
                refuse_line(place, self.limits.lines)

    def add_item_once(
        self,
        user_id: str,
        product_id: int,
        item: Callable[[], dict[str, Any]],
        key: IdempotencyKey,
        answer: MakeAnswer,
        place: Place = CART,
    ) -> Answer:
        """``add_item``, and the record that it was done, in one transaction.

        One GetItem and one TransactWriteItems; a new line costs a Query too, to count the lines.

        :param item: finds what ``add_item`` takes of the product; where it fails, a repeat is answered all the same
        :param answer: makes of the stored line what the caller is told, now and at each repeat
        :raise IdempotencyKeyReused: the key came with another request (422)
        """

        def change(_: Answer | None) -> Iterator[tuple[list[Row], Answer]]:
            wanted = item()
            row = self._row(line_key(user_id, place, product_id))
            read = line_of(row) if row else None
            line = self._with_item(user_id, place, read, **wanted)
            yield [self.put_line(user_id, place, line, read)], answer(line)

        return self.once(user_id, key, change)

    def _with_item(
        self, user_id: str, place: Place, read: Line | None, quantity: int, stock: int | None = None, **item: Any
    ) -> Line:
        """The line that an item makes of what its row holds, live or not."""
        now = datetime.now(UTC)
        line = unless_expired(read, now)
        total = quantity + (line.quantity if line else 0)
        if total > self._most(stock):
            self._refuse_quantity(total - quantity, quantity, stock)
        if not line and self._count_lines(user_id, place) >= self.limits.lines:
            refuse_line(place, self.limits.lines)
        return Line(
            **item,
            quantity=total,
            priced_at=iso(now),
            added_at=line.added_at if line else iso(now),
            updated_at=iso(now),
            version=next_version(read, now),
            change=line.change if line else None,
        )

    def once(self, user_id: str, key: IdempotencyKey | None, change: Change) -> Answer:
        """Make a change, in one transaction or more, and with a key the record of its answer in each of them.

        Where the key's record is there, its answer is given again; where it is that of a change that died between two
        of its transactions, the change goes on from there.

        :param change: given what was answered so far, reads what it needs; yields the actions of each transaction,
            which fail if that has changed, and the answer with which it ends, ``UNFINISHED`` but for the last
        """
        so_far: Answer | None = None
        started, attempt = time.perf_counter(), 0
        try:
            while attempt == 0 or seconds_since(started) <= CONTEND_FOR_SECONDS:
                try:
                    for actions, answer in change(so_far):
                        self._transact([*self._put_record(user_id, key, answer, so_far), *actions])
                        so_far = answer
                except (*REFUSALS, TransactionCancelled) as error:
                    kept = self._kept_answer(user_id, key) if key else None
                    if kept and kept.status != UNFINISHED:
                        return kept
                    if not isinstance(error, TransactionCancelled):
                        raise
                    so_far = kept or so_far
                else:
                    return answer
                back_off(attempt)
                attempt += 1
            raise Throttled
        except (Throttled, Unavailable):
            if so_far:  # they would say that nothing was changed
                raise OutcomeUnknown from None
            raise

    def set_quantity(self, user_id: str, product_id: int, quantity: int, if_match: IfMatch = None) -> Line:
        """Set one live line's quantity. One conditional UpdateItem, no read.

        :param quantity: units, 1 to ``max_quantity``
        :return: the line as stored
        :raise LineNotFound: no such line, or it has expired (404)
        :raise VersionChanged: the line has another version
        """
        condition, versions = live_condition(if_match)
        try:
            return self._update_line(
                user_id,
                CART,
                product_id,
                "SET quantity = :quantity, version = version + :one",
                condition,
                {":quantity": number(quantity), ":one": number(1)} | versions,
            )
        except ConditionFailed as failed:
            if line := live_line(failed.row):
                raise VersionChanged(line) from None
            raise line_not_found(CART, product_id) from None

    def remove_item(self, user_id: str, product_id: int, if_match: IfMatch = None, place: Place = CART) -> None:
        """Remove one line, if it is there. One DeleteItem.

        :raise VersionChanged: the live line has another version, or with ``if_match`` there is none
        """
        conditional = {} if if_match is None else if_live(if_match)
        try:
            self._delete(line_key(user_id, place, product_id), **conditional)
        except ConditionFailed as failed:
            raise VersionChanged(live_line(failed.row)) from None

    def remove_lines(self, user_id: str, lines: list[Line]) -> None:
        """Clear a cart of these lines if each is as it was read. One TransactWriteItems for each 100 rows.

        :raise TransactionCancelled: one of them has changed
        """
        actions = [self.take_line(user_id, CART, line) for line in lines]
        if actions:
            actions.append({"Put": {"TableName": self.name, "Item": cleared_row(user_id)}})
        for start in range(0, len(actions), TRANSACTION_ROWS):
            self._transact(actions[start : start + TRANSACTION_ROWS])

    def clear(self, user_id: str) -> None:
        """Remove every line of the cart, the expired too, and nothing that is saved.

        A Query for each MB, and a BatchWriteItem for each 25 rows: the lines, and one that tells of it. A run that
        dies in the middle has removed some lines; the next one removes the rest.
        """
        pages = self._query(user_id, CART, ProjectionExpression="user_id, item_id")
        writes: list[Row] = [{"DeleteRequest": {"Key": key}} for page in pages for key in page["Items"]]
        if writes:
            writes.append({"PutRequest": {"Item": cleared_row(user_id)}})
        for start in range(0, len(writes), BATCH_ROWS):
            self._write_batch(writes[start : start + BATCH_ROWS])

    def put_line(self, user_id: str, place: Place, line: Line, read: Line | None) -> Row:
        """The action of a transaction that stores a line, if its row is as it was read. Its life begins now."""
        values = line_values(line) | {"ttl": number(time.time() + self.ttl_seconds[place])}
        new = {f":{name}": value for name, value in values.items()}
        return {
            "Update": {
                "TableName": self.name,
                "Key": line_key(user_id, place, line.product_id),
                "UpdateExpression": "SET "
                + ", ".join(f"#{name} = :{name}" for name in values)
                + ("" if line.change else f" {WITHOUT_CHANGE}"),
                "ConditionExpression": "version = :read" if read else "attribute_not_exists(item_id)",
                "ExpressionAttributeNames": {f"#{name}": name for name in values},
                "ExpressionAttributeValues": new | ({":read": number(read.version)} if read else {}),
            }
        }

    def take_line(self, user_id: str, place: Place, line: Line) -> Row:
        """The action of a transaction that removes a line, if it is as it was read."""
        key = line_key(user_id, place, line.product_id)
        return {"Delete": {"TableName": self.name, "Key": key} | if_live(frozenset({line.version}))}

    def create_share(self, share: Share) -> None:
        """Keep a link: one row by which its token finds it, one by which its owner does. One TransactWriteItems."""
        keys = (share_key(share.share_id), listed_share_key(share.owner, share.share_id))
        self._transact([{"Put": {"TableName": self.name, "Item": key | share_values(share)}} for key in keys])

    def share(self, share_id: str) -> Share | None:
        """A link that is good, or None: unknown, revoked and expired are one, for the price of one GetItem."""
        row = self._row(share_key(share_id))
        return share_of(share_id, row) if row and is_live(row) else None

    def shares(self, owner: str) -> list[Share]:
        """The links to a cart that are good, in the order in which they were made. One Query."""
        found = (share_of(row["item_id"]["S"], row) for row in self.live_rows(f"{SHARES}{owner}"))
        return sorted(found, key=lambda share: share.created_at)

    def revoke_share(self, owner: str, share_id: str) -> None:
        """End a link, if it is this owner's. Two DeleteItem, the first of which ends it."""
        with suppress(ConditionFailed):  # somebody else's
            self._delete(
                share_key(share_id),
                ConditionExpression="attribute_not_exists(item_id) OR #owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":owner": {"S": owner}},
            )
        self._delete(listed_share_key(owner, share_id))

    def live_rows(self, partition: str) -> Iterator[Row]:
        """What there is of one partition key. One Query for each MB."""
        return (row for page in self._query(partition) for row in page["Items"] if is_live(row))

    def size(self) -> tuple[int, int]:
        """Items and bytes, which DynamoDB counts about every six hours. One DescribeTable, which is free."""
        table = member(send(self.client.describe_table, TableName=self.name), "Table")
        return member(table, "ItemCount", int), member(table, "TableSizeBytes", int)

    def check(self) -> None:
        """Prove that the table answers: one Query of a key that no cart can have, half a read unit."""
        call(
            self.client,
            "query",
            TableName=self.name,
            KeyConditionExpression="user_id = :user_id",
            ExpressionAttributeValues={":user_id": {"S": "#"}},
            Limit=1,
        )

    def _query(
        self, user_id: str, place: Place | None = None, values: Row | None = None, **params: Any
    ) -> Iterator[Row]:
        """The answers to a Query of a user's rows, page by page, each strongly consistent.

        :param place: only of the lines there
        """
        condition = "user_id = :user_id"
        values = {":user_id": {"S": user_id}} | (values or {})
        if place:
            condition += " AND begins_with(item_id, :prefix)"
            values[":prefix"] = {"S": PREFIXES[place]}
        while True:
            page = call(
                self.client,
                "query",
                TableName=self.name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **params,
            )
            yield page
            if "LastEvaluatedKey" not in page:
                return
            params["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _update_line(
        self, user_id: str, place: Place, product_id: int, update: str, condition: str, values: Row
    ) -> Line:
        """One UpdateItem that also renews the line's life. ``update`` starts with its SET clause.

        :raise ConditionFailed: with the row that is there
        """
        now = datetime.now(UTC)
        answer = call(
            self.client,
            "update_item",
            TableName=self.name,
            Key=line_key(user_id, place, product_id),
            UpdateExpression=update.replace("SET ", "SET updated_at = :now, #ttl = :ttl, ", 1),
            ConditionExpression=condition,
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=values
            | {
                ":now": {"S": iso(now)},
                ":epoch": number(now.timestamp()),
                ":ttl": number(now.timestamp() + self.ttl_seconds[place]),
            },
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return line_of(answer["Attributes"])

    def _row(self, key: Row) -> Row | None:
        """One row, strongly consistent, expired or not."""
        row: Row | None = call(self.client, "get_item", TableName=self.name, Key=key, ConsistentRead=True).get("Item")
        return row

    def _delete(self, key: Row, **conditional: Any) -> None:
        call(self.client, "delete_item", TableName=self.name, Key=key, **conditional)

    def _put_record(self, user_id: str, key: IdempotencyKey | None, answer: Answer, so_far: Answer | None) -> list[Row]:
        """The action of a transaction that keeps an answer, if the key has none that is still good but that so far."""
        if key is None:
            return []
        now = time.time()
        item = row_key(f"{IDEMPOTENCY}{user_id}", key.hash) | {
            "fingerprint": {"S": key.fingerprint},
            "status": number(answer.status),
            "body": packed(answer.body),
            "etag": {"S": answer.etag},
            "ttl": number(now + RECORD_TTL_SECONDS),
        }
        if so_far is None:
            condition = {
                "ConditionExpression": "attribute_not_exists(item_id) OR #ttl <= :epoch",
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": {":epoch": number(now)},
            }
        else:
            condition = {
                "ConditionExpression": "#status = :unfinished AND etag = :so_far",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {":unfinished": number(UNFINISHED), ":so_far": {"S": so_far.etag}},
            }
        return [{"Put": {"TableName": self.name, "Item": item, **condition}}]

    def _kept_answer(self, user_id: str, key: IdempotencyKey) -> Answer | None:
        """:raise IdempotencyKeyReused: it is the answer to another request"""
        record = self._row(row_key(f"{IDEMPOTENCY}{user_id}", key.hash))
        if not record or not is_live(record):
            return None
        if record["fingerprint"]["S"] != key.fingerprint:
            raise IdempotencyKeyReused
        return Answer(int(record["status"]["N"]), unpacked(record["body"]), record["etag"]["S"], replayed=True)

    def _transact(self, actions: list[Row]) -> None:
        """One TransactWriteItems, if there is something to do. Its token lets DynamoDB tell a second sending.

        :raise TransactionCancelled: a condition did not hold
        """
        if actions:
            call(self.client, "transact_write_items", TransactItems=actions, ClientRequestToken=str(uuid.uuid4()))

    def _write_batch(self, writes: list[Row]) -> None:
        left: list[Any] = writes
        for attempt in range(MAX_ROUNDS):
            answer = call(self.client, "batch_write_item", RequestItems={self.name: left})
            left = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not left:
                return
            back_off(attempt)
        raise Throttled


def line_not_found(place: Place, product_id: int) -> LineNotFound:
    return LineNotFound(f"{NAMES[place]} has no line of product {product_id}.")


def refuse_line(place: Place, limit: int) -> NoReturn:
    raise LinesLimit(f"{NAMES[place]} has {limit} lines, the most that it may have.", limit=limit)


def refuse_stock(available: int, held: int = 0) -> NoReturn:
    """:param held: units that the line has, which those that were asked for would have joined"""
    raise InsufficientStock(
        f"There are {available} units in stock" + (f", and the line holds {held}." if held else "."),
        {"quantity": [f"At most {max(available - held, 0)}{' more' if held else ''}."]},
        available=available,
    )

"""Measure the CPU time per request of one contender in its own process: ``python worker.py CONTENDER``, task on stdin.

The task is JSON: ``warm_up`` and ``requests`` (how many of each), ``logged`` (whether each request must be in the log),
``closed`` (whether a request without its token must be refused), and ``operations``, by name: ``method``, ``path``,
``body``, ``headers`` (name to a list of values, used in turn), ``claims`` (of API Gateway's authorizer), and the
expected ``status`` and ``answer`` (null: any). The result is JSON on stdout: the CPU microseconds of one request, by
operation.

Requests are built before the measurement starts. The first answer of each operation is compared with the expected one,
every other answer with the first; a difference ends the process. The log goes to a file first, which is checked, and
then to /dev/null.
"""

import io
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

Request = Any
Task = dict[str, Any]


class Contender(NamedTuple):
    """Functions that build a request from method, path, headers, body and claims, send it, and read the answer."""

    prepare: Callable[..., Request]
    send: Callable[[Request], Any]
    read: Callable[[Any], tuple[int, Any]]


class Context:
    """The context object of a Lambda call."""

    aws_request_id = "5f2c9e1b-7a60-4f0d-9a3c-1d2e3f405162"
    function_name = "cart"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:cart"
    memory_limit_in_mb = "512"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 10_000


def wsgi() -> Contender:
    """Return the service as a WSGI server calls it, without the work of a server."""
    try:
        from cart.dynamodb import client  # noqa: PLC0415 - a contender is imported where it is the one
    except ImportError:  # an older tree, without the folders
        from cart import dynamodb as client  # noqa: PLC0415
    from wsgi import app  # noqa: PLC0415

    client.LAST_START_SECONDS = math.inf  # under valgrind, a first request takes longer than the limit

    status = [0]

    def start_response(line: str, headers: Any, exc_info: Any = None) -> None:
        status[0] = int(line[:3])

    def prepare(method: str, path: str, headers: dict[str, str], body: str | None, claims: Any) -> Request:
        data = (body or "").encode()
        given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        return given | {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(data),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def send(environ: Request) -> Any:
        answer = app(environ, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        return status[0], body

    return Contender(prepare, send, _read)


def _read(answer: Any) -> tuple[int, Any]:
    status, body = answer
    return status, json.loads(body) if body else None


def zappa() -> Contender:
    """Return the service behind Zappa's Lambda handler, with the settings of the stage `dev`."""
    from zappa.handler import lambda_handler  # noqa: PLC0415

    return _of_lambda(lambda_handler)


def mangum() -> Contender:
    """Return the reference behind Mangum, its adapter for Lambda."""
    from cart_api.main import handler  # noqa: PLC0415

    return _of_lambda(handler)


def _of_lambda(handler: Callable[..., Any]) -> Contender:
    def send(event: Request) -> Any:
        answer = handler(event, Context)
        return answer["statusCode"], answer["body"]

    return Contender(_event, send, _read)


def _event(method: str, path: str, headers: dict[str, str], body: str | None, claims: Any) -> Request:
    """Return a REST proxy event such as API Gateway sends."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "abc123",
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/dev{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "dev",
            "requestId": "5f2c9e1b-7a60-4f0d-9a3c-1d2e3f405162",
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "curl/8.5.0"},
            "apiId": "abcdef1234",
        }
        | ({"authorizer": claims} if claims else {}),
        "body": body,
        "isBase64Encoded": False,
    }


def bare_rows() -> Contender:
    """Return the same as ``bare``, except that a cart is read as whole rows, without a projection."""
    return bare(projected=False)


def bare(projected: bool = True) -> Contender:
    """Return the service's requests to DynamoDB, sent by boto3's client with no other work."""
    import boto3  # noqa: PLC0415

    client = boto3.client(
        "dynamodb", region_name=os.environ["AWS_REGION"], endpoint_url=os.environ["DYNAMODB_ENDPOINT_URL"]
    )
    table = os.environ["DYNAMODB_TABLE_NAME"]

    def prepare(method: str, path: str, headers: dict[str, str], body: str | None, claims: Any) -> Request:
        _, _, user_id, *rest = path.split("/")
        given = json.loads(body) if body else {}
        product_id = given.get("product_id") or (rest[1] if rest[1:] else None)
        if method == "GET":
            query = _query(table, user_id)
            if not projected:
                del query["ProjectionExpression"]
            return 200, [(client.query, query)]
        if method == "PUT":
            return 200, [(client.update_item, _set_quantity(table, user_id, product_id, given))]
        if "Idempotency-Key" not in headers:
            return 201, [(client.update_item, _add(table, user_id, product_id, given))]
        key = {"user_id": {"S": user_id}, "item_id": {"S": f"ITEM#{product_id}"}}
        get = {"TableName": table, "Key": key, "ConsistentRead": True, "ReturnConsumedCapacity": "TOTAL"}
        once = _add_once(table, user_id, product_id, given)
        return 201, [(client.get_item, get), (client.transact_write_items, once)]

    last: list[Any] = [None, None]

    def send(request: Request) -> Any:
        status, calls = request
        for method, params in calls:
            last[:] = method(**params), params
        return status

    def read(status: int) -> tuple[int, Any]:
        answer, asked = last
        if "Items" in answer:
            items = sorted((_line(row) for row in answer["Items"]), key=lambda line: line["added_at"])
            return status, {
                "user_id": asked["ExpressionAttributeValues"][":user_id"]["S"],
                "items": items,
                "total_items": sum(line["quantity"] for line in items),
                "total_price": round(sum(line["subtotal"] for line in items), 2),
            }
        return status, _line(answer["Attributes"]) if "Attributes" in answer else None

    return Contender(prepare, send, read)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    price, quantity = float(row["price"]["N"]), int(row["quantity"]["N"])
    return {
        "product_id": int(row["product_id"]["N"]),
        "product_name": row["product_name"]["S"],
        "quantity": quantity,
        "price": price,
        "subtotal": round(price * quantity, 2),
        "added_at": row["added_at"]["S"],
    }


NOW, EPOCH, TTL = "2026-11-24T10:00:00.000000Z", {"N": "1795514400"}, {"N": "1798106400"}


def _query(table: str, user_id: str) -> dict[str, Any]:
    return {
        "ReturnConsumedCapacity": "TOTAL",
        "TableName": table,
        "KeyConditionExpression": "user_id = :user_id AND begins_with(item_id, :line)",
        "ExpressionAttributeValues": {":user_id": {"S": user_id}, ":line": {"S": "ITEM#"}, ":epoch": EPOCH},
        "ConsistentRead": True,
        "FilterExpression": "#ttl > :epoch",
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ProjectionExpression": "product_id, product_name, quantity, price, added_at, version",
    }


def _update(table: str, user_id: str, product_id: Any, update: str, condition: str, values: Any) -> dict[str, Any]:
    return {
        "ReturnConsumedCapacity": "TOTAL",
        "TableName": table,
        "Key": {"user_id": {"S": user_id}, "item_id": {"S": f"ITEM#{product_id}"}},
        "UpdateExpression": f"SET updated_at = :now, #ttl = :ttl, {update}",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ExpressionAttributeValues": values | {":now": {"S": NOW}, ":epoch": EPOCH, ":ttl": TTL},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _set_quantity(table: str, user_id: str, product_id: Any, given: dict[str, Any]) -> dict[str, Any]:
    values = {":quantity": {"N": str(given["quantity"])}, ":one": {"N": "1"}}
    update = "quantity = :quantity, version = version + :one"
    return _update(table, user_id, product_id, update, "attribute_exists(item_id) AND #ttl > :epoch", values)


def _values(given: dict[str, Any]) -> dict[str, Any]:
    return {
        ":product_id": {"N": str(given["product_id"])},
        ":product_name": {"S": given["product_name"]},
        ":quantity": {"N": str(given["quantity"])},
        ":price": {"N": str(given["price"])},
    }


def _add(table: str, user_id: str, product_id: Any, given: dict[str, Any]) -> dict[str, Any]:
    return _update(
        table,
        user_id,
        product_id,
        "product_id = :product_id, product_name = :product_name, price = :price, added_at = if_not_exists(added_at,"
        " :now), version = if_not_exists(version, :start) + :one ADD quantity :quantity",
        "attribute_not_exists(item_id) OR (#ttl > :epoch AND quantity <= :room)",
        _values(given) | {":one": {"N": "1"}, ":room": {"N": "997"}, ":start": {"N": "1795514400000000"}},
    )


def _add_once(table: str, user_id: str, product_id: Any, given: dict[str, Any]) -> dict[str, Any]:
    values = _values(given) | {
        ":added_at": {"S": NOW},
        ":updated_at": {"S": NOW},
        ":version": {"N": "1795514400000001"},
        ":ttl": TTL,
        ":read": {"N": "1795514400000000"},
    }
    fields = ("product_id", "product_name", "quantity", "price", "added_at", "updated_at", "version")
    record = {
        "user_id": {"S": f"IDEMPOTENCY#{user_id}"},
        "item_id": {"S": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"},
        "fingerprint": {"S": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"},
        "status": {"N": "201"},
        "body": {"S": json.dumps(given | {"subtotal": 59.97, "added_at": NOW, "version": 1795514400000001})},
        "location": {"S": f"/cart/{user_id}/items/{product_id}"},
        "etag": {"S": "1795514400000001"},
        "ttl": TTL,
    }
    put = {
        "TableName": table,
        "Item": record,
        "ConditionExpression": "attribute_not_exists(item_id) OR #ttl <= :epoch",
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ExpressionAttributeValues": {":epoch": EPOCH},
    }
    update = {
        "TableName": table,
        "Key": {"user_id": {"S": user_id}, "item_id": {"S": f"ITEM#{product_id}"}},
        "UpdateExpression": "SET #ttl = :ttl, " + ", ".join(f"{field} = :{field}" for field in fields),
        "ConditionExpression": "version = :read",
        "ExpressionAttributeNames": {"#ttl": "ttl"},
        "ExpressionAttributeValues": values,
    }
    return {
        "ReturnConsumedCapacity": "TOTAL",
        "TransactItems": [{"Put": put}, {"Update": update}],
        "ClientRequestToken": "5f2c9e1b-7a60-4f0d-9a3c-1d2e3f405162",
    }


CONTENDERS = {"wsgi": wsgi, "zappa": zappa, "mangum": mangum, "bare": bare, "bare-rows": bare_rows}


def _requests(contender: Contender, operation: Task, count: int, **changed: Any) -> list[Request]:
    given = operation | changed
    body = None if given["body"] is None else json.dumps(given["body"])
    return [
        contender.prepare(
            given["method"],
            given["path"],
            {name: values[number % len(values)] for name, values in given["headers"].items()},
            body,
            given["claims"],
        )
        for number in range(count)
    ]


def _check(name: str, contender: Contender, operation: Task, closed: bool) -> Any:
    """Return the first answer, in the form of ``send``.

    :raise SystemExit: it differs from the expected one
    """
    (request,) = _requests(contender, operation, 1)
    first = contender.send(request)
    status, found = contender.read(first)
    for line in [found, *found.get("items", [])] if found else []:
        line.pop("version", None)  # the reference has no versions
        line.pop("price_changes", None)
    if status != operation["status"] or operation["answer"] not in (None, found):
        sys.exit(f"{name}: answered {status} {found}, expected {operation['status']} {operation['answer']}")
    if closed:
        headers = {key: value for key, value in operation["headers"].items() if key != "Authorization"}
        (anonymous,) = _requests(contender, operation, 1, headers=headers, claims=None)
        if (status := contender.send(anonymous)[0]) != 401:
            sys.exit(f"{name}: without a token it is answered with {status}")
    return first


def _cpu_us(name: str, contender: Contender, requests: list[Request], first: Any) -> float:
    send = contender.send
    started = time.process_time_ns()
    for request in requests:
        if send(request) != first:
            sys.exit(f"{name}: an answer differs from the first")
    return (time.process_time_ns() - started) / len(requests) / 1000


def _to_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> None:
    task: Task = json.load(sys.stdin)
    result = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryFile("w+") as log:
        os.dup2(log.fileno(), 1)
        contender = CONTENDERS[sys.argv[1]]()
        first = {name: _check(name, contender, one, task["closed"]) for name, one in task["operations"].items()}
        sys.stdout.flush()
        log.seek(0)
        lines = sum('"_aws"' in line and '"duration_ms"' in line for line in log)
    if task["logged"] and lines != len(first) * (2 if task["closed"] else 1):
        sys.exit(f"{len(first)} operations were answered, {lines} lines with metrics are in the log")
    _to_nowhere()
    spent = {}
    for name, operation in task["operations"].items():
        requests = _requests(contender, operation, task["warm_up"] + task["requests"])
        warm_up, measured = requests[: task["warm_up"]], requests[task["warm_up"] :]
        if warm_up:
            _cpu_us(name, contender, warm_up, first[name])
        spent[name] = _cpu_us(name, contender, measured, first[name])
    json.dump(spent, result)
    result.close()


main()

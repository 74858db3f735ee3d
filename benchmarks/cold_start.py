"""Measure the cost of a cold start by layer, from the start of the interpreter to the first answer from DynamoDB.

It compares three contenders: our package, the package that Zappa makes of the same app by default, and the same
endpoints with FastAPI and Mangum. Each figure is measured in new processes that stop after a layer. Run it by
``make bench-cold-start``.

The share of a layer is the difference between two such processes. For its layer the SDK is imported alone, with the
garbage collector on. Our app imports with the collector off; the time that this saves in the SDK is attributed to the
next layer.
"""

import base64
import itertools
import json
import os
import platform
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contenders import ROOT, Contender, make_all
from benchmarks.processes import Command, Deadline, run, run_all, seconds_of
from cart.commands import engines, provision
from cart.config import Config
from cart.dynamodb.client import connect

RESULT = ROOT / "benchmarks" / "results" / "cold_start.json"
PROBE = ROOT / "benchmarks" / "probe.py"
WITHIN_SECONDS = 290
ROUNDS = 11
MOST_INSTRUCTIONS = 1.25e9
MOST_OF_REFERENCE = 0.65

TABLE = "benchmark-carts"
INTERPRETER = getattr(sys, "_base_executable", sys.executable)  # without the virtual environment
VALGRIND: Command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
LAYERS = {
    "interpreter": "bare interpreter",
    "sdk": "AWS SDK (import boto3)",
    "imports": "framework and app imported",
    "app": "app made, client created",
    "answer": "first request answered",
}

ADDED_AT = "2026-11-23T09:30:00.123456Z"
SEED = [(42, "Espresso cup", 2, "19.99"), (7, "Saucer", 1, "4.5")]
EXPECTED = {
    "user_id": "user123",
    "items": [
        {"product_id": 7, "product_name": "Saucer", "quantity": 1, "price": 4.5, "subtotal": 4.5, "added_at": ADDED_AT},
        {
            "product_id": 42,
            "product_name": "Espresso cup",
            "quantity": 2,
            "price": 19.99,
            "subtotal": 39.98,
            "added_at": ADDED_AT,
        },
    ],
    "total_items": 3,
    "total_price": 44.48,
}


def main() -> None:
    if refusal := _what_is_missing():
        sys.exit(refusal)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    deadline = Deadline(WITHIN_SECONDS)
    try:
        with tempfile.TemporaryDirectory(prefix="cold-start-") as scratch, engines.dynamodb_local() as endpoint_url:
            report = _measure(Path(scratch), endpoint_url, deadline)
    except engines.EngineMissing as error:
        sys.exit(f"cold_start: {error}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    print(_table(report))
    sys.exit("\n".join(f"cold_start: {one}" for one in report["exceeded"]) or None)


def _what_is_missing() -> str | None:
    if shutil.which("valgrind") is None:
        return "cold_start: instructions are counted by valgrind, which is not here (Debian: apt-get install valgrind)"
    if shutil.which("java") is None:
        return "cold_start: DynamoDB Local needs Java 11 or newer (on Debian: apt-get install default-jre-headless)"
    if sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        return "cold_start: what is measured is python3.11 on x86_64, the function's; make the .venv with that"
    return None


def _measure(scratch: Path, endpoint_url: str, deadline: Deadline) -> dict[str, Any]:
    environment = _environment(scratch, endpoint_url)
    _say("packing the three contenders")
    contenders = make_all(scratch, {**os.environ, **_credentials()}, deadline)
    _make_table(endpoint_url)
    for contender in contenders.values():
        _compare_answers(contender, environment, deadline)
    commands = {
        (name, layer): _command(one, layer, [_event("GET", "/cart/user123")])
        for name, one in contenders.items()
        for layer in LAYERS
    }
    _say(f"timing {ROUNDS} rounds")
    seconds = _seconds(commands, environment, deadline)
    _say("counting instructions")
    instructions = _instructions(commands, environment, deadline)
    return _report(contenders, instructions, seconds)


def _environment(scratch: Path, endpoint_url: str) -> dict[str, str]:
    """Return the environment of a Lambda function, without the caller's variables."""
    home = scratch / "home"
    home.mkdir()
    return _credentials() | {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "AWS_REGION": "us-east-1",
        "DYNAMODB_ENDPOINT_URL": endpoint_url,
        "DYNAMODB_TABLE_NAME": TABLE,
        "INSTANTIATE_LAMBDA_HANDLER_ON_IMPORT": "1",
        "METRICS_NAMESPACE": "Cart",  # as in every stage: the cost of metrics is part of ours
        "PYTHONHASHSEED": "0",
    }


def _credentials() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _make_table(endpoint_url: str) -> None:
    os.environ |= _credentials()
    client = connect(Config(dynamodb_endpoint_url=endpoint_url), boto_defaults=True)
    provision.create(client, TABLE, lambda line: None)
    for product_id, product_name, quantity, price in SEED:
        item: dict[str, Any] = {
            "user_id": {"S": "user123"},
            "item_id": {"S": f"ITEM#{product_id}"},
            "product_id": {"N": str(product_id)},
            "product_name": {"S": product_name},
            "quantity": {"N": str(quantity)},
            "price": {"N": price},
            "added_at": {"S": ADDED_AT},
            "updated_at": {"S": ADDED_AT},
            "version": {"N": "1"},
            "ttl": {"N": str(int(time.time()) + 86_400)},
        }
        client.put_item(TableName=TABLE, Item=item)


def _event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Return a REST proxy event such as API Gateway sends to a function of the stage `local`."""
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Host": "abcdef1234.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "curl/8.5.0",
        "X-Forwarded-For": "192.0.2.7, 198.51.100.9",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
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
            "path": f"/local{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "local",
            "requestId": "5f2c9e1b-7a60-4f0d-9a3c-1d2e3f405162",
            "identity": {"sourceIp": "192.0.2.7", "userAgent": "curl/8.5.0"},
            "apiId": "abcdef1234",
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def _conversation() -> list[tuple[dict[str, Any], int, Any]]:
    """Return events of every operation, with the expected status and body of each answer."""
    cup = {"product_id": 42, "product_name": "Espresso cup", "quantity": 3, "price": 19.99}
    line = cup | {"subtotal": 59.97}
    one = cup | {"quantity": 1, "subtotal": 19.99}
    cart = {"user_id": "a", "items": [line], "total_items": 3, "total_price": 59.97}
    empty = {"user_id": "a", "items": [], "total_items": 0, "total_price": 0}
    return [
        (_event("GET", "/cart/user123"), 200, EXPECTED),
        (_event("DELETE", "/cart/a"), 204, None),
        (_event("POST", "/cart/a/items", cup), 201, line),
        (_event("GET", "/cart/a"), 200, cart),
        (_event("POST", "/cart/a/items", cup | {"quantity": 998}), 409, ...),
        (_event("POST", "/cart/a/items", cup | {"price": 1.999}), 422, ...),
        (_event("POST", "/cart/a/items", cup | {"colour": "red"}), 422, ...),
        (_event("PUT", "/cart/a/items/42", {"quantity": 1}), 200, one),
        (_event("PUT", "/cart/a/items/43", {"quantity": 1}), 404, ...),
        (_event("PUT", "/cart/a/items/42", {"quantity": 0}), 422, ...),
        (_event("DELETE", "/cart/a/items/42"), 204, None),
        (_event("GET", "/cart/a"), 200, empty),
        (_event("POST", "/cart/a/items", cup), 201, line),
        (_event("DELETE", "/cart/a"), 204, None),
        (_event("GET", "/cart/a"), 200, empty),
        (_event("GET", "/health"), 200, {"status": "ok"}),
        (_event("GET", "/health/ready"), 200, {"status": "ok"}),
    ]


def _compare_answers(contender: Contender, environment: dict[str, str], deadline: Deadline) -> None:
    """Compare the answers with the expected ones.

    :raise SystemExit: an answer differs
    """
    conversation = _conversation()
    output, _ = run(_command(contender, "answer", [event for event, _, _ in conversation]), environment, deadline)
    answers = json.loads(output.splitlines()[-1])
    for (event, status, body), answer in zip(conversation, answers, strict=True):
        found = _body(answer)
        _forget(found, "version")  # the reference has no versions
        _forget(found, "price_changes")
        if f"{event['path']}/".startswith("/cart/a/"):
            _forget(found, "added_at")
        if answer["statusCode"] != status or body not in (..., found):
            asked = f"{event['httpMethod']} {event['path']}"
            sys.exit(f"cold_start: {contender.title} answers {asked} with {answer}, expected {status} {body}")


def _body(answer: dict[str, Any]) -> Any:
    text = answer.get("body") or "null"
    return json.loads(base64.b64decode(text) if answer.get("isBase64Encoded") else text)


def _forget(body: Any, member: str) -> None:
    if isinstance(body, dict):
        for line in [body, *body.get("items", [])]:
            line.pop(member, None)


def _command(contender: Contender, layer: str, events: list[Any]) -> Command:
    made_by = [contender.last_import, contender.module, contender.function]
    return [INTERPRETER, "-S", "-B", PROBE, contender.tree, layer, *made_by, json.dumps(events)]


def _seconds(
    commands: dict[tuple[str, str], Command], environment: dict[str, str], deadline: Deadline
) -> dict[tuple[str, str], float]:
    """Return medians of interleaved runs: other load then affects all of them. The first round fills the page cache."""
    rounds = [
        {key: seconds_of(command, environment, deadline) for key, command in commands.items()}
        for _ in range(ROUNDS + 1)
    ]
    return {key: statistics.median(one[key] for one in rounds[1:]) for key in commands}


def _instructions(
    commands: dict[tuple[str, str], Command], environment: dict[str, str], deadline: Deadline
) -> dict[tuple[str, str], int]:
    texts = run_all(
        [[*VALGRIND, *command] for command in commands.values()], environment, deadline, at_once=os.cpu_count() or 1
    )
    counts = [re.search(r"I +refs: +([\d,]+)", errors) for _, errors in texts]
    return {key: int(found[1].replace(",", "")) for key, found in zip(commands, counts, strict=True) if found}


def _report(
    contenders: dict[str, Contender],
    instructions: dict[tuple[str, str], int],
    seconds: dict[tuple[str, str], float],
) -> dict[str, Any]:
    total = {name: instructions[name, "answer"] for name in contenders}
    of_reference = total["ours"] / total["reference"]
    exceeded = []
    if total["ours"] > MOST_INSTRUCTIONS:
        exceeded.append(f"{total['ours']:,} instructions, more than {MOST_INSTRUCTIONS:,.0f}")
    if of_reference > MOST_OF_REFERENCE:
        exceeded.append(f"{of_reference:.3f} of FastAPI + Mangum, more than {MOST_OF_REFERENCE}")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("zappa", "flask", "boto3")},
        "rounds": ROUNDS,
        "contenders": {
            name: {
                "title": one.title,
                "zip_bytes": one.zip_bytes,
                "unzipped_bytes": one.unzipped_bytes,
                "up_to": {
                    layer: {"instructions": instructions[name, layer], "seconds": round(seconds[name, layer], 4)}
                    for layer in LAYERS
                },
            }
            for name, one in contenders.items()
        },
        "ours_to": {name: round(total["ours"] / other, 3) for name, other in total.items() if name != "ours"},
        "exceeded": exceeded,
    }


def _table(report: dict[str, Any]) -> str:
    """Return the table: the share of each layer, the sum, and the size of the package."""
    contenders = report["contenders"]
    rows = [["", *(one["title"] for one in contenders.values()), "ours/(a)", "ours/(b)"]]
    kinds: list[tuple[str, str, Callable[[float], str]]] = [
        ("million instructions", "instructions", lambda value: f"{value / 1e6:,.0f}"),
        ("milliseconds", "seconds", lambda value: f"{value * 1000:,.0f}"),
    ]
    for heading, kind, shown in kinds:
        rows.append([f"{heading}:"])
        reached = {name: [one["up_to"][layer][kind] for layer in LAYERS] for name, one in contenders.items()}
        shares = {name: [b - a for a, b in itertools.pairwise([0, *values])] for name, values in reached.items()}
        for number, title in enumerate(LAYERS.values()):
            rows.append(_row(f"  {title}", [share[number] for share in shares.values()], shown))
        rows.append(_row("  in all", [values[-1] for values in reached.values()], shown))
    rows.append(["bytes:"])
    for title, kind in (("  zip", "zip_bytes"), ("  unzipped", "unzipped_bytes")):
        rows.append(_row(title, [one[kind] for one in contenders.values()], lambda value: f"{value:,}"))
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row))
        for row in rows
    ]
    lines.append("Milliseconds are medians, on a machine with other work: a layer's share can be off by tens of them.")
    return "\n".join(line.rstrip() for line in lines)


def _row(title: str, values: list[float], shown: Callable[[float], str]) -> list[str]:
    ratios = [f"{values[0] / other:.3f}" if min(values[0], other) > 0 else "-" for other in values[1:]]
    return [title, *(shown(value) for value in values), *ratios]


def _say(line: str) -> None:
    print(f"cold_start: {line} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

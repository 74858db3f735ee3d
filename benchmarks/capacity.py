"""Measure the DynamoDB requests and capacity units of each operation, for carts of 1, 10 and 100 lines.

How to read it: DynamoDB Local counts capacity units as DynamoDB does, and the service's own metrics report them
(tests/dynamodb/test_capacity.py compares both). A million read units cost $0.125, a million write units $0.625.
A new line costs a Query that counts the lines, which grows with the cart. Other costs grow only in operations that
read or remove the whole cart.
"""

import io
import json
import os
from contextlib import redirect_stdout
from typing import Any

from benchmarks import canned, report, service, throughput
from cart import create_app
from cart.commands import engines
from cart.config import Config

SIZES = (1, 10, 100)


class Account:
    """The service in this process, with the cost of its requests."""

    def __init__(self, endpoint_url: str) -> None:
        given = service.environment(endpoint_url)
        os.environ |= {name: value for name, value in given.items() if name.startswith("AWS_")}
        self.client = create_app(Config.from_env(given)).test_client()

    def cost(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, float]:
        """Return the DynamoDB requests and capacity units of one request, read from its log line."""
        with redirect_stdout(io.StringIO()) as log:
            answer = self.client.open(path, method=method, json=body, headers=headers)
        assert answer.status_code < 400, answer.data
        told = json.loads(log.getvalue().splitlines()[-1])
        return told["DynamoDBRequests"], told["DynamoDBCapacityUnits"]


def measure() -> dict[str, dict[int, tuple[int, float]]]:
    """Return the cost by operation and lines of the cart. The carts are full at the start and empty at the end."""
    costs: dict[str, dict[int, tuple[int, float]]] = {}
    with engines.dynamodb_local() as endpoint_url:
        throughput.fill(endpoint_url, SIZES)
        account = Account(endpoint_url)
        for lines in SIZES:
            cart, last = f"/cart/bench-{lines}", canned.line(lines)
            line = f"{cart}/items/{last['product_id']}"
            item = {name: last[name] for name in ("product_id", "product_name", "price")} | {"quantity": 2}
            made = {
                "GET, the cart": account.cost("GET", cart),
                "POST, to a known line": account.cost("POST", f"{cart}/items", item),
                "POST, the same with a key": account.cost("POST", f"{cart}/items", item, **{"Idempotency-Key": '"k"'}),
                "PUT": account.cost("PUT", line, {"quantity": 5}),
                "DELETE, a line": account.cost("DELETE", line),
                "POST, a new line": account.cost("POST", f"{cart}/items", item),
                "DELETE, the cart": account.cost("DELETE", cart),
            }
            for operation, cost in made.items():
                costs.setdefault(operation, {})[lines] = cost
    return costs


def show(costs: dict[str, dict[int, tuple[int, float]]]) -> str:
    heads = [f"{lines} line{'s' if lines > 1 else ''}" for lines in SIZES]
    rows = [["DynamoDB requests / capacity units", *heads]]
    rows += [
        [operation, *(f"{requests} / {units:g}" for requests, units in by_size.values())]
        for operation, by_size in costs.items()
    ]
    return report.table(rows)

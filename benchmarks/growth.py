"""Measure how the cost of reading and clearing a cart grows with its lines: CPU of the WSGI app, DynamoDB requests.

How to read it: the last column is the cost of one more line, between this size and the one before; if it is constant,
growth is linear. A clear is one Query and a BatchWriteItem for each 25 lines.
"""

from typing import Any

from benchmarks import canned, cpu, report
from benchmarks.capacity import Account

SIZES = (1, 3, 10, 30, 100, 300, 1000)
ROUNDS, REQUESTS, WARM_UP = 3, 20, 3

Grown = dict[str, dict[int, dict[str, Any]]]


def measure() -> Grown:
    """Return the cost by operation and lines."""
    contender = cpu.CONTENDERS["wsgi-jwt"]
    names = {f"{method} {lines}": (method, lines) for method in ("GET", "DELETE") for lines in SIZES}
    with canned.running() as endpoint_url:
        rounds = cpu.measure({"ours": contender}, tuple(names), endpoint_url, ROUNDS, REQUESTS, WARM_UP)
        account = Account(endpoint_url)
        grown: Grown = {}
        for name, (method, lines) in names.items():
            requests, _ = account.cost(method, f"/cart/bench-{lines}")
            cpu_us = cpu.medians(rounds)["ours"][name]
            grown.setdefault(method, {})[lines] = {"cpu_us": round(cpu_us, 1), "dynamodb_requests": requests}
    return grown


def show(grown: Grown) -> str:
    rows = [["", "lines", "DynamoDB requests", "CPU µs", "CPU µs of one more line"]]
    for method, by_size in grown.items():
        rows.append([{"GET": "GET, the cart", "DELETE": "DELETE, the cart"}[method]])
        before: tuple[int, float] | None = None
        for lines, one in by_size.items():
            more = f"{(one['cpu_us'] - before[1]) / (lines - before[0]):.1f}" if before else ""
            rows.append(["", str(lines), str(one["dynamodb_requests"]), f"{one['cpu_us']:,.0f}", more])
            before = (lines, one["cpu_us"])
    return report.table(rows)

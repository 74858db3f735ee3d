"""Measure a price change: lines per second, DynamoDB requests and capacity units, and memory.

How to read it: DynamoDB Local uses most of this machine's CPU and is far slower than DynamoDB, so the lines per second
are too low; on AWS the limit is eight parallel writes of about 5 ms each. Requests and capacity units do not depend on
the machine. Each size runs in its own process; memory does not grow with the size if all have the same peak.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks import report, service, throughput
from cart import create_app
from cart.commands import engines, provision
from cart.config import Config
from cart.prices import job_rows, jobs

WARM_UP = 200
SIZES = (2_000, 20_000)
BATCH_ROWS = 25
FILLERS = 4


def measure() -> dict[int, dict[str, Any]]:
    """Return the figures by number of carts."""
    measured = {}
    with engines.dynamodb_local() as endpoint_url:
        client = throughput.client(endpoint_url)
        provision.create(client, service.TABLE, lambda line: None)
        for carts in (WARM_UP, *SIZES):
            with ThreadPoolExecutor(FILLERS) as pool:
                list(pool.map(lambda batch: client.batch_write_item(RequestItems={service.TABLE: batch}), _puts(carts)))
            measured[carts] = _in_a_process(endpoint_url, carts)
    return {carts: measured[carts] for carts in SIZES}


def _puts(carts: int) -> Iterator[list[Any]]:
    """Return the puts of a line in each cart; the product id is the number of carts."""
    for start in range(0, carts, BATCH_ROWS):
        yield [{"PutRequest": {"Item": _row(carts, number)}} for number in range(start, start + BATCH_ROWS)]


def _row(product_id: int, number: int) -> dict[str, Any]:
    moment = {"S": "2026-11-23T09:30:00.123456Z"}
    return {
        "user_id": {"S": f"shopper-{product_id}-{number}"},
        "item_id": {"S": f"ITEM#{product_id}"},
        "product_id": {"N": str(product_id)},
        "product_name": {"S": "Crème brûlée dish"},
        "quantity": {"N": "2"},
        "price": {"N": "19.99"},
        "priced_at": moment,
        "added_at": moment,
        "updated_at": moment,
        "version": {"N": "1795426200123457"},
        "ttl": {"N": "4102444800"},
    }


def _in_a_process(endpoint_url: str, carts: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.prices", str(carts)]
    given = service.environment(endpoint_url, PYTHONPATH=str(service.ROOT), LOG_LEVEL="WARNING")
    ended = subprocess.run(command, env=given, cwd=service.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return measured


class _Charged:
    """A DynamoDB client that adds up the requests and what they cost."""

    def __init__(self, client: Any, spent: Counter[str]) -> None:
        self._client = client
        self._spent = spent

    def __getattr__(self, name: str) -> Any:
        send = getattr(self._client, name)

        def charge(**params: Any) -> Any:
            answer = send(**params)
            self._spent["requests"] += 1
            self._spent["units"] += answer["ConsumedCapacity"]["CapacityUnits"]
            return answer

        return charge


def main(carts: int) -> None:
    """Change the price of the product that this many carts have, and print the figures as JSON."""
    app = create_app(Config.from_env(os.environ))
    table, bus = app.extensions["cart_table"], app.extensions["cart_bus"]
    spent: Counter[str] = Counter()

    table.check()
    at_first = _peak_mb()
    table.client = _Charged(table.client, spent)
    with app.app_context():
        job = jobs.start(carts, Decimal("21.50"), "2026-11-23T14:00:00.000000Z")
    started = time.perf_counter()
    jobs.run(table, bus, job.job_id)
    seconds = time.perf_counter() - started
    done = job_rows.read_job(table, job.job_id)
    if not done or (done.status, done.seen, done.changed) != ("done", carts, carts):
        sys.exit(f"bench: the job ended as {done}")
    told = {
        "seconds": round(seconds, 2),
        "lines_per_second": round(carts / seconds),
        "requests_per_line": round(spent["requests"] / carts, 3),
        "units_per_line": round(spent["units"] / carts, 3),
        "mb_at_first": at_first,
        "peak_mb": _peak_mb(),
    }
    print(json.dumps(told))


def _peak_mb() -> float:
    """Return the peak memory of this process; ``getrusage`` would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return round(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024, 1)


def show(measured: dict[int, dict[str, Any]]) -> str:
    heads = ["carts", "seconds", "lines per second", "requests per line", "units per line", "MB at first", "MB at most"]
    names = ("seconds", "lines_per_second", "requests_per_line", "units_per_line", "mb_at_first", "peak_mb")
    rows = [[f"{carts:,}", *(f"{one[name]:,}" for name in names)] for carts, one in measured.items()]
    return report.table([heads, *rows])


if __name__ == "__main__":
    main(int(sys.argv[1]))

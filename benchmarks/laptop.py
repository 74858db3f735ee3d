"""Measure the requests per second of `make run` with its engine: ``make bench ARGS="laptop --tree ../before"``.

Two trees are measured in turn. Each `make run` gets a cart of 10 lines, then GET and then POST requests over 16
connections. All POSTs add to the same line, which is the most difficult case for an engine.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import report
from cart.commands import engines

CONNECTIONS = 16
LINES = 10
START_WITHIN_SECONDS = 180
SCRIPT = Path(__file__).with_name("wrk.lua")
Rates = dict[str, list[float]]


def measure(trees: list[Path], rounds: int, seconds: int) -> dict[Path, Rates]:
    """Return the requests per second of GET and POST in each round, by tree."""
    rates: dict[Path, Rates] = {tree: {f"GET {LINES}": [], "POST": []} for tree in trees}
    for _ in range(rounds):
        for tree in trees:
            with _running(tree) as url:
                rates[tree][f"GET {LINES}"].append(_wrk(f"{url}/cart/bench", "GET", "", seconds))
                rates[tree]["POST"].append(_wrk(f"{url}/cart/bench-post/items", "POST", _item(1), seconds))
    return rates


def show(rates: dict[Path, Rates]) -> str:
    rows = [["requests/s", *(name for name in next(iter(rates.values())))]]
    rows += [
        [str(tree), *(f"{statistics.median(values):,.0f}" for values in by_name.values())]
        for tree, by_name in rates.items()
    ]
    return report.table(rows)


@contextmanager
def _running(tree: Path) -> Iterator[str]:
    """Run `make run` in a tree, with a cart of ``LINES`` lines; the value is its URL. Its data is in memory."""
    port = engines.free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:
        command = ["make", "run", f"PORT={port}", f"DATA={data}"]
        environ = os.environ | {"CART_MAX_QUANTITY": "1000000", "LOG_LEVEL": "ERROR"}
        process = subprocess.Popen(
            command, cwd=tree, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _wait_for(f"{url}/health", process)
            for product_id in range(1, LINES + 1):
                _post(f"{url}/cart/bench/items", _item(product_id))
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    sys.exit("bench: make run did not answer")


def _item(product_id: int) -> str:
    return json.dumps({"product_id": product_id, "product_name": "Cup", "quantity": 1, "price": 1})


def _post(url: str, body: str) -> None:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def _wrk(url: str, method: str, body: str, seconds: int) -> float:
    environ = os.environ | {"BENCH_METHOD": method, "BENCH_BODY": body, "BENCH_AUTHORIZATION": ""}
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT), url]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds + 60, check=True)
    result = json.loads(ended.stdout.splitlines()[-1])
    return (result["requests"] - result["errors"]) / seconds

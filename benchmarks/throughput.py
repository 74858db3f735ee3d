"""Measure requests per second, latency and memory under gunicorn, with wrk: 32 connections that never pause.

How to read it: server, load generator and DynamoDB share this machine's cores. So the rate of 2 workers on 2 cores is
too low, and an idle machine matters more than for the CPU figures. The service writes logs and metrics and verifies a
token; the reference does none of this. The reference is measured under one uvicorn worker in the two ways in which it
is usually written: with ``async`` views that block the event loop, which the goals refer to, and with views in threads.
Each server first answers 320 concurrent requests for different carts; a wrong answer stops the run. Memory is the
resident set of one worker including shared pages, at the start and after all requests. The last column is the share of
CPU that other processes used right before or after the load; if it is high, the row is not reliable.
"""

import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from benchmarks import canned, report, service, tls
from cart.commands import engines, provision

CONNECTIONS = 32
WARM_UP_SECONDS = 1
CHECKED = 320
PATIENCE_SECONDS, QUIET = 5, 0.1
CHECKED_CARTS = [*range(1, 10), *range(11, 21)]  # without the cart of 10 lines, which the load changes
SCRIPT = Path(__file__).with_name("wrk.lua")
START_WITHIN_SECONDS = 30
LOCAL, TLS = "local", "tls"
# By name, with the operations to measure. No POST if the store keeps what is added: a line would soon be full
STORES = {"0ms": ("GET 10", "POST"), "5ms": ("GET 10", "POST"), TLS: ("GET 10",), LOCAL: ("GET 10", "PUT")}
STORE_TITLES = {
    "0ms": "DynamoDB canned",
    "5ms": "DynamoDB canned, 5 ms away",
    TLS: "DynamoDB canned, by TLS",
    LOCAL: "DynamoDB Local",
}
MOST_P99_MS, LEAST_TIMES = 60, 12

Measured = dict[str, Any]


@dataclass(frozen=True)
class Server:
    title: str
    workers: int
    worker_class: str = ""  # of gunicorn; "": uvicorn with the reference
    threads: int = 1
    app: str = "wsgi:app"
    tree: Path = service.ROOT
    extra: tuple[tuple[str, str], ...] = ()

    def command(self, port: int) -> list[str]:
        if not self.worker_class:
            quiet = ["--log-level", "warning", "--no-access-log"]
            return [*_module("uvicorn"), self.app, "--port", str(port), "--workers", "1", *quiet]
        config = ["-c", str(Path(__file__).with_name("serving.py")), "--log-level", "warning"]
        gunicorn = [*_module("gevent.monkey"), "--module", "gunicorn"]  # as in `flask serve`
        if self.worker_class != "gevent":
            gunicorn = _module("gunicorn")
        return [*gunicorn, *config, "--bind", f"127.0.0.1:{port}", self.app]

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        return service.environment(**given, **service.jwt_settings(), **self._settings(), **dict(self.extra))

    def _settings(self) -> dict[str, str]:
        return {
            "PYTHONPATH": f"{service.search_path(self.tree)}:{service.ROOT}",
            "WORKER_CLASS": self.worker_class,
            "WEB_CONCURRENCY": str(self.workers),
            "THREADS": str(self.threads),
            "CART_MAX_QUANTITY": "1000000",
        }


BLOCKING = "FastAPI, async views"
REFERENCES = [
    Server(BLOCKING, 1, app="benchmarks.blocking:app"),
    Server("FastAPI, views in threads", 1, app="cart_api.main:app"),
]
SERVERS = [
    Server(f"{worker_class}{f' × {threads} threads' if threads > 1 else ''}", workers, worker_class, threads)
    for worker_class, threads in (("sync", 1), ("gthread", 8), ("gthread", 16), ("gevent", 1))
    for workers in (1, 2)
]


def missing() -> str | None:
    return None if shutil.which("wrk") else "bench: throughput is measured by wrk, which is not here (Debian: wrk)"


def measure(servers: list[Server], seconds: int, rounds: int, stores: list[str] | None = None) -> list[Measured]:
    """Measure each server with each store in several rounds, and return the medians."""
    taken: dict[tuple[str, Server, str], list[Measured]] = {}
    for number in range(rounds):
        for store, operations in STORES.items():
            if stores and store not in stores:
                continue
            with _endpoint(store) as given:
                for server in servers:
                    said = f"round {number + 1} of {rounds}, {store}: {server.title}, {server.workers}"
                    print(f"bench: throughput, {said} ...", file=sys.stderr, flush=True)
                    for operation, one in _load(server, given, operations, seconds).items():
                        taken.setdefault((store, server, operation), []).append(one)
    return [
        {"store": store, "operation": operation, "server": server.title, "workers": server.workers}
        | {figure: statistics.median(one[figure] for one in runs) for figure in runs[0] if figure != "errors"}
        | {"errors": sum(one["errors"] for one in runs), "ours": bool(server.worker_class)}
        for (store, server, operation), runs in taken.items()
    ]


@contextmanager
def _endpoint(store: str) -> Iterator[dict[str, str]]:
    """Run a store while the ``with`` block runs; the value is the environment for a server that uses it."""
    if store == LOCAL:
        with engines.dynamodb_local() as endpoint_url:
            fill(endpoint_url, [*CHECKED_CARTS, 10])
            yield {"endpoint_url": endpoint_url}
    elif store == TLS:
        with tls.running() as (endpoint_url, trusted):
            yield {"endpoint_url": endpoint_url, "AWS_CA_BUNDLE": trusted}
    else:
        with canned.running(float(store.removesuffix("ms"))) as endpoint_url:
            yield {"endpoint_url": endpoint_url}


def client(endpoint_url: str) -> Any:
    given = service.environment(endpoint_url)
    return boto3.client(
        "dynamodb",
        region_name=given["AWS_REGION"],
        endpoint_url=endpoint_url,
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
    )


def fill(endpoint_url: str, carts: Iterable[int]) -> None:
    """Create the table, with the carts that the canned endpoint has."""
    target = client(endpoint_url)
    provision.create(target, service.TABLE, lambda line: None)
    with canned.running() as source_url:
        source = client(source_url)
        for lines in carts:
            values = {":user_id": {"S": f"bench-{lines}"}}
            asked = {"TableName": service.TABLE, "KeyConditionExpression": "user_id = :user_id"}
            rows = source.query(**asked, ExpressionAttributeValues=values)["Items"]
            for start in range(0, len(rows), 25):
                puts = [{"PutRequest": {"Item": row}} for row in rows[start : start + 25]]
                target.batch_write_item(RequestItems={service.TABLE: puts})


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _load(server: Server, given: dict[str, str], operations: tuple[str, ...], seconds: int) -> dict[str, Measured]:
    with _running(server, given) as (port, pid):
        _check(server, port)
        at_first = _megabytes(pid)
        measured = {name: _wrk(port, name, seconds) for name in operations}
        at_last = _megabytes(pid)
    return {name: one | {"mb_at_first": at_first, "mb_at_last": at_last} for name, one in measured.items()}


@contextmanager
def _running(server: Server, given: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Run a server; the value is its port and first process id. Its log is dropped, its errors are printed."""
    port = engines.free_port()
    process = subprocess.Popen(
        server.command(port),
        cwd=server.tree,
        env=server.environment(given),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        if not engines.wait_until_listens(url, START_WITHIN_SECONDS, lambda: process.poll() is None):
            sys.exit(f"bench: {server.title} did not start")
        time.sleep(0.5)  # until all its workers have started
        yield port, process.pid
    finally:
        engines.stop(process)


def _check(server: Server, port: int) -> None:
    """Send concurrent requests for different carts, and compare each answer with the expected one.

    :raise SystemExit: an answer is wrong
    """
    carts = {lines: canned.cart(lines) for lines in CHECKED_CARTS}
    admin = service.token("nobody", scope="carts:admin")

    def ask_several(number: int) -> None:
        choice = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(CHECKED // CONNECTIONS):
            lines = choice.choice(CHECKED_CARTS)
            connection.request("GET", f"/cart/bench-{lines}", headers={"Authorization": f"Bearer {admin}"})
            with connection.getresponse() as answer:
                found = json.loads(answer.read())
            found.pop("price_changes", None)
            for line in found.get("items", []):
                line.pop("version", None)
            if found != carts[lines]:
                sys.exit(f"bench: {server.title} answers GET of {lines} lines with {answer.status} {found}")
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            list(pool.map(ask_several, range(CONNECTIONS)))
        except (OSError, http.client.HTTPException) as error:
            sys.exit(f"bench: {server.title} does not answer: {error!r}")


def _wrk(port: int, name: str, seconds: int) -> Measured:
    operation = service.operations((name,))[name]
    asked = {
        "BENCH_METHOD": operation["method"],
        "BENCH_BODY": json.dumps(operation["body"]) if operation["body"] else "",
        "BENCH_AUTHORIZATION": f"Bearer {service.token(service.user_of(name))}",
    }
    url = f"http://127.0.0.1:{port}{operation['path']}"
    others = [_wait_for_quiet()]
    for duration in (WARM_UP_SECONDS, seconds):
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{duration}s", "--timeout", "10s", "-s", str(SCRIPT), url]
        ended = subprocess.run(
            command, env=os.environ | asked, capture_output=True, text=True, timeout=duration + 60, check=True
        )
    time.sleep(0.2)  # for the last answers of the server
    others.append(report.busy())
    return json.loads(ended.stdout.splitlines()[-1]) | {"others_busy": round(max(others), 2)}


def _wait_for_quiet() -> float:
    """Wait some seconds until other processes are idle, and return the share of CPU that they still use."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (share := report.busy()) > QUIET and time.monotonic() < end:
        time.sleep(1)
    return share


def _megabytes(pid: int) -> float:
    """Return the resident set of the largest worker, or of the process itself if it has no workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    statuses = [Path(f"/proc/{one}/status").read_text() for one in children or [pid]]
    kilobytes = [int(line.split()[1]) for text in statuses for line in text.splitlines() if line.startswith("VmRSS")]
    return max(kilobytes) / 1024


def show(measured: list[Measured]) -> str:
    rows = [
        [
            "",
            "workers",
            "requests/s",
            "× async views",
            "p50 ms",
            "p99 ms",
            "errors",
            "MB at first",
            "MB at last",
            "others",
        ]
    ]
    for store, operation in dict.fromkeys((one["store"], one["operation"]) for one in measured):
        rows.append([f"{operation}, {STORE_TITLES[store]}"])
        rows += [
            [
                f"  {'ours, ' if one['ours'] else ''}{one['server']}",
                f"{one['workers']}",
                f"{one['per_second']:,.0f}",
                f"{times:.1f}" if (times := times_reference(measured, one)) else "-",
                f"{one['p50_ms']:.1f}",
                f"{one['p99_ms']:.1f}",
                f"{one['errors']}",
                f"{one['mb_at_first']:.0f}",
                f"{one['mb_at_last']:.0f}",
                f"{one['others_busy']:.0%}",
            ]
            for one in measured
            if (one["store"], one["operation"]) == (store, operation)
        ]
    return report.table(rows)


def times_reference(measured: list[Measured], one: Measured) -> float | None:
    """Return the ratio to the blocking reference's requests per second, for the same store and operation."""
    same = ("store", "operation")
    found = [other for other in measured if other["server"] == BLOCKING and all(other[key] == one[key] for key in same)]
    return one["per_second"] / found[0]["per_second"] if found else None


def goals(measured: list[Measured]) -> list[report.Goal]:
    """Return the goals, for the fastest worker class with one worker and DynamoDB answering after 5 ms."""
    judged: list[report.Goal] = []
    for operation in ("GET 10", "POST"):
        wanted = {"store": "5ms", "operation": operation, "workers": 1, "ours": True}
        found = [one for one in measured if all(one[key] == value for key, value in wanted.items())]
        best = max(found, key=lambda one: one["per_second"], default=None)
        if best and (times := times_reference(measured, best)):
            told = f"{operation}, {best['server']}, 1 worker, DynamoDB 5 ms away"
            judged.append((f"{told}, times the rate of {BLOCKING}", times, LEAST_TIMES, False))
            judged.append((f"{told}, p99 in ms", best["p99_ms"], MOST_P99_MS, True))
            judged.append((f"{told}, errors", best["errors"], 0, True))
    return judged

"""Measure CPU time and instructions per request in process, without server and client, with fixed DynamoDB answers.

How to read it: a figure is the median of several rounds. Each round starts a new process of every contender in turn,
so that other load affects all of them. Absolute figures vary by half and more between runs. A ratio is the median of
the rounds' ratios, and varies by a tenth if other processes use the machine. Instructions do not vary; they do not
include the kernel's. "jwt" sends the same token in each request; "jwt, each new" a new one. The bare boto3 call sends
the service's requests to DynamoDB and parses the answers into dicts, nothing more; "whole rows" reads a cart without a
projection.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report, service

WORKER = Path(__file__).with_name("worker.py")
VALGRIND = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
WARM_UP = 50
COUNTED = (5, 25)  # requests in a short and a long run; their difference cancels the cost of the start
TIMEOUT_SECONDS = 120
KEYED = "POST with key"

Figures = dict[str, dict[str, float]]  # contender → operation → figure


@dataclass
class Contender:
    title: str
    worker: str
    auth: str = "none"  # none, jwt, jwt-new, gateway
    tree: Path = service.ROOT
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def is_ours(self) -> bool:
        return self.worker in ("wsgi", "zappa")


CONTENDERS = {
    "bare": Contender("bare boto3 call", "bare"),
    "bare-rows": Contender("bare boto3 call, whole rows", "bare-rows"),
    "fastapi": Contender("FastAPI + Mangum", "mangum"),
    "wsgi-none": Contender("ours, WSGI, no auth", "wsgi"),
    "wsgi-jwt": Contender("ours, WSGI, jwt", "wsgi", "jwt"),
    "wsgi-jwt-new": Contender("ours, WSGI, jwt, each new", "wsgi", "jwt-new"),
    "zappa-none": Contender("ours, Zappa, no auth", "zappa"),
    "zappa-gateway": Contender("ours, Zappa, gateway", "zappa", "gateway"),
    "zappa-jwt": Contender("ours, Zappa, jwt", "zappa", "jwt"),
}


def with_variant(
    contenders: dict[str, Contender], tree: Path | None, extra: Iterable[tuple[str, str]]
) -> dict[str, Contender]:
    """Add to each of our contenders the same one from another tree or with more variables, marked by ``'``."""
    if not tree and not extra:
        return contenders
    changed = {
        f"{name}'": Contender(f"{one.title} '", one.worker, one.auth, tree or one.tree, tuple(extra))
        for name, one in contenders.items()
        if one.is_ours
    }
    return contenders | changed


def measure(
    contenders: dict[str, Contender],
    operations: tuple[str, ...],
    endpoint_url: str,
    rounds: int,
    requests: int,
    warm_up: int = WARM_UP,
    **more: str,
) -> list[Figures]:
    """Return the CPU microseconds per request of each round."""
    measured = []
    for number in range(rounds):
        said = f"round {number + 1} of {rounds}; others use {report.busy():.0%} of the machine"
        print(f"bench: CPU, {said} ...", file=sys.stderr, flush=True)
        measured.append(
            {name: _run(one, operations, endpoint_url, warm_up, requests, more) for name, one in contenders.items()}
        )
    return measured


def instructions(contenders: dict[str, Contender], operations: tuple[str, ...], endpoint_url: str) -> Figures:
    """Return the instructions per request by cachegrind: the difference of two runs, without the kernel's."""
    asked = [(name, operation, count) for name in contenders for operation in operations for count in COUNTED]
    print(f"bench: instructions, {len(asked)} runs ...", file=sys.stderr, flush=True)

    def counted(name: str, operation: str, count: int) -> int | None:
        if not _operations(contenders[name], (operation,), 1):
            return None
        errors: list[str] = []
        _run(contenders[name], (operation,), endpoint_url, 0, count, {}, VALGRIND, errors)
        found = re.search(r"I +refs: +([\d,]+)", errors[0])
        return int(found[1].replace(",", "")) if found else None

    pool = ThreadPoolExecutor(2)
    try:
        counts = dict(zip(asked, pool.map(lambda one: counted(*one), asked), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    few, many = COUNTED
    return {
        name: {
            operation: (counts[name, operation, many] - counts[name, operation, few]) / (many - few)
            for operation in operations
            if counts[name, operation, few]
        }
        for name in contenders
    }


def medians(rounds: list[Figures]) -> Figures:
    names = rounds[0]
    return {
        name: {operation: statistics.median(one[name][operation] for one in rounds) for operation in names[name]}
        for name in names
    }


def ratio(rounds: list[Figures], name: str, other: str, operation: str) -> float | None:
    if operation not in rounds[0].get(name, {}) or operation not in rounds[0].get(other, {}):
        return None
    return statistics.median(one[name][operation] / one[other][operation] for one in rounds)


def _run(
    contender: Contender,
    names: tuple[str, ...],
    endpoint_url: str,
    warm_up: int,
    requests: int,
    more: dict[str, str],
    prefix: Iterable[str] = (),
    errors: list[str] | None = None,
) -> dict[str, float]:
    operations = _operations(contender, names, warm_up + requests)
    task = {
        "warm_up": warm_up,
        "requests": requests,
        "operations": operations,
        "logged": contender.is_ours,
        "closed": contender.is_ours and contender.auth != "none",
    }
    auth = service.jwt_settings() if contender.auth.startswith("jwt") else {"AUTH_MODE": contender.auth}
    given = {"PYTHONPATH": service.search_path(contender.tree)} | auth | more | dict(contender.extra)
    ended = subprocess.run(
        [*prefix, sys.executable, WORKER, contender.worker],
        env=service.environment(endpoint_url, **given),
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if ended.returncode:
        sys.exit(f"bench: {contender.title}: {ended.stderr[-3000:]}{ended.stdout[-1000:]}")
    if errors is not None:
        errors.append(ended.stderr)
    return json.loads(ended.stdout)


def _operations(contender: Contender, names: tuple[str, ...], count: int) -> dict[str, service.Operation]:
    if contender.worker == "mangum":
        names = tuple(name for name in names if name != KEYED)
    tokens = {
        "jwt": lambda user_id: [service.token(user_id)],
        "jwt-new": lambda user_id: [service.token(user_id, number) for number in range(count)],
    }.get(contender.auth)
    made = service.operations(names, tokens)
    for name, one in made.items():
        if contender.auth != "gateway":
            one["claims"] = None
        if contender.worker.startswith("bare") and name == KEYED:
            one["answer"] = None  # a transaction has no answer to compare
    return made


def goals(rounds: list[Figures]) -> list[report.Goal]:
    """Return the goals, for a service with logs, metrics and authentication."""
    against_bare = [("GET 10", 0.35), ("POST", 0.35), ("GET 50", 0.2)]
    contenders = {"bare": "the bare boto3 call", "bare-rows": "the bare boto3 call that reads whole rows"}
    against_fastapi = [("GET 10", 4), ("POST", 3)]
    judged = [
        (f"{operation}, WSGI with jwt, of {title}", ratio(rounds, "wsgi-jwt", name, operation), bar, True)
        for name, title in contenders.items()
        for operation, bar in against_bare
        if name == "bare" or operation.startswith("GET")
    ] + [
        (
            f"{operation}, Zappa with {auth}, times less than FastAPI + Mangum",
            ratio(rounds, "fastapi", f"zappa-{auth}", operation),
            bar,
            False,
        )
        for operation, bar in against_fastapi
        for auth in ("gateway", "jwt")
    ]
    return [one for one in judged if one[1] is not None]


def show(rounds: list[Figures], contenders: dict[str, Contender]) -> str:
    operations = list(rounds[0][next(iter(contenders))])
    typical = medians(rounds)
    rows = [["", *operations], ["CPU µs per request"]]
    rows += [_row(one, operations, typical[name].get, "{:.0f}") for name, one in contenders.items()]
    for other in [name for name in ("bare", "fastapi") if name in contenders]:
        rows.append([f"ratio to the {contenders[other].title}"])
        rows += [
            _row(one, operations, partial(ratio, rounds, name, other), "{:.2f}")
            for name, one in contenders.items()
            if name != other
        ]
    return report.table(rows)


def show_instructions(counted: Figures, contenders: dict[str, Contender]) -> str:
    operations = list(counted[next(iter(counted))])
    rows = [["", *operations], ["thousand instructions per request"]]
    rows += [
        _row(contenders[name], operations, {one: count / 1000 for one, count in figures.items()}.get, "{:,.0f}")
        for name, figures in counted.items()
    ]
    if "bare" in counted:
        rows.append([f"ratio to the {contenders['bare'].title}"])
        rows += [
            _row(contenders[name], operations, partial(ratio, [counted], name, "bare"), "{:.2f}")
            for name in counted
            if name != "bare"
        ]
    return report.table(rows)


def _row(contender: Contender, operations: list[str], figure: Callable[[str], float | None], form: str) -> list[str]:
    figures = [figure(operation) for operation in operations]
    return [f"  {contender.title}", *("-" if one is None else form.format(one) for one in figures)]


def results(contenders: dict[str, Contender], rounds: list[Figures], counted: Figures) -> dict[str, Any]:
    typical = medians(rounds)
    return {
        "rounds": len(rounds),
        "contenders": {
            name: {
                "title": one.title,
                "cpu_us": {operation: round(us, 1) for operation, us in typical[name].items()},
                "to_bare": _ratios(rounds, name, "bare"),
                "to_fastapi": _ratios(rounds, name, "fastapi"),
                "instructions": {operation: round(count) for operation, count in counted.get(name, {}).items()},
            }
            for name, one in contenders.items()
        },
    }


def _ratios(rounds: list[Figures], name: str, other: str) -> dict[str, float]:
    found = {operation: ratio(rounds, name, other, operation) for operation in rounds[0][name]}
    return {operation: round(value, 3) for operation, value in found.items() if value is not None}


def draw(contenders: dict[str, Contender], rounds: list[Figures], path: Path) -> None:
    groups = {
        operation: {
            one.title: value
            for name, one in contenders.items()
            if name != "bare" and (value := ratio(rounds, name, "bare", operation)) is not None
        }
        for operation in rounds[0]["bare"]
    }
    report.chart(path, "CPU per request, as a share of one bare boto3 call", groups, (1, "bare boto3 call"))


def missing() -> str | None:
    return (
        None
        if shutil.which("valgrind")
        else "bench: valgrind, which counts instructions, is not here (Debian: valgrind)"
    )

"""Run the benchmarks of the service: ``make bench``, or some of them: ``make bench ARGS="cpu --rounds 3"``.

The docstring of each part's module says how to read its figures. A complete part writes benchmarks/results/PART.json;
a part that is restricted by an option only prints. ``--tree ../other-clone`` or ``--env CART_X=1`` measures another
state of the service at the same time; its names are marked by ``'``.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import canned, capacity, cpu, growth, laptop, prices, report, service, throughput, tls
from cart.commands.engines import EngineMissing

ROUNDS, REQUESTS = 7, 200
SECONDS = 5
TLS_ROUNDS = 3
COUNTED = ("bare", "fastapi", "wsgi-jwt", "zappa-gateway")
COUNTED_OPERATIONS = ("GET 10", "GET 50", "POST")


def main() -> None:
    options = _options()
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # an exception, so that child processes are ended
    if refusal := cpu.missing() or throughput.missing() or tls.missing():
        sys.exit(refusal)
    for part in options.parts or PARTS:
        PARTS[part](options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--rounds", type=int, help=f"of cpu [{ROUNDS}], tls [{TLS_ROUNDS}] and throughput [1]")
    parser.add_argument("--requests", type=int, help=f"of each operation in each round of cpu [{REQUESTS}]")
    parser.add_argument("--contenders", help=f"of cpu and tls, separated by commas: {', '.join(cpu.CONTENDERS)}")
    parser.add_argument("--operations", help=f"of cpu and tls, separated by commas: {', '.join(service.OPERATIONS)}")
    parser.add_argument("--instructions", action="store_true", help="count them, also where something was chosen")
    parser.add_argument("--seconds", type=int, help=f"of each load in throughput [{SECONDS}]")
    parser.add_argument("--servers", help="of throughput, separated by commas, by a part of their names")
    parser.add_argument("--stores", help=f"of throughput, separated by commas: {', '.join(throughput.STORES)}")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="of the variant")
    parser.add_argument("--tree", type=Path, help="of the variant: another clone")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no part is named {', '.join(sorted(unknown))}")
    chosen = (options.contenders, options.operations, options.servers, options.stores, options.env, options.tree)
    options.is_whole = not any(chosen)
    options.extra = tuple((name, value) for name, _, value in (one.partition("=") for one in options.env))
    return options


def _cpu(options: argparse.Namespace) -> None:
    contenders, operations = _chosen(options)
    with canned.running() as endpoint_url:
        rounds = cpu.measure(
            contenders, operations, endpoint_url, options.rounds or ROUNDS, options.requests or REQUESTS
        )
        goals = report.goals(cpu.goals(rounds))
        print(cpu.show(rounds, contenders), goals, sep="\n\n", flush=True)
        counted = {}
        if options.instructions or options.is_whole:
            wanted = {name: one for name, one in contenders.items() if name.rstrip("'") in COUNTED}
            chosen = tuple(one for one in operations if one in COUNTED_OPERATIONS)
            counted = cpu.instructions(wanted, chosen, endpoint_url)
            print(cpu.show_instructions(counted, contenders))
    if options.is_whole:
        report.keep("cpu", cpu.results(contenders, rounds, counted) | {"goals": goals.splitlines()})
        cpu.draw(contenders, rounds, report.RESULTS / "cpu.svg")


def _tls(options: argparse.Namespace) -> None:
    contenders, operations = _chosen(options)
    with tls.running() as (endpoint_url, trusted):
        given = {"endpoint_url": endpoint_url, "AWS_CA_BUNDLE": trusted}
        rounds = cpu.measure(
            contenders,
            operations,
            rounds=options.rounds or TLS_ROUNDS,
            requests=options.requests or REQUESTS,
            **given,
        )
    print("With TLS:", cpu.show(rounds, contenders), report.goals(cpu.goals(rounds)), sep="\n\n")
    if options.is_whole:
        report.keep("tls", cpu.results(contenders, rounds, {}))


def _capacity(options: argparse.Namespace) -> None:
    costs = capacity.measure()
    print(capacity.show(costs))
    told = {
        operation: {lines: {"requests": requests, "units": units} for lines, (requests, units) in by_size.items()}
        for operation, by_size in costs.items()
    }
    report.keep("capacity", {"operations": told})


def _growth(options: argparse.Namespace) -> None:
    grown = growth.measure()
    print(growth.show(grown))
    report.keep("growth", {"operations": grown})


def _prices(options: argparse.Namespace) -> None:
    measured = prices.measure()
    print(prices.show(measured))
    report.keep("prices", {"carts": measured})


def _laptop(options: argparse.Namespace) -> None:
    trees = [service.ROOT, *([options.tree.resolve()] if options.tree else [])]
    print(laptop.show(laptop.measure(trees, options.rounds or 1, options.seconds or SECONDS)))


def _throughput(options: argparse.Namespace) -> None:
    wanted = options.servers.split(",") if options.servers else [""]
    servers = [one for one in throughput.SERVERS if any(part in one.title for part in wanted)]
    if options.tree or options.extra:
        tree = options.tree.resolve() if options.tree else service.ROOT
        servers += [replace(one, title=f"{one.title} '", tree=tree, extra=options.extra) for one in servers]
    stores = options.stores.split(",") if options.stores else None
    servers += throughput.REFERENCES
    measured = throughput.measure(servers, options.seconds or SECONDS, options.rounds or 1, stores)
    goals = report.goals(throughput.goals(measured))
    print(throughput.show(measured), goals, sep="\n\n")
    if options.is_whole:
        told = {"connections": throughput.CONNECTIONS, "seconds": options.seconds or SECONDS}
        told |= {"rounds": options.rounds or 1, "loads": measured, "goals": goals.splitlines()}
        report.keep("throughput", told)


def _chosen(options: argparse.Namespace) -> tuple[dict[str, cpu.Contender], tuple[str, ...]]:
    names = options.contenders.split(",") if options.contenders else list(cpu.CONTENDERS)
    operations = tuple(options.operations.split(",")) if options.operations else service.OPERATIONS
    if unknown := ({*names} - cpu.CONTENDERS.keys()) | ({*operations} - {*service.OPERATIONS}):
        sys.exit(f"bench: there is no {', '.join(sorted(unknown))}")
    tree = options.tree.resolve() if options.tree else None
    return cpu.with_variant({name: cpu.CONTENDERS[name] for name in names}, tree, options.extra), operations


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "cpu": _cpu,
    "tls": _tls,
    "throughput": _throughput,
    "capacity": _capacity,
    "growth": _growth,
    "prices": _prices,
    "laptop": _laptop,
}

if __name__ == "__main__":
    try:
        main()
    except (canned.CompilerMissing, EngineMissing) as error:
        sys.exit(f"bench: {error}")

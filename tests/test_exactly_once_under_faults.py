"""2,000 changes by 8 clients through a network that fails, on workers that are killed: each is there exactly once.

The schedules come from ``FAULT_SEED``; threads and processes still race, so a seed repeats the faults, not the run.
"""

import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fault_proxy import Fault, FaultProxy, fault_proxy
from running import Answer, Caller, Contract, workers

from cart import create_app
from conftest import CUP, Store, make_store, serving

SEED = int(os.environ.get("FAULT_SEED", "20240607"))
THREADS = 8
CHANGES_EACH = 250
RATE = 0.12
KILL_EVERY_SECONDS = 2.0
ATTEMPTS = 40  # of a keyed add, until it is answered
RETRY_SECONDS = (0.02, 0.1)  # a client that waited for Retry-After's second would make the test wait too
PRODUCTS = range(1, 4)
ENDS_WITHIN_SECONDS = 5

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
LineId = tuple[str, int]


@dataclass
class Run:
    """What all shoppers of one run share."""

    url: str
    proxy: FaultProxy
    keyed: bool
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    contract: Contract = field(default_factory=Contract)

    @property
    def shared_carts(self) -> list[str]:
        return [f"shared-{number}-{self.name}" for number in range(2)]


class Shopper:
    """One client. It alone uses its own carts, so it knows what each line of theirs can be.

    :ivar possible: the quantities that a line of an own cart can have; 0 is no line
    :ivar acknowledged: units that were added for sure, by line of a shared cart
    :ivar in_doubt: units of which nobody told whether they were added
    """

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.random = random.Random(f"{SEED} {number} {run.keyed}")
        self.caller = Caller(run.url)
        self.carts = [f"own-{number}-{cart}-{run.name}" for cart in range(2)]
        self.possible: dict[LineId, set[int]] = {(cart, one): {0} for cart in self.carts for one in PRODUCTS}
        self.acknowledged: Counter[LineId] = Counter()
        self.in_doubt: Counter[LineId] = Counter()
        self.keys: Counter[str] = Counter()  # that were acknowledged, by cart
        self.said: Counter[str] = Counter()
        self.slowest_seconds = 0.0

    def shop(self) -> None:
        changes = {
            self.add_to_shared: 35,
            self.add: 30,
            self.set_quantity: 15,
            self.remove: 10,
            self.clear: 5,
            self.clear_if_unchanged: 5,
        }
        for _ in range(CHANGES_EACH):
            (change,) = self.random.choices(list(changes), list(changes.values()))
            change()
            if self.random.random() < 0.1:
                self.read(self.random.choice(self.carts))

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[str, Answer | None]:
        """Ask once, and judge the answer. Where the outcome is unknown, wait until it can no longer change."""
        answer = self.caller.ask(method, path, body, **headers)
        if answer is None:
            self.said["connection lost"] += 1
            outcome = UNKNOWN
        else:
            self.run.contract.check(method, path, answer)
            self.said[f"{answer.status} {answer.problem}".strip()] += 1
            self.slowest_seconds = max(self.slowest_seconds, answer.seconds)
            if answer.problem == "outcome-unknown":
                outcome = UNKNOWN
            else:
                outcome = REFUSED if answer.status in (429, 503) else DONE
        if outcome is UNKNOWN and method != "GET":
            self.run.proxy.settle()
        return outcome, answer

    def _add(self, cart: str, product_id: int, quantity: int) -> tuple[str, Answer | None]:
        """With a key: as often as it takes. Without: once, since nobody could tell two from one."""
        body = CUP | {"product_id": product_id, "quantity": quantity}
        if not self.run.keyed:
            return self.ask("POST", f"/cart/{cart}/items", body)
        key = f'"{self.random.getrandbits(64):x}"'
        for _ in range(ATTEMPTS):
            outcome, answer = self.ask("POST", f"/cart/{cart}/items", body, Idempotency_Key=key)
            if answer and outcome is DONE:
                self.keys[cart] += 1
                self.said["replayed"] += "Idempotency-Replayed" in answer.headers
                return outcome, answer
            time.sleep(self.random.uniform(*RETRY_SECONDS))
        raise AssertionError(f"an add with a key was not answered in {ATTEMPTS} attempts")

    def add_to_shared(self) -> None:
        line = (self.random.choice(self.run.shared_carts), self.random.choice(PRODUCTS))
        quantity = self.random.randint(1, 5)
        outcome, answer = self._add(*line, quantity)
        if outcome is DONE:
            assert answer
            assert answer.status == 201, answer
            self.acknowledged[line] += quantity
        elif outcome is UNKNOWN:
            self.in_doubt[line] += quantity

    def add(self) -> None:
        line, quantity = self.own_line(), self.random.randint(1, 5)
        before = self.possible[line]
        outcome, answer = self._add(*line, quantity)
        after = {one + quantity for one in before}
        self.settle_line(line, outcome, answer, 201, before, after)

    def set_quantity(self) -> None:
        line, quantity = self.own_line(), self.random.randint(1, 20)
        before = self.possible[line]
        outcome, answer = self.ask("PUT", f"/cart/{line[0]}/items/{line[1]}", {"quantity": quantity})
        if answer and answer.status == 404:
            assert 0 in before, (line, before)
            self.possible[line] = {0}
        else:
            after = {quantity if one else 0 for one in before}
            self.settle_line(line, outcome, answer, 200, before, after)

    def settle_line(
        self, line: LineId, outcome: str, answer: Answer | None, status: int, before: set[int], after: set[int]
    ) -> None:
        """Draw from an answer that shows a line what the line can be now."""
        if outcome is DONE:
            assert answer
            assert answer.status == status, (line, answer)
            assert answer.body["quantity"] in after - {0}, (line, before, answer)
            self.possible[line] = {answer.body["quantity"]}
        elif outcome is UNKNOWN:
            self.possible[line] = before | after

    def remove(self) -> None:
        line = self.own_line()
        outcome, answer = self.ask("DELETE", f"/cart/{line[0]}/items/{line[1]}")
        self.settle_removal([line], outcome, answer)

    def clear(self) -> None:
        cart = self.random.choice(self.carts)
        outcome, answer = self.ask("DELETE", f"/cart/{cart}")
        self.settle_removal([(cart, one) for one in PRODUCTS], outcome, answer)

    def clear_if_unchanged(self) -> None:
        """Nobody else is there to change the cart in between: it is never a 412."""
        cart = self.random.choice(self.carts)
        for _ in range(ATTEMPTS):
            if etag := self.read(cart):
                outcome, answer = self.ask("DELETE", f"/cart/{cart}", If_Match=etag)
                self.settle_removal([(cart, one) for one in PRODUCTS], outcome, answer)
                return
        raise AssertionError(f"a cart could not be read in {ATTEMPTS} attempts")

    def settle_removal(self, lines: list[LineId], outcome: str, answer: Answer | None) -> None:
        if outcome is DONE:
            assert answer
            assert answer.status == 204, (lines, answer)
        for line in lines:
            if outcome is not REFUSED:
                self.possible[line] = {0} | (self.possible[line] if outcome is UNKNOWN else set())

    def own_line(self) -> LineId:
        return self.random.choice(list(self.possible))

    def read(self, cart: str) -> str | None:
        """See that a cart is as it can be.

        :return: its ETag, None where it could not be read
        """
        outcome, answer = self.ask("GET", f"/cart/{cart}")
        if answer is None or outcome is not DONE:
            return None
        self.see(cart, {line["product_id"]: line["quantity"] for line in answer.body["items"]})
        return answer.headers["ETag"]

    def see(self, cart: str, quantities: dict[int, int]) -> None:
        assert quantities.keys() <= set(PRODUCTS)
        for product_id in PRODUCTS:
            seen = quantities.get(product_id, 0)
            assert seen in self.possible[cart, product_id], (cart, product_id, seen, self.possible[cart, product_id])
            self.possible[cart, product_id] = {seen}


class Killer(threading.Thread):
    """Kills a worker now and then, never their master, which starts another."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.random = random.Random(f"{SEED} killer")
        self.over = threading.Event()
        self.kills = 0

    def run(self) -> None:
        while not self.over.wait(KILL_EVERY_SECONDS * self.random.uniform(0.8, 1.2)):
            if alive := sorted(workers(self.url)):
                os.kill(self.random.choice(alive), signal.SIGKILL)
                self.kills += 1


@pytest.fixture(scope="module")
def store(dynamodb_local_url: str) -> Store:
    return make_store("dynamodb-local", dynamodb_local_url, cart_max_quantity=1_000_000)


@contextmanager
def served_through_proxy(store: Store, log: Path) -> Iterator[tuple[str, FaultProxy]]:
    environ = {
        "DYNAMODB_TABLE_NAME": store.config.dynamodb_table_name,
        "CART_MAX_QUANTITY": str(store.config.cart_max_quantity),
        "WEB_CONCURRENCY": "2",
        "LOG_LEVEL": "WARNING",
    }
    with fault_proxy(store.config.dynamodb_endpoint_url, SEED) as proxy, serving(proxy.url, log, **environ) as url:
        yield url, proxy


def stored(store: Store, cart: str) -> dict[int, int]:
    return {int(row["product_id"]["N"]): int(row["quantity"]["N"]) for row in store.rows(cart)}


def shop_together(run: Run) -> list[Shopper]:
    """All changes, under faults and kills; then peace."""
    shoppers = [Shopper(run, number) for number in range(THREADS)]
    killer = Killer(run.url)
    started = time.monotonic()
    run.proxy.rate = RATE
    killer.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for ended in [pool.submit(shopper.shop) for shopper in shoppers]:
                ended.result()
    finally:
        killer.over.set()
        killer.join()
        run.proxy.rate = 0
        run.proxy.settle()
        for shopper in shoppers:
            shopper.caller.connection.close()
    said = sum((shopper.said for shopper in shoppers), Counter())
    print(f"seed {SEED}: {time.monotonic() - started:.0f} s, {killer.kills} kills, answers {dict(said)}")
    slowest_seconds = max(shopper.slowest_seconds for shopper in shoppers)
    print(f"slowest {slowest_seconds:.1f} s, faults {dict(run.proxy.counts)}")
    assert slowest_seconds < ENDS_WITHIN_SECONDS
    assert killer.kills > 0
    assert run.proxy.counts.keys() == {None, *Fault}, "not every fault has happened"
    assert {"503 outcome-unknown", "connection lost"} <= said.keys()
    return shoppers


def assert_own_carts_are_as_they_can_be(store: Store, run: Run, shoppers: list[Shopper]) -> None:
    caller = Caller(run.url)
    for shopper in shoppers:
        for cart in shopper.carts:
            shown = caller.ask("GET", f"/cart/{cart}") or caller.ask("GET", f"/cart/{cart}")
            assert shown
            quantities = {line["product_id"]: line["quantity"] for line in shown.body["items"]}
            assert quantities == stored(store, cart)
            shopper.see(cart, quantities)
    caller.connection.close()


def run_of_shoppers(store: Store, log: Path, keyed: bool) -> tuple[Run, list[Shopper]]:
    with served_through_proxy(store, log) as (url, proxy):
        run = Run(url, proxy, keyed)
        shoppers = shop_together(run)
        assert_own_carts_are_as_they_can_be(store, run, shoppers)
    assert "Traceback" not in log.read_text()
    return run, shoppers


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@contextmanager
def seed_told() -> Iterator[None]:
    """An assertion that fails says by which seed."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"FAULT_SEED={SEED}: {error}") from error


def test_with_keys_every_add_is_there_exactly_once(store, log):
    with seed_told():
        run, shoppers = run_of_shoppers(store, log, keyed=True)
        acknowledged = sum((one.acknowledged for one in shoppers), Counter())
        keys = sum((one.keys for one in shoppers), Counter())
        for cart in run.shared_carts:
            wanted = {product_id: units for (one, product_id), units in acknowledged.items() if one == cart}
            assert stored(store, cart) == wanted
        for cart, count in keys.items():
            assert len(store.rows(f"IDEMPOTENCY#{cart}")) == count, cart
        assert sum(one.said["replayed"] for one in shoppers) > 0


def test_without_keys_the_service_adds_nothing_twice(store, log):
    with seed_told():
        run, shoppers = run_of_shoppers(store, log, keyed=False)
        acknowledged = sum((one.acknowledged for one in shoppers), Counter())
        in_doubt = sum((one.in_doubt for one in shoppers), Counter())
        for cart in run.shared_carts:
            found = stored(store, cart)
            assert found.keys() <= set(PRODUCTS)
            for product_id in PRODUCTS:
                least = acknowledged[cart, product_id]
                most = least + in_doubt[cart, product_id]
                assert least <= found.get(product_id, 0) <= most, (cart, product_id)
        assert in_doubt.total() > 0


@pytest.mark.parametrize("transport", ["lean", "botocore"])
@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.CUT_SHORT, Fault.ERROR_AFTER, Fault.CHECKSUM])
def test_20_adds_whose_answers_are_lost_store_20(store, user, fault, transport):
    """Stock boto3 stores 40, or more."""
    with fault_proxy(store.config.dynamodb_endpoint_url, SEED) as proxy:
        config = replace(store.config, dynamodb_endpoint_url=proxy.url, dynamodb_transport=transport)
        client = create_app(config).test_client()
        proxy.rate, proxy.kinds = 1, [fault]
        told = [client.post(f"/cart/{user}/items", json=CUP | {"quantity": 1}) for _ in range(20)]
    assert {one.get_json(force=True)["type"] for one in told} == {"urn:cart:problem:outcome-unknown"}
    assert stored(store, user) == {42: 20}
    assert proxy.counts == {fault: 20}

"""8 clients send 2,000 changes through a failing network to workers that are killed: each is stored exactly once.

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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cart import create_app
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.running import Answer, Caller, Contract, serving, workers
from tests.support.seeded import LISTS, SEED, stored
from tests.support.stores import CUP, Store, make_store

THREADS = 8
CHANGES_EACH = 250
RATE = 0.12
KILL_EVERY_SECONDS = 2.0
ATTEMPTS = 40  # attempts of a request with a key, until it is answered
RETRY_SECONDS = (0.02, 0.1)  # shorter than Retry-After's second, which would make the test slow
PRODUCTS = range(1, 4)
ENDS_WITHIN_SECONDS = 5

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
LineId = tuple[str, int]  # of a cart
Units = tuple[int, int]  # units in the cart, and saved units
# A guest cart: some products that the adds use too, and others
GUEST = {("cart", 2): 3, ("cart", 11): 1, ("cart", 12): 2, ("saved", 11): 4, ("saved", 2): 5}
BIG_GUEST = GUEST | {("cart", product_id): 1 for product_id in range(101, 156)}  # two transactions
GUESTS, BIG_GUESTS = 120, 6
CATALOGUE = {1: 1, 21: 1, 22: 2}  # the cart that is copied


@dataclass
class Run:
    """What all shoppers of one run share."""

    url: str
    proxy: FaultProxy
    keyed: bool
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    contract: Contract = field(default_factory=Contract)
    token: str = ""  # of the link to the cart that is copied

    @property
    def shared_carts(self) -> list[str]:
        return [f"shared-{number}-{self.name}" for number in range(2)]

    @property
    def guests(self) -> dict[str, dict[tuple[str, int], int]]:
        """The lines of each guest cart before the run."""
        return {f"guest-{number}-{self.name}": BIG_GUEST if number < BIG_GUESTS else GUEST for number in range(GUESTS)}


class Shopper:
    """One client. No other client uses its own carts, so it knows the possible state of each of their lines.

    :ivar possible: the possible units of each line: in the cart, and saved; 0 means no line
    :ivar acknowledged: acknowledged units, by line of a shared cart
    :ivar in_doubt: units of adds whose outcome is unknown
    :ivar merged: the number of receipts that list each line of a guest cart
    """

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.random = random.Random(f"{SEED} {number} {run.keyed}")
        self.caller, self.rival = Caller(run.url), Caller(run.url)
        self.carts = [f"own-{number}-{cart}-{run.name}" for cart in range(2)]
        self.possible: dict[LineId, set[Units]] = {
            (cart, product_id): {(0, 0)} for cart in self.carts for product_id in PRODUCTS
        }
        self.acknowledged: Counter[LineId] = Counter()
        self.in_doubt: Counter[LineId] = Counter()
        self.merged: Counter[tuple[str, str, int]] = Counter()
        self.guests: set[str] = set()  # whose merge was acknowledged
        self.keys: Counter[str] = Counter()  # acknowledged requests with a key, by cart
        self.answers_by_kind: Counter[str] = Counter()
        self.slowest_seconds = 0.0

    def shop(self) -> None:
        changes = {
            self.add_to_shared: 25,
            self.copy_to_shared: 6,
            self.merge_to_shared: 7,
            self.add: 22,
            self.save_for_later: 10,
            self.move_to_cart: 8,
            self.set_quantity: 10,
            self.remove: 5,
            self.clear: 3,
            self.clear_if_unchanged: 4,
        }
        for _ in range(CHANGES_EACH):
            (change,) = self.random.choices(list(changes), list(changes.values()))
            change()
            if self.random.random() < 0.1:
                self.read(self.random.choice(self.carts))

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[str, Answer | None]:
        """Send a request once and check the answer. If the outcome is unknown, wait until it cannot change any more."""
        answer = self.caller.ask(method, path, body, **headers)
        if answer is None:
            self.answers_by_kind["connection lost"] += 1
            outcome = UNKNOWN
        else:
            self.run.contract.check(method, path, answer)
            self.answers_by_kind[f"{answer.status} {answer.problem}".strip()] += 1
            self.slowest_seconds = max(self.slowest_seconds, answer.seconds)
            if answer.problem == "outcome-unknown":
                outcome = UNKNOWN
            else:
                outcome = REFUSED if answer.status in (429, 503) else DONE
        if outcome is UNKNOWN and method != "GET":
            self.run.proxy.settle()
        return outcome, answer

    def _change(self, cart: str, path: str, body: object) -> tuple[str, Answer | None]:
        """Repeat a change with a key until it is answered.

        Send one without a key once: a repeat could apply it twice.
        """
        path = f"/cart/{cart}/{path}"
        if not self.run.keyed:
            return self.ask("POST", path, body)
        answer = self._insist(path, body, Idempotency_Key=f'"{self.random.getrandbits(64):x}"')
        if answer.status < 400:
            self.keys[cart] += 1
            self.answers_by_kind["replayed"] += "Idempotency-Replayed" in answer.headers
        return DONE, answer

    def _insist(self, path: str, body: object, **headers: str) -> Answer:
        for _ in range(ATTEMPTS):
            outcome, answer = self.ask("POST", path, body, **headers)
            if answer and outcome is DONE:
                return answer
            time.sleep(self.random.uniform(*RETRY_SECONDS))
        raise AssertionError(f"{path} was not answered in {ATTEMPTS} attempts")

    def add_to_shared(self) -> None:
        cart, product_id = self.random.choice(self.run.shared_carts), self.random.choice(PRODUCTS)
        quantity = self.random.randint(1, 5)
        body = CUP | {"product_id": product_id, "quantity": quantity}
        self.settle_shared(cart, {product_id: quantity}, 201, *self._change(cart, "items", body))

    def copy_to_shared(self) -> None:
        cart = self.random.choice(self.run.shared_carts)
        self.settle_shared(cart, CATALOGUE, 200, *self._change(cart, "copy", {"share_token": self.run.token}))

    def settle_shared(self, cart: str, units: dict[int, int], status: int, outcome: str, answer: Answer | None) -> None:
        if outcome is DONE:
            assert answer
            assert answer.status == status, answer
        counter = {DONE: self.acknowledged, UNKNOWN: self.in_doubt}.get(outcome, Counter())
        counter.update({(cart, product_id): quantity for product_id, quantity in units.items()})

    def merge_to_shared(self) -> None:
        """Repeat a merge until it is answered, with or without a key. A rival merges the same guest's cart."""
        guest = self.random.choice(list(self.run.guests))
        target, rival_target = self.random.sample(self.run.shared_carts, 2)
        body = {"source_user_id": guest}
        with ThreadPoolExecutor(1) as pool:
            rival = pool.submit(self.rival.ask, "POST", f"/cart/{rival_target}/merge", body)
            if self.run.keyed:
                _, answer = self._change(target, "merge", body)
            else:
                answer = self._insist(f"/cart/{target}/merge", body)
        assert answer
        assert answer.status == 200, answer
        self.guests.add(guest)
        self.note_merged(guest, answer)
        if (answer := rival.result()) and answer.status == 200:
            self.note_merged(guest, answer)

    def note_merged(self, guest: str, answer: Answer) -> None:
        for line in answer.body["lines"]:
            key = (line["place"], line["product_id"])
            assert line["source"]["quantity"] == self.run.guests[guest][key], answer
            assert line["result"], answer
            self.merged[guest, *key] += 1

    def add(self) -> None:
        line, quantity = self.own_line(), self.random.randint(1, 5)
        before = self.possible[line]
        outcome, answer = self._change(line[0], "items", CUP | {"product_id": line[1], "quantity": quantity})
        after = {(in_cart + quantity, saved) for in_cart, saved in before}
        self.settle_line(line, outcome, answer, 201, before, after)

    def save_for_later(self) -> None:
        self.move("items/{}/save-for-later", 0)

    def move_to_cart(self) -> None:
        self.move("saved/{}/move-to-cart", 1)

    def move(self, path: str, source: int) -> None:
        """Move a line: the units of both lists are then in the target, and none is lost or doubled."""
        line = self.own_line()
        before = self.possible[line]
        outcome, answer = self._change(line[0], path.format(line[1]), None)
        if answer and answer.status == 404:
            self.possible[line] = {units for units in before if not units[source]}
            assert self.possible[line], (line, before)
        else:
            after = {
                ((0, sum(units)) if source == 0 else (sum(units), 0)) if units[source] else units for units in before
            }
            self.settle_line(line, outcome, answer, 200, before, after, 1 - source)

    def set_quantity(self) -> None:
        line, quantity = self.own_line(), self.random.randint(1, 20)
        before = self.possible[line]
        outcome, answer = self.ask("PUT", f"/cart/{line[0]}/items/{line[1]}", {"quantity": quantity})
        if answer and answer.status == 404:
            self.possible[line] = {units for units in before if not units[0]}
            assert self.possible[line], (line, before)
        else:
            after = {(quantity if in_cart else 0, saved) for in_cart, saved in before}
            self.settle_line(line, outcome, answer, 200, before, after)

    def settle_line(
        self,
        line: LineId,
        outcome: str,
        answer: Answer | None,
        status: int,
        before: set[Units],
        after: set[Units],
        place: int = 0,
    ) -> None:
        """Narrow the possible units of a line by an answer that contains it, in the cart (0) or saved (1)."""
        if outcome is DONE:
            assert answer
            assert answer.status == status, (line, answer)
            self.possible[line] = {units for units in after if units[place] == answer.body["quantity"]}
            assert self.possible[line], (line, before, answer)
        elif outcome is UNKNOWN:
            self.possible[line] = before | after

    def remove(self) -> None:
        line = self.own_line()
        outcome, answer = self.ask("DELETE", f"/cart/{line[0]}/items/{line[1]}")
        self.settle_removal([line], outcome, answer)

    def clear(self) -> None:
        cart = self.random.choice(self.carts)
        outcome, answer = self.ask("DELETE", f"/cart/{cart}")
        self.settle_removal([(cart, product_id) for product_id in PRODUCTS], outcome, answer)

    def clear_if_unchanged(self) -> None:
        """Clear a cart with If-Match: no other client changes it in between, so the answer is never 412."""
        cart = self.random.choice(self.carts)
        for _ in range(ATTEMPTS):
            if etag := self.read(cart):
                outcome, answer = self.ask("DELETE", f"/cart/{cart}", If_Match=etag)
                self.settle_removal([(cart, product_id) for product_id in PRODUCTS], outcome, answer)
                return
        raise AssertionError(f"a cart could not be read in {ATTEMPTS} attempts")

    def settle_removal(self, lines: list[LineId], outcome: str, answer: Answer | None) -> None:
        if outcome is DONE:
            assert answer
            assert answer.status == 204, (lines, answer)
        for line in lines:
            if outcome is not REFUSED:
                removed = {(0, saved) for _, saved in self.possible[line]}
                self.possible[line] = removed | (self.possible[line] if outcome is UNKNOWN else set())

    def own_line(self) -> LineId:
        return self.random.choice(list(self.possible))

    def read(self, cart: str) -> str | None:
        """Read a cart and assert that its state is possible.

        :return: its ETag, or None if it could not be read
        """
        outcome, answer = self.ask("GET", f"/cart/{cart}")
        if answer is None or outcome is not DONE:
            return None
        self.assert_possible(cart, {("cart", line["product_id"]): line["quantity"] for line in answer.body["items"]})
        return answer.headers["ETag"]

    def assert_possible(self, cart: str, quantities: dict[tuple[str, int], int], saved_too: bool = False) -> None:
        assert {product_id for _, product_id in quantities} <= set(PRODUCTS)
        for product_id in PRODUCTS:
            in_cart, saved = (quantities.get((place, product_id), 0) for place in LISTS)
            before = self.possible[cart, product_id]
            still_possible = {units for units in before if units[0] == in_cart and (not saved_too or units[1] == saved)}
            assert still_possible, (cart, product_id, quantities, before)
            self.possible[cart, product_id] = still_possible


class Killer(threading.Thread):
    """A thread that kills a worker now and then, never the master, which starts another."""

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
def store(own_dynamodb_local_url: str) -> Store:
    return make_store("dynamodb-local", own_dynamodb_local_url, cart_max_quantity=1_000_000)


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


def fill(store: Store, user: str, lines: dict[tuple[str, int], int]) -> None:
    for (place, product_id), quantity in lines.items():
        item_id = {"S": f"{LISTS[place]}{product_id}"}
        store.put(user, product_id, item_id=item_id, quantity={"N": str(quantity)})


def prepare(store: Store, run: Run) -> None:
    """Fill the guests' carts and the cart that is copied."""
    for guest, lines in run.guests.items():
        fill(store, guest, lines)
    catalogue = f"catalogue-{run.name}"
    fill(store, catalogue, {("cart", product_id): quantity for product_id, quantity in CATALOGUE.items()})
    caller = Caller(run.url)
    shared = caller.ask("POST", f"/cart/{catalogue}/shares", {})
    caller.connection.close()
    assert shared
    run.token = shared.body["token"]


def shop_together(run: Run) -> list[Shopper]:
    """Run all shoppers under faults and kills; then stop both."""
    shoppers = [Shopper(run, number) for number in range(THREADS)]
    killer = Killer(run.url)
    started = time.monotonic()
    run.proxy.rate = RATE
    killer.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for future in [pool.submit(shopper.shop) for shopper in shoppers]:
                future.result()
    finally:
        killer.over.set()
        killer.join()
        run.proxy.rate = 0
        run.proxy.settle()
        for shopper in shoppers:
            shopper.caller.connection.close()
            shopper.rival.connection.close()
    answers_by_kind = sum((shopper.answers_by_kind for shopper in shoppers), Counter())
    print(f"seed {SEED}: {time.monotonic() - started:.0f} s, {killer.kills} kills, answers {dict(answers_by_kind)}")
    slowest_seconds = max(shopper.slowest_seconds for shopper in shoppers)
    print(f"slowest {slowest_seconds:.1f} s, faults {dict(run.proxy.counts)}")
    assert slowest_seconds < ENDS_WITHIN_SECONDS
    assert killer.kills > 0
    assert run.proxy.counts.keys() == {None, *Fault}, "not every fault has happened"
    assert {"503 outcome-unknown", "connection lost"} <= answers_by_kind.keys()
    return shoppers


def assert_own_carts_are_possible(store: Store, run: Run, shoppers: list[Shopper]) -> None:
    caller = Caller(run.url)
    for shopper in shoppers:
        for cart in shopper.carts:
            path = f"/cart/{cart}?include=saved"
            answer = caller.ask("GET", path) or caller.ask("GET", path)
            assert answer
            lists = {"cart": answer.body["items"], "saved": answer.body["saved"]}
            quantities = {(place, line["product_id"]): line["quantity"] for place in lists for line in lists[place]}
            assert quantities == stored(store, cart)
            shopper.assert_possible(cart, quantities, saved_too=True)
    caller.connection.close()


def run_of_shoppers(store: Store, log: Path, keyed: bool) -> tuple[Run, list[Shopper]]:
    with served_through_proxy(store, log) as (url, proxy):
        run = Run(url, proxy, keyed)
        prepare(store, run)
        shoppers = shop_together(run)
        assert_own_carts_are_possible(store, run, shoppers)
    assert "Traceback" not in log.read_text()
    return run, shoppers


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, "Future[tuple[Run, list[Shopper]]]"]:
    """Run the shoppers with keys and without, at the same time, since both mostly wait."""
    logs = tmp_path_factory.mktemp("logs")
    with ThreadPoolExecutor() as pool:
        return {keyed: pool.submit(run_of_shoppers, store, logs / f"{keyed}", keyed) for keyed in (True, False)}


@contextmanager
def seed_in_message() -> Iterator[None]:
    """Add the seed to the message of a failed assertion."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"FAULT_SEED={SEED}: {error}") from error


def merged_units(store: Store, run: Run, shoppers: list[Shopper]) -> Counter[tuple[str, int]]:
    """Return the units of the guest carts whose merge was acknowledged."""
    units: Counter[tuple[str, int]] = Counter()
    merged = set().union(*(shopper.guests for shopper in shoppers))
    assert len(merged & {guest for guest, lines in run.guests.items() if lines is BIG_GUEST}) > 0
    for guest, lines in run.guests.items():
        assert stored(store, guest) == ({} if guest in merged else lines), guest
        units.update(lines if guest in merged else {})
    return units


def added_units(counters: Iterator[Counter[LineId]]) -> Counter[tuple[str, int]]:
    units: Counter[tuple[str, int]] = Counter()
    for (_, product_id), quantity in sum(counters, Counter()).items():
        units["cart", product_id] += quantity
    return units


def shared_units(store: Store, run: Run) -> Counter[tuple[str, int]]:
    """Return the units of all shared carts together, since a guest's lines can go to any of them."""
    return sum((Counter(stored(store, cart)) for cart in run.shared_carts), Counter())


def test_with_keys_every_change_is_stored_exactly_once(store, runs):
    with seed_in_message():
        run, shoppers = runs[True].result()
        merged = merged_units(store, run, shoppers)
        assert shared_units(store, run) == merged + added_units(shopper.acknowledged for shopper in shoppers)
        assert set(sum((shopper.merged for shopper in shoppers), Counter()).values()) == {1}
        for cart, count in sum((shopper.keys for shopper in shoppers), Counter()).items():
            assert len(store.rows(f"IDEMPOTENCY#{cart}")) == count, cart
        assert sum(shopper.answers_by_kind["replayed"] for shopper in shoppers) > 0


def test_without_keys_no_change_is_stored_twice(store, runs):
    with seed_in_message():
        run, shoppers = runs[False].result()
        least = merged_units(store, run, shoppers) + added_units(shopper.acknowledged for shopper in shoppers)
        in_doubt = added_units(shopper.in_doubt for shopper in shoppers)
        stored_units = shared_units(store, run)
        assert least <= stored_units <= least + in_doubt, (stored_units - least - in_doubt, least - stored_units)
        for cart in run.shared_carts:  # a copy is stored as a whole
            lines = stored(store, cart)
            assert lines.get(("cart", 22)) == 2 * lines["cart", 21]
        assert set(sum((shopper.merged for shopper in shoppers), Counter()).values()) == {1}
        assert in_doubt.total() > 0


@pytest.mark.parametrize("transport", ["direct", "botocore"])
@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.CUT_SHORT, Fault.ERROR_AFTER, Fault.CHECKSUM])
def test_20_adds_with_lost_answers_store_20_units(store, user, fault, transport):
    """A boto3 client with its own retries stores 40 or more."""
    with fault_proxy(store.config.dynamodb_endpoint_url, SEED) as proxy:
        config = replace(store.config, dynamodb_endpoint_url=proxy.url, dynamodb_transport=transport)
        client = create_app(config).test_client()
        proxy.rate, proxy.kinds = 1, [fault]
        answers = [client.post(f"/cart/{user}/items", json=CUP | {"quantity": 1}) for _ in range(20)]
    assert {answer.get_json(force=True)["type"] for answer in answers} == {"urn:cart:problem:outcome-unknown"}
    assert stored(store, user) == {("cart", 42): 20}
    assert proxy.counts == {fault: 20}

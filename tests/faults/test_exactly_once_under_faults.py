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
ATTEMPTS = 40  # of a keyed add, until it is answered
RETRY_SECONDS = (0.02, 0.1)  # a client that waited for Retry-After's second would make the test wait too
PRODUCTS = range(1, 4)
ENDS_WITHIN_SECONDS = 5

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
LineId = tuple[str, int]  # of a cart
Units = tuple[int, int]  # in the cart, and saved
# Of a guest cart: products that the adds know too, and others
GUEST = {("cart", 2): 3, ("cart", 11): 1, ("cart", 12): 2, ("saved", 11): 4, ("saved", 2): 5}
BIG_GUEST = GUEST | {("cart", product_id): 1 for product_id in range(101, 156)}  # two transactions
GUESTS, BIG_GUESTS = 120, 6
CATALOGUE = {1: 1, 21: 1, 22: 2}  # of the cart that is copied


@dataclass
class Run:
    """What all shoppers of one run share."""

    url: str
    proxy: FaultProxy
    keyed: bool
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    contract: Contract = field(default_factory=Contract)
    token: str = ""  # of the link to the catalogue

    @property
    def shared_carts(self) -> list[str]:
        return [f"shared-{number}-{self.name}" for number in range(2)]

    @property
    def guests(self) -> dict[str, dict[tuple[str, int], int]]:
        """What each guest cart has before the run."""
        return {f"guest-{number}-{self.name}": BIG_GUEST if number < BIG_GUESTS else GUEST for number in range(GUESTS)}


class Shopper:
    """One client. It alone uses its own carts, so it knows what each line of theirs can be.

    :ivar possible: the units that a product of an own cart can have there, and saved; 0 is no line
    :ivar acknowledged: units that were added for sure, by line of a shared cart
    :ivar in_doubt: units of which nobody told whether they were added
    :ivar merged: how often a receipt has named each line of a guest cart
    """

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.random = random.Random(f"{SEED} {number} {run.keyed}")
        self.caller, self.rival = Caller(run.url), Caller(run.url)
        self.carts = [f"own-{number}-{cart}-{run.name}" for cart in range(2)]
        self.possible: dict[LineId, set[Units]] = {(cart, one): {(0, 0)} for cart in self.carts for one in PRODUCTS}
        self.acknowledged: Counter[LineId] = Counter()
        self.in_doubt: Counter[LineId] = Counter()
        self.merged: Counter[tuple[str, str, int]] = Counter()
        self.guests: set[str] = set()  # of which a merge was acknowledged
        self.keys: Counter[str] = Counter()  # that were acknowledged, by cart
        self.said: Counter[str] = Counter()
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

    def _change(self, cart: str, path: str, body: object) -> tuple[str, Answer | None]:
        """With a key: as often as it takes. Without: once, since nobody could tell two from one."""
        path = f"/cart/{cart}/{path}"
        if not self.run.keyed:
            return self.ask("POST", path, body)
        answer = self._insist(path, body, Idempotency_Key=f'"{self.random.getrandbits(64):x}"')
        if answer.status < 400:
            self.keys[cart] += 1
            self.said["replayed"] += "Idempotency-Replayed" in answer.headers
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
        """As often as it takes, with a key or without: others may be at the same guest's cart, and a rival often is."""
        guest = self.random.choice(list(self.run.guests))
        target, other = self.random.sample(self.run.shared_carts, 2)
        body = {"source_user_id": guest}
        with ThreadPoolExecutor(1) as pool:
            rival = pool.submit(self.rival.ask, "POST", f"/cart/{other}/merge", body)
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
            one = (line["place"], line["product_id"])
            assert line["source"]["quantity"] == self.run.guests[guest][one], answer
            assert line["result"], answer
            self.merged[guest, *one] += 1

    def add(self) -> None:
        line, quantity = self.own_line(), self.random.randint(1, 5)
        before = self.possible[line]
        outcome, answer = self._change(line[0], "items", CUP | {"product_id": line[1], "quantity": quantity})
        after = {(there + quantity, saved) for there, saved in before}
        self.settle_line(line, outcome, answer, 201, before, after)

    def save_for_later(self) -> None:
        self.move("items/{}/save-for-later", 0)

    def move_to_cart(self) -> None:
        self.move("saved/{}/move-to-cart", 1)

    def move(self, path: str, source: int) -> None:
        """No unit is lost or doubled: those of both lists go to the other."""
        line = self.own_line()
        before = self.possible[line]
        outcome, answer = self._change(line[0], path.format(line[1]), None)
        if answer and answer.status == 404:
            self.possible[line] = {one for one in before if not one[source]}
            assert self.possible[line], (line, before)
        else:
            after = {((0, sum(one)) if source == 0 else (sum(one), 0)) if one[source] else one for one in before}
            self.settle_line(line, outcome, answer, 200, before, after, 1 - source)

    def set_quantity(self) -> None:
        line, quantity = self.own_line(), self.random.randint(1, 20)
        before = self.possible[line]
        outcome, answer = self.ask("PUT", f"/cart/{line[0]}/items/{line[1]}", {"quantity": quantity})
        if answer and answer.status == 404:
            self.possible[line] = {one for one in before if not one[0]}
            assert self.possible[line], (line, before)
        else:
            after = {(quantity if there else 0, saved) for there, saved in before}
            self.settle_line(line, outcome, answer, 200, before, after)

    def settle_line(
        self,
        line: LineId,
        outcome: str,
        answer: Answer | None,
        status: int,
        before: set[Units],
        after: set[Units],
        shown: int = 0,
    ) -> None:
        """Draw from an answer that shows a line, in the cart or saved, what its product can have now."""
        if outcome is DONE:
            assert answer
            assert answer.status == status, (line, answer)
            self.possible[line] = {one for one in after if one[shown] == answer.body["quantity"]}
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
                gone = {(0, saved) for _, saved in self.possible[line]}
                self.possible[line] = gone | (self.possible[line] if outcome is UNKNOWN else set())

    def own_line(self) -> LineId:
        return self.random.choice(list(self.possible))

    def read(self, cart: str) -> str | None:
        """See that a cart is as it can be.

        :return: its ETag, None where it could not be read
        """
        outcome, answer = self.ask("GET", f"/cart/{cart}")
        if answer is None or outcome is not DONE:
            return None
        self.see(cart, {("cart", line["product_id"]): line["quantity"] for line in answer.body["items"]})
        return answer.headers["ETag"]

    def see(self, cart: str, quantities: dict[tuple[str, int], int], saved_too: bool = False) -> None:
        assert {product_id for _, product_id in quantities} <= set(PRODUCTS)
        for product_id in PRODUCTS:
            there, saved = (quantities.get((place, product_id), 0) for place in LISTS)
            before = self.possible[cart, product_id]
            can_be = {one for one in before if one[0] == there and (not saved_too or one[1] == saved)}
            assert can_be, (cart, product_id, quantities, before)
            self.possible[cart, product_id] = can_be


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
    """The guests' carts, and the one that is copied."""
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
            shopper.rival.connection.close()
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
            path = f"/cart/{cart}?include=saved"
            shown = caller.ask("GET", path) or caller.ask("GET", path)
            assert shown
            lists = {"cart": shown.body["items"], "saved": shown.body["saved"]}
            quantities = {(place, line["product_id"]): line["quantity"] for place in lists for line in lists[place]}
            assert quantities == stored(store, cart)
            shopper.see(cart, quantities, saved_too=True)
    caller.connection.close()


def run_of_shoppers(store: Store, log: Path, keyed: bool) -> tuple[Run, list[Shopper]]:
    with served_through_proxy(store, log) as (url, proxy):
        run = Run(url, proxy, keyed)
        prepare(store, run)
        shoppers = shop_together(run)
        assert_own_carts_are_as_they_can_be(store, run, shoppers)
    assert "Traceback" not in log.read_text()
    return run, shoppers


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, "Future[tuple[Run, list[Shopper]]]"]:
    """With keys, and without; both at once, since most of either is waiting."""
    logs = tmp_path_factory.mktemp("logs")
    with ThreadPoolExecutor() as pool:
        return {keyed: pool.submit(run_of_shoppers, store, logs / f"{keyed}", keyed) for keyed in (True, False)}


@contextmanager
def seed_told() -> Iterator[None]:
    """An assertion that fails says by which seed."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"FAULT_SEED={SEED}: {error}") from error


def merged_units(store: Store, run: Run, shoppers: list[Shopper]) -> Counter[tuple[str, int]]:
    """The units that came to the shared carts from those guests' of which a merge was acknowledged."""
    units: Counter[tuple[str, int]] = Counter()
    merged = set().union(*(one.guests for one in shoppers))
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
    """Of all shared carts together: a guest's lines can go to either."""
    return sum((Counter(stored(store, cart)) for cart in run.shared_carts), Counter())


def test_with_keys_every_change_is_there_exactly_once(store, runs):
    with seed_told():
        run, shoppers = runs[True].result()
        merged = merged_units(store, run, shoppers)
        assert shared_units(store, run) == merged + added_units(one.acknowledged for one in shoppers)
        assert set(sum((one.merged for one in shoppers), Counter()).values()) == {1}
        for cart, count in sum((one.keys for one in shoppers), Counter()).items():
            assert len(store.rows(f"IDEMPOTENCY#{cart}")) == count, cart
        assert sum(one.said["replayed"] for one in shoppers) > 0


def test_without_keys_the_service_does_nothing_twice(store, runs):
    with seed_told():
        run, shoppers = runs[False].result()
        least = merged_units(store, run, shoppers) + added_units(one.acknowledged for one in shoppers)
        in_doubt = added_units(one.in_doubt for one in shoppers)
        found = shared_units(store, run)
        assert least <= found <= least + in_doubt, (found - least - in_doubt, least - found)
        for cart in run.shared_carts:  # a copy is whole
            lines = stored(store, cart)
            assert lines.get(("cart", 22)) == 2 * lines["cart", 21]
        assert set(sum((one.merged for one in shoppers), Counter()).values()) == {1}
        assert in_doubt.total() > 0


@pytest.mark.parametrize("transport", ["direct", "botocore"])
@pytest.mark.parametrize("fault", [Fault.CUT_AFTER, Fault.CUT_SHORT, Fault.ERROR_AFTER, Fault.CHECKSUM])
def test_20_adds_whose_answers_are_lost_store_20(store, user, fault, transport):
    """Stock boto3 stores 40, or more."""
    with fault_proxy(store.config.dynamodb_endpoint_url, SEED) as proxy:
        config = replace(store.config, dynamodb_endpoint_url=proxy.url, dynamodb_transport=transport)
        client = create_app(config).test_client()
        proxy.rate, proxy.kinds = 1, [fault]
        told = [client.post(f"/cart/{user}/items", json=CUP | {"quantity": 1}) for _ in range(20)]
    assert {one.get_json(force=True)["type"] for one in told} == {"urn:cart:problem:outcome-unknown"}
    assert stored(store, user) == {("cart", 42): 20}
    assert proxy.counts == {fault: 20}

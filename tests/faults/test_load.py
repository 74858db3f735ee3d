"""64 connections send requests to 2 workers without a pause: no 5xx, no lost update, flat memory.

DynamoDB Local shares the machine's cores with them. It leaves one request in tens of thousands unanswered for longer
than the service waits. That is a 503, and the service's log must give this reason for each.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.project import IN_CI
from tests.support.running import Answer, Caller, resident_kilobytes, serving, workers
from tests.support.stores import CUP, make_store

CONNECTIONS = 64
LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS") or (60 if IN_CI else 10))
WARM_UP_SECONDS = min(10, LOAD_SECONDS / 2)
GROWTH = 1.10
LATE_SHARE = 0.001  # largest share of requests that the engine did not answer in time
LATE = {"GET 503", "POST 503", "PUT 503", "DELETE 503"}
SHARED_CARTS = 8
PRODUCTS = range(1, 6)
ENVIRON = {"WEB_CONCURRENCY": "2", "CART_MAX_QUANTITY": "1000000", "LOG_LEVEL": "WARNING"}

LineId = tuple[str, int]


def shared_cart(number: int) -> str:
    return f"shared-{number}"


class Customer:
    """One connection: it adds to shared carts, and makes all kinds of changes to a cart of its own.

    :ivar added: acknowledged units by line; in its own cart, since the line was last removed
    :ivar in_doubt: lines for which a change was answered by a 503
    """

    def __init__(self, url: str, number: int) -> None:
        self.random = random.Random(number)
        self.caller = Caller(url)
        self.cart = f"own-{number}"
        self.added: Counter[LineId] = Counter()
        self.in_doubt: set[LineId] = set()
        self.answers_by_kind: Counter[str] = Counter()
        self.etag = '""'

    def shop_until(self, end: float) -> None:
        acts = {
            self.add_to_shared: 35,
            self.read_shared: 15,
            self.add: 15,
            self.add_with_key: 10,
            self.read: 10,
            self.set_quantity: 8,
            self.remove: 5,
            self.clear: 2,
        }
        while time.monotonic() < end:
            (act,) = self.random.choices(list(acts), list(acts.values()))
            act()
        self.caller.connection.close()

    def ask(
        self, method: str, path: str, body: object = None, lines: Collection[LineId] = (), **headers: str
    ) -> Answer | None:
        """Send a request and count its answer.

        :param lines: the lines that it changes
        """
        answer = self.caller.ask(method, path, body, **headers)
        if answer and answer.status == 503:
            self.in_doubt.update(lines)
        self.answers_by_kind[f"{method} {answer.status}" if answer else "connection lost"] += 1
        return answer

    def line(self) -> LineId:
        return self.cart, self.random.choice(PRODUCTS)

    def add_to_shared(self) -> None:
        self._add((shared_cart(self.random.randrange(SHARED_CARTS)), self.random.choice(PRODUCTS)))

    def add(self) -> None:
        self._add(self.line())

    def add_with_key(self) -> None:
        self._add(self.line(), Idempotency_Key=f'"{self.random.getrandbits(64):x}"')

    def _add(self, line: LineId, **headers: str) -> None:
        quantity = self.random.randint(1, 5)
        body = CUP | {"product_id": line[1], "quantity": quantity}
        answer = self.ask("POST", f"/cart/{line[0]}/items", body, [line], **headers)
        if answer and answer.status == 201:
            self.added[line] += quantity

    def read_shared(self) -> None:
        self.ask("GET", f"/cart/{shared_cart(self.random.randrange(SHARED_CARTS))}")

    def read(self) -> None:
        if (answer := self.ask("GET", f"/cart/{self.cart}", If_None_Match=self.etag)) and answer.status == 200:
            self.etag = answer.headers["ETag"]

    def set_quantity(self) -> None:
        line, quantity = self.line(), self.random.randint(1, 20)
        answer = self.ask("PUT", f"/cart/{line[0]}/items/{line[1]}", {"quantity": quantity}, [line])
        if answer and answer.status == 200:
            self.added[line] = quantity

    def remove(self) -> None:
        line = self.line()
        self.ask("DELETE", f"/cart/{line[0]}/items/{line[1]}", lines=[line])
        del self.added[line]

    def clear(self) -> None:
        lines = [(self.cart, product_id) for product_id in PRODUCTS]
        self.ask("DELETE", f"/cart/{self.cart}", lines=lines)
        for line in lines:
            del self.added[line]


@pytest.mark.alone
def test_64_connections_on_2_workers_lose_no_update(own_dynamodb_local_url, tmp_path):
    store = make_store("dynamodb-local", own_dynamodb_local_url, cart_max_quantity=1_000_000)
    environ = ENVIRON | {"DYNAMODB_TABLE_NAME": store.config.dynamodb_table_name}
    with serving(own_dynamodb_local_url, tmp_path / "log", **environ) as url:
        customers = [Customer(url, number) for number in range(CONNECTIONS)]
        end = time.monotonic() + LOAD_SECONDS
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            shopping = [pool.submit(customer.shop_until, end) for customer in customers]
            threading.Event().wait(WARM_UP_SECONDS)
            after_warm_up = {pid: resident_kilobytes(pid) for pid in workers(url)}
            for future in shopping:
                future.result()
        final = {pid: resident_kilobytes(pid) for pid in workers(url)}
    answers_by_kind = sum((customer.answers_by_kind for customer in customers), Counter())
    print(f"{answers_by_kind.total() / LOAD_SECONDS:.0f} requests a second, {dict(answers_by_kind)}")
    print(f"kilobytes of the workers: {after_warm_up} after the warm-up, {final} at the end")

    documented = {"GET 200", "GET 304", "POST 201", "PUT 200", "PUT 404", "DELETE 204"}
    complaints = [line for line in (tmp_path / "log").read_text().splitlines() if '"level": "ERROR"' in line]
    assert answers_by_kind.keys() - LATE == documented, f"nothing is refused, and no connection lost: {complaints[:9]}"
    late = sum(answers_by_kind[kind] for kind in LATE)
    assert late <= LATE_SHARE * answers_by_kind.total()
    assert ["Read timeout on endpoint" in line for line in complaints] == [True] * late, complaints[:9]
    in_doubt = set[LineId]().union(*(customer.in_doubt for customer in customers))
    added = sum((customer.added for customer in customers), Counter())
    stored = {
        (row["user_id"]["S"], int(row["product_id"]["N"])): int(row["quantity"]["N"])
        for cart in [*map(shared_cart, range(SHARED_CARTS)), *(customer.cart for customer in customers)]
        for row in store.rows(cart)
    }
    assert {line: stored[line] for line in stored.keys() - in_doubt} == {
        line: added[line] for line in added.keys() - in_doubt
    }
    assert len(after_warm_up) == 2
    assert final.keys() == after_warm_up.keys(), "a worker has died"
    assert all(final[pid] < after_warm_up[pid] * GROWTH for pid in after_warm_up), (after_warm_up, final)

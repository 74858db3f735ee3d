"""A test that is marked ``alone`` gets the whole machine: the lock that the workers of pytest-xdist use."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.support import machine
from tests.support.machine import share_machine


@pytest.fixture(autouse=True)
def own_files(tmp_path, monkeypatch):
    """Lock other files than the workers, one of which runs this test."""
    for name in ("MACHINE", "QUEUE"):
        (tmp_path / name).touch()
        monkeypatch.setattr(machine, name, tmp_path / name)


def test_shared_blocks_run_at_the_same_time():
    with share_machine(alone=False), share_machine(alone=False):
        pass


def test_block_that_is_alone_waits_and_is_not_overtaken():
    order: list[str] = []
    first_may_end = Event()

    def first() -> None:
        with share_machine(alone=False):
            order.append("first begins")
            first_may_end.wait(5)
            order.append("first ends")

    def run(name: str, alone: bool) -> None:
        with share_machine(alone):
            order.append(f"{name} begins")
            time.sleep(0.1)
            order.append(f"{name} ends")

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(first)]
        time.sleep(0.1)
        futures.append(pool.submit(run, "alone", True))
        time.sleep(0.1)
        futures.append(pool.submit(run, "later", False))
        time.sleep(0.1)
        assert order == ["first begins"]
        first_may_end.set()
        for future in futures:
            future.result()
    assert order == ["first begins", "first ends", "alone begins", "alone ends", "later begins", "later ends"]

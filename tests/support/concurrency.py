"""Run many callers at the same time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(0) … work(count - 1)`` in as many threads, which start together."""
    barrier = threading.Barrier(count)

    def start_together(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start_together, range(count)))


def until_answered(ask):
    for _ in range(20):
        answer = ask()
        if answer.status_code not in (429, 503):
            return answer
        time.sleep(0.05)
    return answer

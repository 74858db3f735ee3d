"""Run canned.c, a DynamoDB endpoint with fixed answers; define the answers that every contender must give."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("canned.c")
BINARIES = SOURCE.parent.parent / ".bench"


class CompilerMissing(Exception):
    """No C compiler is installed. The message is one line that says what to install."""


@contextmanager
def running(delay_ms: float = 0) -> Iterator[str]:
    """Run the endpoint while the ``with`` block runs; the value is its URL.

    :param delay_ms: the delay of each answer
    :raise CompilerMissing: it is not compiled and there is no compiler
    """
    process = subprocess.Popen([_binary(), str(delay_ms)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def _binary() -> Path:
    """Return the path of the program. It is compiled if this version of the source was not compiled yet."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    binary = BINARIES / f"canned-{digest}"
    if not binary.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            raise CompilerMissing("the canned DynamoDB is compiled by cc, which is not here (Debian: gcc, libc6-dev)")
        BINARIES.mkdir(exist_ok=True)
        fresh = binary.with_suffix(".new")
        subprocess.run([compiler, "-O2", "-o", fresh, SOURCE], check=True)
        fresh.rename(binary)
    return binary


def line(number: int, quantity: int | None = None) -> dict[str, Any]:
    """Return the ``number``-th line of a cart as every contender must answer it."""
    cents = 199 + 137 * number
    units = quantity or 1 + number % 9
    return {
        "product_id": 1000 + number,
        "product_name": f"Crème brûlée dish no. {number}",
        "quantity": units,
        "price": cents / 100,
        "subtotal": cents * units / 100,
        "added_at": f"2026-11-23T09:30:00.{number * 7919 % 10007:06}Z",
    }


def cart(lines: int) -> dict[str, Any]:
    """Return the cart of the user ``bench-{lines}`` as every contender must answer it."""
    items = sorted((line(number) for number in range(1, lines + 1)), key=lambda one: one["added_at"])
    return {
        "user_id": f"bench-{lines}",
        "items": items,
        "total_items": sum(one["quantity"] for one in items),
        "total_price": round(sum(one["subtotal"] for one in items), 2),
    }

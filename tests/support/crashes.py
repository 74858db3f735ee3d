"""A process that crashes before or after one of its calls to DynamoDB."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from tests.support.faulty_client import hooked

BEFORE, AFTER = "before", "after"
MOMENTS = [BEFORE, AFTER]
PREFIXES = {"cart": "ITEM#", "saved": "SAVED#"}
Units = dict[tuple[str, int], int]  # of each live line, by list and product


class Crashed(BaseException):
    """The process has crashed: nothing in the service may catch this."""


@contextmanager
def crashing(table, moment: str, point: int) -> Iterator[None]:
    """Crash at the request of this number, before it is sent or after it was carried out."""
    numbers = count()

    def crash(**_: Any) -> None:
        if next(numbers) == point:
            raise Crashed

    with hooked(table, moment, crash):
        yield


def crash_points(
    table, user: str, act: Callable[[str], Any], prepare: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """Run ``act`` on one cart for each point at which it can crash.

    Yield the user of the cart, and the name of the point. :param prepare: fills the cart before
    """
    for moment in MOMENTS:
        for point in count():
            cart = f"{user}-{moment}-{point}"
            prepare(cart)
            with crashing(table, moment, point):
                try:
                    act(cart)
                except Crashed:
                    pass
                else:
                    break  # there is no request of this number
            yield cart, f"{moment} request {point}"
        assert point > 0


def put(store, user: str, lines: Units, ttl: str = "4102444800") -> None:
    """Put lines into the table, without the service."""
    for (place, product_id), quantity in lines.items():
        item_id, units = {"S": f"{PREFIXES[place]}{product_id}"}, {"N": str(quantity)}
        store.put(user, product_id, item_id=item_id, quantity=units, ttl={"N": ttl})


def units(store, user: str) -> Units:
    """Return the units of each live line, read from the table and not by the service."""
    units_by_line = {}
    for row in store.rows(user):
        if row["ttl"]["N"] != "1":
            place = "cart" if row["item_id"]["S"].startswith("ITEM#") else "saved"
            units_by_line[place, int(row["product_id"]["N"])] = int(row["quantity"]["N"])
    return units_by_line

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


class Died(BaseException):
    """The process is gone: nothing in the service may catch this."""


@contextmanager
def dying(table, moment: str, point: int) -> Iterator[None]:
    """Die at the request of this number, before it is sent or after it was carried out."""
    numbers = count()

    def die(**_: Any) -> None:
        if next(numbers) == point:
            raise Died

    with hooked(table, moment, die):
        yield


def deaths(table, user: str, act: Callable[[str], Any], prepare: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Prepare a cart and die in ``act`` on it, at each possible point; the values are the cart's user and the point."""
    for moment in MOMENTS:
        for point in count():
            one = f"{user}-{moment}-{point}"
            prepare(one)
            with dying(table, moment, point):
                try:
                    act(one)
                except Died:
                    pass
                else:
                    break  # it has no request of this number
            yield one, f"{moment} request {point}"
        assert point > 0


def put(store, user: str, lines: Units, ttl: str = "4102444800") -> None:
    for (place, product_id), quantity in lines.items():
        item_id, units = {"S": f"{PREFIXES[place]}{product_id}"}, {"N": str(quantity)}
        store.put(user, product_id, item_id=item_id, quantity=units, ttl={"N": ttl})


def units(store, user: str) -> Units:
    """Read behind the service's back."""
    found = {}
    for row in store.rows(user):
        if row["ttl"]["N"] != "1":
            place = "cart" if row["item_id"]["S"].startswith("ITEM#") else "saved"
            found[place, int(row["product_id"]["N"])] = int(row["quantity"]["N"])
    return found

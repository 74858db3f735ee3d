"""Count the capacity units and requests that a test uses."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cart.dynamodb.table import CartTable
from tests.support.faulty_client import hooked


@dataclass
class Bill:
    operations: list[str] = field(default_factory=list)
    units_of: Counter[str] = field(default_factory=Counter)

    @property
    def units(self) -> float:
        return self.units_of.total()


@contextmanager
def billed(table: CartTable) -> Iterator[Bill]:
    """Count the requests that the gateway sends, and the capacity that DynamoDB reports for them."""
    bill = Bill()

    def ask(params, **_):
        return params | {"ReturnConsumedCapacity": "INDEXES"}

    def count(operation, **_):
        bill.operations.append(operation)

    def charge(operation, answer, **_):
        consumed = answer.get("ConsumedCapacity", {})
        for table_capacity in consumed if isinstance(consumed, list) else [consumed]:
            bill.units_of[operation] += table_capacity.get("CapacityUnits", 0)

    with hooked(table, "change", ask), hooked(table, "before", count), hooked(table, "after", charge):
        yield bill

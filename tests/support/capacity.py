"""Capacity units and requests of what a test does."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cart.dynamodb.table import CartTable


@dataclass
class Bill:
    operations: list[str] = field(default_factory=list)
    units_of: Counter[str] = field(default_factory=Counter)

    @property
    def units(self) -> float:
        return self.units_of.total()


@contextmanager
def billed(table: CartTable) -> Iterator[Bill]:
    """Count what the gateway sends, and ask DynamoDB what it charges."""
    bill = Bill()
    events = table.client.meta.events

    def ask(params, **_):
        return params | {"ReturnConsumedCapacity": "INDEXES"}

    def count(model, **_):
        bill.operations.append(model.name)

    def charge(model, parsed, **_):
        consumed = parsed.get("ConsumedCapacity", {})
        for one in consumed if isinstance(consumed, list) else [consumed]:
            bill.units_of[model.name] += one.get("CapacityUnits", 0)

    hooks = [
        ("provide-client-params.dynamodb", ask),
        ("before-call.dynamodb", count),
        ("after-call.dynamodb", charge),
    ]
    for event, hook in hooks:
        events.register(event, hook)
    try:
        yield bill
    finally:
        for event, hook in hooks:
            events.unregister(event, hook)

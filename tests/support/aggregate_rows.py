"""Rows of aggregates, written to the table without the service."""

from cart.analytics.totals import board_key, entry_key
from cart.dynamodb.keys import PRODUCT, row_key
from cart.dynamodb.rows import number
from tests.support.stores import Store


def put(store: Store, key: dict, **numbers: int) -> None:
    row = key | {name: number(value) for name, value in numbers.items()}
    store.client.put_item(TableName=store.config.dynamodb_table_name, Item=row)


def put_product(store: Store, product_id: int, carts: int, units: int, cents: int) -> None:
    amounts = {"lines": carts, "units": units, "cents": cents}
    put(store, row_key(f"{PRODUCT}{product_id}", "0#0"), **amounts)
    put(store, board_key(product_id), **amounts)
    for sort, amount in (("carts", carts), ("units", units), ("value", cents)):
        put(store, entry_key(sort, amount, product_id))

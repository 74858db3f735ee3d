"""The analytics API: JSON, CSV, refused input and cost. The aggregates are written by the tests."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from cart import create_app
from cart.analytics.schemas import EXAMPLE_ABANDONMENT_CSV, EXAMPLE_DAYS_CSV, EXAMPLE_PRODUCTS_CSV
from cart.analytics.totals import SHARDS
from cart.dynamodb.keys import DAYS, TOTALS, row_key
from cart.dynamodb.rows import number
from tests.support.aggregate_rows import put, put_product
from tests.support.capacity import billed
from tests.support.stores import ENGINES, Store, make_store

CSV_TYPE = "text/csv; charset=utf-8; header=present"
MONDAY, TUESDAY, WEDNESDAY = "2026-11-23", "2026-11-24", "2026-11-25"
THREE_DAYS = f"from={MONDAY}&to={WEDNESDAY}"
# product: carts, units, cents. Each board has some of them, and two are equal in units
PRODUCTS = {7: (3, 9, 9_99), 8: (1, 2, 50), 42: (2, 9, 120_50), 1001: (5, 6, 30_00), 2**53 - 1: (1, 1, 9_999_999_99)}


def fill(store: Store) -> None:
    put(store, row_key(TOTALS, "0#0"), lines=8, units=10, cents=100_00)
    put(store, row_key(TOTALS, "0#1"), lines=3, units=15, cents=60_49)
    for shard in range(2):
        put(store, row_key(DAYS, f"{MONDAY}#{shard}"), lines_added=3, units_added=5, cents_added=30_00)
    put(store, row_key(DAYS, f"{WEDNESDAY}#3"), lines_removed=2, carts_cleared=1)
    put(store, row_key(DAYS, f"{WEDNESDAY}#2"), lines_added=1, lines_abandoned=2, cents_abandoned=40_01)
    for product_id, amounts in PRODUCTS.items():
        put_product(store, product_id, *amounts)


@pytest.fixture(scope="module", params=ENGINES)
def filled(request: pytest.FixtureRequest) -> Store:
    """A table for this module alone, since the aggregates are those of all carts."""
    store = make_store(request.param, request.getfixturevalue(request.param.replace("-", "_") + "_url"))
    fill(store)
    return store


@pytest.fixture(scope="module")
def shop(filled):
    return create_app(filled.config)


@pytest.fixture
def client(shop):
    return shop.test_client()


def day(text, *amounts) -> dict:
    names = ("lines_added", "lines_removed", "units_added", "value_added", "carts_cleared", "lines_abandoned")
    return {"day": text} | dict(zip((*names, "value_abandoned"), amounts, strict=True))


def test_summary_has_current_totals_and_every_day(client):
    answer = client.get(f"/analytics/summary?{THREE_DAYS}")
    assert answer.status_code == 200
    assert answer.json == {
        "from": MONDAY,
        "to": WEDNESDAY,
        "totals": {"lines": 11, "units": 25, "value": Decimal("160.49")},
        "days": [
            day(MONDAY, 6, 0, 10, Decimal("60.00"), 0, 0, Decimal("0.00")),
            day(TUESDAY, 0, 0, 0, Decimal("0.00"), 0, 0, Decimal("0.00")),
            day(WEDNESDAY, 1, 2, 0, Decimal("0.00"), 1, 2, Decimal("40.01")),
        ],
    }


@pytest.mark.parametrize("path", ["summary", "abandonment"])
def test_default_period_is_the_last_thirty_days(client, path):
    before = datetime.now(UTC).date()
    answer = client.get(f"/analytics/{path}").json
    if answer["to"] == before.isoformat():  # otherwise midnight has passed between the two
        assert [entry["day"] for entry in answer["days"]] == [
            str(before - timedelta(back)) for back in range(29, -1, -1)
        ]
    assert len(answer["days"]) == 30
    assert client.get(f"/analytics/{path}?to={MONDAY}").json["from"] == "2026-10-25"
    assert client.get(f"/analytics/{path}?to=0001-01-02").json["from"] == "0001-01-01"
    assert len(client.get(f"/analytics/{path}?from=2023-12-31&to=2024-12-30").json["days"]) == 366


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [7, 42, 1001, 8, 2**53 - 1]),
        ("?sort=units&limit=1", [7]),
        ("?sort=units&limit=100", [7, 42, 1001, 8, 2**53 - 1]),
        ("?sort=carts&limit=2", [1001, 7]),
        ("?sort=carts&limit=0.2e1", [1001, 7]),
        ("?sort=value", [2**53 - 1, 42, 1001, 7, 8]),
    ],
)
def test_top_products_are_sorted_and_limited(client, query, ids):
    answer = client.get(f"/analytics/products{query}")
    assert answer.status_code == 200
    assert answer.json["sort"] == (query.partition("sort=")[2].partition("&")[0] or "units")
    assert answer.json["products"] == [expected_product(product_id) for product_id in ids]


def expected_product(product_id: int) -> dict:
    carts, units, cents = PRODUCTS.get(product_id, (0, 0, 0))
    return {"product_id": product_id, "carts": carts, "units": units, "value": Decimal(cents) / 100}


@pytest.mark.parametrize("product_id", [42, 2**53 - 1, 43])
def test_one_product_has_zeros_if_no_cart_holds_it(client, product_id):
    answer = client.get(f"/analytics/products/{product_id}")
    assert (answer.status_code, answer.json) == (200, expected_product(product_id))


def test_abandonment_has_totals_and_rates(client):
    answer = client.get(f"/analytics/abandonment?{THREE_DAYS}").json
    assert answer["total"] == {
        "lines_added": 7,
        "value_added": Decimal("60.00"),
        "lines_abandoned": 2,
        "value_abandoned": Decimal("40.01"),
        "lines_rate": Decimal("0.2857"),
        "value_rate": Decimal("0.6668"),
    }
    assert [entry["day"] for entry in answer["days"]] == [MONDAY, TUESDAY, WEDNESDAY]
    rates = [(entry["lines_rate"], entry["value_rate"]) for entry in answer["days"]]
    assert rates == [(0, 0), (None, None), (2, None)]  # None: a rate of zero added lines does not exist


# --- CSV

TABLES = {
    f"summary?{THREE_DAYS}": ("days", EXAMPLE_DAYS_CSV),
    f"abandonment?{THREE_DAYS}": ("days", EXAMPLE_ABANDONMENT_CSV),
    "products?sort=value": ("products", EXAMPLE_PRODUCTS_CSV),
    "products/42": (None, EXAMPLE_PRODUCTS_CSV),
}


@pytest.mark.parametrize("path", TABLES)
def test_csv_has_the_same_values_as_json(client, path):
    rows, example = TABLES[path]
    as_json = client.get(f"/analytics/{path}")
    as_csv = client.get(f"/analytics/{path}", headers={"Accept": "text/csv"})
    assert (as_csv.status_code, as_csv.headers["Content-Type"]) == (200, CSV_TYPE)
    text = as_csv.get_data(as_text=True)
    assert text.count("\r\n") == text.count("\n") == len(text.splitlines())  # RFC 4180
    assert text.splitlines()[0] == example.splitlines()[0]
    csv_rows = [{name: None if cell == "" else cell for name, cell in row.items()} for row in read(text)]
    expected = as_json.json[rows] if rows else [as_json.json]
    assert csv_rows == [
        {name: None if value is None else str(value) for name, value in row.items()} for row in expected
    ]


def read(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(text, newline=""))


JSON, CSV, NEITHER = "application/json", "text/csv", "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),  # sent by a browser
        ("text/csv", CSV),
        ("text/*", CSV),
        ("Text/CSV; q=1", CSV),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv;q=0.5, application/json;q=0.9", JSON),
        ("text/csv;q=0.9, application/json;q=0.5", CSV),
        ("text/csv;q=0, */*", JSON),
        ("application/json;q=0, */*", CSV),
        ("text/html", NEITHER),
        ("text/csv;q=0", NEITHER),
        ("application/json; charset=utf-8", JSON),
        ("application/json;charset=utf-8;q=0.2, text/csv;q=0.5", CSV),
        ("*/*;q=0.1", JSON),
        ("text/csv; header=present", CSV),
        (CSV_TYPE, CSV),
        ("application/problem+json", JSON),  # a generated client may list this type alone
        ("text/csv, application/problem+json", CSV),
        ("application/problem+json;q=0", NEITHER),
    ],
)
def test_accept_header_chooses_json_or_csv(client, accept, answered):
    for path in ("summary", "abandonment", "products", "products/42"):
        answer = client.get(f"/analytics/{path}", headers={} if accept is None else {"Accept": accept})
        assert answer.mimetype == answered
        assert answer.headers["Vary"] == "Accept"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.status_code == (406 if answered == NEITHER else 200)
        if answered == NEITHER:
            assert answer.get_json(force=True)["type"] == "urn:cart:problem:not-acceptable"
            assert list(answer.get_json(force=True)["errors"]) == ["Accept"]


# --- refused

PERIODS = [
    ("from=2026-11-2", "from"),
    ("from=20261123", "from"),
    ("from=2026-W48-1", "from"),
    ("from=2026-02-29", "from"),
    ("from=0000-01-01", "from"),
    ("from=", "from"),
    ("from=٢٠٢٦-11-23", "from"),
    ("to=2026-11-23T00:00:00Z", "to"),
    ("to=yesterday", "to"),
    ("from=2026-11-24&to=2026-11-23", "from"),
    ("from=9999-12-31", "from"),
    ("from=2025-11-23&to=2026-11-24", "from"),  # 367 days
    ("from=0001-01-01&to=9999-12-31", "from"),
    ("since=2026-11-23", "since"),
]
WRONG = [(f"{path}?{query}", field) for path in ("summary", "abandonment") for query, field in PERIODS]
WRONG += [
    (f"products?limit={limit}", "limit")
    for limit in ("0", "101", "-1", "1.5", "1e3", "1e400", "1e-1", "01", ".5e1", "ten", "", "%2B5", "٣")
]
WRONG += [(f"products?sort={sort}", "sort") for sort in ("", "name", "Units", "units,carts")]
WRONG += [("products?page=2", "page"), ("products/0", "product_id"), ("products/x", "product_id")]


@pytest.mark.parametrize(("path", "field"), WRONG)
def test_refusal_names_the_field(client, path, field):
    answer = client.get(f"/analytics/{path}")
    assert answer.status_code == 422
    assert list(answer.get_json(force=True)["errors"]) == [field]


# --- the cost

ONE_YEAR = (date(2024, 1, 1), date(2024, 12, 31))


@pytest.mark.parametrize(
    ("path", "operations", "units"),
    [
        ("summary", ["Query", "Query"], 2),
        ("abandonment", ["Query"], 1),
        ("products/42", ["Query"], 1),
        ("products?sort=value&limit=100", ["Query"] * 4 + ["BatchGetItem"], 9),
    ],
)
def test_cost_of_each_request(client, shop, filled, path, operations, units):
    with billed(shop.extensions["cart_table"]) as bill:
        assert client.get(f"/analytics/{path}").status_code == 200
    assert bill.operations == operations
    if filled.engine == "dynamodb-local":
        assert bill.units == units


def test_cost_of_a_year(dynamodb_local_url):
    """Every shard of every day has every flow."""
    store = make_store("dynamodb-local", dynamodb_local_url)
    app = create_app(store.config)
    first, last = ONE_YEAR
    names = ("lines_added", "lines_removed", "units_added", "cents_added", "carts_cleared")
    flows = dict.fromkeys((*names, "lines_abandoned", "cents_abandoned"), 123_456)
    keys = [row_key(DAYS, f"{first + timedelta(back)}#{shard}") for back in range(366) for shard in range(SHARDS)]
    puts = [{"PutRequest": {"Item": key | {name: number(value) for name, value in flows.items()}}} for key in keys]
    table = store.config.dynamodb_table_name
    for start in range(0, len(puts), 25):
        store.client.batch_write_item(RequestItems={table: puts[start : start + 25]})
    with billed(app.extensions["cart_table"]) as bill:
        answer = app.test_client().get(f"/analytics/abandonment?from={first}&to={last}")
    assert answer.json["total"]["lines_abandoned"] == 366 * SHARDS * 123_456
    assert (bill.operations, bill.units) == (["Query"], 53)

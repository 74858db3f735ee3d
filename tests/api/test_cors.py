"""CORS: what a page of an allowed origin may send and read, and that a page of another origin may do nothing."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from cart import create_app
from cart.config import Config
from tests.support.stores import CUP

SHOP = "https://shop.example"
ORIGINS = f"{SHOP},http://localhost:3000,https://*.preview.example,http://[::1]:3000"


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return cors_client(auth_mode="gateway")


def cors_client(**settings: str) -> FlaskClient:
    settings = {
        "dynamodb_endpoint_url": "http://127.0.0.1:1",
        "log_level": "CRITICAL",
        "cors_origins": ORIGINS,
    } | settings
    return create_app(Config(**settings)).test_client()


def preflight(client: FlaskClient, path: str, origin: str = SHOP, method: str = "PUT", headers: str = "content-type"):
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return client.options(path, headers={"Origin": origin} | asked)


PATHS = [
    *("/cart/u", "/cart/u/items", "/cart/u/items/1", "/cart", "/health", "/analytics/summary", "/openapi.json"),
    *("/cart/a%20b/items", "/cart/u/items/SKU-1", "/carts", "/nowhere", "/products/x/price", "/cart/u/items/", "/"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_preflight_of_an_allowed_origin_is_204_at_any_path(client, path, method):
    asked = (
        "authorization, content-encoding, content-type, idempotency-key, if-match, if-none-match, traceparent, "
        "tracestate, x-request-id"
    )
    answer = preflight(client, path, method=method, headers=asked)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert sorted(answer.headers["Access-Control-Allow-Headers"].lower().split(", ")) == asked.split(", ")
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"].split(", ")


def test_preflight_allows_no_other_headers(client):
    answer = preflight(client, "/cart/u/items", headers="content-type, x-forwarded-for")
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type"


ALLOWED = [
    *(SHOP, "http://localhost:3000", "http://[::1]:3000", "HTTPS://SHOP.EXAMPLE"),
    *("https://pr-17.preview.example", "https://a.preview.example", "https://PR17.preview.example"),
]
OTHERS = [
    *("https://evil.example", "https://shop.example.evil.example", "https://shopxexample", "http://shop.example"),
    *("https://shop.example:444", "https://xshop.example", "null", "", "*", "http://localhost:3001"),
    *(
        "https://preview.example",
        "https://.preview.example",
        "https://a.b.preview.example",
        "https://a_b.preview.example",
    ),
    *("https://a.previewxexample", "https://a.preview.example.evil.example", "https://a.preview.example:8443"),
    *("http://a.preview.example", "https://evil.example/.preview.example", "https://evil.example#.preview.example"),
    *("https://a@b.preview.example", "https://a.preview.example\t"),
]


@pytest.mark.parametrize("origin", ALLOWED)
def test_page_of_an_allowed_origin_reads_answers(client, origin):
    for answer in (preflight(client, "/cart/u", origin), client.get("/health", headers={"Origin": origin})):
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", OTHERS)
@pytest.mark.parametrize("path", ["/cart/u/items", "/nowhere", "/health"])
def test_page_of_another_origin_gets_no_cors_headers(client, path, origin):
    for answer in (preflight(client, path, origin), client.get(path, headers={"Origin": origin})):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
        assert "Origin" in answer.headers["Vary"].split(", ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/cart/a%20b", 422),
        ("PUT", "/cart/u/items/SKU-1", 422),
        ("PATCH", "/health", 405),
        ("GET", "/cart/u", 401),
        ("GET", "/health/ready", 503),
        ("GET", "/docs/", 308),
        ("GET", "/docs/swagger-ui.css", 200),
        ("POST", "/shared/token/items", 415),
    ],
)
def test_every_answer_can_be_read_by_the_page(client, method, path, status):
    with client.open(path, method=method, headers={"Origin": SHOP}) as answer:
        assert answer.status_code == status
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [SHOP]
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert "Origin" in answer.headers["Vary"].split(", ")
    with client.open(path, method=method) as answer:
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
        assert "Origin" in answer.headers["Vary"].split(", ")
        # readable without being exposed, or of no use to a script
        readable = {"Content-Type", "Content-Length", "Cache-Control", "Last-Modified", "Date"}
        of_no_use = {"Vary", "X-Content-Type-Options", "Content-Disposition", "Accept-Ranges"}
        assert {name for name, _ in answer.headers} - readable - of_no_use <= exposed


def test_answer_to_a_defect_can_be_read_by_the_page(monkeypatch):
    client = cors_client()
    monkeypatch.setattr(client.application.extensions["cart_table"], "check", lambda: 1 / 0)
    answer = client.get("/health/ready", headers={"Origin": SHOP})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (500, SHOP)


def test_headers_of_a_change_are_exposed(moto_store, user):
    sent = {"Origin": SHOP, "Idempotency-Key": "k"}
    client = create_app(replace(moto_store.config, cors_origins=SHOP)).test_client()
    client.post(f"/cart/{user}/items", json=CUP, headers=sent)
    answer = client.post(f"/cart/{user}/items", json=CUP, headers=sent)
    assert answer.headers["Idempotency-Replayed"] == "true"
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Location", "Idempotency-Replayed", "X-Request-ID", "Retry-After"} <= exposed


def test_vary_names_all_headers_on_which_an_answer_depends(moto_store):
    answer = create_app(replace(moto_store.config, cors_origins=SHOP)).test_client().get("/analytics/summary")
    assert answer.headers.getlist("Vary") == ["Accept, Origin"]


@pytest.mark.parametrize("missing", ["Origin", "Access-Control-Request-Method"])
def test_options_request_that_is_no_preflight_lists_the_methods(client, missing):
    headers = {"Origin": SHOP, "Access-Control-Request-Method": "PUT"}
    del headers[missing]
    answer = client.options("/health", headers=headers)
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (200, {"GET", "HEAD", "OPTIONS"})


def test_cors_is_off_without_origins():
    client = cors_client(cors_origins=None)
    for answer in (client.get("/health", headers={"Origin": SHOP}), preflight(client, "/health")):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
        assert "Origin" not in answer.headers.get("Vary", "")

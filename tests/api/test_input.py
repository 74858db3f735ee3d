"""Invalid input: a 4xx problem that names the field, and nothing is written."""

import json
import re
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cart.dynamodb import keys
from cart.http.converters import UserId
from tests.support.project import ROOT
from tests.support.stores import CUP

ENGINES = ["moto", "dynamodb-local"]  # refused requests do not reach the engine, so two engines are enough
JSON = "application/json"


def body_with(field: str, literal: str) -> str:
    """Return CUP as JSON text with one field replaced by a literal, which may be invalid JSON."""
    return json.dumps(CUP | {field: "LITERAL"}).replace('"LITERAL"', literal)


def assert_refused(response, field: str, status: int | None = None) -> None:
    assert 400 <= response.status_code < 500
    assert status in (None, response.status_code)
    assert response.mimetype == "application/problem+json"
    problem = response.get_json(force=True)
    assert problem.keys() >= {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == response.status_code
    assert problem["instance"] == response.headers["X-Request-ID"]
    assert problem["type"].startswith("urn:cart:problem:")
    assert field in problem["errors"]
    assert all(isinstance(message, str) for message in problem["errors"][field])


@pytest.fixture
def nothing_written(user, store):
    yield
    assert store.rows(user) == []


@pytest.mark.parametrize("literal", ["2", "2.0", "2.00", "2e0", "0.2E1", "20e-1", "2." + "0" * 60])
def test_every_valid_form_of_a_quantity_is_accepted(client, user, literal):
    text = body_with("quantity", literal)
    response = client.post(f"/cart/{user}/items", data=text, content_type=JSON)
    assert (response.status_code, response.json["quantity"]) == (201, 2)


QUANTITIES = [
    "0",
    "-1",
    "1.5",
    "-1e0",
    "-1.0",
    "15e-1",
    "1e-5",
    '"2"',
    "true",
    "null",
    "1" + "0" * 30,
    "1e400",
    "1e3",
    "1000",
    "[1]",
    "NaN",
]


@pytest.mark.parametrize("literal", QUANTITIES)
def test_invalid_quantity_is_refused(client, user, nothing_written, literal):
    text = body_with("quantity", literal)
    assert_refused(client.post(f"/cart/{user}/items", data=text, content_type=JSON), "quantity", 422)
    put = client.put(f"/cart/{user}/items/42", data=f'{{"quantity": {literal}}}', content_type=JSON)
    assert_refused(put, "quantity", 422)


@pytest.mark.parametrize(
    "literal",
    [
        *["0", "-1", "19.999", "0.001", "10000000", "9999999.991", "NaN", "Infinity", "-Infinity", "1e400", "1e-400"],
        *["1e99999999999999999999", "19.99" + "0" * 50 + "1", '"12.5"', "true", "null", "{}", "1" + "0" * 400],
    ],
)
def test_invalid_price_is_refused(client, user, nothing_written, literal):
    text = body_with("price", literal)
    assert_refused(client.post(f"/cart/{user}/items", data=text, content_type=JSON), "price", 422)


@pytest.mark.parametrize("literal", ["0.01", "1", "1e2", "19.990", "9999999.99", "0.1e1"])
def test_every_valid_form_of_a_price_is_accepted(client, user, literal):
    text = body_with("price", literal)
    response = client.post(f"/cart/{user}/items", data=text, content_type=JSON)
    assert (response.status_code, float(response.json["price"])) == (201, float(literal))


@pytest.mark.parametrize(
    "literal", ["0", "-1", "9007199254740992", '"abc"', "1e16", "1e400", '"7"', "true", "null", "1.5"]
)
def test_invalid_product_id_in_the_body_is_refused(client, user, nothing_written, literal):
    text = body_with("product_id", literal)
    assert_refused(client.post(f"/cart/{user}/items", data=text, content_type=JSON), "product_id", 422)


@pytest.mark.parametrize(
    "segment",
    [
        "0",
        "-1",
        "+1",
        "01",
        "9007199254740992",
        "abc",
        "1e400",
        "1e-5",
        "1e",
        ".1e1",
        "1.5",
        "1.",
        "01.0",
        "%20",
        "1_0",
        "%D9%A1",
        "1" * 5000,
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_invalid_product_id_in_the_path_is_refused(client, user, nothing_written, segment, method):
    response = client.open(f"/cart/{user}/items/{segment}", method=method, json={"quantity": 1})
    assert_refused(response, "product_id", 422)


@pytest.mark.parametrize("segment", ["42.0", "42.000000000000", "4.2e1", "420E-1", "42e+0"])
def test_every_form_of_a_number_is_accepted_in_a_url(client, user, segment):
    client.post(f"/cart/{user}/items", json=CUP)
    answer = client.put(f"/cart/{user}/items/{segment}", json={"quantity": 3})
    assert (answer.status_code, answer.json["product_id"]) == (200, 42)
    assert client.get(f"/products/{segment}/carts", query_string={"limit": segment}).json["product_id"] == 42


@pytest.mark.parametrize(
    "literal",
    [
        '""',
        '" "',
        '"\\u2003"',
        '"\\u200b"',
        '" \\u2060\\ufeff"',
        json.dumps("x" * 201),
        '"a\\u0000b"',
        '"a\\nb"',
        '"\\ud800"',
        "1",
        "null",
        "[]",
    ],
)
def test_invalid_product_name_is_refused(client, user, nothing_written, literal):
    text = body_with("product_name", literal)
    assert_refused(client.post(f"/cart/{user}/items", data=text, content_type=JSON), "product_name", 422)


@pytest.mark.parametrize(
    "name", ["x" * 200, "Tasse à café ☕", "\u2800x\u200b", "\u0301", "𝒳" * 200, "<b>&\"'\\/", " padded "]
)
def test_valid_name_is_returned_unchanged(client, user, name):
    assert client.post(f"/cart/{user}/items", json=CUP | {"product_name": name}).status_code == 201
    assert client.get(f"/cart/{user}").json["items"][0]["product_name"] == name


INVISIBLE = [chr(code) for code in (0xAD, 0x34F, 0x115F, 0x1160, 0x180E, 0x2800, 0x3164, 0xFEFF, 0xFFA0, 0xE0001)]
INVISIBLE += [chr(code) for codes in ((0x200B, 0x2010), (0x202A, 0x202F), (0x2060, 0x2065)) for code in range(*codes)]


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_name_needs_a_visible_character(client, user, store, character):
    for name in (character, character * 3, f" {character}\u3000"):
        response = client.post(f"/cart/{user}/items", json=CUP | {"product_name": name})
        assert_refused(response, "product_name", 422)
    assert store.rows(user) == []
    assert client.post(f"/cart/{user}/items", json=CUP | {"product_name": f"{character}x"}).status_code == 201


@pytest.mark.parametrize("field", CUP)
def test_missing_field_is_refused(client, user, nothing_written, field):
    body = {name: value for name, value in CUP.items() if name != field}
    assert_refused(client.post(f"/cart/{user}/items", json=body), field, 422)


def test_unknown_field_is_refused(client, user, nothing_written):
    assert_refused(client.post(f"/cart/{user}/items", json=CUP | {"colour": "red"}), "colour", 422)
    assert_refused(client.put(f"/cart/{user}/items/42", json={"quantity": 1, "price": 1}), "price", 422)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not json", 400),
        (b"", 400),
        (b"\xff\xfe{}", 400),
        (b'{"product_name": "\xc3\x28"}', 400),
        (b"[" * 60_000, 400),
        (b'{"quantity": 1, "quantity": 2}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"quantity": 1', 400),
        (b"[" * 100_000 + b"]" * 100_000, 413),
        (b'{"product_name": "' + b"x" * 65 * 1024 + b'"}', 413),
        (b"[]", 422),
        (b'"text"', 422),
        (b"1", 422),
        (b"null", 422),
        (b"1" * 5_000, 422),
    ],
    ids=lambda value: str(value[:12]) if isinstance(value, bytes) else value,
)
@pytest.mark.parametrize(("method", "path"), [("POST", "items"), ("PUT", "items/42")])
def test_invalid_body_is_refused(client, user, nothing_written, method, path, body, status):
    response = client.open(f"/cart/{user}/{path}", method=method, data=body, content_type=JSON)
    assert_refused(response, "body", status)


def test_body_of_64_kib_is_accepted(client, user):
    text = json.dumps(CUP).ljust(64 * 1024)
    assert client.post(f"/cart/{user}/items", data=text, content_type=JSON).status_code == 201


def chunked(client, user, body: bytes):
    """Send a body without a Content-Length, as gunicorn passes it on."""
    stream = {"wsgi.input_terminated": True}
    path = f"/cart/{user}/items"
    return client.post(path, input_stream=BytesIO(body), content_type=JSON, environ_overrides=stream)


def test_chunked_body_is_not_truncated(client, user, store):
    """A whole item is followed by blanks up to 64 KiB, and more: the part after 64 KiB counts too."""
    whole = json.dumps(CUP).ljust(64 * 1024).encode()
    for body in (whole + b"garbage", whole + b" ", b"x" * 100_000):
        assert_refused(chunked(client, user, body), "body", 413)
    assert store.rows(user) == []
    assert chunked(client, user, whole).status_code == 201


def test_unreadable_body_is_400(client, user, nothing_written):
    class Broken(BytesIO):
        def readinto(self, buffer):
            raise RuntimeError("invalid chunk size")

        def read(self, size=-1):
            raise RuntimeError("invalid chunk size")

    stream = {"wsgi.input_terminated": True, "wsgi.input": Broken()}
    response = client.post(f"/cart/{user}/items", content_type=JSON, environ_overrides=stream)
    assert response.status_code == 400
    assert response.get_json(force=True)["type"] == "urn:cart:problem:bad-request"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_other_content_type_is_refused(client, user, nothing_written, content_type):
    response = client.post(f"/cart/{user}/items", data=json.dumps(CUP), content_type=content_type)
    assert_refused(response, "Content-Type", 415)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_every_form_of_the_json_content_type_is_accepted(client, user, content_type):
    response = client.post(f"/cart/{user}/items", data=json.dumps(CUP), content_type=content_type)
    assert response.status_code == 201


BAD_USER_IDS = [
    "x" * 129,
    "%23",
    "a%23b",
    "%20",
    "a%20b",
    "a%00b",
    "a%0Ab",
    "%7F",
    "a%2523b",
    "%C3%A9",
    "%FF",
    "a%25",
]
SLASHED = ["a%2Fb", "%2F", "..%2Fb", "a%2fb"]


@pytest.mark.parametrize("user_id", BAD_USER_IDS)
def test_invalid_user_id_is_refused(client, user_id):
    for response in (
        client.get(f"/cart/{user_id}"),
        client.delete(f"/cart/{user_id}"),
        client.post(f"/cart/{user_id}/items", json=CUP),
        client.put(f"/cart/{user_id}/items/42", json={"quantity": 1}),
        client.delete(f"/cart/{user_id}/items/42"),
    ):
        assert_refused(response, "user_id", 422)


def test_empty_user_id_is_refused(client):
    assert_refused(client.post("/cart//items", json=CUP), "user_id", 422)
    assert_refused(client.put("/cart//items/42", json={"quantity": 1}), "user_id", 422)
    assert_refused(client.delete("/cart//items/42"), "user_id", 422)


@pytest.mark.parametrize("user_id", SLASHED)
def test_user_id_with_an_encoded_slash_is_another_path(client, user_id):
    for response in (client.get(f"/cart/{user_id}"), client.post(f"/cart/{user_id}/items", json=CUP)):
        assert_refused(response, "user_id", 404)
        assert "%2F" in response.get_json(force=True)["detail"]


@pytest.mark.parametrize(
    "user_id", ["x" * 128, "a", "._:@|=+,-", "auth0|5f7c8ec7c33c6c004bbafe82", "%61", "a%40b.example"]
)
def test_valid_user_id_is_accepted(client, user_id):
    assert client.get(f"/cart/{user_id}").status_code == 200
    assert client.post(f"/cart/{user_id}/items", json=CUP).status_code == 201
    assert client.delete(f"/cart/{user_id}").status_code == 204


@pytest.mark.parametrize("path", ["/nothing", "/cart/u/items/1/2", "/cart/u/v/w", "/health/x", "/CART/u", "//cart/u"])
def test_unknown_route_is_404(client, path):
    response = client.get(path)
    assert (response.status_code, response.mimetype) == (404, "application/problem+json")
    assert response.get_json(force=True)["type"] == "urn:cart:problem:not-found"
    assert "errors" not in response.get_json(force=True)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/cart/u", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("PATCH", "/cart/u", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("GET", "/cart/u/items", {"POST", "OPTIONS"}),
        ("GET", "/cart/u/items/1", {"PUT", "DELETE", "OPTIONS"}),
        ("TRACE", "/cart/u/items/1", {"PUT", "DELETE", "OPTIONS"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_wrong_method_is_405_with_the_allowed_ones(client, method, path, allowed):
    response = client.open(path, method=method)
    assert (response.status_code, response.mimetype) == (405, "application/problem+json")
    assert set(response.headers["Allow"].split(", ")) == allowed


@given(body=st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*CUP, "x"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_body_causes_a_5xx(app, body):
    response = app.test_client().post("/cart/fuzz/items", data=body, content_type=JSON)
    assert response.status_code < 500


def test_unsatisfiable_range_is_a_client_error(client):
    response = client.get("/docs/swagger-ui.css", headers={"Range": "bytes=999999999-"})
    assert (response.status_code, response.mimetype) == (416, "application/problem+json")
    assert response.get_json(force=True)["status"] == 416


def test_no_user_id_equals_an_internal_partition():
    """By the source: every other value written to `user_id` begins with one of these prefixes."""
    prefixes = {value for value in vars(keys).values() if isinstance(value, str) and value.endswith("#")}
    assert {keys.IDEMPOTENCY, keys.SHARE, keys.PRICE_JOBS, keys.TOTALS, keys.COUNTED, keys.REBUILD} <= prefixes
    assert not [prefix for prefix in prefixes if UserId.form.fullmatch(prefix)]


def test_every_key_prefix_is_defined_in_one_module():
    modules = {path.name for path in (ROOT / "cart").rglob("*.py") if re.search(r'f?"[A-Z]{2,}#["{]', path.read_text())}
    assert modules == {"keys.py"}


@pytest.mark.parametrize(
    "path",
    [
        "GET /cart/u?include=saved&include=saved",
        "POST /cart/u/validate?fix=true&fix=false",
        "GET /products/42/carts?limit=1&limit=2",
        "GET /analytics/products?sort=units&sort=carts",
        "GET /analytics/summary?from=2026-11-01&from=2026-11-02",
    ],
)
def test_repeated_parameter_is_refused(client, path):
    method, _, path = path.partition(" ")
    answer = client.open(path, method=method)
    assert answer.status_code == 422
    assert list(answer.get_json(force=True)["errors"].values()) == [["Must be given once."]]

"""Compressed bodies of requests and answers, and the ETags of both."""

import gzip
import json
import zlib
from io import BytesIO

import pytest

from cart import create_app
from cart.commands.compression import MIN_BYTES
from cart.config import Config
from cart.http.json import MAX_BODY_BYTES
from tests.support.stores import CUP

ENGINES = ["moto", "dynamodb-local"]  # what is tested is decided before the engine
JSON = "application/json"
ITEM = json.dumps(CUP).encode()


def post(client, user, body: bytes, content_encoding: str, **environ):
    headers = {"Content-Encoding": content_encoding}
    path = f"/cart/{user}/items"
    return client.post(path, data=body, content_type=JSON, headers=headers, environ_overrides=environ)


# --- requests


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZip", " gzip ", "identity, gzip", "gzip,", "X-GZIP"])
def test_gzip_body_is_decoded(client, user, coding):
    answer = post(client, user, gzip.compress(ITEM), coding)
    assert (answer.status_code, answer.json["product_id"]) == (201, 42)


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity", ","])
def test_identity_is_no_coding(client, user, coding):
    assert post(client, user, ITEM, coding).status_code == 201


def test_every_operation_with_a_body_decodes_it(client, user):
    headers = {"Content-Encoding": "gzip"}
    for method, path, body, status in (
        ("POST", f"/cart/{user}/items", CUP, 201),
        ("PUT", f"/cart/{user}/items/42", {"quantity": 3}, 200),
        ("POST", f"/cart/{user}/saved", CUP, 201),
        ("POST", f"/cart/{user}/shares", {"access": "view"}, 201),
        ("POST", f"/cart/{user}/merge", {"source_user_id": f"{user}-2"}, 200),
        ("POST", f"/cart/{user}/price-changes/accept", {"product_ids": [42]}, 200),
        ("PUT", "/products/4242/price", {"price": 1.5}, 202),
    ):
        data = gzip.compress(json.dumps(body).encode())
        answer = client.open(path, method=method, data=data, content_type=JSON, headers=headers)
        assert answer.status_code == status, (path, answer.get_data(as_text=True))


def test_gzip_body_may_have_several_members(client, user):
    """RFC 1952, section 2.2: their contents are joined."""
    body = gzip.compress(ITEM[:20]) + gzip.compress(b"") + gzip.compress(ITEM[20:])
    assert post(client, user, body, "gzip").status_code == 201


def test_gzip_body_may_be_sent_in_chunks(client, user):
    answer = client.post(
        f"/cart/{user}/items",
        input_stream=BytesIO(gzip.compress(ITEM)),
        content_type=JSON,
        headers={"Content-Encoding": "gzip"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 201


def test_limit_is_the_size_after_decoding(client, user, store):
    fits = gzip.compress(ITEM.ljust(MAX_BODY_BYTES))
    assert post(client, user, fits, "gzip").status_code == 201
    rows = store.rows(user)
    members = gzip.compress(ITEM.ljust(MAX_BODY_BYTES - 10)) + gzip.compress(b" " * 11)
    for body in (gzip.compress(ITEM.ljust(MAX_BODY_BYTES + 1)), members, gzip.compress(b" " * 50_000_000)):
        answer = post(client, user, body, "gzip")
        assert answer.status_code == 413
        problem = answer.get_json(force=True)
        assert problem["type"] == "urn:cart:problem:body-too-large"
        assert problem["errors"] == {"body": ["At most 65536 bytes after its Content-Encoding is decoded."]}
    assert store.rows(user) == rows


def test_bomb_is_not_inflated_beyond_the_limit(client, user, monkeypatch):
    """60 KB that would become 60 MB."""
    read = []

    class File(gzip.GzipFile):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    monkeypatch.setattr(gzip, "GzipFile", File)
    assert post(client, user, gzip.compress(bytes(60_000_000)), "gzip").status_code == 413
    assert read == [MAX_BODY_BYTES + 1]


COMPRESSED = gzip.compress(ITEM)


@pytest.mark.parametrize(
    "body",
    [
        ITEM,
        COMPRESSED[:5],
        COMPRESSED[:-1],
        COMPRESSED[:-8] + b"\0" * 8,  # a wrong checksum
        COMPRESSED[:12] + b"\xff\xff\xff" + COMPRESSED[15:],
        COMPRESSED + b"garbage",
        zlib.compress(ITEM),
    ],
    ids=["plain", "begun", "one byte short", "checksum", "changed", "garbage after it", "zlib"],
)
def test_invalid_gzip_is_400(client, user, store, body):
    answer = post(client, user, body, "gzip")
    assert answer.status_code == 400
    problem = answer.get_json(force=True)
    assert problem["type"] == "urn:cart:problem:malformed-json"
    assert problem["errors"] == {"body": ["Not valid gzip, which Content-Encoding names."]}
    assert "UTF-8" not in problem["detail"]
    assert store.rows(user) == []


@pytest.mark.parametrize(
    "coding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "gzip;q=1", "*", "é"]
)
def test_other_coding_is_415_with_the_accepted_one(client, user, store, coding):
    """RFC 9110, section 15.5.16."""
    answer = post(client, user, gzip.compress(ITEM), coding.encode().decode("latin-1"))
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "gzip")
    problem = answer.get_json(force=True)
    assert problem["type"] == "urn:cart:problem:unsupported-content-encoding"
    assert list(problem["errors"]) == ["Content-Encoding"]
    assert store.rows(user) == []


def test_accepted_coding_is_documented(client):
    components = client.get("/openapi.json").json["components"]
    (response,) = (value for name, value in components["responses"].items() if "UnsupportedContentEncoding" in name)
    assert response["headers"]["Accept-Encoding"] == {"$ref": "#/components/headers/Accept-Encoding"}
    assert components["headers"]["Accept-Encoding"]["example"] == "gzip"


def test_wrong_content_type_is_not_blamed_on_the_coding(client, user):
    answer = client.post(f"/cart/{user}/items", data=COMPRESSED, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert answer.get_json(force=True)["type"] == "urn:cart:problem:unsupported-media-type"
    assert "Accept-Encoding" not in answer.headers


def test_body_that_api_gateway_has_decoded_is_read(client, user):
    assert post(client, user, ITEM, "gzip", **{"lambda.event": {}}).status_code == 201
    assert post(client, user, COMPRESSED, "gzip", **{"lambda.event": {}}).status_code == 201
    assert post(client, user, ITEM, "br", **{"lambda.event": {}}).status_code == 415


# --- answers


@pytest.fixture
def full_cart(client, user):
    """The path of a cart whose body is larger than ``MIN_BYTES``."""
    for product_id in range(1, 16):
        assert client.post(f"/cart/{user}/items", json=CUP | {"product_id": product_id}).status_code == 201
    return f"/cart/{user}"


def gzip_headers(**headers: str) -> dict[str, str]:
    return {"Accept-Encoding": "gzip"} | {name.replace("_", "-"): value for name, value in headers.items()}


def test_answer_is_compressed_where_the_client_accepts_it(client, full_cart):
    plain = client.get(full_cart)
    answer = client.get(full_cart, headers=gzip_headers())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert int(answer.headers["Content-Length"]) == len(answer.data) < len(plain.data) / 2
    assert gzip.decompress(answer.data) == plain.data
    assert answer.headers["Content-Type"] == plain.headers["Content-Type"]
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("br;q=1, gzip;q=0.5", True),
        ("identity, gzip", True),
        ("gzip, identity;q=0.5, *;q=0", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("gzip;q=0.5, identity", False),
        ("identity", False),
        ("br, deflate", False),
        ("*;q=0", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_accept_encoding_decides(client, accept_encoding, compressed):
    answer = client.get("/openapi.json", headers={"Accept-Encoding": accept_encoding})
    assert (answer.headers.get("Content-Encoding") == "gzip") == compressed


def test_only_answers_of_one_kib_and_more_are_compressed():
    app = create_app(Config(log_level="CRITICAL"))
    app.add_url_rule("/text/<int:size>", view_func=lambda size: ("x" * size, {"Content-Type": "text/plain"}))
    sizes = (MIN_BYTES - 1, MIN_BYTES)
    answers = [app.test_client().get(f"/text/{size}", headers=gzip_headers()) for size in sizes]
    assert [answer.headers.get("Content-Encoding") for answer in answers] == [None, "gzip"]


def test_head_has_the_headers_of_get(client, full_cart):
    get, head = (client.open(full_cart, method=method, headers=gzip_headers()) for method in ("GET", "HEAD"))
    assert head.data == b""
    for name in ("Content-Encoding", "ETag", "Vary", "Content-Type"):
        assert head.headers[name] == get.headers[name]
    assert "Content-Length" not in head.headers  # RFC 9110, section 8.6: else it must be that of GET


def test_compressed_answer_has_another_etag_that_serves_as_the_plain_one(client, full_cart):
    plain = client.get(full_cart).headers["ETag"]
    compressed = client.get(full_cart, headers=gzip_headers()).headers["ETag"]
    assert compressed == f'{plain[:-1]}-gzip"'
    # If-None-Match
    for sent in (compressed, f"W/{compressed}", f'"x", {compressed}'):
        same = client.get(full_cart, headers=gzip_headers(If_None_Match=sent))
        assert (same.status_code, same.data) == (304, b"")
        assert "Content-Encoding" not in same.headers
        assert same.headers["ETag"] == compressed
    same = client.get(full_cart, headers=gzip_headers(If_None_Match=plain))
    assert (same.status_code, same.headers["ETag"]) == (304, plain)
    # a cache that holds only the compressed body gets a plain one for a client that cannot read it
    other = client.get(full_cart, headers={"If-None-Match": compressed})
    assert (other.status_code, other.headers["ETag"]) == (200, plain)
    # If-Match
    refused = client.delete(full_cart, headers=gzip_headers(If_Match='"x-gzip"'))
    assert refused.status_code == 412
    assert client.delete(full_cart, headers={"If-Match": compressed}).status_code == 204


def test_compressed_problem_names_an_etag_that_works(client, full_cart):
    """A 412 holds the whole cart, so it is compressed too."""
    refused = client.delete(full_cart, headers=gzip_headers(If_Match='"x"'))
    assert (refused.status_code, refused.headers["Content-Encoding"]) == (412, "gzip")
    assert json.loads(gzip.decompress(refused.data))["current"]["total_items"] == 30
    etag = client.get(full_cart, headers=gzip_headers()).headers["ETag"]
    assert client.delete(full_cart, headers=gzip_headers(If_Match=etag)).status_code == 204


def test_line_etag_with_the_ending_works_in_if_match(client, full_cart):
    line = client.put(f"{full_cart}/items/1", json={"quantity": 3})
    compressed = line.headers["ETag"][:-1] + '-gzip"'
    answer = client.put(f"{full_cart}/items/1", json={"quantity": 4}, headers={"If-Match": compressed})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/analytics/assets/uplot.js"])
def test_files_are_compressed_and_revalidated(client, path):
    answer = client.get(path, headers=gzip_headers())
    with client.get(path) as plain:
        assert gzip.decompress(answer.data) == plain.data
    assert plain.headers.getlist("Vary") == answer.headers.getlist("Vary") == ["Accept-Encoding"]
    etag = answer.headers["ETag"]
    assert etag == plain.headers["ETag"][:-1] + '-gzip"'
    with client.get(path, headers=gzip_headers(If_None_Match=etag)) as same:
        assert (same.status_code, same.data) == (304, b"")
    assert (same.headers["ETag"], same.headers["Vary"]) == (etag, "Accept-Encoding")
    with client.head(path, headers=gzip_headers()) as head:
        assert (head.headers["ETag"], head.headers["Content-Encoding"], head.data) == (etag, "gzip", b"")


def test_range_of_a_file_is_not_compressed(client):
    with client.get("/docs/swagger-ui.css", headers=gzip_headers(Range="bytes=0-4999")) as part:
        assert (part.status_code, len(part.data)) == (206, 5000)
        assert "Content-Encoding" not in part.headers
    # with the ETag of the compressed body, a part of the plain one would be wrong (RFC 9110, section 13.1.5)
    etag = client.get("/docs/swagger-ui.css", headers=gzip_headers()).headers["ETag"]
    whole = client.get("/docs/swagger-ui.css", headers=gzip_headers(Range="bytes=0-4999", If_Range=etag))
    assert (whole.status_code, whole.headers["Content-Encoding"]) == (200, "gzip")


def test_images_are_not_compressed():
    app = create_app(Config(log_level="CRITICAL"))
    app.add_url_rule("/image", view_func=lambda: ("x" * 5000, {"Content-Type": "image/png"}))
    assert "Content-Encoding" not in app.test_client().get("/image", headers=gzip_headers()).headers


def test_lambda_does_not_compress(monkeypatch):
    """API Gateway does it. The module is not even imported."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "cart-dev")
    answer = create_app(Config(log_level="CRITICAL")).test_client().get("/openapi.json", headers=gzip_headers())
    assert "Content-Encoding" not in answer.headers
    assert json.loads(answer.data)["openapi"]
    assert answer.headers["Vary"] == "Accept-Encoding"

"""Paths that end with a slash, paths without a route, and requests without a host."""

import json
from urllib.parse import unquote, urljoin

import pytest
from werkzeug.test import create_environ, run_wsgi_app

from cart import create_app
from cart.config import Config


@pytest.fixture(scope="module")
def app():
    return create_app(Config(auth_mode="gateway", dynamodb_endpoint_url="http://127.0.0.1:1", log_level="CRITICAL"))


@pytest.fixture
def client(app):
    return app.test_client()


def send(client, path: str, method: str = "GET", **environ: str):
    """Send a request with this path as it is: the test client would read ``//host`` as a host."""
    encoded, _, query = path.partition("?")
    sent = {"PATH_INFO": unquote(encoded, "latin-1"), "QUERY_STRING": query, "RAW_URI": path} | environ
    return client.open("/", method=method, environ_overrides=sent)


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PATHS_OF_ROUTES = [
    *("/docs/", "/analytics/", "/openapi.json/", "/health/", "/health/ready/", "/cart/", "/cart/u/", "/cart/u/items/"),
    *("/cart/u/items/42/", "/cart/auth0%7C1@b.example/saved/", "/shared/token/", "/analytics/summary/"),
    *("/docs/swagger-ui.css/", "/analytics/assets/page.js/", "/cart/u/?include=saved&x=%2F%3Fy"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS_OF_ROUTES)
@pytest.mark.parametrize("prefix", ["", "/dev"])
def test_trailing_slash_redirects_to_the_path_without_it(client, path, method, prefix):
    answer = send(client, path, method, SCRIPT_NAME=prefix)
    assert answer.status_code == 308
    assert bool(answer.data) == (method != "HEAD")
    url = f"https://shop.example{prefix}{path}"
    encoded, _, query = url.partition("?")
    location = urljoin(url, answer.headers["Location"])
    assert unquote(location.partition("?")[0]) == unquote(encoded).removesuffix("/")
    assert location.partition("?")[2] == query


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path", ["/nothing/", "/shared/", "/cart/u/x/", "/cart/u/items/1/2/", "/analytics/assets/", "/cart/u/items//"]
)
def test_trailing_slash_without_a_route_is_404(client, path, method):
    assert send(client, path, method).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("//evil.example/", "//evil.example//", "//evil.example/cart/", "/%2F%2Fevil.example/", "/\\evil.example/"),
        *("/shared//evil.example/", "/shared/%2F%2Fevil.example%2F", "/docs//evil.example/", "/docs/%2Fevil.example/"),
        *(
            "/shared/%5C%5Cevil.example/",
            "/shared/https:evil.example/",
            "/shared/%0D%0ALocation:%20x/",
            "/shared/%2E%2E/",
        ),
        *("/docs/%2E%2E/%2E%2E/evil.example/", "/cart/evil.example:80/", "/cart/u/?//evil.example/"),
    ],
)
def test_redirect_never_leads_to_another_host(client, path):
    answer = send(client, path)
    location = answer.headers.get("Location")
    assert (answer.status_code == 308) == (location is not None)
    if location is not None:
        assert location.startswith("../")
        assert "\\" not in location
        assert urljoin("https://shop.example/dev" + path, location).startswith("https://shop.example/")


def test_root_is_not_changed(client):
    assert (client.get("/").status_code, client.get("/").headers["Location"]) == (302, "docs")


def test_redirect_needs_no_token_and_its_target_does(client):
    redirect = client.get("/cart/alice/")
    assert redirect.status_code == 308
    assert client.get("/cart/alice").status_code == 401


@pytest.mark.parametrize("path", ["/cart/u/items/1/2", "/cart/u/v", "/cart/a%252Fb/c/d", "/cart/u/x?y=%2F"])
def test_path_without_a_route_blames_no_field(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    problem = answer.get_json(force=True)
    assert problem["type"] == "urn:cart:problem:not-found"
    assert "errors" not in problem
    assert "%2F" not in problem["detail"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/cart/a%2Fb", ["user_id"]),
        ("/dev/cart/a%2fb/items?x=1", ["user_id"]),
        ("/cart/u/items/a%2Fb", []),
        ("/products/a%2Fb/price", []),
        ("/x%2Fy", []),
    ],
)
def test_encoded_slash_is_named(client, path, fields):
    prefix = "/dev" if path.startswith("/dev") else ""
    answer = send(client, path, PATH_INFO=unquote(path.partition("?")[0].removeprefix(prefix)), SCRIPT_NAME=prefix)
    assert answer.status_code == 404
    problem = answer.get_json(force=True)
    assert "encoded slash (%2F)" in problem["detail"]
    assert list(problem.get("errors", {})) == fields


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/health", "/cart/u", "/nowhere", "/docs/", "/cart/a%20b"])
def test_request_without_a_host_is_400(app, path, method):
    environ = create_environ(path, method=method)
    del environ["HTTP_HOST"]
    for host in ({}, {"HTTP_HOST": ""}):
        body, status, _ = run_wsgi_app(app, environ | host, buffered=True)
        assert status == "400 BAD REQUEST"
        if method != "HEAD":
            problem = json.loads(b"".join(body))
            assert problem["type"] == "urn:cart:problem:bad-request"
            assert (problem["detail"], list(problem["errors"])) == ("The request has no Host.", ["Host"])


def test_host_is_optional_in_http_1_0(app):
    environ = create_environ("/health") | {"SERVER_PROTOCOL": "HTTP/1.0"}
    del environ["HTTP_HOST"]
    assert run_wsgi_app(app, environ)[1] == "200 OK"

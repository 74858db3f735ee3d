"""The OpenAPI document is complete, stored in tests/openapi.json, and agrees with the service."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cart import create_app, errors
from cart.commands import engines
from cart.config import Config
from tests.support.openapi import is_problem, operations
from tests.support.project import ROOT
from tests.support.running import Caller, serving
from tests.support.stores import CUP

SNAPSHOT = ROOT / "tests" / "openapi.json"
HOOKS = ROOT / "tests" / "support" / "schemathesis_hooks.py"


# The headers of an answer that the document declares for each operation which can send them
SENT_HEADERS = {"ETag", "Location", "Idempotency-Replayed", "Retry-After", "X-Request-ID", "WWW-Authenticate", "Vary"}


@pytest.fixture(scope="module")
def document():
    return json.loads(create_app(Config()).test_client().get("/openapi.json").data)


def responses(document, operation):
    """Return the responses by status, with references resolved."""
    for status, response in operation["responses"].items():
        name = response.get("$ref", "").removeprefix("#/components/responses/")
        yield status, document["components"]["responses"][name] if name else response


def parameters(document, path, operation):
    """Return the places and names of the parameters of an operation and of its path."""
    for parameter in [*operation["parameters"], *document["paths"][path].get("parameters", [])]:
        name = parameter.get("$ref", "").removeprefix("#/components/parameters/")
        resolved = document["components"]["parameters"][name] if name else parameter
        yield resolved["in"], resolved["name"]


def declarations(app):
    """Return for each route what its view declares: method and path, parameters, and the headers of each status."""
    for rule in app.url_map.iter_rules():
        documentation = vars(app.view_functions[rule.endpoint]).get("_apidoc")
        if documentation is None:
            continue
        (method,) = rule.methods - {"HEAD", "OPTIONS"}
        declared = set()
        for parameter in documentation.get("arguments", {}).get("parameters", []):
            if isinstance(parameter, str):
                declared.add(("header", parameter))
            elif parameter["in"] == "query":
                fields = parameter["schema"]._declared_fields
                declared |= {("query", field.data_key or name) for name, field in fields.items()}
        headers = {str(status): set() for status in documentation["manual_doc"]["responses"]}
        for status, answers in documentation["response"]["responses"].items():
            headers[str(status)] = {name for answer in answers for name in answer.get("headers", {})}
        yield method.lower(), re.sub("<(?:[a-z_]+:)?([a-z_]+)>", r"{\1}", rule.rule), declared, headers


def test_stored_document_is_current(document):
    """The stored one was written without a request, so its server is not an address."""
    assert document == json.loads(SNAPSHOT.read_text()) | {"servers": [{"url": "http://localhost"}]}, (
        "flask --app wsgi openapi write tests/openapi.json"
    )


def test_whatever_a_view_declares_stands_under_its_operation(document):
    """Parameters of a path would be overwritten by the next route of the path, so it has only those in the path."""
    checked = 0
    for method, path, declared, headers in declarations(create_app(Config())):
        operation = document["paths"][path][method]
        served = {(place, name) for place, name in parameters(document, path, operation) if place != "path"}
        assert served == declared | {("header", "X-Request-ID")}, (method, path)
        answers = dict(responses(document, operation))
        assert answers.keys() == headers.keys(), (method, path)
        for status, names in headers.items():
            assert names | {"X-Request-ID"} <= answers[status]["headers"].keys(), (method, path, status)
        checked += 1
    assert checked == len(list(operations(document)))
    in_path = {parameter["in"] for item in document["paths"].values() for parameter in item.get("parameters", [])}
    assert in_path == {"path"}


def test_query_parameters_of_a_cart_and_of_a_page_are_documented(document):
    queries = {
        operation["operationId"]: [name for place, name in parameters(document, path, operation) if place == "query"]
        for path, item in document["paths"].items()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    assert {name: names for name, names in queries.items() if names} == {
        "getCart": ["include"],
        "validateCart": ["fix"],
        "listCartsWithProduct": ["limit", "cursor"],
        "getSummary": ["from", "to"],
        "getTopProducts": ["sort", "limit"],
        "getAbandonment": ["from", "to"],
    }


@pytest.mark.parametrize("store", ["moto"], indirect=True)
def test_headers_of_answers_are_those_declared(client, user, document):
    """A request for each status with headers: an answer has no header that its operation does not declare."""
    key, other_key = {"Idempotency-Key": '"added"'}, {"Idempotency-Key": '"moved"'}
    stale = {"If-Match": '"0"'}
    line, guest_link = f"/cart/{user}/items/42", f"/cart/{user}/shares"
    token = client.post(guest_link, json={"access": "edit"}).json["token"]
    tour = [
        ("POST", "/cart", None, {}, "201", {"Location"}),
        ("POST", f"/cart/{user}/items", CUP, key, "201", {"Location", "ETag"}),
        ("POST", f"/cart/{user}/items", CUP, key, "201", {"Location", "ETag", "Idempotency-Replayed"}),
        ("GET", f"/cart/{user}", None, {}, "200", {"ETag"}),
        ("GET", f"/cart/{user}", None, {"If-None-Match": "*"}, "304", {"ETag"}),
        ("PUT", line, {"quantity": 3}, {}, "200", {"ETag"}),
        ("PUT", line, {"quantity": 3}, stale, "412", {"ETag"}),
        ("DELETE", line, None, stale, "412", {"ETag"}),
        ("DELETE", f"/cart/{user}", None, stale, "412", {"ETag"}),
        ("POST", f"/cart/{user}/price-changes/accept", None, stale, "412", {"ETag"}),
        ("POST", f"/cart/{user}/price-changes/accept", None, {}, "200", {"ETag"}),
        ("PUT", f"/shared/{token}/items/42", {"quantity": 3}, stale, "412", {"ETag"}),
        ("POST", f"/shared/{token}/items", CUP, {}, "201", {"Location", "ETag"}),
        ("POST", f"{line}/save-for-later", None, other_key, "200", {"Location", "ETag"}),
        ("POST", f"{line}/save-for-later", None, other_key, "200", {"Location", "ETag", "Idempotency-Replayed"}),
        ("DELETE", line, None, stale, "412", set()),
        ("POST", f"/cart/{user}/saved/42/move-to-cart", None, {}, "200", {"Location", "ETag"}),
        ("POST", guest_link, {"access": "view"}, {}, "201", {"Location"}),
        ("PUT", "/products/42/price", {"price": 21.5}, {}, "202", {"Location"}),
        ("GET", "/analytics/products", None, {}, "200", {"Vary"}),
        ("GET", "/analytics/products", None, {"Accept": "image/png"}, "406", {"Vary"}),
        ("DELETE", f"/cart/{user}", None, {}, "204", set()),
    ]
    templates = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in document["paths"]}
    for method, path, body, headers, status, expected in tour:
        answer = client.open(path, method=method, json=body, headers=headers)
        # `Vary: Accept-Encoding` is of the compression around the app, not of an operation
        sent = {name for name in SENT_HEADERS if answer.headers.get(name, "Accept-Encoding") != "Accept-Encoding"}
        assert (str(answer.status_code), sent) == (status, expected | {"X-Request-ID"}), (method, path)
        (template,) = [name for name, pattern in templates.items() if pattern.fullmatch(path)]
        declared = dict(responses(document, document["paths"][template][method.lower()]))[status]["headers"].keys()
        assert sent <= declared, (method, path)


@pytest.mark.parametrize("store", ["moto"], indirect=True)
def test_etag_of_a_412_is_that_of_what_is_there_now(client, user):
    """So that the next request needs no other one before it."""
    client.post(f"/cart/{user}/items", json=CUP)
    for path, method, body in ((f"/cart/{user}/items/42", "PUT", {"quantity": 5}), (f"/cart/{user}", "DELETE", None)):
        refused = client.open(path, method=method, json=body, headers={"If-Match": '"0"'})
        assert refused.status_code == 412
        again = client.open(path, method=method, json=body, headers={"If-Match": refused.headers["ETag"]})
        assert again.status_code in (200, 204)


def test_each_operation_has_a_name_and_one_tag(document):
    """The names are stable: generated clients have a method for each."""
    names = [operation["operationId"] for _, operation in operations(document)]
    assert sorted(names) == sorted(set(names))
    assert set(names) == {
        *("createGuestCart", "getCart", "clearCart", "addItem", "setQuantity", "removeItem", "mergeCarts"),
        *("validateCart", "acceptPriceChanges", "getSaved", "saveItem", "removeSaved", "saveForLater", "moveToCart"),
        *("createShare", "listShares", "revokeShare", "copySharedCart"),
        *("getSharedCart", "addSharedItem", "setSharedQuantity", "removeSharedItem"),
        *("changePrice", "getPriceChange", "listCartsWithProduct"),
        *("getSummary", "getTopProducts", "getProductTotals", "getAbandonment", "getHealth", "getReadiness"),
    }
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(tags.values())
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} == tags.keys()
    assert all(len(operation["tags"]) == 1 for _, operation in operations(document))
    of_shoppers = {tag for name, operation in operations(document) if " /cart" in name for tag in operation["tags"]}
    assert of_shoppers == {"carts", "saved", "shares"}


def test_good_answers_come_first(document):
    for name, operation in operations(document):
        statuses = list(operation["responses"])
        assert statuses == sorted(statuses), name
        assert statuses[0] < "300", name


@pytest.mark.parametrize(
    ("base_url", "prefix", "address"),
    [
        ("http://localhost:8000", "", "http://localhost:8000"),
        ("https://shop.example", "", "https://shop.example"),
        (
            "https://abc.execute-api.eu-west-1.amazonaws.com",
            "/dev",
            "https://abc.execute-api.eu-west-1.amazonaws.com/dev",
        ),
        ("http://[::1]:8000", "/a b", "http://[::1]:8000/a%20b"),
    ],
)
def test_server_is_the_address_of_the_request(base_url, prefix, address):
    app = create_app(Config())
    answer = app.test_client().get("/openapi.json", base_url=base_url, environ_overrides={"SCRIPT_NAME": prefix})
    assert answer.json["servers"] == [{"url": address}]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    other = app.test_client().get("/openapi.json", base_url="http://other.example")
    assert other.json == answer.json | {"servers": [{"url": "http://other.example"}]}
    assert other.headers["ETag"] != answer.headers["ETag"]
    unchanged = app.test_client().get(
        "/openapi.json", base_url="http://other.example", headers={"If-None-Match": other.headers["ETag"]}
    )
    assert (unchanged.status_code, unchanged.data) == (304, b"")


def test_malformed_host_is_not_in_the_document():
    answer = create_app(Config()).test_client().get("/openapi.json", headers={"Host": 'a"}], "x": "'})
    assert answer.json["servers"] == [{"url": "/"}]


def test_every_route_is_documented(document):
    app = create_app(Config())
    routes = {
        f"{method} " + re.sub("<(?:[a-z_]+:)?([a-z_]+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith(("api-docs", "docs.", "page.")) and rule.endpoint != "static"
    }
    assert routes == {name for name, _ in operations(document)}


def test_each_operation_has_its_statuses_and_examples(document):
    assert document["openapi"] == "3.1.0"
    for name, operation in operations(document):
        statuses = operation["responses"].keys()
        assert "500" in statuses, name
        assert name in ("GET /health", "POST /cart") or {"429", "503"} <= statuses, name
        assert "{" not in name or name == "GET /shared/{token}" or "422" in statuses, name
        assert "requestBody" not in operation or {"400", "413", "415"} <= statuses, name
        for status, response in responses(document, operation):
            if status in ("204", "304"):
                assert "content" not in response
                continue
            media_types = ["application/json", "text/csv"] if "/analytics/" in name else ["application/json"]
            assert list(response["content"]) == (media_types if status < "300" else ["application/problem+json"]), name
            for content in response["content"].values():
                examples = [example["value"] for example in content.get("examples", {}).values()] or [
                    content["example"]
                ]
                assert all(examples), name
            for example in examples if status >= "300" else []:
                assert example["status"] == int(status)
            assert ("Retry-After" in response.get("headers", {})) == (status in ("429", "503")), name


def test_every_problem_is_documented_or_belongs_to_no_operation(document):
    documented = {
        example["value"]["type"]
        for _, operation in operations(document)
        for _, response in responses(document, operation)
        for content in response.get("content", {}).values()
        for example in content.get("examples", {}).values()
    }
    of_no_operation = {kind.type for kind in (errors.BadRequest, errors.NotFound, errors.MethodNotAllowed)}
    kinds = {kind.type for kind in vars(errors).values() if is_problem(kind)}
    assert kinds == documented | of_no_operation


def test_docs_load_nothing_from_other_hosts():
    client = create_app(Config()).test_client()
    answer = client.get("/docs")
    page = answer.get_data(as_text=True)
    assert "http" not in page
    assert "<script>" not in page
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("style-src") == "'self' 'unsafe-inline'"  # Swagger UI puts styles into its elements
    assert policy.pop("img-src") == "'self' data:"
    assert policy.pop("default-src") == "'self'"
    assert policy == dict.fromkeys(("base-uri", "form-action", "frame-ancestors", "object-src"), "'none'")
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"):
        assert f'"docs/{asset}"' in page
        with client.get(f"/docs/{asset}") as response:
            assert response.status_code == 200
    assert client.get("/docs/%2e%2e/__init__.py").status_code == 404


@pytest.mark.slow
def test_schemathesis_finds_no_failure(tmp_path):
    """All phases and checks run, except those that tests/schemathesis.toml excludes. gunicorn has its own moto."""
    name = f"schemathesis-{os.getpid()}"
    environ = {"DYNAMODB_TABLE_NAME": name, "LOG_LEVEL": "WARNING"}
    with engines.moto() as moto_url, serving(moto_url, tmp_path / "log", **environ) as url:
        caller = Caller(url)
        token = caller.ask("POST", "/cart/owner/shares", {"access": "edit"}).body["token"]
        for user in ("one", "two"):
            caller.ask("POST", f"/cart/{user}/items", CUP)
        cursor = caller.ask("GET", "/products/42/carts?limit=1").body["next_cursor"]
        caller.connection.close()
        command = [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={ROOT / 'tests' / 'schemathesis.toml'}",
            "run",
            f"{url}/openapi.json",
            "--phases=examples,coverage,fuzzing,stateful",
        ]
        command += [
            "--max-examples=40",
            f"--seed={os.environ.get('SCHEMATHESIS_SEED', '20261125')}",  # a seed that CI has run
            "--no-color",
            "--generation-database=none",
            "--warnings=off",
        ]
        process = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"SHARE_TOKEN": token, "CURSOR": cursor, "HOOKS": str(HOOKS), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "No issues found" in process.stdout

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


@pytest.fixture(scope="module")
def document():
    return json.loads(create_app(Config()).test_client().get("/openapi.json").data)


def responses(document, operation):
    """Return the responses by status, with references resolved."""
    for status, response in operation["responses"].items():
        name = response.get("$ref", "").removeprefix("#/components/responses/")
        yield status, document["components"]["responses"][name] if name else response


def test_stored_document_is_current(document):
    assert document == json.loads(SNAPSHOT.read_text()), "flask --app wsgi openapi write tests/openapi.json"


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
    page = client.get("/docs").get_data(as_text=True)
    assert "http://" not in page + "https://" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"):
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
            env=os.environ | {"SHARE_TOKEN": token, "CURSOR": cursor},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "No issues found" in process.stdout

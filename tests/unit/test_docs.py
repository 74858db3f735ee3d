"""README.md and the pages in docs/ are true.

Their tables agree with the code, the names in them exist, and their commands print what they show.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import Any

import boto3
import jsonschema
import pytest
from botocore import xform_name
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from cart import create_app, errors
from cart.commands import engines, monitoring
from cart.config import Config
from cart.http.auth import MAX_TOKEN_BYTES
from cart.http.converters import MAX_PRODUCT_ID
from cart.http.fields import CENT, MAX_PRICE
from cart.http.json import MAX_BODY_BYTES
from cart.http.request import MAX_ETAGS
from cart.logs import METRICS
from tests.support.documents import Page, anchor_of, terminal
from tests.support.openapi import is_problem, operations
from tests.support.products_service import products_service
from tests.support.project import ROOT, missing
from tests.support.running import wait_for_health
from tests.support.stores import make_store

PAGES = {page.name: page for page in map(Page, [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])}
API, OPERATIONS = PAGES["docs/api.md"], PAGES["docs/operations.md"]
GUARANTEES, INTERNALS = PAGES["docs/guarantees.md"], PAGES["docs/internals.md"]
ADDRESS = "http://127.0.0.1:8000"
AGAIN_FOR_SECONDS = 20

each_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


@pytest.fixture(scope="module")
def document() -> Any:
    """The OpenAPI document."""
    return json.loads(create_app(Config()).test_client().get("/openapi.json").data)


# --- tables


def test_endpoints_equal_the_openapi_document(document):
    listed = [row[0].strip("`") for row in API.table("Endpoints")]
    assert sorted(listed) == sorted(name for name, _ in operations(document))


def test_errors_equal_the_code():
    listed = {row[0].strip("`"): int(row[1]) for row in API.table("Errors")}
    kinds = [kind for kind in vars(errors).values() if is_problem(kind)]
    assert listed == {kind.type.removeprefix("urn:cart:problem:"): kind.status for kind in kinds}


def test_settings_equal_the_code():
    listed = {row[0].strip("`"): row[1].strip("`") for row in OPERATIONS.table("Settings")}
    special = {
        "DYNAMODB_TABLE_NAME": "{ENVIRONMENT}-carts",
        "DYNAMODB_ENDPOINT_URL": "unset: AWS",
        "METRICS_NAMESPACE": "unset: no metrics",
        "AUTH_MODE": "none` in `dev` and `test`, else it must be set",
        "CORS_ORIGINS": "unset: none",
        "EVENT_BUS_NAME": "unset: no events are sent",
        "AUTH_AUDIENCE": "unset: not checked",
        "AUTH_ISSUER": "unset: not checked",
    }
    defaults = {
        field.name.upper(): "unset" if field.default is None else str(field.default) for field in fields(Config)
    }
    assert listed == defaults | special


def test_limits_equal_the_code(document):
    limits = {row[0]: row[1] for row in API.table("Limits")}
    config = Config()
    item = document["components"]["schemas"]["Item"]["properties"]
    days = document["components"]["schemas"]["ShareRequest"]["properties"]["expires_in_days"]
    assert str(MAX_PRODUCT_ID) in limits["`product_id`"]
    assert f"1 to {item['product_name']['maxLength']} characters" in limits["`product_name`"]
    assert f"({config.cart_max_quantity})" in limits["`quantity`"]
    assert f"{CENT} to {MAX_PRICE}" in limits["`price`"]
    assert f"({config.cart_max_shares})" in limits["links to a cart"]
    assert f"({config.cart_max_lines})" in limits["lines of a cart, and of a saved list"]
    assert limits["body of a request"] == f"{MAX_BODY_BYTES} bytes"
    assert limits["ETags in `If-Match`, for a line"] == str(MAX_ETAGS)
    assert limits["bearer token"] == f"{MAX_TOKEN_BYTES // 1024} KiB"
    assert limits["`expires_in_days` of a link"] == f"{days['minimum']} to {days['maximum']}"


def test_runbook_has_each_alarm_once():
    alarms = [alarm["AlarmName"].removeprefix("cart-dev-") for alarm in monitoring.alarms(Config())]
    assert [row[0].strip("`") for row in OPERATIONS.table("Alarm runbook")] == alarms
    assert all(all(cells) and len(cells) == 4 for cells in OPERATIONS.table("Alarm runbook"))


def test_metrics_equal_the_code():
    listed = [name for row in OPERATIONS.table("Monitoring") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(METRICS)


def test_folders_and_modules_equal_the_code():
    listed = {
        name for row in INTERNALS.table("Where things are") for name in re.findall(r"`(cart/\w+(?:/|\.py))`", row[0])
    }
    modules = {path.relative_to(ROOT) for path in (ROOT / "cart").rglob("*.py")}
    assert listed == {str(path) if len(path.parts) == 2 else f"cart/{path.parts[1]}/" for path in modules}


def test_each_guarantee_names_a_test():
    rows = [row for table in GUARANTEES.tables() for row in table]
    assert len(rows) > 30
    for when, _, shown_by in rows:
        assert re.fullmatch(r"`test_\w+(\.py)?`", shown_by), when


# --- names


@each_page
def test_named_tests_exist(page):
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for name in re.findall(r"`(test_\w+(?:\.py)?)`", page.prose):
        assert name in sources or any(f"def {name}(" in source for source in sources.values()), name


@each_page
def test_named_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    commands = [word for text in (*page.words, *page.commands()) for word in re.findall(r"\bmake ([a-z-]+)", text)]
    assert set(commands) <= targets


@each_page
def test_named_paths_exist(page):
    top = "cart|deploy|docs|tests|benchmarks"
    is_path = re.compile(rf"(?:{top})/[\w./-]*|[\w.-]+\.(?:yaml|json|txt|local)|Makefile")
    for word in page.words:
        if is_path.fullmatch(word) and not word.startswith("docs/favicon") and word != "/openapi.json":
            assert (ROOT / word).exists(), word


@each_page
def test_named_settings_exist(page):
    known = {field.name.upper() for field in fields(Config)}
    prefixes = "CART|SAVED|AUTH|CATALOG|DYNAMODB|WEB|CORS|EVENT|METRICS|LOG"
    for name in re.findall(rf"\b(?:{prefixes})_[A-Z_]+\b", page.text):
        assert name in known, name


@each_page
def test_links_have_targets(page):
    for link in page.links:
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), link
        if anchor:
            assert anchor in Page(target).anchors, link


def test_anchors_equal_githubs():
    assert anchor_of("5. Check out with your own order service") == "5-check-out-with-your-own-order-service"
    assert anchor_of("If-Match and ETags") == "if-match-and-etags"
    assert anchor_of("What `make run` does") == "what-make-run-does"


@each_page
def test_every_page_is_linked_from_the_readme(page):
    assert page.name == "README.md" or page.name in {link.partition("#")[0] for link in PAGES["README.md"].links}


# --- JSON


@each_page
def test_json_blocks_match_their_schema(page, document):
    for block in page.blocks:
        if block.kind != "json":
            continue
        value = json.loads(block.text)
        schema = {"$ref": f"#/components/schemas/{block.mark}", "components": document["components"]}
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)


@each_page
def test_code_blocks_have_a_checked_language(page):
    marks = {"console": {"", "catalogue"}, "sh": {""}, "text": {""}, "mermaid": {""}}
    for block in page.blocks:
        assert block.kind == "json" or block.mark in marks[block.kind], block
    assert len(re.findall(r"^\s*```", page.text, re.MULTILINE)) == 2 * len(page.blocks)


# --- commands

# Commands of `sh` blocks that another test runs. The others are run below, by their first word: curl, aws, flask, make
RUN_ELSEWHERE = {
    "zappa deploy dev": "test_deploy_makes_the_function_of_the_settings",
    "zappa rollback dev -n 1": "test_rollback_and_undeploy_leave_only_the_documented_resources",
    "zappa undeploy dev": "test_rollback_and_undeploy_leave_only_the_documented_resources",
    "flask --app wsgi analytics follow": "test_changes_are_counted_once_although_the_command_is_killed",
    "ENVIRONMENT=dev METRICS_NAMESPACE=Cart flask --app wsgi monitoring create": (
        "test_repeated_create_makes_one_dashboard_and_the_alarms"
    ),
    "DYNAMODB_TABLE_NAME=production-carts .venv/bin/flask --app wsgi run": "test_flask_run_serves_the_docs_page",
}
FLASK = re.compile(r"(?:[A-Z_]+=\S+(?: \S+\))? )*(?:\.venv/bin/)?flask --app wsgi ")


@contextmanager
def listening(app: Flask) -> Iterator[str]:
    """Serve an app on loopback; the value is its URL."""

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture
def config(moto_url) -> Config:
    """Settings with a table of their own."""
    return make_store("moto", moto_url).config


@pytest.fixture
def services(config) -> Iterator[dict[str, str]]:
    """Run a service and, on the same table, one with a catalogue; map the mark of a ``console`` block to the URL."""
    if not shutil.which("curl"):
        missing("curl is not installed")
    with ExitStack() as stack:
        products = stack.enter_context(products_service())
        products.sell(price="21.50", stock=2, name="Espresso cup")
        apps = {"": create_app(config), "catalogue": create_app(replace(config, catalog_url=products.url))}
        yield {mark: stack.enter_context(listening(app)) for mark, app in apps.items()}


@each_page
def test_curl_commands_print_the_shown_output(page, services):
    """Times, ids and versions differ from run to run, and the page shows only some headers."""
    with terminal() as shell:
        for block in page.blocks:
            if block.kind == "console":
                for example in block.examples():
                    command = example.command.replace(ADDRESS, services[block.mark])
                    status, printed = shell.run(command)
                    deadline = time.monotonic() + AGAIN_FOR_SECONDS
                    while not matches(example.output, printed) and is_read(command) and time.monotonic() < deadline:
                        time.sleep(0.2)  # a price change takes a moment to be visible
                        status, printed = shell.run(command)
                    assert status == 0, command
                    assert matches(example.output, printed), f"{command}\n{printed}\ninstead of\n{example.output}"
            elif block.kind == "sh":
                for command in block.commands():
                    if command.startswith("curl "):
                        status, printed = shell.run(command.replace(ADDRESS, services[""]))
                        assert status == 0, command
                        assert printed, command
                        assert "urn:cart:problem:" not in printed, f"{command}\n{printed}"


def is_read(command: str) -> bool:
    return command.startswith("curl ") and " -X " not in command


def matches(expected: str, printed: str) -> bool:
    """Return whether a command printed what the page shows."""
    expected, printed = without_varying_parts(expected), without_varying_parts(printed)
    if not expected.startswith("HTTP/"):
        return body_matches(expected, printed)
    shown_head, _, shown_body = expected.partition("\n\n")
    head, _, body = printed.partition("\n\n")
    return set(shown_head.splitlines()) <= set(head.splitlines()) and body_matches(shown_body, body)


def body_matches(expected: str, printed: str) -> bool:
    if not expected.startswith("{"):
        return expected.strip() == printed.strip()
    shown_value, value = (json.loads(text, parse_float=str) for text in (expected, printed))
    return {name: value.get(name) if text == "…" else text for name, text in shown_value.items()} == value


def without_varying_parts(text: str) -> str:
    """Replace times, versions (16 digits), request and job ids, ETags of carts and guest ids."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text.replace("\r", ""))
    return re.sub(r"\b\d{16}\b", "1", re.sub(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{24}\b|guest-[\w-]{32}", "ID", text))


def test_examples_exist():
    counts = {name: sum(len(block.examples()) for block in page.blocks) for name, page in PAGES.items()}
    assert {name for name, count in counts.items() if count} == {"README.md", "docs/api.md", "docs/tutorial.md"}
    assert counts["docs/tutorial.md"] > 10
    assert counts["docs/api.md"] > 10


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ('{"price": 1.50}', '{"price": 1.5}'),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": "…"}', '{"a": 1, "b": 2}'),
        ("HTTP/1.1 201 CREATED\nLocation: /a\n\n{}", "HTTP/1.1 201 CREATED\r\nDate: D\r\n\r\n{}"),
        ("HTTP/1.1 204 NO CONTENT\n", "HTTP/1.1 200 OK\r\n\r\n"),
        ("guest-7TzYh0bU2mBzXxS4o3JkP9aQcVdL1wEf\n", "\n"),
    ],
)
def test_different_output_is_noticed(expected, printed):
    assert not matches(expected, printed)


@each_page
def test_every_command_is_run(page):
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for command in page.commands():
        if test := RUN_ELSEWHERE.get(command):
            assert f"def {test}(" in sources, command
        else:
            assert command.startswith(("curl ", "aws ", "make ")) or FLASK.match(command), command


@each_page
def test_flask_commands_exist_and_run(page, config, tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)  # where `openapi write` may write
    runner = create_app(replace(config, dynamodb_table_name=f"{config.dynamodb_table_name}-2")).test_cli_runner()
    for command in page.commands():
        if FLASK.match(command) and command not in RUN_ELSEWHERE:
            result = runner.invoke(args=shlex.split(FLASK.sub("", command)))
            assert result.exit_code == 0, result.output
    for word in page.words:
        if FLASK.match(word):
            result = runner.invoke(args=[*shlex.split(FLASK.sub("", word)), "--help"])
            assert result.exit_code == 0, word


def test_flask_run_serves_the_docs_page(moto_url, tmp_path):
    port = str(engines.free_port())
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", port]
    environ = os.environ | {"DYNAMODB_ENDPOINT_URL": moto_url}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
    try:
        wait_for_health(f"http://127.0.0.1:{port}", process, tmp_path / "log")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/analytics", timeout=10) as answer:
            assert b"<title>Cart analytics</title>" in answer.read()
    finally:
        process.terminate()
        process.wait()


@each_page
def test_aws_commands_have_valid_operations_and_options(page):
    """Operations and options must exist in botocore's models, from which the AWS command line is made."""
    for command in (*page.commands(), *page.words):
        if not command.startswith("aws "):
            continue
        service, operation, *options = shlex.split(command)[1:]
        client = boto3.client(service, region_name="us-east-1")
        by_name = {xform_name(name, "-"): name for name in client.meta.service_model.operation_names}
        members = client.meta.service_model.operation_model(by_name[operation]).input_shape.members
        known = {f"--{xform_name(name, '-')}" for name in members}
        assert {option for option in options if option.startswith("--")} <= known, command


@each_page
def test_make_commands_can_be_planned(page, tmp_path):
    """They are planned, not carried out, in a temporary folder: ``PYTHON=`` would remove a .venv."""
    for name in ("Makefile", "requirements.txt", "requirements-run.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("benchmarks/requirements.txt", "benchmarks/reference/requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for command in (*page.commands(), *page.words):
        if command.startswith("make "):
            words = ["make", "--dry-run", *shlex.split(command)[1:]]
            planned = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert planned.returncode == 0, planned.stderr
            assert planned.stdout, command

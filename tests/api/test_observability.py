"""Logs are JSON lines on stdout that share the request's id."""

import json
import re
from dataclasses import replace

import pytest

from cart import create_app
from cart.config import Config
from tests.support.stores import CUP


@pytest.fixture
def logged(store, capsys):
    """``logged(level, call)``: the log lines of what ``call`` does with a client."""

    def run(level, call):
        app = create_app(Config(**store.config.__dict__ | {"log_level": level}))
        capsys.readouterr()
        response = call(app.test_client())
        return response, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_the_lines_of_a_request(logged, user):
    response, lines = logged("INFO", lambda client: client.post(f"/cart/{user}/items", json=CUP))
    operation, request = lines
    assert operation["message"] == f"Adding item to cart for user {user}"
    assert request["message"] == "POST /cart/{user_id}/items 201"
    assert (request["method"], request["route"], request["status"]) == ("POST", "/cart/{user_id}/items", 201)
    assert request["duration_ms"] > 0
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["level"] == "INFO"
        assert line["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "", "Getting cart for user {}"),
        ("PUT", "/items/1", "Setting quantity in cart for user {}"),
        ("DELETE", "/items/1", "Removing item from cart for user {}"),
        ("DELETE", "", "Clearing cart for user {}"),
    ],
)
def test_the_message_of_each_operation(logged, user, method, path, message):
    _, lines = logged("INFO", lambda client: client.open(f"/cart/{user}{path}", method=method, json={"quantity": 1}))
    assert lines[0]["message"] == message.format(user)


def test_the_level_is_kept(logged, user):
    assert logged("WARNING", lambda client: client.get(f"/cart/{user}"))[1] == []


def test_a_request_that_matches_no_route_is_logged_without_its_path(logged):
    _, (line,) = logged("INFO", lambda client: client.get("/secret/path"))
    assert (line["route"], line["status"]) == (None, 404)
    assert "secret" not in json.dumps(line)


def test_all_hooks_are_the_apps_own(moto_store):
    """``CartFlask`` calls no others."""
    app = create_app(replace(moto_store.config, auth_mode="gateway", cors_origins="https://shop.example"))
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        assert [scope for scope, registered in hooks.items() if registered] == [None]
    assert not app.url_value_preprocessors
    assert not app.teardown_appcontext_funcs


def test_a_traceback_is_one_line_and_stays_in_the_log(logged, user, monkeypatch):
    monkeypatch.setattr("cart.carts.views.respond", lambda *_, **__: 1 / 0)
    response, lines = logged("INFO", lambda client: client.get(f"/cart/{user}"))
    assert response.status_code == 500
    assert any("ZeroDivisionError" in line.get("exc_info", "") for line in lines)
    assert all(line["request_id"] == response.headers["X-Request-ID"] for line in lines)
    assert "Zero" not in response.get_data(as_text=True)


@pytest.mark.parametrize("sane", ["abc-123", "Root=1-67891233-abcdef012345678912345678", "a" * 128])
def test_a_sane_id_of_the_caller_is_kept(client, user, sane):
    assert client.get(f"/cart/{user}", headers={"X-Request-ID": sane}).headers["X-Request-ID"] == sane


@pytest.mark.parametrize("insane", ["", "a" * 129, "a b", 'x"y', "<script>", "é"])
def test_another_is_not(client, user, insane):
    response = client.get(f"/cart/{user}", headers={"X-Request-ID": insane})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_the_id_of_api_gateway_or_else_of_lambda(client):
    class Context:
        aws_request_id = "lambda-1"

    gateway = {"lambda.event": {"requestContext": {"requestId": "gateway-1"}}, "lambda.context": Context}
    direct = {"lambda.event": {}, "lambda.context": Context}
    for environ, expected in ((gateway, "gateway-1"), (direct, "lambda-1")):
        response = client.get("/health", environ_overrides=environ)
        assert response.headers["X-Request-ID"] == expected


def test_each_request_has_an_id_of_its_own(client):
    ids = {client.get("/health").headers["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5

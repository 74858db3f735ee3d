"""Logs are JSON lines on stdout with the request's id."""

import json
import re
from dataclasses import replace

import pytest

from cart import create_app
from cart.config import Config
from tests.support.stores import CUP


@pytest.fixture
def logged(store, capsys):
    """Return ``logged(level, call)``: the log lines of a call with a client."""

    def run(level, call):
        app = create_app(Config(**store.config.__dict__ | {"log_level": level}))
        capsys.readouterr()
        response = call(app.test_client())
        return response, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_request_logs_its_lines_with_one_id(logged, user):
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
def test_each_operation_logs_its_message(logged, user, method, path, message):
    _, lines = logged("INFO", lambda client: client.open(f"/cart/{user}{path}", method=method, json={"quantity": 1}))
    assert lines[0]["message"] == message.format(user)


def test_log_level_is_respected(logged, user):
    assert logged("WARNING", lambda client: client.get(f"/cart/{user}"))[1] == []


def test_unknown_route_is_logged_without_its_path(logged):
    _, (line,) = logged("INFO", lambda client: client.get("/secret/path"))
    assert (line["route"], line["status"]) == (None, 404)
    assert "secret" not in json.dumps(line)


def test_app_has_no_blueprint_hooks(moto_store):
    """``CartFlask`` calls only the app's own hooks."""
    app = create_app(replace(moto_store.config, auth_mode="gateway", cors_origins="https://shop.example"))
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        assert [scope for scope, registered in hooks.items() if registered] == [None]
    assert not app.url_value_preprocessors
    assert not app.teardown_appcontext_funcs


def test_traceback_is_one_log_line_and_not_in_the_answer(logged, user, monkeypatch):
    monkeypatch.setattr("cart.carts.views.respond", lambda *_, **__: 1 / 0)
    response, lines = logged("INFO", lambda client: client.get(f"/cart/{user}"))
    assert response.status_code == 500
    assert any("ZeroDivisionError" in line.get("exc_info", "") for line in lines)
    assert all(line["request_id"] == response.headers["X-Request-ID"] for line in lines)
    assert "Zero" not in response.get_data(as_text=True)


@pytest.mark.parametrize("request_id", ["abc-123", "Root=1-67891233-abcdef012345678912345678", "a" * 128])
def test_valid_request_id_of_the_caller_is_used(client, user, request_id):
    assert client.get(f"/cart/{user}", headers={"X-Request-ID": request_id}).headers["X-Request-ID"] == request_id


@pytest.mark.parametrize("request_id", ["", "a" * 129, "a b", 'x"y', "<script>", "é"])
def test_invalid_request_id_of_the_caller_is_replaced(client, user, request_id):
    response = client.get(f"/cart/{user}", headers={"X-Request-ID": request_id})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_request_id_comes_from_api_gateway_or_lambda(client):
    class Context:
        aws_request_id = "lambda-1"

    gateway = {"lambda.event": {"requestContext": {"requestId": "gateway-1"}}, "lambda.context": Context}
    direct = {"lambda.event": {}, "lambda.context": Context}
    for environ, expected in ((gateway, "gateway-1"), (direct, "lambda-1")):
        response = client.get("/health", environ_overrides=environ)
        assert response.headers["X-Request-ID"] == expected


def test_each_request_has_its_own_id(client):
    ids = {client.get("/health").headers["X-Request-ID"] for _ in range(5)}
    assert len(ids) == 5

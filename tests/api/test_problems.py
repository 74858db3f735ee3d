"""Problems: each has a detail with the reason and the remedy, which is more than its title."""

import re

import pytest

from cart import create_app, errors
from cart.config import Config
from cart.errors import Throttled
from tests.support.openapi import is_problem

KINDS = [kind for kind in vars(errors).values() if is_problem(kind)]
OF_BOB = {"API_GATEWAY_AUTHORIZER": {"claims": {"sub": "bob"}}}


def words(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()


def assert_detail_is_more(problem: dict[str, str]) -> None:
    assert words(problem["detail"])
    assert words(problem["title"]) not in words(problem["detail"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_type_has_its_own_detail(kind):
    assert "detail" in vars(kind)
    assert_detail_is_more({"title": kind.title, "detail": kind.detail})
    assert_detail_is_more({"title": kind.title, "detail": kind.example.get("detail", kind.detail)})


@pytest.fixture
def client():
    return create_app(Config(dynamodb_endpoint_url="http://127.0.0.1:1", log_level="CRITICAL")).test_client()


@pytest.fixture
def closed():
    return create_app(Config(auth_mode="gateway", log_level="CRITICAL")).test_client()


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/cart/a/b/c", 404, "not-found"),
        ("GET", "/analytics/assets/nothing.js", 404, "not-found"),
        ("PATCH", "/health", 405, "method-not-allowed"),
        ("GET", "/health/ready", 503, "unavailable"),
        ("POST", "/cart/u/validate", 409, "no-catalog"),
    ],
)
def test_problem_of_each_request_has_a_detail(client, method, path, status, kind):
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.get_json(force=True)["type"]) == (status, f"urn:cart:problem:{kind}")
    assert_detail_is_more(answer.get_json(force=True))


def test_missing_catalogue_problem_names_the_setting(client):
    assert "Set CATALOG_URL" in client.post("/cart/u/validate").get_json(force=True)["detail"]


def test_throttled_request_has_a_detail(client, monkeypatch):
    def throttle() -> None:
        raise Throttled

    monkeypatch.setattr(client.application.extensions["cart_table"], "check", throttle)
    answer = client.get("/health/ready")
    assert answer.status_code == 429
    assert_detail_is_more(answer.get_json(force=True))


@pytest.mark.parametrize(("environ", "status"), [({}, 401), (OF_BOB, 403)])
def test_refused_access_has_a_detail(closed, environ, status):
    answer = closed.get("/cart/alice", environ_overrides=environ)
    assert answer.status_code == status
    assert_detail_is_more(answer.get_json(force=True))


def test_defect_has_a_detail(client, monkeypatch):
    monkeypatch.setattr(client.application.extensions["cart_table"], "check", lambda: 1 / 0)
    answer = client.get("/health/ready")
    assert answer.status_code == 500
    assert_detail_is_more(answer.get_json(force=True))

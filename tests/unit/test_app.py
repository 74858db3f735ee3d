"""The Flask subclass leaves out parts of Flask: a test fails if somebody adds code that needs them."""

import pytest
from flask import Blueprint, after_this_request, appcontext_tearing_down, request_tearing_down

from cart.http import auth
from cart.http.app import CartFlask


@pytest.fixture
def called() -> list[str]:
    return []


@pytest.fixture
def app(called):
    app = CartFlask(__name__)
    app.before_request(lambda: called.append("before"))
    app.teardown_request(lambda _: called.append("teardown"))
    app.teardown_appcontext(lambda _: called.append("teardown of the context"))

    @app.route("/plain")
    def plain():
        after_this_request(lambda response: called.append("after this") or response)
        return "plain"

    return app


def test_hooks_of_the_app_run(app, called):
    assert app.test_client().get("/plain").text == "plain"
    assert called == ["before", "after this", "teardown", "teardown of the context"]


def test_hooks_of_a_blueprint_run(app, called):
    blueprint = Blueprint("late", __name__)
    blueprint.url_value_preprocessor(lambda *_: called.append("values"))
    blueprint.before_request(lambda: called.append("before of the blueprint"))
    blueprint.after_request(lambda response: called.append("after of the blueprint") or response)
    blueprint.teardown_request(lambda _: called.append("teardown of the blueprint"))
    blueprint.route("/late")(lambda: {"is": "late"})
    app.register_blueprint(blueprint)
    assert app.test_client().get("/late").json == {"is": "late"}
    assert called == [
        *("values", "before", "before of the blueprint", "after of the blueprint"),
        *("teardown of the blueprint", "teardown", "teardown of the context"),
    ]


def test_receivers_of_flasks_signals_are_called(app, called):
    with (
        request_tearing_down.connected_to(lambda *_, **__: called.append("signal"), app),
        appcontext_tearing_down.connected_to(lambda *_, **__: called.append("signal of the context"), app),
    ):
        app.test_client().get("/plain")
    assert called[-4:] == ["teardown", "signal", "teardown of the context", "signal of the context"]


def test_coroutine_is_not_accepted_as_an_answer(app):
    async def view() -> str:
        return "late"

    app.route("/async")(view)
    with pytest.raises(RuntimeError, match="async"):
        app.ensure_sync(view)


def test_view_needs_authentication_unless_marked_open():
    def view() -> str:
        return ""

    assert "access" not in vars(view)
    assert vars(auth.open_to_all(view))["access"] == auth.OPEN

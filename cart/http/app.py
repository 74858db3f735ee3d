"""The Flask subclass."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from flask.signals import request_tearing_down
from werkzeug.routing import MapAdapter, Rule

from cart.http.json import DecimalJSON


class LazyRule(Rule):
    """A route that compiles the code that builds its URLs when the first is built: most routes never build one."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compiled()(rule, **values)

        return build


class _NoSessions(SessionInterface):
    """No sessions: no cookie is read or written."""

    nothing = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self.nothing


class CartFlask(Flask):
    """Flask, with this service's JSON and routes.

    Flask's own methods look at each request for hooks of blueprints. Where there are none, that is left out.
    """

    json_provider_class = DecimalJSON
    url_rule_class = LazyRule
    session_interface = _NoSessions()

    def preprocess_request(self) -> Any:
        """Run the app's hooks before a request; Flask's own method runs those of blueprints too."""
        if self.url_value_preprocessors or len(self.before_request_funcs) > 1:
            return super().preprocess_request()
        for hook in self.before_request_funcs[None]:
            if (answer := hook()) is not None:
                return answer
        return None

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Run the app's hooks after a request; Flask's own method runs those of blueprints and of signals too."""
        if len(self.teardown_request_funcs) > 1 or request_tearing_down.receivers:
            super().do_teardown_request(exc)
            return
        for hook in reversed(self.teardown_request_funcs[None]):
            hook(exc)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Route by path and method alone: no host or subdomain has routes of its own."""
        if request is None:
            return None
        environ = request.environ
        host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
        query = environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, host, request.root_path, "", scheme, request.path, request.method, query)

"""The Flask subclass."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from flask import Flask, Request, Response, request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter, Rule

from cart.http.blueprint import View
from cart.http.json import DecimalJSON


class LazyRule(Rule):
    """A route that compiles the code that builds its URL when one is built: of most, none ever is."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compiled()(rule, **values)

        return build


class _NoSessions(SessionInterface):
    """No cookie tells anything: there is nothing to open at each request."""

    nothing = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self.nothing


class CartFlask(Flask):
    """Flask, with this service's JSON and routes, and no look at each request for what none has."""

    json_provider_class = DecimalJSON
    url_rule_class = LazyRule
    session_interface = _NoSessions()

    def log_exception(self, exc_info: Any) -> None:
        """Log an unhandled error with the route: Flask logs the path, which can hold the token of a link."""
        route = request.url_rule.rule if request.url_rule else "no route"
        self.logger.error("Unhandled error of %s %s", request.method, route, exc_info=exc_info)

    def ensure_sync(self, func: View) -> View:
        return func

    # No blueprint has hooks of its own, and no view registers one: those of the app are all there are.

    def preprocess_request(self) -> Any:
        for hook in self.before_request_funcs[None]:
            if (answer := hook()) is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        for hook in self.teardown_request_funcs[None]:
            hook(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Nothing is registered for it."""

    def make_response(self, rv: Any) -> Response:
        """Views answer with a Response, and errors with what Flask makes one of."""
        return rv if isinstance(rv, Response) else super().make_response(rv)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes by path and method alone: no host or subdomain has routes of its own."""
        if request is None:
            return None
        environ = request.environ
        host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
        query = environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, host, request.root_path, "", scheme, request.path, request.method, query)

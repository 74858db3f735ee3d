"""The Flask class of this service."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any
from urllib.parse import quote

from flask import Flask, Request, Response, request
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface
from flask.signals import appcontext_tearing_down, request_tearing_down
from werkzeug.routing import MapAdapter, RequestRedirect, Rule

from cart.errors import BadRequest
from cart.http.json import DecimalJSON
from cart.http.problems import ProblemInPath
from cart.messages import Message

View = Callable[..., Any]


class LazyRule(Rule):
    """A route that compiles its URL builder at the first use: the URLs of most routes are never built."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compiled()(rule, **values)

        return build


class _NoSessions(SessionInterface):
    """No sessions: no cookie is read or written."""

    nothing = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return the session that holds nothing."""
        return self.nothing


class CartFlask(Flask):
    """Flask with this service's JSON and routes.

    At each request, Flask looks for hooks of blueprints, signals and views, and for coroutines. The methods here skip
    that if none are registered, and call Flask's own methods if there are any.
    """

    json_provider_class = DecimalJSON
    url_rule_class = LazyRule
    session_interface = _NoSessions()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._synchronous: dict[View, View] = {}  # results of ``ensure_sync``

    def ensure_sync(self, func: View) -> View:
        """Return the function, or a wrapper if it is a coroutine. Each function is inspected once."""
        if (synchronous := self._synchronous.get(func)) is None:
            synchronous = self._synchronous[func] = super().ensure_sync(func)
        return synchronous

    def make_response(self, rv: Any) -> Response:
        """Return a response unchanged, and convert any other return value of a view."""
        return rv if isinstance(rv, Response) else super().make_response(rv)

    def log_exception(self, exc_info: Any) -> None:
        """Log an unhandled error with the route: Flask logs the path, which can contain the token of a link."""
        route = request.url_rule.rule if request.url_rule else "no route"
        self.logger.error("Unhandled error of %s %s", request.method, route, exc_info=exc_info)

    def preprocess_request(self) -> Any:
        """Run the app's hooks before a request; if blueprints have hooks, let Flask run all."""
        if self.url_value_preprocessors or _has_others(self.before_request_funcs):
            return super().preprocess_request()
        for hook in self.before_request_funcs[None]:
            if (answer := hook()) is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """Run the app's hooks after a view; if blueprints or the view have hooks, let Flask run all."""
        # Flask's `after_this_request` stores its functions in the request context
        if _has_others(self.after_request_funcs) or request_ctx._get_current_object()._after_request_functions:  # type: ignore[attr-defined]
            return super().process_response(response)
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Run the app's hooks after a request; if blueprints or signals have hooks, let Flask run all."""
        if _has_others(self.teardown_request_funcs) or request_tearing_down.receivers:
            super().do_teardown_request(exc)
            return
        for hook in reversed(self.teardown_request_funcs[None]):
            hook(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Let Flask run the hooks at the end of the app context, if there are any."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(exc)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return an adapter that routes by path and method only: no route depends on the host.

        :raise ProblemInPath: the request has no ``Host``, which is optional only in HTTP/1.0 (RFC 9112, section 3.2)
        :raise RequestRedirect: the path ends with a slash, and has a route without it, of any method
        """
        if request is None:
            return None
        environ = request.environ
        host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
        if not host and environ["SERVER_PROTOCOL"] != "HTTP/1.0":
            raise ProblemInPath(
                BadRequest("The request has no Host.", {"Host": [Message("Must be sent.", "required")]})
            )
        path, query = request.path, environ.get("QUERY_STRING", "")
        adapter = MapAdapter(self.url_map, host, request.root_path, "", scheme, path, request.method, query)
        if path.endswith("/") and not path.endswith("//") and adapter.allowed_methods(path[:-1]):
            raise RequestRedirect(_without_last_slash(path, query))
        return adapter


def _without_last_slash(path: str, query: str) -> str:
    """Return the URL of a path without its last slash.

    It is relative, so that it is right below a prefix, and cannot lead to another host.
    """
    segment = path[:-1].rpartition("/")[2]
    return f"../{quote(segment)}" + (f"?{query}" if query else "")


def _has_others(hooks: dict[str | None, Any]) -> bool:
    """Return whether any blueprint has hooks. The app's own hooks have the name None."""
    return len(hooks) > (None in hooks)

"""The Flask subclass."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface
from flask.signals import appcontext_tearing_down, request_tearing_down
from werkzeug.routing import MapAdapter, Rule

from cart.http.json import DecimalJSON

View = Callable[..., Any]


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

    At each request, Flask looks for hooks of blueprints, of signals and of views, and for coroutines. The methods here
    leave that out where nothing of the kind is registered, and call Flask's own where something is.
    """

    json_provider_class = DecimalJSON
    url_rule_class = LazyRule
    session_interface = _NoSessions()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._synchronous: dict[View, View] = {}  # functions, and what ``ensure_sync`` made of them

    def ensure_sync(self, func: View) -> View:
        """Return a function that is not a coroutine; each is looked at once."""
        if (synchronous := self._synchronous.get(func)) is None:
            synchronous = self._synchronous[func] = super().ensure_sync(func)
        return synchronous

    def make_response(self, rv: Any) -> Response:
        """Return a view's response as it is, and make one of anything else."""
        return rv if isinstance(rv, Response) else super().make_response(rv)

    def preprocess_request(self) -> Any:
        """Run the app's hooks before a request; Flask's own method runs those of blueprints too."""
        if self.url_value_preprocessors or _has_others(self.before_request_funcs):
            return super().preprocess_request()
        for hook in self.before_request_funcs[None]:
            if (answer := hook()) is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """Run the app's hooks after a view; Flask's own method runs those of blueprints and of the view too."""
        # `after_this_request` of a view keeps its functions here
        if _has_others(self.after_request_funcs) or request_ctx._get_current_object()._after_request_functions:  # type: ignore[attr-defined]
            return super().process_response(response)
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Run the app's hooks after a request; Flask's own method runs those of blueprints and of signals too."""
        if _has_others(self.teardown_request_funcs) or request_tearing_down.receivers:
            super().do_teardown_request(exc)
            return
        for hook in reversed(self.teardown_request_funcs[None]):
            hook(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Run the app's hooks at the end of its context, and those of signals, if there are any."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(exc)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Route by path and method alone: no host or subdomain has routes of its own."""
        if request is None:
            return None
        environ = request.environ
        host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
        query = environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, host, request.root_path, "", scheme, request.path, request.method, query)


def _has_others(hooks: dict[str | None, Any]) -> bool:
    """Tell whether any hooks are registered for blueprints; the app's own have no name."""
    return len(hooks) > (None in hooks)

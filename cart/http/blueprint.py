"""The blueprint that every feature uses."""

from collections.abc import Callable
from typing import Any

from flask_smorest import Blueprint

from cart.errors import InternalError, Problem
from cart.http.auth import OPEN, OPEN_BY_LINK, allow
from cart.http.parser import RequestParser
from cart.http.problems import response_name

View = Callable[..., Any]


class CartBlueprint(Blueprint):
    """flask-smorest's Blueprint with this service's parser, and decorators for what its views have in common."""

    ARGUMENTS_PARSER = RequestParser()
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING = Blueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING | {
        "optional_json": "application/json"
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problem_groups: list[list[type[Problem]]] = []  # that its operations refer to, by their ``response_name``

    def problems(self, *kinds: type[Problem]) -> Callable[[View], View]:
        """Document the problems that an operation can answer, one response for each status."""
        by_status: dict[int, list[type[Problem]]] = {}
        documented: list[type[Problem]] = [*kinds, InternalError]
        for kind in documented:
            by_status.setdefault(kind.status, []).append(kind)
        self.problem_groups += by_status.values()
        responses = {status: response_name(group) for status, group in by_status.items()}

        def document(view: View) -> View:
            documentation = view.__dict__.setdefault("_apidoc", {})
            documentation.setdefault("manual_doc", {})["responses"] = responses  # as ``doc`` does, without a wrapper
            return view

        return document

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document an alternative response, as flask-smorest does, but without a wrapper around the view."""
        return self._document_only(super().alt_response(*args, **kwargs))

    @staticmethod
    def _document_only(decorator: Callable[[View], View]) -> Callable[[View], View]:
        """Return a decorator that keeps the documentation of another, without the call that it adds to each request."""

        def document(view: View) -> View:
            view.__dict__["_apidoc"] = decorator(view).__dict__["_apidoc"]
            return view

        return document

    def open(self, view: View) -> View:
        """Let anyone call this operation, and caches keep its answers."""
        return allow(self.doc(security=[])(view), OPEN)

    def open_by_link(self, view: View) -> View:
        """Let whoever holds a link call this operation: the view checks the link's token."""
        return allow(self.doc(security=[])(view), OPEN_BY_LINK)

"""The blueprint that every feature uses."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from cart.errors import InternalError, Problem
from cart.http.auth import OPEN, OPEN_BY_LINK, allow
from cart.http.headers import CONDITIONS
from cart.http.parser import give_argument
from cart.http.problem_docs import response_name
from cart.http.schema import Constant, JsonSchema

View = Callable[..., Any]


class CartBlueprint(Blueprint):
    """flask-smorest's Blueprint with decorators for what this service's views have in common."""

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
        responses = Constant({status: response_name(group) for status, group in by_status.items()})
        return partial(_document, responses=responses)

    def takes(self, *headers: str) -> Callable[[View], View]:
        """Document the headers that an operation reads, and mark its view with the conditions among them.

        :param headers: names in ``REQUEST_HEADERS``
        """

        def document(view: View) -> View:
            view.__dict__["conditions"] = CONDITIONS.intersection(headers)
            return _document_parameters(view, *headers)

        return document

    def arguments(
        self, schema: type[JsonSchema], *, location: str = "json", **documentation: Any
    ) -> Callable[[View], View]:
        """Document a part of the request and give it to the view, as flask-smorest does, but in one wrapper."""
        parameter = {"in": location, "required": True, "schema": schema} | documentation
        return lambda view: give_argument(_document_parameters(view, parameter), schema, location)

    def response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document a response and dump what the view returns, as flask-smorest does.

        A view that returns a ``Response``, as its annotation says, has nothing to dump and gets no wrapper.
        """
        decorate = super().response(*args, **kwargs)
        document = _without_wrapper(decorate)
        return lambda view: (document if view.__annotations__["return"] is Response else decorate)(view)

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Document an alternative response, as flask-smorest does, but without a wrapper around the view."""
        return _without_wrapper(super().alt_response(*args, **kwargs))

    def open(self, view: View) -> View:
        """Let anyone call this operation, and caches keep its answers."""
        return allow(_document(view, security=[]), OPEN)

    def open_by_link(self, view: View) -> View:
        """Let whoever holds a link call this operation: the view checks the link's token."""
        return allow(_document(view, security=[]), OPEN_BY_LINK)


def _without_wrapper(decorate: Callable[[View], View]) -> Callable[[View], View]:
    """Return a decorator that documents a view as another one does, but puts no wrapper around it."""

    def document(view: View) -> View:
        view.__dict__["_apidoc"] = decorate(view).__dict__["_apidoc"]
        return view

    return document


def _document_parameters(view: View, *parameters: Any) -> View:
    """Add parameters to the entry of a view, as flask-smorest does; a name refers to one in the components."""
    arguments = view.__dict__.setdefault("_apidoc", {}).setdefault("arguments", {})
    arguments.setdefault("parameters", []).extend(parameters)
    return view


def _document(view: View, **operation: Any) -> View:
    """Add to the OpenAPI document's entry of a view, as ``Blueprint.doc`` does, but without a wrapper around it."""
    view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {}).update(operation)
    return view

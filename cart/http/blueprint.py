"""The blueprint that every feature uses."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from flask_smorest import Blueprint
from marshmallow import Schema

from cart.errors import InternalError, Problem
from cart.http.auth import OPEN, OPEN_BY_LINK, allow
from cart.http.problems import response_name
from cart.http.request import has_body, judge, read_json

View = Callable[..., Any]


class _Documentation(dict[str, Any]):
    """What the decorators of one view say of it. flask-smorest copies it where apispec would not change it."""

    def __deepcopy__(self, _: Any) -> "_Documentation":
        return self


def _documentation(view: View) -> _Documentation:
    said: _Documentation = view.__dict__.setdefault("_apidoc", _Documentation())
    return said


class CartBlueprint(Blueprint):
    """flask-smorest's Blueprint, whose decorators only document a view, but for ``body``.

    A view answers with a Response, so flask-smorest's own have nothing to do at each request.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.problem_groups: list[list[type[Problem]]] = []  # that its operations refer to, by their ``response_name``

    def body(
        self,
        schema: type[Schema],
        example: Any,
        plainly: Callable[[Any], Any] | None = None,
        *,
        required: bool = True,
    ) -> Callable[[View], View]:
        """Read the JSON body, and give it to the view as its first argument. The outermost decorator but the route.

        :param plainly: the loaded value of a body that is plainly right, None of one that the schema has to judge
        :param required: if not, a request without a body is one with ``{}``
        """

        def decorate(view: View) -> View:
            @wraps(view)
            def with_body(**kwargs: Any) -> Any:
                body = read_json() if required or has_body() else {}
                loaded = plainly(body) if plainly else None
                return view(judge(schema, body) if loaded is None else loaded, **kwargs)

            parameter = {"in": "json", "required": required, "schema": schema, "example": example}
            _documentation(with_body)["arguments"] = {"parameters": [parameter], "responses": {}}
            return with_body

        return decorate

    def response(
        self,
        status: int,
        schema: type[Schema] | dict[str, Any] | None = None,
        *,
        example: Any = None,
        headers: dict[str, Any] | None = None,
        description: str | None = None,
        content_type: str | None = None,
    ) -> Callable[[View], View]:
        """Document a good answer; of several with one status, the topmost comes first.

        :param content_type: None where it is JSON
        """
        described = {"schema": schema, "example": example, "headers": headers}
        answer = {name: value for name, value in described.items() if value is not None}
        answer |= {"description": description or HTTPStatus(status).phrase, "content_type": content_type}

        def document(view: View) -> View:
            responses = _documentation(view).setdefault("response", {}).setdefault("responses", {})
            responses.setdefault(status, []).append(answer)
            return view

        return document

    def open(self, view: View) -> View:
        """Let anyone call this operation, and caches keep its answers."""
        return self._open(view, OPEN)

    def open_by_link(self, view: View) -> View:
        """Let whoever holds a link call this operation: the view checks the link's token."""
        return self._open(view, OPEN_BY_LINK)

    def _open(self, view: View, access: str) -> View:
        _documentation(view)["manual_doc"] = {"security": []}
        return allow(view, access)

    def register_views_in_doc(self, *args: Any, **kwargs: Any) -> None:
        """Document the views from a copy, since apispec changes what it is given."""
        kept = self.__dict__["_docs"]
        self.__dict__["_docs"] = {
            endpoint: {name: dict(said) if isinstance(said, dict) else said for name, said in by_method.items()}
            for endpoint, by_method in kept.items()
        }
        try:
            super().register_views_in_doc(*args, **kwargs)
        finally:
            self.__dict__["_docs"] = kept

    def problems(self, *kinds: type[Problem]) -> Callable[[View], View]:
        """Document the problems that an operation can answer."""
        by_status: dict[int, list[type[Problem]]] = {}
        answered: list[type[Problem]] = [*kinds, InternalError]
        for kind in answered:
            by_status.setdefault(kind.status, []).append(kind)
        self.problem_groups += by_status.values()

        def document(view: View) -> View:
            responses = _documentation(view).setdefault("response", {}).setdefault("responses", {})
            responses.update({status: [response_name(kinds)] for status, kinds in by_status.items()})
            return view

        return document

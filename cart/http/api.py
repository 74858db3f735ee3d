"""flask-smorest's API of this service: its OpenAPI document, and its answers to errors."""

from functools import cached_property
from threading import RLock
from typing import Any

from apispec import APISpec
from flask import Flask, Response
from flask_smorest import Api, Blueprint
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from cart.errors import Problem
from cart.http import json
from cart.http.headers import define_headers
from cart.http.operations import OperationPlugin
from cart.http.problem_docs import define_problems
from cart.http.problems import ProblemInPath, problem_of, respond_to_problem


class CartApi(Api):
    """flask-smorest's Api with RFC 9457 problems, which makes the OpenAPI document at its first request.

    To document the operations takes longer than all other work of ``create_app``, and most Lambda functions never
    serve the document.
    """

    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation lists its own

    def __init__(self, app: Flask) -> None:
        self._undocumented: list[Blueprint] = []
        self._documenting = RLock()
        super().__init__(app, spec_kwargs={"extra_plugins": [OperationPlugin()]})
        app.register_error_handler(Problem, respond_to_problem)
        self.register_field(fields.Integer, "integer", "int32")  # int64 where the field's metadata says so
        self.register_field(fields.Decimal, "number", "double")
        self.ma_plugin.converter.add_attribute_function(_nullable_enum)

    def register_blueprint(self, blueprint: Blueprint) -> None:
        """Register the routes of a blueprint; its documentation is made when ``spec`` is first read."""
        self._app.register_blueprint(blueprint)
        self._undocumented.append(blueprint)

    @property
    def spec(self) -> APISpec:
        """The OpenAPI document."""
        with self._documenting:
            while self._undocumented:
                self._document(self._undocumented.pop(0))
        return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def document_of(self, address: str) -> str:
        """Return the JSON text of the OpenAPI document of the service at an address.

        :param address: the URL below which the paths are, without a slash at its end
        """
        return f'{{"servers": [{{"url": {json.dumps(address)}}}], {self._members}'

    @cached_property
    def _members(self) -> str:
        """The JSON text of the document's members but its servers, with the closing brace."""
        members = self.spec.to_dict()
        del members["servers"]
        return json.dumps(members)[1:]

    def _document(self, blueprint: Blueprint) -> None:
        if not self._spec.components.headers:  # this is the first blueprint
            define_headers(self._spec.components)
        for kinds in getattr(blueprint, "problem_groups", []):
            define_problems(self._spec.components, kinds)
        blueprint.register_views_in_doc(self, self._app, self._spec, name=blueprint.name, parameters=None)
        self._spec.tag({"name": blueprint.name, "description": blueprint.description})

    def _register_responses(self) -> None:
        """Do nothing: no operation refers to the responses of flask-smorest."""

    def _register_etag_headers(self) -> None:
        """Do nothing: the document has this service's headers, not those of flask-smorest's ETags."""

    def _register_pagination_header(self) -> None:
        """Do nothing: no operation uses flask-smorest's pagination."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an error of Flask or Werkzeug as ``application/problem+json``."""
        if isinstance(error, ProblemInPath):
            return respond_to_problem(error.problem)
        response = respond_to_problem(problem_of(error))
        if allow := getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(allow))
        return response


def _nullable_enum(_converter: Any, _field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """Return an enum that can be null as an enum or null, since clients read a null in an enum in different ways."""
    if None not in ret.get("enum", ()):
        return {}
    values = [value for value in ret.pop("enum") if value is not None]
    return {"anyOf": [{"type": ret.pop("type")[0], "enum": values}, {"type": "null"}]}

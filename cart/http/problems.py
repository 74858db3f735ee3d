"""RFC 9457 problems: the handler of every error, and the documentation of the problems of each operation."""

import inspect
import re
from functools import cached_property
from threading import RLock
from typing import Any

from apispec import APISpec
from flask import Flask, Response, current_app, request
from flask_smorest import Api, Blueprint
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from cart.context import request_id
from cart.errors import BadRequest, BodyTooLarge, InternalError, MethodNotAllowed, NotFound, Problem
from cart.http import json
from cart.http.headers import REQUEST_ID, define_headers
from cart.http.operations import OperationPlugin
from cart.messages import INT32, Message

PROBLEM_JSON = "application/problem+json"
PROBLEM_BY_STATUS: dict[int, type[Problem]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
}


# JSON Schemas of the members of all problems, beside `type` (RFC 9457, "Problem Details for HTTP APIs")
MEMBERS = {
    "title": {"type": "string", "description": "The same for all problems of a type"},
    "status": INT32,
    "detail": {"type": "string", "description": "What happened and what to do, for developers"},
    "instance": {"type": "string", "description": "The request id, which the log lines contain too"},
}
ERROR_CODE = {
    "type": "object",
    "description": "The code of a message, by which a front end can show a text of its own",
    "properties": {
        "code": {"type": "string", "examples": ["out-of-range"], "description": "Stable name of the message"},
        "params": {
            "type": "object",
            "additionalProperties": True,
            "examples": [{"min": 1, "max": 999}],
            "description": "The values in the message",
        },
    },
    "required": ["code", "params"],
}


class ProblemInPath(HTTPException):
    """A problem that a converter raises. Werkzeug passes on only its own exceptions from a converter."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.code = problem.status  # without a code, Flask would use the exception as the response
        self.problem = problem


def _nullable_enum(_converter: Any, _field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """Return an enum that can be null as an enum or null, since clients read a null in an enum in different ways."""
    if None not in ret.get("enum", ()):
        return {}
    values = [value for value in ret.pop("enum") if value is not None]
    return {"anyOf": [{"type": ret.pop("type")[0], "enum": values}, {"type": "null"}]}


def schema_name(kinds: list[type[Problem]]) -> str:
    """Return the name of the schema of a response in the OpenAPI document."""
    return f"{response_name(kinds)}Problem"


def response_name(kinds: list[type[Problem]]) -> str:
    """Return the name of a response in the OpenAPI document.

    :param kinds: the problems that it can be, all of one status
    """
    return "Or".join(kind.__name__ for kind in kinds)


class ProblemApi(Api):
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
            self._document_problems(kinds)
        blueprint.register_views_in_doc(self, self._app, self._spec, name=blueprint.name, parameters=None)
        self._spec.tag({"name": blueprint.name, "description": blueprint.description})

    def _document_problems(self, kinds: list[type[Problem]]) -> None:
        name, components = response_name(kinds), self._spec.components
        schemas = {"ErrorCode": ERROR_CODE} | {schema_name([kind]): _schema(kind) for kind in kinds}
        if len(kinds) > 1:
            schemas[schema_name(kinds)] = _one_of(kinds)
        for schema, definition in schemas.items():
            if schema not in components.schemas:
                components.schema(schema, definition)
        if name not in components.responses:
            components.response(name, _response(kinds), lazy=True)

    def _register_responses(self) -> None:
        """Do nothing: no operation refers to the responses of flask-smorest."""

    def _register_etag_headers(self) -> None:
        """Do nothing: the document has this service's headers, not those of flask-smorest's ETags."""

    def _register_pagination_header(self) -> None:
        """Do nothing: no operation uses flask-smorest's pagination."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an error of Flask, Werkzeug or webargs as ``application/problem+json``."""
        if isinstance(error, ProblemInPath):
            return respond_to_problem(error.problem)
        response = respond_to_problem(_as_problem(error))
        if allow := getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(allow))
        return response


def respond_to_problem(problem: Problem) -> Response:
    """Return a problem as an ``application/problem+json`` answer."""
    head = {"type": problem.type, "title": problem.title, "status": problem.status}
    body = head | {"detail": problem.detail, "instance": request_id()} | problem.members
    return Response(current_app.json.dumps(body), problem.status, problem.headers, mimetype=PROBLEM_JSON)


def _as_problem(error: HTTPException) -> Problem:
    """Return the problem for an error of Flask, Werkzeug or webargs."""
    status = error.code or 500
    if status == 404 and (encoded_slash := _encoded_slash()):
        return encoded_slash
    problem = PROBLEM_BY_STATUS.get(status, BadRequest if status < 500 else InternalError)()
    problem.status = status
    return problem


def _encoded_slash() -> NotFound | None:
    """Return the problem of a path with ``%2F``, where the server passes on the path as it was sent."""
    path = request.environ.get("RAW_URI", "").partition("?")[0].lower()
    if "%2f" not in path:
        return None
    is_in_user_id = re.search("/cart/[^/]*%2f", path)
    message = Message("Must be one path segment: it has no '/', plain or percent-encoded.", "not-one-path-segment")
    return NotFound(
        "No route has this path. It has an encoded slash (%2F), which separates segments as a plain one does.",
        {"user_id": [message]} if is_in_user_id else None,
    )


def _example(kind: type[Problem]) -> dict[str, Any]:
    head = {"type": kind.type, "title": kind.title, "status": kind.status}
    return head | {"detail": kind.detail, "instance": "5f2c9e1b7a604f0d"} | kind.example


def _path(schema: str) -> str:
    return f"#/components/schemas/{schema}"


def _schema(kind: type[Problem]) -> dict[str, Any]:
    properties = {"type": {"type": "string", "enum": [kind.type]}} | MEMBERS | kind.member_schemas
    description = inspect.cleandoc(kind.__doc__ or "")
    required = [name for name in properties if name not in kind.optional_members]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _one_of(kinds: list[type[Problem]]) -> dict[str, Any]:
    paths = {kind.type: _path(schema_name([kind])) for kind in kinds}
    return {
        "oneOf": [{"$ref": path} for path in paths.values()],
        "discriminator": {"propertyName": "type", "mapping": paths},
    }


def _response(kinds: list[type[Problem]]) -> dict[str, Any]:
    examples = {kind.__name__: {"value": _example(kind)} for kind in kinds}
    names = {name for kind in kinds for name in (*kind.headers, *kind.optional_headers)}
    return {
        "description": " Or: ".join(inspect.cleandoc(kind.__doc__ or "") for kind in kinds),
        "content": {PROBLEM_JSON: {"schema": {"$ref": _path(schema_name(kinds))}, "examples": examples}},
        "headers": {name: name for name in sorted(names | {REQUEST_ID})},
    }

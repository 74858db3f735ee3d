"""RFC 9457 problems: the handler of every error, and the documentation of the problems of each operation."""

import inspect
from threading import RLock
from typing import Any

from apispec import APISpec
from flask import Flask, Response, current_app, request
from flask_smorest import Api, Blueprint
from marshmallow import INCLUDE, Schema, fields
from werkzeug.exceptions import HTTPException

from cart.context import request_id
from cart.errors import BadRequest, BodyTooLarge, InternalError, MethodNotAllowed, NotFound, Problem

PROBLEM_JSON = "application/problem+json"
FOR_STATUS: dict[int, type[Problem]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
}


class ProblemSchema(Schema):
    """RFC 9457, "Problem Details for HTTP APIs"."""

    class Meta:
        unknown = INCLUDE  # a problem may have further members

    type = fields.String(required=True, metadata={"format": "uri", "description": "Stable name of the problem"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True, metadata={"description": "The request id, as in the logs"})
    errors = fields.Dict(
        keys=fields.String(), values=fields.List(fields.String()), metadata={"description": "Field to messages"}
    )


_documented: dict[str, list[type[Problem]]] = {}  # what the operations refer to, by the name of the reference


def problem_reference(kinds: list[type[Problem]]) -> str:
    """The name, in the OpenAPI document, of the response that is one of these problems of one status."""
    name = "Or".join(kind.__name__ for kind in kinds)
    _documented[name] = kinds
    return name


class ProblemApi(Api):
    """flask-smorest's Api, whose errors are RFC 9457 problems, and whose document is not made before it is asked for.

    Documenting the operations takes longer than all else that happens when an app is made, and a function on Lambda
    that starts is not going to be asked for the document.
    """

    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation names its own

    def __init__(self, app: Flask) -> None:
        self._undocumented: list[Blueprint] = []
        self._documenting = RLock()
        super().__init__(app)

    def register_blueprint(self, blueprint: Blueprint) -> None:
        """Register its routes now, and its documentation when that is first asked for."""
        self._app.register_blueprint(blueprint)
        self._undocumented.append(blueprint)

    @property
    def spec(self) -> APISpec:
        """The OpenAPI document."""
        with self._documenting:
            if self._undocumented:
                self._register_problems()
            while self._undocumented:
                blueprint = self._undocumented.pop(0)
                blueprint.register_views_in_doc(self, self._app, self._spec, name=blueprint.name, parameters=None)
                self._spec.tag({"name": blueprint.name, "description": blueprint.description})
        return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def _register_problems(self) -> None:
        for name, kinds in _documented.items():
            self._spec.components.response(name, _response(kinds), lazy=True)

    def _register_responses(self) -> None:
        """Not flask-smorest's, which no operation refers to."""

    def _register_pagination_header(self) -> None:
        """Nothing here is in pages."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer any error of Flask, Werkzeug, webargs or our own as ``application/problem+json``."""
        problem = error if isinstance(error, Problem) else _as_problem(error)
        of_this_one = {"status": problem.code, "detail": problem.description, "instance": request_id()}
        body = problem.head() | of_this_one | problem.members
        response = Response(current_app.json.dumps(body), problem.code, problem.headers, mimetype=PROBLEM_JSON)
        if allow := getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(sorted(allow))
        return response


def _as_problem(error: HTTPException) -> Problem:
    """One of ours for one of Werkzeug's."""
    status = error.code or 500
    if status == 404 and f"{request.path}/".startswith("/cart/"):
        return NotFound(
            f"{NotFound.title}. (A user_id is one path segment: it has no '/', plain or percent-encoded.)",
            {"user_id": ["Must be one path segment of 1 to 128 characters, if this was meant to be one."]},
        )
    problem = FOR_STATUS.get(status, BadRequest if status < 500 else InternalError)()
    problem.code = status
    return problem


def _response(kinds: list[type[Problem]]) -> dict[str, Any]:
    examples = {kind.__name__: {"value": kind.documented()} for kind in kinds}
    headers = {name: {"schema": {"type": "string"}, "example": text} for name, text in kinds[0].headers.items()}
    return {
        "description": " Or: ".join(inspect.cleandoc(kind.__doc__ or "") for kind in kinds),
        "content": {PROBLEM_JSON: {"schema": ProblemSchema, "examples": examples}},
        **({"headers": headers} if headers else {}),
    }

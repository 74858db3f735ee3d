"""The error tree, and the one handler that turns every error into an RFC 9457 problem."""

import inspect
import re
from threading import RLock
from typing import Any

from apispec import APISpec
from flask import Flask, Response, current_app, request
from flask_smorest import Api, Blueprint
from marshmallow import INCLUDE, Schema, fields
from werkzeug.exceptions import HTTPException

from cart.observability import request_id

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 1


class Problem(HTTPException):
    """An error a client can see. ``type`` is ``urn:cart:problem:`` and the class name in kebab case.

    :cvar detail: what happened and what to do, for the developer who calls the API; never the title again
    :param detail: the same, where more is known
    :param errors: field name to messages
    :param extra: further members of the problem, such as ``limit``
    """

    code: int
    title: str
    detail: str
    example: dict[str, Any] = {}
    headers: dict[str, str] = {}

    def __init__(self, detail: str = "", errors: dict[str, list[str]] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.detail)
        self.members = extra | ({"errors": errors} if errors else {})

    @classmethod
    def head(cls) -> dict[str, Any]:
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        return {"type": f"urn:cart:problem:{name}", "title": cls.title, "status": cls.code}

    @classmethod
    def documented(cls) -> dict[str, Any]:
        """An example of the body, for OpenAPI."""
        return cls.head() | {"detail": cls.detail, "instance": "5f2c9e1b7a604f0d"} | cls.example


class MalformedJson(Problem):
    """The body is not UTF-8 JSON."""

    code = 400
    title = "The body is not JSON"
    detail = "The body cannot be read as JSON. Send one JSON object, encoded as UTF-8."
    example = {"detail": "Expecting value: line 1 column 14 (char 13)", "errors": {"body": ["Not valid JSON."]}}


class BadRequest(Problem):
    """The HTTP request itself cannot be read."""

    code = 400
    title = "Bad request"
    detail = "The HTTP request cannot be read. Check its path, its headers and its body."


class Unauthenticated(Problem):
    """Nobody is calling, or with a token that does not hold."""

    code = 401
    title = "Say who you are"
    detail = "No valid token came with this request. Send `Authorization: Bearer` and a token."
    headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """The caller may not touch this. It says nothing of whether it exists."""

    code = 403
    title = "Not yours"
    detail = "The token gives no right to this cart. Use a token of its owner, or one with the admin scope."


class NotFound(Problem):
    """No route has this path."""

    code = 404
    title = "Nothing is served at this path"
    detail = "No route has this path. All paths are listed in openapi.json."


class LineNotFound(Problem):
    """The cart, or what is saved, has no live line of this product."""

    code = 404
    title = "No such line"
    detail = "There is no line of this product. Read the cart to see its lines."
    example = {"detail": "The cart has no line of product 42."}


class ProductNotFound(Problem):
    """The catalogue does not know the product."""

    code = 404
    title = "No such product"
    detail = "The catalogue has no product of this id. Check product_id."
    example = {"detail": "The catalogue has no product 42."}


class ShareNotFound(Problem):
    """The link is not known, or revoked, or has expired."""

    code = 404
    title = "No such link"
    detail = "The link is unknown, revoked or expired. Ask the owner of the cart for another."


class JobNotFound(Problem):
    """No such job, or it is older than 7 days."""

    code = 404
    title = "No such job"
    detail = "This product has no price change of this id, or it is older than 7 days."


class MethodNotAllowed(Problem):
    """The path is served, but not with this method. ``Allow`` lists those it has."""

    code = 405
    title = "Method not allowed"
    detail = "This path is served with other methods, which the header Allow lists."


class NotAcceptable(Problem):
    """``Accept`` allows neither JSON nor CSV."""

    code = 406
    title = "Only JSON or CSV is to be had"
    detail = "Accept application/json or text/csv."
    headers = {"Vary": "Accept"}
    example = {"errors": {"Accept": ["Must allow application/json or text/csv."]}}


class LinesLimit(Problem):
    """The cart, or what is saved, would have more lines than ``CART_MAX_LINES``; nothing was changed."""

    code = 409
    title = "Too many products in one cart"
    detail = "The list has as many lines as it may have. Remove a line before you add another product."
    example = {"detail": "The cart has 100 lines, the most that it may have.", "limit": 100}


class QuantityLimit(Problem):
    """The line would hold more units than ``CART_MAX_QUANTITY``; nothing was changed."""

    code = 409
    title = "Too many units of one product"
    detail = "The line would hold more units than allowed. Use a smaller quantity."
    example = {
        "detail": "The line holds 998 units; 2 more would exceed the limit.",
        "errors": {"quantity": ["At most 1 more."]},
        "limit": 999,
        "quantity": 998,
    }


class InsufficientStock(Problem):
    """The line would hold more units than the catalogue has in stock; nothing was changed."""

    code = 409
    title = "Not enough in stock"
    detail = "The line would hold more units than are in stock. Use a smaller quantity."
    example = {
        "detail": "There are 3 units in stock, and the line holds 2.",
        "errors": {"quantity": ["At most 1 more."]},
        "available": 3,
    }


class NoCatalog(Problem):
    """The service runs without a catalogue (``CATALOG_URL``), so there is nothing to check a cart against."""

    code = 409
    title = "There is no catalogue"
    detail = "The service has no products service to ask. Set CATALOG_URL to the base URL of yours and start it again."


class VersionConflict(Problem):
    """``If-Match`` names another version than the one that is there; nothing was changed."""

    code = 412
    title = "It has changed since you read it"
    detail = "If-Match names another version than `current`, which is what is there now. Decide anew, with its ETag."
    example = {"current": None}


class BodyTooLarge(Problem):
    """The body is larger than 64 KiB."""

    code = 413
    title = "The body is too large"
    detail = "A body is at most 65536 bytes."
    example = {"errors": {"body": ["At most 65536 bytes."]}}


class UnsupportedMediaType(Problem):
    """The body is not declared as ``application/json``."""

    code = 415
    title = "The body must be application/json"
    detail = "Send Content-Type: application/json."
    example = {"errors": {"Content-Type": ["Must be application/json."]}}


class InvalidInput(Problem):
    """A field of the path or the body is missing, unknown or out of bounds."""

    code = 422
    title = "A field is not valid"
    detail = "The member `errors` names each field that is not valid, and says what it must be."
    example = {"detail": "Not valid: quantity.", "errors": {"quantity": ["Must be at least 1."]}}


class IdempotencyKeyReused(Problem):
    """The ``Idempotency-Key`` came before with another request; nothing was changed."""

    code = 422
    title = "This Idempotency-Key belongs to another request"
    detail = "The key was sent in the last 24 hours with another request. Use a new key for each new request."


class Throttled(Problem):
    """DynamoDB throttles this table or key. Nothing was changed by the request that was refused."""

    code = 429
    title = "Too many requests, try again shortly"
    detail = "DynamoDB limits the requests to this cart or its table. Send the request again in a few seconds."
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class InternalError(Problem):
    """A defect of the service."""

    code = 500
    title = "Internal error"
    detail = "The service has a defect. Report it with the `instance`, under which the log has the cause."


class Unavailable(Problem):
    """DynamoDB cannot be reached, or does not answer in time."""

    code = 503
    title = "The cart store is not available, try again shortly"
    detail = "DynamoDB cannot be reached or does not answer in time. Send the request again in a few seconds."
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class CatalogUnavailable(Unavailable):
    """The catalogue cannot be reached, does not answer in time, or answers what it should not."""

    title = "The catalogue is not available, try again shortly"
    detail = "The products service gives no valid answer in time. Send the request again in a few seconds."


class OutcomeUnknown(Unavailable):
    """The answer to a change was lost: it may have been made. Read the cart before sending it again."""

    title = "The change may or may not have been made"
    detail = "The answer of DynamoDB to this change was lost. Read the cart before you send the request again."


# What an operation can answer beside its own problems: one that is closed, reads a JSON body, or calls DynamoDB
CALLER = (Unauthenticated, Forbidden)
BODY = (MalformedJson, BodyTooLarge, UnsupportedMediaType, InvalidInput)
STORE = (Throttled, Unavailable)

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
            "No route has this path. A user_id is one path segment: it has no '/', plain or percent-encoded.",
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

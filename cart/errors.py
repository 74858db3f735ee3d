"""The error tree, and the one handler that turns every error into an RFC 9457 problem."""

import re
from typing import Any

from werkzeug.exceptions import HTTPException

RETRY_AFTER_SECONDS = 1


class Problem(HTTPException):
    """An error a client can see. ``type`` is ``urn:cart:problem:`` and the class name in kebab case.

    :param detail: a sentence for the developer who calls the API
    :param errors: field name to messages
    :param extra: further members of the problem, such as ``limit``
    """

    code: int
    title: str
    example: dict[str, Any] = {}
    headers: dict[str, str] = {}

    def __init__(self, detail: str = "", errors: dict[str, list[str]] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.members = extra | ({"errors": errors} if errors else {})

    @classmethod
    def head(cls) -> dict[str, Any]:
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        return {"type": f"urn:cart:problem:{name}", "title": cls.title, "status": cls.code}

    @classmethod
    def documented(cls) -> dict[str, Any]:
        """An example of the body, for OpenAPI."""
        return cls.head() | {"detail": cls.title, "instance": "5f2c9e1b7a604f0d"} | cls.example


class MalformedJson(Problem):
    """The body is not UTF-8 JSON."""

    code = 400
    title = "The body is not JSON"
    example = {"detail": "Expecting value: line 1 column 14 (char 13)", "errors": {"body": ["Not valid JSON."]}}


class BadRequest(Problem):
    """The HTTP request itself cannot be read."""

    code = 400
    title = "Bad request"


class Unauthenticated(Problem):
    """Nobody is calling, or with a token that does not hold."""

    code = 401
    title = "Say who you are"
    headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """The caller may not touch this. It says nothing of whether it exists."""

    code = 403
    title = "Not yours"


class NotFound(Problem):
    """No route has this path."""

    code = 404
    title = "Nothing is served at this path"


class LineNotFound(Problem):
    """The cart, or what is saved, has no live line of this product."""

    code = 404
    title = "No such line"
    example = {"detail": "The cart has no line of product 42."}


class ProductNotFound(Problem):
    """The catalogue does not know the product."""

    code = 404
    title = "No such product"
    example = {"detail": "The catalogue has no product 42."}


class ShareNotFound(Problem):
    """The link is not known, or revoked, or has expired."""

    code = 404
    title = "No such link"


class JobNotFound(Problem):
    """No such job, or it is older than 7 days."""

    code = 404
    title = "No such job"


class MethodNotAllowed(Problem):
    """The path is served, but not with this method. ``Allow`` lists those it has."""

    code = 405
    title = "Method not allowed"


class NotAcceptable(Problem):
    """``Accept`` allows neither JSON nor CSV."""

    code = 406
    title = "Only JSON or CSV is to be had"
    headers = {"Vary": "Accept"}
    example = {
        "detail": "Accept application/json or text/csv.",
        "errors": {"Accept": ["Must allow application/json or text/csv."]},
    }


class LinesLimit(Problem):
    """The cart, or what is saved, would have more lines than ``CART_MAX_LINES``; nothing was changed."""

    code = 409
    title = "Too many products in one cart"
    example = {"detail": "The cart has 100 lines, the most that it may have.", "limit": 100}


class QuantityLimit(Problem):
    """The line would hold more units than ``CART_MAX_QUANTITY``; nothing was changed."""

    code = 409
    title = "Too many units of one product"
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
    example = {
        "detail": "There are 3 units in stock, and the line holds 2.",
        "errors": {"quantity": ["At most 1 more."]},
        "available": 3,
    }


class NoCatalog(Problem):
    """The service runs without a catalogue (``CATALOG_URL``), so there is nothing to check a cart against."""

    code = 409
    title = "There is no catalogue"


class VersionConflict(Problem):
    """``If-Match`` names another version than the one that is there; nothing was changed."""

    code = 412
    title = "It has changed since you read it"
    example = {"detail": "It has changed since you read it.", "current": None}


class BodyTooLarge(Problem):
    """The body is larger than 64 KiB."""

    code = 413
    title = "The body is too large"
    example = {"detail": "A body is at most 65536 bytes.", "errors": {"body": ["At most 65536 bytes."]}}


class UnsupportedMediaType(Problem):
    """The body is not declared as ``application/json``."""

    code = 415
    title = "The body must be application/json"
    example = {
        "detail": "Send Content-Type: application/json.",
        "errors": {"Content-Type": ["Must be application/json."]},
    }


class InvalidInput(Problem):
    """A field of the path or the body is missing, unknown or out of bounds."""

    code = 422
    title = "A field is not valid"
    example = {"detail": "Not valid: quantity.", "errors": {"quantity": ["Must be at least 1."]}}


class IdempotencyKeyReused(Problem):
    """The ``Idempotency-Key`` came before with another request; nothing was changed."""

    code = 422
    title = "This Idempotency-Key belongs to another request"


class Throttled(Problem):
    """DynamoDB throttles this table or key. Nothing was changed by the request that was refused."""

    code = 429
    title = "Too many requests, try again shortly"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class InternalError(Problem):
    """A defect of the service."""

    code = 500
    title = "Internal error"


class Unavailable(Problem):
    """DynamoDB cannot be reached, or does not answer in time."""

    code = 503
    title = "The cart store is not available, try again shortly"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class CatalogUnavailable(Unavailable):
    """The catalogue cannot be reached, does not answer in time, or answers what it should not."""

    title = "The catalogue is not available, try again shortly"


class OutcomeUnknown(Unavailable):
    """The answer to a change was lost: it may have been made. Read the cart before sending it again."""

    title = "The change may or may not have been made"


# What an operation can answer beside its own problems: one that is closed, reads a JSON body, or calls DynamoDB
CALLER = (Unauthenticated, Forbidden)
BODY = (MalformedJson, BodyTooLarge, UnsupportedMediaType, InvalidInput)
STORE = (Throttled, Unavailable)

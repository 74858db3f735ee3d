"""Every problem that can be an answer to a client, as plain data. ``cart.http.problems`` turns them into answers."""

import re
from typing import Any

from cart.messages import FIELD_ERRORS, INT32, Errors, Message, members_by_field

RETRY_AFTER_SECONDS = 1


class Problem(Exception):
    """An error whose answer to the client is an RFC 9457 problem.

    :cvar status: HTTP status
    :cvar title: a short text, the same for all problems of a class
    :cvar type: ``urn:cart:problem:`` and the class name in kebab case, unless the class is given another one
    :cvar detail: what happened and what to do, for the developer who calls the API; does not repeat the title
    :cvar member_schemas: JSON Schemas of the members that a problem of the class has beside those of all problems
    :cvar optional_members: names of those members that are not always sent
    :cvar errors: messages by field name, if no others are given
    :cvar example: further members, or other values, in the example of the OpenAPI document
    :cvar headers: headers of the answer
    :cvar optional_headers: names of further headers, which are not always sent
    :param detail: a more precise text than the ``detail`` of the class
    :param errors: messages by field name, in place of the ``errors`` of the class
    :param members: further members of the answer, such as ``limit``
    """

    status: int
    title: str
    type: str
    detail: str
    member_schemas: dict[str, Any] = {}
    optional_members: tuple[str, ...] = ()
    errors: Errors = {}
    example: dict[str, Any] = {}
    headers: dict[str, str] = {}
    optional_headers: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        if "type" not in vars(cls):
            cls.type = f"urn:cart:problem:{re.sub(r'(?<!^)(?=[A-Z])', '-', cls.__name__).lower()}"

    def __init__(self, detail: str = "", errors: Errors | None = None, **members: Any) -> None:
        self.detail = detail or self.detail
        self.errors = errors or self.errors
        self.members = members | members_by_field(self.errors)
        super().__init__(self.detail)


class MalformedJson(Problem):
    """The body is not JSON in UTF-8, or not compressed as ``Content-Encoding`` says."""

    status = 400
    title = "The body is not JSON"
    detail = "The body cannot be read as JSON. Send one JSON object, encoded as UTF-8."
    member_schemas = FIELD_ERRORS
    errors = {"body": [Message("Not valid JSON.", "not-json")]}
    example = {"detail": "Expecting value: line 1 column 14 (char 13)"}


class BadRequest(Problem):
    """The HTTP request itself cannot be read."""

    status = 400
    title = "Bad request"
    detail = "The HTTP request cannot be read. Check its path, its headers and its body."
    member_schemas = FIELD_ERRORS
    optional_members = tuple(FIELD_ERRORS)


class Unauthenticated(Problem):
    """There is no token, or the token is not valid."""

    status = 401
    title = "Say who you are"
    detail = "No valid token came with this request. Send `Authorization: Bearer` and a token."
    headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """The caller may not access this cart or route. The answer does not tell whether it exists."""

    status = 403
    title = "Not yours"
    detail = "The token gives no right to this cart. Use a token of its owner, or one with the admin scope."


class NotFound(Problem):
    """No endpoint has this path."""

    status = 404
    title = "Nothing is served at this path"
    detail = "No route has this path. All paths are listed in openapi.json."


class LineNotFound(Problem):
    """The cart or the saved list has no line of this product, or the line has expired."""

    status = 404
    title = "No such line"
    detail = "There is no line of this product. Read the cart to see its lines."
    example = {"detail": "The cart has no line of product 42."}


class ProductNotFound(Problem):
    """The catalogue does not know the product."""

    status = 404
    title = "No such product"
    detail = "The catalogue has no product of this id. Check product_id."
    example = {"detail": "The catalogue has no product 42."}


class ShareNotFound(Problem):
    """The link is unknown, revoked or expired."""

    status = 404
    title = "No such link"
    detail = "The link is unknown, revoked or expired. Ask the owner of the cart for another."


class JobNotFound(Problem):
    """The product has no job with this id, or the job is older than 7 days."""

    status = 404
    title = "No such job"
    detail = "This product has no price change of this id, or it is older than 7 days."


class MethodNotAllowed(Problem):
    """The path does not have this method. The header ``Allow`` lists its methods."""

    status = 405
    title = "Method not allowed"
    detail = "This path is served with other methods, which the header Allow lists."


class NotAcceptable(Problem):
    """``Accept`` allows neither JSON nor CSV."""

    status = 406
    title = "Only JSON or CSV is to be had"
    detail = "Accept application/json or text/csv."
    headers = {"Vary": "Accept"}
    member_schemas = FIELD_ERRORS
    errors = {
        "Accept": [
            Message("Must allow application/json or text/csv.", "not-one-of", choices=["application/json", "text/csv"])
        ]
    }


class LinesLimit(Problem):
    """The cart or the saved list would have more than ``CART_MAX_LINES`` lines. Nothing was changed."""

    status = 409
    title = "Too many products in one cart"
    detail = "The list has as many lines as it may have. Remove a line before you add another product."
    member_schemas = {"limit": INT32 | {"description": "Lines that the list may have"}}
    example = {"detail": "The cart has 100 lines, the most that it may have.", "limit": 100}


class SharesLimit(Problem):
    """The cart would have more than ``CART_MAX_SHARES`` links. Nothing was changed."""

    status = 409
    title = "Too many links to one cart"
    detail = "The cart has as many links as it may have. Revoke a link before you make another."
    member_schemas = {"limit": INT32 | {"description": "Links that a cart may have"}}
    example = {"detail": "The cart has 100 links, the most that it may have.", "limit": 100}


class QuantityLimit(Problem):
    """The line would have more than ``CART_MAX_QUANTITY`` units. Nothing was changed."""

    status = 409
    title = "Too many units of one product"
    detail = "The line would hold more units than allowed. Use a smaller quantity."
    member_schemas = FIELD_ERRORS | {
        "limit": INT32 | {"description": "Units that a line may have"},
        "quantity": INT32 | {"description": "Units that the line has"},
    }
    example = {
        "detail": "The line holds 998 units; 2 more would exceed the limit.",
        **members_by_field({"quantity": [Message("At most 1 more.", "too-many", max=1)]}),
        "limit": 999,
        "quantity": 998,
    }


class InsufficientStock(Problem):
    """The line would have more units than are in stock, and more than it has now. Nothing was changed."""

    status = 409
    title = "Not enough in stock"
    detail = "The line would hold more units than are in stock. Use a smaller quantity."
    member_schemas = FIELD_ERRORS | {
        "available": INT32 | {"description": "Units in stock"},
        "quantity": INT32 | {"description": "Units that the line has; absent if it has none, or they are not known"},
    }
    optional_members = ("quantity",)
    example = {
        "detail": "There are 3 units in stock, and the line holds 2.",
        **members_by_field({"quantity": [Message("At most 1 more.", "too-many", max=1)]}),
        "available": 3,
        "quantity": 2,
    }


class ProductUnreadable(Problem):
    """The catalogue's data of this product cannot be understood. Nothing was changed. A repeat does not help."""

    status = 409
    title = "The product cannot be read"
    detail = "The catalogue's data of this product cannot be understood, and must be corrected there."
    example = {"detail": "The catalogue's data of product 42 cannot be understood, and must be corrected there."}


class NoCatalog(Problem):
    """The service has no catalogue, which it needs to validate a cart: ``CATALOG_URL`` is not set."""

    status = 409
    title = "There is no catalogue"
    detail = "The service has no products service to ask. Set CATALOG_URL to the base URL of yours and start it again."


class VersionConflict(Problem):
    """``If-Match`` names another version than the current one. Nothing was changed."""

    status = 412
    title = "It has changed since you read it"
    detail = "If-Match names another version than `current`, which is what is there now. Decide anew, with its ETag."
    optional_headers = ("ETag",)

    def __init__(self, current: Any = None, etag: str | None = None) -> None:
        """Make the problem.

        :param current: the line or the cart as it now is, or None if there is none
        :param etag: the ETag of ``current``, without quotes
        """
        super().__init__(current=current)
        if etag is not None:
            self.headers = {"ETag": f'"{etag}"'}


class LineVersionConflict(VersionConflict):
    """``If-Match`` names another version than the line's current one. Nothing was changed."""

    type = VersionConflict.type
    detail = "If-Match names another version than that of `current`, the line as it is now. Decide anew, with its ETag."
    member_schemas = {
        "current": {
            "anyOf": [{"$ref": "#/components/schemas/Line"}, {"type": "null"}],
            "description": "The line as it is now; null: it is not there any more",
        }
    }
    example = {"current": None}


class CartVersionConflict(VersionConflict):
    """``If-Match`` names another version than the cart's current one. Nothing was changed."""

    type = VersionConflict.type
    detail = "If-Match names another version than that of `current`, the cart as it is now. Decide anew, with its ETag."
    member_schemas = {"current": {"$ref": "#/components/schemas/Cart", "description": "The cart as it is now"}}
    example = {"current": {"user_id": "user123", "items": [], "total_items": 0, "total_price": 0, "price_changes": 0}}


class BodyTooLarge(Problem):
    """The body is larger than 64 KiB, as it is sent or after its ``Content-Encoding`` is decoded."""

    status = 413
    title = "The body is too large"
    detail = "A body is at most 65536 bytes."
    member_schemas = FIELD_ERRORS
    errors = {"body": [Message("At most 65536 bytes.", "too-many-bytes", max=65536)]}


class UnsupportedMediaType(Problem):
    """The header ``Content-Type: application/json`` is missing."""

    status = 415
    title = "The body must be application/json"
    detail = "Send Content-Type: application/json."
    member_schemas = FIELD_ERRORS
    errors = {"Content-Type": [Message("Must be application/json.", "not-one-of", choices=["application/json"])]}


class UnsupportedContentEncoding(Problem):
    """``Content-Encoding`` names another coding than ``gzip``. The header ``Accept-Encoding`` says what is valid."""

    status = 415
    title = "The body has an unknown coding"
    detail = "Send the body as it is, or compressed and with Content-Encoding: gzip."
    headers = {"Accept-Encoding": "gzip"}
    member_schemas = FIELD_ERRORS
    errors = {"Content-Encoding": [Message("Must be gzip or identity.", "not-one-of", choices=["gzip", "identity"])]}


class InvalidInput(Problem):
    """A field of the path or the body is missing, unknown or outside its limits."""

    status = 422
    title = "A field is not valid"
    detail = "The member `errors` names each field that is not valid, and says what it must be."
    member_schemas = FIELD_ERRORS
    example = {
        "detail": "Not valid: price.",
        **members_by_field({"price": [Message("Must have at most 2 decimals.", "too-many-decimals", max=2)]}),
    }

    def __init__(self, errors: Errors) -> None:
        """Make the problem, whose ``detail`` has the names of the fields."""
        super().__init__(f"Not valid: {', '.join(errors)}.", errors)


class IdempotencyKeyReused(Problem):
    """The ``Idempotency-Key`` was used before with another request. Nothing was changed."""

    status = 422
    title = "This Idempotency-Key belongs to another request"
    detail = "The key was sent in the last 24 hours with another request. Use a new key for each new request."


class Throttled(Problem):
    """DynamoDB limits the rate of requests. Nothing was changed, but a clear may be half done."""

    status = 429
    title = "Too many requests, try again shortly"
    detail = "DynamoDB limits the requests to this cart or its table. Send the request again in a few seconds."
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class InternalError(Problem):
    """The service has a defect. Its log has the details under the request id."""

    status = 500
    title = "Internal error"
    detail = "The service has a defect. Report it with the `instance`, under which the log has the cause."


class Unavailable(Problem):
    """DynamoDB cannot be reached, or is too slow. Nothing was changed, but a clear may be half done."""

    status = 503
    title = "The cart store is not available, try again shortly"
    detail = "DynamoDB cannot be reached or does not answer in time. Send the request again in a few seconds."
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class CatalogUnavailable(Unavailable):
    """The catalogue cannot be reached, is too slow, fails, or refuses the service's token. Nothing was changed."""

    title = "The catalogue is not available, try again shortly"
    detail = "The products service gives no answer in time. Send the request again in a few seconds."


class OutcomeUnknown(Unavailable):
    """The answer to a change was lost, or it is half done. Repeat it with its ``Idempotency-Key``, or read the cart."""

    title = "The change may or may not have been made"
    detail = "The answer of DynamoDB to this change was lost. Read the cart before you send the request again."


# Problems that several operations share: if they check the caller, read a JSON body, or call DynamoDB
CALLER = (Unauthenticated, Forbidden)
BODY = (MalformedJson, BadRequest, BodyTooLarge, UnsupportedMediaType, UnsupportedContentEncoding, InvalidInput)
STORE = (Throttled, Unavailable)

"""The headers of requests and responses, as the OpenAPI document states them.

The document defines each header once in its components, under the header's name; operations refer to that.
"""

from typing import Any

from apispec.core import Components

from cart.http.schema import Constant

IF_MATCH = "If-Match"
IF_NONE_MATCH = "If-None-Match"
CONDITIONS = frozenset({IF_MATCH, IF_NONE_MATCH})
IDEMPOTENCY_KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
REQUEST_ID = "X-Request-ID"

_KEY = r'^("[\x20\x21\x23-\x5B\x5D-\x7E]{1,255}"|[A-Za-z0-9._~:/+=-]{1,255})$'
_ETAG = r'(W/)?"[^"]*"'

REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    IF_MATCH: {
        "description": "An ETag of what this operation changes. The change is made only if the ETag is still current; "
        "otherwise the answer is 412, with what is there now. Several ETags are separated by commas, and `*` stands "
        "for anything that exists.",
        "schema": {"type": "string", "pattern": rf"^(\*|{_ETAG}(, ?{_ETAG}){{0,49}})$"},
        "example": '"3"',
    },
    IF_NONE_MATCH: {
        "description": "The ETag of the cart as you have it. If it is still current, the answer is 304 without a body.",
        "schema": {"type": "string"},
        "example": '"5d41402abc4b2a76"',
    },
    IDEMPOTENCY_KEY: {
        "description": "A new key for each new change. A request with the same key and the same content within 24 "
        "hours is not carried out again: it gets the first answer, with `Idempotency-Replayed: true`. The same key "
        "with other content is a 422. Through a link, it must be a UUID, unless you send a bearer token too.",
        "schema": {"type": "string", "pattern": _KEY},
        "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    },
    REQUEST_ID: {
        "description": "An id of up to 128 letters, digits and `._:/+=@-`, under which the service's log and a "
        "problem's `instance` show the request. An id of another form is replaced.",
        "schema": {"type": "string"},
        "example": "5f2c9e1b7a604f0d",
    },
}
RESPONSE_HEADERS: dict[str, dict[str, Any]] = {
    REPLAYED: {
        "description": "Sent if the change was made by an earlier request with the same `Idempotency-Key`",
        "schema": {"type": "string", "enum": ["true"]},
    },
    REQUEST_ID: {"description": "The request's id, in the service's log too", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before the request is sent again",
        "schema": {"type": "integer", "format": "int32", "minimum": 0},
        "example": 1,
    },
    "WWW-Authenticate": {"description": "How to authenticate", "schema": {"type": "string"}, "example": "Bearer"},
    "ETag": {
        "description": "The version of what is there now, for the next `If-Match`; absent if there is nothing",
        "schema": {"type": "string"},
        "example": '"4"',
    },
    "Accept-Encoding": {
        "description": "The codings that the body of a request can have",
        "schema": {"type": "string"},
        "example": "gzip",
    },
    "Vary": {
        "description": "The headers of a request that select the format",
        "schema": {"type": "string"},
        "example": "Accept",
    },
}


def etag_of(resource: str) -> Constant:
    """Return the documentation of the header ``ETag``.

    :param resource: what the ETag is the version of, such as "the line"
    """
    description = f"The version of {resource}, for `If-Match`"
    return Constant(ETag={"schema": {"type": "string"}, "description": description, "example": '"3"'})


def location_of(resource: str) -> Constant:
    """Return the documentation of the header ``Location``."""
    return Constant(Location={"schema": {"type": "string", "format": "uri-reference"}, "description": resource})


def define_headers(components: Components) -> None:
    """Add the headers to the components of an OpenAPI document, each as soon as an operation refers to it."""
    for name, parameter in REQUEST_HEADERS.items():
        components.parameter(name, "header", parameter | {"name": name}, lazy=True)
    for name, header in RESPONSE_HEADERS.items():
        components.header(name, header, lazy=True)

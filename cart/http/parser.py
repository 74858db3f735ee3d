"""Read requests for ``@blueprint.arguments``: the JSON body, and the query string."""

from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any

from flask import Request, current_app, request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from cart.errors import (
    BadRequest,
    BodyTooLarge,
    InvalidInput,
    MalformedJson,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
)
from cart.http import json
from cart.http.json import MAX_BODY_BYTES
from cart.http.schema import JsonSchema
from cart.messages import Message

GZIP_MAGIC = b"\x1f\x8b"  # with which a gzip body begins, and JSON never (RFC 1952, section 2.3.1)


def give_argument(view: Callable[..., Any], schema: type[JsonSchema], location: str) -> Callable[..., Any]:
    """Return a view whose first argument is a part of the request, loaded by a schema.

    The decorator of webargs, which flask-smorest uses, looks at all its options at each request.

    :param schema: says whether unknown members are refused
    :param location: ``json``, ``query``, or ``optional_json``: a body that may be left out, which is then ``{}``
    """
    read = READERS[location]
    skips_empty_query = location == "query" and schema.empty_stays_empty

    @wraps(view)
    def with_argument(*args: Any, **kwargs: Any) -> Any:
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        if skips_empty_query and not current.environ.get("QUERY_STRING"):
            return view(*args, {}, **kwargs)
        body_or_query = read(current)
        try:
            argument = _instance(schema).load(body_or_query)
        except ValidationError as error:
            raise invalid_input(error.messages_dict) from None
        return view(*args, argument, **kwargs)

    return with_argument


def _json(req: Request) -> Any:
    """Return the JSON body.

    :raise UnsupportedMediaType: it is not declared as JSON
    :raise UnsupportedContentEncoding: it is compressed, but not by gzip
    :raise MalformedJson: it is not JSON
    :raise BodyTooLarge: it is over ``MAX_BODY_BYTES``
    """
    if req.environ.get("CONTENT_TYPE") != "application/json" and req.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        return json.loads(_read_body(req))
    except UnicodeDecodeError:
        raise MalformedJson("It is not UTF-8.") from None
    except ValueError as error:
        raise MalformedJson(str(error)) from None


def _optional_json(req: Request) -> Any:
    """Return the JSON body, or ``{}`` if the request has none."""
    has_body = req.environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in req.environ
    return _json(req) if has_body else {}


def _query(req: Request) -> dict[str, str]:
    """Return the parameters of the query.

    :raise InvalidInput: a parameter is given twice
    """
    if not req.environ.get("QUERY_STRING"):
        return {}
    once = Message("Must be given once.", "repeated")
    if repeated := {name: [once] for name, values in req.args.lists() if len(values) > 1}:
        raise InvalidInput(repeated)
    return req.args.to_dict()


READERS: dict[str, Callable[[Request], Any]] = {"json": _json, "optional_json": _optional_json, "query": _query}


def invalid_input(by_field: dict[str, Any]) -> InvalidInput:
    """Return the problem for input that a schema does not accept, of marshmallow's messages."""
    return InvalidInput(
        {("body" if name == "_schema" else name): _flat(messages) for name, messages in by_field.items()}
    )


def _instance(schema: type[Schema]) -> Schema:
    """Return this app's instance of a schema, whose limits are the app's settings."""
    instances: dict[type[Schema], Schema] = current_app.extensions.setdefault("cart_schemas", {})
    if schema not in instances:
        instances[schema] = schema()
    return instances[schema]


def _flat(messages: Any) -> list[Message]:
    """Return the messages of a field; for a list, marshmallow has them by position."""
    if isinstance(messages, dict):
        return list(dict.fromkeys(message for nested in messages.values() for message in _flat(nested)))
    return list(messages)


def _read_body(req: Request) -> bytes:
    """Return the body, without its ``Content-Encoding``."""
    try:
        body = req.get_data()
    except RequestEntityTooLarge:
        raise _too_large() from None
    except HTTPException:
        raise
    except Exception:  # gunicorn's, of a body whose chunks are malformed
        raise BadRequest("The body cannot be read.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    content_encoding = req.environ.get("HTTP_CONTENT_ENCODING")
    return _decode(body, content_encoding, "lambda.event" in req.environ) if content_encoding else body


def _decode(body: bytes, content_encoding: str, on_lambda: bool) -> bytes:
    """Return a body without its codings (RFC 9110, section 8.4).

    On Lambda, the body may be decoded already: API Gateway decodes gzip, and may leave the header as it is.

    :raise UnsupportedContentEncoding: the coding is not gzip
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings or (on_lambda and codings == ["gzip"] and not body.startswith(GZIP_MAGIC)):
        return body
    if codings not in (["gzip"], ["x-gzip"]):
        raise UnsupportedContentEncoding
    return _decompress(body)


def _decompress(body: bytes) -> bytes:
    """Return a body without gzip. No more than the limit is decompressed.

    :raise MalformedJson: the body is not gzip, or cut off
    :raise BodyTooLarge: it is over ``MAX_BODY_BYTES``
    """
    import gzip  # noqa: PLC0415 - few clients compress their bodies
    import zlib  # noqa: PLC0415

    try:
        decoded = gzip.GzipFile(fileobj=BytesIO(body)).read(MAX_BODY_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        message = Message("Not valid gzip, which Content-Encoding names.", "not-gzip")
        raise MalformedJson("It is not gzip, or cut off. Content-Encoding says gzip.", {"body": [message]}) from None
    if len(decoded) > MAX_BODY_BYTES:
        raise _too_large(" after its Content-Encoding is decoded")
    return decoded


def _too_large(when: str = "") -> BodyTooLarge:
    message = Message(f"At most {MAX_BODY_BYTES} bytes{when}.", "too-many-bytes", max=MAX_BODY_BYTES)
    return BodyTooLarge(message, {"body": [message]})

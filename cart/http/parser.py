"""Read requests for ``@blueprint.arguments``: the JSON body, and the query string."""

from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any

from flask import Request, current_app, request
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
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
from cart.messages import Errors, Message

NOT_JSON = Message("Not valid JSON.", "not-json")
NOT_JSON_TYPE = Message("Must be application/json.", "not-one-of", choices=["application/json"])
GZIP_MAGIC = b"\x1f\x8b"  # with which a gzip body begins, and JSON never (RFC 1952, section 2.3.1)


class RequestParser(FlaskParser):
    """webargs' parser with this service's JSON, limits and problems. A schema says whether it refuses other members."""

    def use_args(self, argmap: Any, req: Request | None = None, *, location: str | None = None, **_: Any) -> Any:
        """Return the decorator that gives a view a part of the request, loaded by a schema.

        webargs' own decorator looks at all its options at each request; this service uses none of them.

        :param location: ``json``, ``query``, or ``optional_json``: a body that may be left out, which is then ``{}``
        """
        read = READERS[str(location)]
        may_skip = location == "query" and argmap.loads_nothing

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def with_argument(*args: Any, **kwargs: Any) -> Any:
                current: Request = request._get_current_object()  # type: ignore[attr-defined]
                if may_skip and not current.environ.get("QUERY_STRING"):
                    return view(*args, {}, **kwargs)
                data = read(current)
                try:
                    loaded = _instance(argmap).load(data)
                except ValidationError as error:
                    raise invalid_input(error.messages_dict) from None
                return view(*args, loaded, **kwargs)

            return with_argument

        return decorate


def _json(req: Request) -> Any:
    """Return the JSON body.

    :raise UnsupportedMediaType: it is not declared as JSON
    :raise UnsupportedContentEncoding: it is compressed, but not by gzip
    :raise MalformedJson: it is not JSON
    :raise BodyTooLarge: it is over ``MAX_BODY_BYTES``
    """
    if req.environ.get("CONTENT_TYPE") != "application/json" and req.mimetype != "application/json":
        raise UnsupportedMediaType("Send Content-Type: application/json.", {"Content-Type": [NOT_JSON_TYPE]})
    try:
        return json.loads(_read_body(req))
    except UnicodeDecodeError:
        raise MalformedJson("It is not UTF-8.", {"body": [NOT_JSON]}) from None
    except ValueError as error:
        raise MalformedJson(str(error), {"body": [NOT_JSON]}) from None


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
        raise InvalidInput(f"Not valid: {', '.join(repeated)}.", repeated)
    return req.args.to_dict()


READERS: dict[str, Callable[[Request], Any]] = {"json": _json, "optional_json": _optional_json, "query": _query}


def invalid_input(by_field: dict[str, Any]) -> InvalidInput:
    """Return the problem for input that a schema does not accept, of marshmallow's messages."""
    errors: Errors = {("body" if name == "_schema" else name): _flat(messages) for name, messages in by_field.items()}
    return InvalidInput(f"Not valid: {', '.join(errors)}.", errors)


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
    """Return a body without its codings (RFC 9110, section 8.4). No more than the limit is decompressed.

    API Gateway decodes gzip, and may leave the header as it is: on Lambda, the body need not begin as gzip.

    :raise UnsupportedContentEncoding: the coding is not gzip
    :raise MalformedJson: the body is not gzip, or cut off
    :raise BodyTooLarge: it is over ``MAX_BODY_BYTES``
    """
    import gzip  # noqa: PLC0415 - few clients compress their bodies
    import zlib  # noqa: PLC0415

    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings or (on_lambda and codings == ["gzip"] and not body.startswith(GZIP_MAGIC)):
        return body
    if codings not in (["gzip"], ["x-gzip"]):
        message = Message("Must be gzip or identity.", "not-one-of", choices=["gzip", "identity"])
        raise UnsupportedContentEncoding("", {"Content-Encoding": [message]})
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

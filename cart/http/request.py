"""How values cross the wire: JSON in and out, and the parts of a URL."""

import hashlib
import json
import re
from typing import Any

from flask import Request, current_app, request
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import ETags
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from cart.dynamodb.idempotency import IdempotencyKey
from cart.dynamodb.rows import IfMatch
from cart.errors import BadRequest, BodyTooLarge, InvalidInput, MalformedJson, UnsupportedMediaType
from cart.http.json import MAX_BODY_BYTES

MAX_ETAGS = 50


def read_json() -> Any:
    """The body of the request.

    :raise UnsupportedMediaType: it is not declared as JSON
    :raise MalformedJson: it is none
    """
    if request.environ.get("CONTENT_TYPE") != "application/json" and request.mimetype != "application/json":
        raise UnsupportedMediaType(
            "Send Content-Type: application/json.", {"Content-Type": ["Must be application/json."]}
        )
    try:
        return current_app.json.loads(_read_body(request))
    except UnicodeDecodeError:
        raise MalformedJson("It is not UTF-8.", {"body": ["Not valid JSON."]}) from None
    except ValueError as error:
        raise MalformedJson(str(error), {"body": ["Not valid JSON."]}) from None


def has_body() -> bool:
    environ = request.environ
    return environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ


def instance_of(schema: type[Schema]) -> Schema:
    """Return this app's instance of a schema, which is made when it is first needed."""
    instances: dict[type[Schema], Schema] = current_app.extensions.setdefault("cart_schemas", {})
    if schema not in instances:
        instances[schema] = schema()
    return instances[schema]


def judge(schema: type[Schema], body: Any) -> Any:
    """The body as the schema loads it.

    :raise InvalidInput: with the messages of each field
    """
    try:
        return instance_of(schema).load(body)
    except ValidationError as error:
        by_field = error.messages_dict
        errors = {("body" if name == "_schema" else name): _all(messages) for name, messages in by_field.items()}
        raise InvalidInput(f"Not valid: {', '.join(errors)}.", errors) from None


def _all(messages: Any) -> list[str]:
    """The messages of a field; those of a list come by the places of its items."""
    if isinstance(messages, dict):
        return list(dict.fromkeys(message for one in messages.values() for message in _all(one)))
    return list(messages)


def _read_body(req: Request) -> bytes:
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
    return body


def _too_large() -> BodyTooLarge:
    message = f"At most {MAX_BODY_BYTES} bytes."
    return BodyTooLarge(message, {"body": [message]})


def idempotency_key(body: Any) -> IdempotencyKey | None:
    """Of the request with this body, as it was judged; or None where it has none.

    The form is a structured string ("The Idempotency-Key HTTP Header Field", an IETF draft).
    A key without its quotes, as many clients send it, is the same key.

    :raise InvalidInput: it is not of that form
    """
    header = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return None
    form = re.fullmatch(r'"([\x20\x21\x23-\x5B\x5D-\x7E]{1,255})"|([A-Za-z0-9._~:/+=-]{1,255})', header.strip())
    if not form:
        message = 'Must be a string of 1 to 255 characters in double quotes, such as "8e03978e-40d5-43e8-bc93".'
        raise InvalidInput("Not valid: Idempotency-Key.", {"Idempotency-Key": [message]})
    request_text = f"{request.method} {request.path} {json.dumps(body, sort_keys=True, default=str)}"
    return IdempotencyKey(hash_of(form[1] or form[2]), hash_of(request_text))


def hash_of(text: str) -> str:
    """SHA-256 in hexadecimal, of any text that JSON can bring, lone surrogates too."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def query_parameters() -> dict[str, str]:
    """:raise InvalidInput: one stands twice"""
    if twice := {name: ["Must be given once."] for name, values in request.args.lists() if len(values) > 1}:
        raise InvalidInput(f"Not valid: {', '.join(twice)}.", twice)
    return request.args.to_dict()


def asked_if_match() -> ETags | None:
    """``If-Match``, None where it is not sent.

    :raise InvalidInput: it cannot be read, and to go on without it would overwrite what the caller has not seen
    """
    if "HTTP_IF_MATCH" not in request.environ:
        return None
    if not request.if_match:
        raise InvalidInput("Not valid: If-Match.", {"If-Match": ["Must be ETags in double quotes, or *."]})
    return request.if_match


def line_versions() -> IfMatch:
    """The versions of a line that ``If-Match`` allows (RFC 9110, section 13.1.1), None where it is not sent.

    :raise InvalidInput: there are more than a condition of DynamoDB takes
    """
    if_match = asked_if_match()
    if if_match is None:
        return None
    if if_match.star_tag:
        return "*"
    versions = frozenset(int(tag) for tag in if_match.as_set() if tag and re.fullmatch(r"[0-9]{1,19}", tag))
    if len(versions) > MAX_ETAGS:
        raise InvalidInput("Not valid: If-Match.", {"If-Match": [f"At most {MAX_ETAGS} ETags."]})
    return versions

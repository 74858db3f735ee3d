"""Headers of a request: ``Idempotency-Key`` and ``If-Match``."""

import hashlib
import json
import re
from typing import Any

from flask import request
from werkzeug.datastructures import ETags

from cart.dynamodb.idempotency import IdempotencyKey
from cart.dynamodb.rows import IfMatch
from cart.errors import InvalidInput, Message

MAX_ETAGS = 50


def idempotency_key(body: Any) -> IdempotencyKey | None:
    """Return the request's ``Idempotency-Key`` and the fingerprint of the request, None if it has no key.

    The key is a structured string ("The Idempotency-Key HTTP Header Field", an IETF draft). Many clients send it
    without the quotes; that is the same key.

    :param body: as its schema loaded it
    :raise InvalidInput: the header has another form
    """
    header = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return None
    form = re.fullmatch(r'"([\x20\x21\x23-\x5B\x5D-\x7E]{1,255})"|([A-Za-z0-9._~:/+=-]{1,255})', header.strip())
    if not form:
        text = 'Must be a string of 1 to 255 characters in double quotes, such as "8e03978e-40d5-43e8-bc93".'
        raise InvalidInput(
            "Not valid: Idempotency-Key.", {"Idempotency-Key": [Message(text, "not-an-idempotency-key")]}
        )
    request_text = f"{request.method} {request.path} {json.dumps(body, sort_keys=True, default=str)}"
    return IdempotencyKey(hash_of(form[1] or form[2]), hash_of(request_text))


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal. The text may have lone surrogates, as JSON strings can."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def if_match_etags() -> ETags | None:
    """Return the ETags of ``If-Match``, None if the header is not sent.

    :raise InvalidInput: it cannot be read; ignoring it would overwrite a state that the caller has not seen
    """
    if "HTTP_IF_MATCH" not in request.environ:
        return None
    if not request.if_match:
        message = Message("Must be ETags in double quotes, or *.", "not-etags")
        raise InvalidInput("Not valid: If-Match.", {"If-Match": [message]})
    return request.if_match


def line_versions() -> IfMatch:
    """Return the versions of a line that ``If-Match`` allows (RFC 9110, section 13.1.1), None if it is not sent.

    :raise InvalidInput: it has more ETags than a condition of DynamoDB takes
    """
    if_match = if_match_etags()
    if if_match is None:
        return None
    if if_match.star_tag:
        return "*"
    versions = frozenset(int(tag) for tag in if_match.as_set() if tag and re.fullmatch(r"[0-9]{1,19}", tag))
    if len(versions) > MAX_ETAGS:
        message = Message(f"At most {MAX_ETAGS} ETags.", "too-many", max=MAX_ETAGS)
        raise InvalidInput("Not valid: If-Match.", {"If-Match": [message]})
    return versions

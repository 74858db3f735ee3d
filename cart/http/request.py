"""Headers of a request: ``Idempotency-Key``, ``If-Match`` and ``If-None-Match``."""

import hashlib
import json
import re
from typing import Any

from flask import current_app, request
from werkzeug.datastructures import ETags

from cart.dynamodb.idempotency import IdempotencyKey
from cart.dynamodb.rows import IfMatch
from cart.errors import InvalidInput
from cart.http.auth import GUEST, verified_subject
from cart.http.headers import CONDITIONS
from cart.messages import Message

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_ETAGS = 50
# RFC 9562, versions 1 to 8: neither the nil UUID nor an invented one
UUID = r"(?i:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"


def idempotency_key(body: Any, user_id: str, share_id: str | None = None) -> IdempotencyKey | None:
    """Return the request's ``Idempotency-Key`` and the fingerprint of the request, None if it has no key.

    The key is a structured string ("The Idempotency-Key HTTP Header Field", an IETF draft). Many clients send it
    without the quotes; that is the same key.

    :param body: as its schema loaded it
    :param user_id: the owner of the cart that is changed
    :param share_id: of the link by which the caller came, None for others
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
    return IdempotencyKey(_record_id(form[1] or form[2], user_id, share_id), hash_of(request_text))


def _record_id(key: str, user_id: str, share_id: str | None) -> str:
    """Return the hash by which a key's record is stored below the cart. Callers of one cart have their own records.

    The owner's hash is that of the key alone. Others are told apart by the link and by the subject of their token.

    :raise InvalidInput: nothing tells the caller from the other holders of a link but a key that they may use too
    """
    if share_id is None and GUEST.fullmatch(user_id):  # whoever knows its id is the owner
        return hash_of(key)
    subject = verified_subject()
    if share_id is None and subject in (None, user_id):
        return hash_of(key)
    if share_id and not subject and not re.fullmatch(UUID, key):
        text = "Must be a UUID, such as crypto.randomUUID() makes: everyone who has the link shares its keys."
        raise InvalidInput("Not valid: Idempotency-Key.", {"Idempotency-Key": [Message(text, "not-a-uuid")]})
    return hash_of(f"{key}\n{share_id or ''}\n{subject or ''}")  # no key has a line break


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal. The text may have lone surrogates, as JSON strings can."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def refuse_unread_conditions() -> None:
    """Refuse ``If-Match`` and ``If-None-Match`` on a request that changes something, unless its view reads them.

    To ignore one would change what the caller wanted to leave as it is. A read may ignore it (RFC 9110, section 13).
    ``If-Unmodified-Since`` is ignored, as section 13.1.4 requires of resources without a modification date.

    :raise InvalidInput: with the names of the headers
    """
    current = request._get_current_object()  # type: ignore[attr-defined] # one look-up, not five
    environ, endpoint = current.environ, current.endpoint
    if "HTTP_IF_MATCH" not in environ and "HTTP_IF_NONE_MATCH" not in environ:
        return
    if endpoint is None or current.method in SAFE_METHODS:
        return
    read = vars(current_app.view_functions[endpoint]).get("conditions", ())
    if unread := [name for name in sorted(CONDITIONS.difference(read)) if name in current.headers]:
        text = "This request cannot be made conditional by this header. Send it without."
        message = Message(text, "condition-not-supported")
        raise InvalidInput(f"Not valid: {', '.join(unread)}.", {name: [message] for name in unread})


def matches_cart(if_match: ETags, etag: str) -> bool:
    """Return whether ``If-Match`` allows a cart.

    :param etag: of the cart; the ETag of a cart with its saved list begins with it (``CartAndSaved.etag``)
    """
    return if_match.star_tag or any(tag[: len(etag)] == etag for tag in strong_etags(if_match))


def strong_etags(if_match: ETags) -> set[str]:
    """Return the strong ETags of ``If-Match``. Werkzeug reads the empty one, ``""``, as None."""
    return {tag or "" for tag in if_match.as_set()}


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
    versions = frozenset(int(tag) for tag in strong_etags(if_match) if re.fullmatch(r"[0-9]{1,19}", tag))
    if len(versions) > MAX_ETAGS:
        message = Message(f"At most {MAX_ETAGS} ETags.", "too-many", max=MAX_ETAGS)
        raise InvalidInput("Not valid: If-Match.", {"If-Match": [message]})
    return versions

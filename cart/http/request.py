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
from cart.http.headers import BARE_KEY, CONDITIONS, IDEMPOTENCY_KEY, IF_MATCH, MAX_ETAGS, QUOTED_KEY
from cart.messages import Message

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# RFC 9562, versions 1 to 8: not the nil UUID, which many clients could send
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
    form = re.fullmatch(f'"({QUOTED_KEY})"|({BARE_KEY})', header.strip())
    if not form:
        text = 'Must be a string of 1 to 255 characters in double quotes, such as "8e03978e-40d5-43e8-bc93".'
        raise InvalidInput({IDEMPOTENCY_KEY: [Message(text, "not-an-idempotency-key")]})
    request_text = f"{request.method} {request.path} {json.dumps(body, sort_keys=True, default=str)}"
    return IdempotencyKey(_record_id(form[1] or form[2], user_id, share_id), hash_of(request_text))


def _record_id(key: str, user_id: str, share_id: str | None) -> str:
    """Return the hash under which a key's record is stored with the cart. Each caller of a cart has records of its own.

    The owner's hash is that of the key alone. The hash of other callers includes the link and the subject of the token.

    :raise InvalidInput: the caller has a link, but no token, and the key is not a UUID: other holders of the link could
        use the same key (422)
    """
    if share_id is None and GUEST.fullmatch(user_id):  # whoever knows a guest's id is the owner
        return hash_of(key)
    subject = verified_subject()
    if share_id is None and subject in (None, user_id):
        return hash_of(key)
    if share_id and not subject and not re.fullmatch(UUID, key):
        text = "Must be a UUID, such as crypto.randomUUID() makes: everyone who has the link shares its keys."
        raise InvalidInput({IDEMPOTENCY_KEY: [Message(text, "not-a-uuid")]})
    return hash_of(f"{key}\n{share_id or ''}\n{subject or ''}")  # no key has a line break


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal. The text may have lone surrogates, as JSON strings can."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def refuse_unread_conditions() -> None:
    """Refuse ``If-Match`` and ``If-None-Match`` on a request that changes something, unless its view reads them.

    If one were ignored, the change would be made although its condition is false. A read may ignore it (RFC 9110,
    section 13). ``If-Unmodified-Since`` is ignored, as section 13.1.4 requires of what has no modification date.

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
        raise InvalidInput({name: [message] for name in unread})


def matches_cart(if_match: ETags, etag: str) -> bool:
    """Return whether ``If-Match`` allows a cart.

    :param etag: of the cart; the ETag of a cart with its saved list begins with it (``CartAndSaved.etag``)
    """
    return if_match.star_tag or any(tag.startswith(etag) for tag in strong_etags(if_match))


def strong_etags(if_match: ETags) -> set[str]:
    """Return the ETags that ``If-Match`` compares, without quotes. Werkzeug reads an empty ETag (`""`) as None."""
    return {tag for tag in if_match.as_set() if tag}


def if_match_etags() -> ETags | None:
    """Return the ETags of ``If-Match``, None if the header is not sent.

    :raise InvalidInput: it cannot be read; ignoring it would overwrite a state that the caller has not seen
    """
    if "HTTP_IF_MATCH" not in request.environ:
        return None
    if not request.if_match:
        raise InvalidInput({IF_MATCH: [Message("Must be ETags in double quotes, or *.", "not-etags")]})
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
        raise InvalidInput({IF_MATCH: [Message(f"At most {MAX_ETAGS} ETags.", "too-many", max=MAX_ETAGS)]})
    return versions

"""Change what schemathesis sends: see tests/schemathesis.toml."""

import re
import uuid

import schemathesis

from cart.http.headers import IDEMPOTENCY_KEY, REQUEST_HEADERS

VALID_KEY = re.compile(REQUEST_HEADERS[IDEMPOTENCY_KEY]["schema"]["pattern"])


@schemathesis.hook
def before_call(context, case, kwargs):
    """Give each request a key of its own: the same key with another request is a documented 422.

    A key that must be refused stays as it is.
    """
    key = (case.headers or {}).get(IDEMPOTENCY_KEY)
    if isinstance(key, str) and VALID_KEY.fullmatch(key):
        case.headers[IDEMPOTENCY_KEY] = uuid.uuid4().hex

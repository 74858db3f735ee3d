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
        case.headers[IDEMPOTENCY_KEY] = str(uuid.uuid4())


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Let prices be generated in cents. The document says so in words, since 0.01 is not exact in binary."""
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.endswith("Request") or name == "Item":
            for member in schema["properties"].values():
                if member.get("format") == "double":
                    member["multipleOf"] = 0.01

"""Change what schemathesis sends: see tests/schemathesis.toml."""

import re
import uuid

import schemathesis

from cart.http.headers import IDEMPOTENCY_KEY, REQUEST_HEADERS

VALID_KEY = re.compile(REQUEST_HEADERS[IDEMPOTENCY_KEY]["schema"]["pattern"])


@schemathesis.hook
def before_call(context, case, kwargs):
    """Change what no schema can forbid, and what is a documented 422.

    Each request gets a key of its own, unless its key must be refused. A cart is not merged into itself.
    """
    key = (case.headers or {}).get(IDEMPOTENCY_KEY)
    if isinstance(key, str) and VALID_KEY.fullmatch(key):
        case.headers[IDEMPOTENCY_KEY] = str(uuid.uuid4())
    user_id = (case.path_parameters or {}).get("user_id")
    if isinstance(case.body, dict) and case.body.get("source_user_id") == user_id:
        case.body = case.body | {"source_user_id": "another"}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Let prices be generated in cents. The document says so in words, since 0.01 is not exact in binary."""
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.endswith("Request") or name == "Item":
            for member in schema["properties"].values():
                if member.get("format") == "double":
                    member["multipleOf"] = 0.01

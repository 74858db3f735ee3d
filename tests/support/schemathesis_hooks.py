"""Change what schemathesis sends: see tests/schemathesis.toml."""

import re
import uuid
from urllib.parse import unquote

import schemathesis

from cart.http.headers import IDEMPOTENCY_KEY, REQUEST_HEADERS

VALID_KEY = re.compile(REQUEST_HEADERS[IDEMPOTENCY_KEY]["schema"]["pattern"])


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Let the prices of requests have cents: the document says so in words, since no float is a multiple of 0.01."""
    schemas = raw_schema["components"]["schemas"].values()
    prices = [schema["properties"]["price"] for schema in schemas if "price" in schema.get("properties", {})]
    of_requests = [price for price in prices if "maximum" in price]
    assert of_requests
    for price in of_requests:
        price["multipleOf"] = 0.01


@schemathesis.hook
def before_call(context, case, kwargs):
    """Give each request a key of its own: the same key with another request is a documented 422.

    It is a UUID, which a request through a link needs. A key that must be refused stays as it is. No cart is merged
    into itself, which no schema can say.
    """
    key = (case.headers or {}).get(IDEMPOTENCY_KEY)
    if isinstance(key, str) and VALID_KEY.fullmatch(key):
        case.headers[IDEMPOTENCY_KEY] = str(uuid.uuid4())
    source = case.body.get("source_user_id") if isinstance(case.body, dict) else None
    if source and source == unquote(str(case.path_parameters["user_id"])):
        case.body["source_user_id"] = "another-cart"

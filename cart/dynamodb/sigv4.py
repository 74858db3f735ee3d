"""AWS Signature Version 4 of a POST with a JSON body ("AWS Signature Version 4 for API requests", IAM User Guide)."""

import hmac
import time
from functools import lru_cache
from hashlib import sha256
from typing import Any

CONTENT_TYPE = "application/x-amz-json-1.0"


def authorization(
    host: str, path: str, target: str, body: bytes, credentials: Any, timestamp: str, region: str, service: str
) -> str:
    """Return the Authorization header of a POST.

    :param host: the Host header
    :param target: the X-Amz-Target header
    :param credentials: an object with ``access_key``, ``secret_key`` and ``token``
    :param timestamp: the X-Amz-Date header, such as ``20261123T140211Z``
    """
    token = f"x-amz-security-token:{' '.join(credentials.token.split())}\n" if credentials.token else ""
    names = f"content-type;host;x-amz-date;{'x-amz-security-token;' if token else ''}x-amz-target"
    canonical = (
        f"POST\n{path}\n\n"
        f"content-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{timestamp}\n{token}"
        f"x-amz-target:{target}\n\n{names}\n{sha256(body).hexdigest()}"
    )
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, timestamp[:8], region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"


@lru_cache(8)  # more than one: the day and the credentials change
def _signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@lru_cache(2)
def timestamp_of(second: int) -> str:
    """Return the X-Amz-Date header for a time.

    :param second: epoch seconds
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))

"""Compress answers with gzip where the client accepts it. Not shipped to Lambda: there, API Gateway can do it.

The library for this, flask-compress, brings 2 MB of compiled codecs, and its ETags do not work in ``If-Match``.
"""

import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from werkzeug.datastructures import Accept, Headers
from werkzeug.http import parse_accept_header

MIN_BYTES = 1024
# A cart of 100 lines (18 KB): 4.4 KB in 36 us; level 6: 3.8 KB in 81 us. Swagger UI (1.7 MB): 13 ms; level 6: 35 ms
LEVEL = 1
GZIP_WINDOW = 31  # zlib's largest window, with gzip's header ("wbits" in Python's documentation)
TYPES = ("text/", "application/json", "application/problem+json")


class Compression:
    """WSGI middleware that compresses bodies of ``MIN_BYTES`` and more.

    A compressed body is another representation, so it has another strong ETag (RFC 9110, section 8.8.3.3): that of the
    body as it is, with ``-gzip`` at its end. The conditions of a request are read without this end.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        if "HTTP_IF_MATCH" in environ:
            environ["HTTP_IF_MATCH"] = _without_coding(environ["HTTP_IF_MATCH"])
        accept_encoding = environ.get("HTTP_ACCEPT_ENCODING")
        if not accept_encoding or not _accepts_gzip(accept_encoding):
            return self.app(environ, start_response)
        known_etags = environ.get("HTTP_IF_NONE_MATCH", "")
        if known_etags:
            environ["HTTP_IF_NONE_MATCH"] = _without_coding(known_etags)
        started: list[Any] = []
        body = self.app(environ, lambda *start: started.extend(start))  # Flask starts the response before it returns
        status, headers = started
        if status.startswith("304"):
            started[1] = [
                (name, _with_coding(value) if name == "ETag" and _with_coding(value) in known_etags else value)
                for name, value in headers
            ]
        elif _is_compressible(status, dict(headers)):
            body, started[1] = _compress(body, Headers(headers), environ["REQUEST_METHOD"])
        start_response(*started)
        return body


@lru_cache(maxsize=128)  # browsers and libraries send few different values
def _accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip, and does not prefer the body as it is (RFC 9110, section 12.5.3)."""
    accepted = parse_accept_header(accept_encoding.lower().replace("x-gzip", "gzip"), Accept)
    return 0 < accepted.quality("gzip") >= accepted.quality("identity")


def _is_compressible(status: str, headers: dict[str, str]) -> bool:
    return (
        int(headers.get("Content-Length", 0)) >= MIN_BYTES
        and headers.get("Content-Type", "").startswith(TYPES)
        and not status.startswith("206")  # a range of the body as it is
    )


def _compress(body: Iterable[bytes], headers: Headers, method: str) -> tuple[Iterable[bytes], list[tuple[str, str]]]:
    """Return the compressed body and its headers. To HEAD, they do not say its size: there is no body to compress."""
    headers["Content-Encoding"] = "gzip"
    if "Accept-Encoding" not in headers.get("Vary", ""):
        headers.add("Vary", "Accept-Encoding")
    if etag := headers.get("ETag"):
        headers["ETag"] = _with_coding(etag)
    del headers["Content-Length"]
    if method != "HEAD":
        content = zlib.compress(b"".join(body), LEVEL, GZIP_WINDOW)
        if close := getattr(body, "close", None):
            close()
        body = [content]
        headers["Content-Length"] = str(len(content))
    return body, headers.to_wsgi_list()


def _with_coding(etag: str) -> str:
    """Return the ETag of the compressed body. A weak one is the same, since the content is equivalent."""
    return f'{etag[:-1]}-gzip"' if etag.startswith('"') else etag


def _without_coding(etags: str) -> str:
    """Return ETags of compressed bodies, and others, as those of the bodies as they are."""
    return etags.replace('-gzip"', '"')

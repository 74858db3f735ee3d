"""CORS: let the pages of other origins call the service. Imported only where ``CORS_ORIGINS`` is set."""

import re

from flask import Flask, Response, request
from flask_cors import CORS

from cart.http.response import respond_empty

ALLOWED_HEADERS = [
    *("Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("X-Request-ID", "traceparent", "tracestate"),
]
EXPOSED_HEADERS = [
    *("Accept-Encoding", "Allow", "ETag", "Idempotency-Replayed", "Location", "Retry-After"),
    *("WWW-Authenticate", "X-Request-ID"),
]
PREFLIGHT_SECONDS = 600


def init_app(app: Flask, origins: str) -> None:
    """Answer preflights, and add the headers of CORS to all answers.

    :param origins: the setting ``CORS_ORIGINS``
    """
    app.before_request(_answer_preflight)
    CORS(
        app,
        origins=[_origin_pattern(origin) for origin in origins.split(",")],
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
        max_age=PREFLIGHT_SECONDS,
        always_send=False,  # else an answer to a request without Origin lists all origins
        vary_header=False,  # flask-cors leaves Vary out if the origin is not allowed or not sent
        intercept_exceptions=False,  # answers of error handlers pass the hooks of the app too
    )
    app.after_request(_vary_by_origin)


def _answer_preflight() -> Response | None:
    """Answer a preflight before routing: a browser hides the answer of a request whose preflight was refused."""
    is_preflight = request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.environ
    return respond_empty() if is_preflight and "HTTP_ORIGIN" in request.environ else None


def _vary_by_origin(response: Response) -> Response:
    """Keep a cache from giving the answer for one origin, or for none, to a page of another one."""
    response.vary.add("Origin")
    return response


def _origin_pattern(origin: str) -> re.Pattern[str]:
    """Return the pattern of the origins that an entry of ``CORS_ORIGINS`` allows. ``*`` is one label of a host name."""
    return re.compile(re.escape(origin).replace(r"\*", "[a-z0-9-]+") + r"\Z", re.IGNORECASE)

"""Responses: with JSON text from a schema's ``dumps``, without a body, with a file, or with a page."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Response, request
from werkzeug.datastructures import Headers

from cart.dynamodb.idempotency import KeptAnswer


class CompleteResponse(Response):
    """A response whose headers are complete and whose body is in memory: Werkzeug's checks of both are left out."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        return self.headers

    def get_app_iter(self, environ: Any) -> Iterable[bytes]:
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


def respond(body: str, status: int = 200, *, etag: str = "", location: str | None = None) -> Response:
    """Return a response with this JSON text.

    :param etag: without its quotes
    :param location: the path of what the response is about
    """
    response = CompleteResponse(body, status, content_type="application/json")
    if location:
        response.headers.add("Location", absolute_path(location))
    if etag:
        response.headers.add("ETag", f'"{etag}"')
    return response


def respond_kept(answer: KeptAnswer, location: str | None = None) -> Response:
    """Return a response with the answer of a change that is carried out once."""
    response = respond(answer.body, answer.status, etag=answer.etag, location=location)
    if answer.replayed:
        response.headers.add("Idempotency-Replayed", "true")
    return response


def respond_empty(status: int = 204, *, etag: str = "") -> Response:
    """Return a response without a body, and without the Content-Type that Flask gives to every response."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    if etag:
        response.headers["ETag"] = f'"{etag}"'
    return response


def respond_file(path: Path, media_type: str) -> Response:
    """Return a file, or 304. Its ETag is a hash of the content, since all files in Lambda's zip are dated 1980."""
    response = Response(path.read_bytes(), content_type=f"{media_type}; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


def respond_page(path: Path, policy: str) -> Response:
    """Return an HTML file, or 304.

    :param policy: its Content-Security-Policy
    """
    response = respond_file(path, "text/html")
    response.headers["Content-Security-Policy"] = policy
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def absolute_path(path: str) -> str:
    """Return a path for the ``Location`` header, below the stage's prefix."""
    return request.root_path + quote(path)

"""Responses with a file of a page."""

from pathlib import Path

from flask import Response, request


def respond_file(path: Path, media_type: str) -> Response:
    """Return a file, or 304. Its ETag is a hash of the content, since all files in Lambda's zip are dated 1980."""
    response = Response(path.read_bytes(), content_type=f"{media_type}; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response

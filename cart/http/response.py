"""Responses: JSON as a schema has it, a kept answer, or no body."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request
from marshmallow import Schema
from werkzeug.datastructures import Headers

from cart.dynamodb.idempotency import KeptAnswer
from cart.http.request import instance_of


class _Answered(Response):
    """A response whose headers are right as they are, and its body whole: there is nothing to look for and correct."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        return self.headers

    def get_app_iter(self, environ: Any) -> Iterable[bytes]:
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


def shown(schema: type[Schema], value: Any, status: int = 200, location: str | None = None) -> Response:
    """An answer as a schema has it, for what is not asked for all the time."""
    return respond(KeptAnswer(status, current_app.json.dumps(instance_of(schema).dump(value))), location)


def respond(answer: KeptAnswer, location: str | None = None) -> Response:
    """An answer as it was made, or as it was kept.

    :param location: the path of what it is about
    """
    response = _Answered(answer.body, answer.status, content_type="application/json")
    if location:
        response.headers.add("Location", request.root_path + quote(location))
    if answer.etag:
        response.headers.add("ETag", f'"{answer.etag}"')
    if answer.replayed:
        response.headers.add("Idempotency-Replayed", "true")
    return response


def empty(status: int, etag: str | None = None) -> Response:
    """An answer with no body, and without the Content-Type that Flask gives to every answer."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    if etag:
        response.headers["ETag"] = f'"{etag}"'
    return response

"""RFC 9457 problems: the answer of every error. ``cart.http.problem_docs`` documents them."""

import re

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException

from cart.context import request_id
from cart.errors import BadRequest, BodyTooLarge, InternalError, MethodNotAllowed, NotFound, Problem
from cart.messages import Message

PROBLEM_JSON = "application/problem+json"
PROBLEM_BY_STATUS: dict[int, type[Problem]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
}


class ProblemInPath(HTTPException):
    """A problem that a converter raises. Werkzeug passes on only its own exceptions from a converter."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.code = problem.status  # without a code, Flask would use the exception as the response
        self.problem = problem


def respond_to_problem(problem: Problem) -> Response:
    """Return a problem as an ``application/problem+json`` answer."""
    head = {"type": problem.type, "title": problem.title, "status": problem.status}
    body = head | {"detail": problem.detail, "instance": request_id()} | problem.members
    return Response(current_app.json.dumps(body), problem.status, problem.headers, mimetype=PROBLEM_JSON)


def problem_of(error: HTTPException) -> Problem:
    """Return the problem for an error of Flask or Werkzeug."""
    status = error.code or 500
    if status == 404 and (encoded_slash := _encoded_slash()):
        return encoded_slash
    problem = PROBLEM_BY_STATUS.get(status, BadRequest if status < 500 else InternalError)()
    problem.status = status
    return problem


def _encoded_slash() -> NotFound | None:
    """Return the problem of a path with ``%2F``, where the server passes on the path as it was sent."""
    path = request.environ.get("RAW_URI", "").partition("?")[0].lower()
    if "%2f" not in path:
        return None
    is_in_user_id = re.search("/cart/[^/]*%2f", path)
    message = Message("Must be one path segment: it has no '/', plain or percent-encoded.", "not-one-path-segment")
    return NotFound(
        "No route has this path. It has an encoded slash (%2F), which separates segments as a plain one does.",
        {"user_id": [message]} if is_in_user_id else None,
    )

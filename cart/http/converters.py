"""Converters for the variable parts of a path: what each part accepts."""

import re

from flask_smorest import Api
from werkzeug.routing import BaseConverter

from cart.errors import InvalidInput
from cart.http.json import whole_number_in_url
from cart.http.problems import ProblemInPath
from cart.messages import Message

MAX_PRODUCT_ID = 2**53 - 1  # the largest integer that every JSON reader keeps exact (RFC 8259, section 6)


def _invalid(name: str, message: Message) -> ProblemInPath:
    return ProblemInPath(InvalidInput(f"Not valid: {name}.", {name: [message]}))


def not_in_range(first: int, last: int) -> Message:
    """Return the message about a part of a URL that is not a whole number in a range."""
    return Message(f"Must be a whole number from {first} to {last}.", "out-of-range", min=first, max=last)


class _Segment(BaseConverter):
    """One segment of a path.

    ``part_isolating`` is set because Werkzeug sees the slash in this regex, and would then try the rules one by one.
    """

    regex = "[^/]*"
    part_isolating = True


class UserId(_Segment):
    """The ``user_id`` in a path. It has no ``#``, so that no URL leads to an internal key."""

    # 1 to 128 characters, but neither "." nor "..", which clients remove from a URL. It has no lookahead, since the
    # regular expressions of Go and Rust have none
    _no_dot = "A-Za-z0-9_:@|=+,-"
    pattern = rf"[{_no_dot}][.{_no_dot}]{{0,127}}|\.[{_no_dot}][.{_no_dot}]{{0,126}}|\.\.[.{_no_dot}]{{1,126}}"
    documented_pattern = f"^(?:{pattern})$"  # in ECMA-262, as JSON Schema says
    form = re.compile(pattern)
    message = Message(
        "Must be 1 to 128 of the letters a to z and A to Z, digits and ._:@|=+,- and not only dots", "not-a-user-id"
    )

    def to_python(self, value: str) -> str:
        """Return the id.

        :raise ProblemInPath: it is not valid (422)
        """
        if not self.form.fullmatch(value):
            raise _invalid("user_id", self.message)
        return value


class ProductId(_Segment):
    """The ``product_id`` in a path: a whole number from 1 to 2^53-1. ``42.0`` and ``4.2e1`` are, as in a body."""

    form = re.compile(r"[1-9][0-9]{0,15}")

    def to_python(self, value: str) -> int:
        """Return the id.

        :raise ProblemInPath: it is not valid (422)
        """
        product_id = int(value) if self.form.fullmatch(value) else whole_number_in_url(value)
        if product_id is None or not 1 <= product_id <= MAX_PRODUCT_ID:
            raise _invalid("product_id", not_in_range(1, MAX_PRODUCT_ID))
        return product_id


class _HexadecimalId(_Segment):
    """An id that the service made, in lower-case hexadecimal digits."""

    name: str
    digits: int

    def to_python(self, value: str) -> str:
        """Return the id.

        :raise ProblemInPath: it is not valid (422)
        """
        if not re.fullmatch(f"[0-9a-f]{{{self.digits}}}", value):
            text = f"Must be {self.digits} of the digits 0 to 9 and a to f."
            raise _invalid(self.name, Message(text, "not-hexadecimal", digits=self.digits))
        return value


class ShareId(_HexadecimalId):
    """The ``share_id`` in a path, as in the answer that made the link."""

    name = "share_id"
    digits = 64


class JobId(_HexadecimalId):
    """The ``job_id`` in a path, as in the answer that started the job."""

    name = "job_id"
    digits = 32


CONVERTERS = {"user_id": UserId, "product_id": ProductId, "share_id": ShareId, "job_id": JobId}


def document_url_parts(api: Api) -> None:
    """Register the schema of each converter for the OpenAPI document."""
    user_id = {"type": "string", "pattern": UserId.documented_pattern, "examples": ["user123"]}
    product_id = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_PRODUCT_ID, "examples": [42]}
    share_id = {"type": "string", "pattern": f"^[0-9a-f]{{{ShareId.digits}}}$"}
    job_id = {"type": "string", "pattern": f"^[0-9a-f]{{{JobId.digits}}}$"}
    api.register_converter(JobId, lambda _: job_id)
    api.register_converter(ShareId, lambda _: share_id)
    api.register_converter(UserId, lambda _: user_id)
    api.register_converter(ProductId, lambda _: product_id)

"""How values cross the wire: JSON in and out, and the parts of a URL."""

import decimal
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

import simplejson
from flask import Request, Response, current_app
from flask.json.provider import JSONProvider
from flask_smorest import Api, Blueprint
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import BaseConverter

from cart.errors import (
    BodyTooLarge,
    InternalError,
    InvalidInput,
    MalformedJson,
    Problem,
    UnsupportedMediaType,
    problem_reference,
)

View = Callable[..., Any]

MAX_BODY_BYTES = 64 * 1024
MAX_PRODUCT_ID = 2**53 - 1  # the largest integer that every JSON reader keeps exact (RFC 8259, section 6)

# As wide as the longest body, so that no digit is rounded away before the schema has seen it;
# what is not finite becomes Infinity or NaN, which the schema refuses by the field's name.
_exact = decimal.Context(prec=MAX_BODY_BYTES, traps=[])


class DecimalJSON(JSONProvider):
    """JSON whose numbers are ``Decimal``: money is never a float, neither read nor written."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return str(simplejson.dumps(obj, use_decimal=True, **kwargs))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """:raise ValueError: not UTF-8 JSON"""
        text = s if isinstance(s, str) else s.decode("utf-8")
        try:
            return json.loads(text, parse_float=_exact.create_decimal, parse_constant=_exact.create_decimal)
        except RecursionError:
            raise ValueError("Nested too deep.") from None


class JSONBodyParser(FlaskParser):
    """webargs' parser, with this service's JSON and problems."""

    def _raw_load_json(self, req: Request) -> Any:
        if req.mimetype != "application/json":
            raise UnsupportedMediaType(
                "Send Content-Type: application/json.", {"Content-Type": ["Must be application/json."]}
            )
        try:
            return current_app.json.loads(req.get_data())
        except RequestEntityTooLarge:
            message = f"At most {MAX_BODY_BYTES} bytes."
            raise BodyTooLarge(message, {"body": [message]}) from None
        except ValueError as error:
            raise MalformedJson(str(error), {"body": ["Not valid JSON."]}) from None

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        """:raise InvalidInput: always, with the messages of each field"""
        by_field = error.messages_dict["json"]
        errors = {("body" if name == "_schema" else name): messages for name, messages in by_field.items()}
        raise InvalidInput(f"Not valid: {', '.join(errors)}.", errors)


class CartBlueprint(Blueprint):
    """flask-smorest's Blueprint, with this service's body parser and problems."""

    ARGUMENTS_PARSER = JSONBodyParser()

    def problems(self, *kinds: type[Problem]) -> Callable[[View], View]:
        """Document the problems that an operation can answer. The innermost decorator of a view."""
        by_status: dict[int, list[type[Problem]]] = {}
        answered: list[type[Problem]] = [*kinds, InternalError]
        for kind in answered:
            by_status.setdefault(kind.code, []).append(kind)

        def document(view: View) -> View:
            references = {status: [problem_reference(kinds)] for status, kinds in by_status.items()}
            view._apidoc = {"response": {"responses": references}}  # type: ignore[attr-defined]
            return view

        return document


def no_content() -> Response:
    """204, without the Content-Type that Flask gives to every answer."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


class UserId(BaseConverter):
    """``user_id`` in a path: no ``#``, so that no internal key can be reached through a URL."""

    regex = "[^/]*"
    pattern = r"[A-Za-z0-9._:@|=+,-]{1,128}"
    message = "Must be 1 to 128 of the letters a to z and A to Z, digits and ._:@|=+,-"

    def to_python(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise InvalidInput("Not valid: user_id.", {"user_id": [self.message]})
        return value


class ProductId(BaseConverter):
    """``product_id`` in a path: a whole number from 1 to 2^53-1, in plain digits."""

    regex = "[^/]*"
    message = f"Must be a whole number from 1 to {MAX_PRODUCT_ID}."

    def to_python(self, value: str) -> int:
        if not re.fullmatch(r"[1-9][0-9]{0,15}", value) or int(value) > MAX_PRODUCT_ID:
            raise InvalidInput("Not valid: product_id.", {"product_id": [self.message]})
        return int(value)


def document_url_parts(api: Api) -> None:
    """Tell OpenAPI what the converters accept."""
    user_id = {"type": "string", "pattern": f"^{UserId.pattern}$", "examples": ["user123"]}
    product_id = {"type": "integer", "minimum": 1, "maximum": MAX_PRODUCT_ID, "examples": [42]}
    api.register_converter(UserId, lambda _: user_id)
    api.register_converter(ProductId, lambda _: product_id)

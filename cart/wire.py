"""How values cross the wire: JSON in and out, and the parts of a URL."""

import decimal
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache, partial, wraps
from http import HTTPStatus
from typing import Any

import simplejson
from flask import Flask, Request, Response, current_app, request
from flask.json.provider import JSONProvider
from flask.sessions import NullSession, SessionInterface
from flask_smorest import Api, Blueprint
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import ETags
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter, MapAdapter, Rule

from cart.errors import (
    BadRequest,
    BodyTooLarge,
    InternalError,
    InvalidInput,
    MalformedJson,
    Problem,
    UnsupportedMediaType,
    problem_reference,
)
from cart.rows import IfMatch
from cart.table import IdempotencyKey

View = Callable[..., Any]

MAX_BODY_BYTES = 64 * 1024
MAX_INT_DIGITS = 4000
MAX_ETAGS = 50
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
            return _decoder.decode(text)
        except RecursionError:
            raise ValueError("It is nested too deep.") from None


def _whole(digits: str) -> int | decimal.Decimal:
    """An int, or a Decimal where Python would refuse to convert so many digits; no field takes either."""
    return int(digits) if len(digits) <= MAX_INT_DIGITS else _exact.create_decimal(digits)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("A name stands twice in one object.")
    return members


_decoder = json.JSONDecoder(
    parse_int=_whole,
    parse_float=_exact.create_decimal,
    parse_constant=_exact.create_decimal,
    object_pairs_hook=_no_key_twice,
)


def read_json() -> Any:
    """The body of the request.

    :raise UnsupportedMediaType: it is not declared as JSON
    :raise MalformedJson: it is none
    """
    if request.environ.get("CONTENT_TYPE") != "application/json" and request.mimetype != "application/json":
        raise UnsupportedMediaType(
            "Send Content-Type: application/json.", {"Content-Type": ["Must be application/json."]}
        )
    try:
        return current_app.json.loads(_read_body(request))
    except UnicodeDecodeError:
        raise MalformedJson("It is not UTF-8.", {"body": ["Not valid JSON."]}) from None
    except ValueError as error:
        raise MalformedJson(str(error), {"body": ["Not valid JSON."]}) from None


def _has_body() -> bool:
    environ = request.environ
    return environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ


instance_of = cache(lambda schema: schema())  # one is enough, and not before it is needed


def judge(schema: type[Schema], body: Any) -> Any:
    """The body as the schema loads it.

    :raise InvalidInput: with the messages of each field
    """
    try:
        return instance_of(schema).load(body)
    except ValidationError as error:
        by_field = error.messages_dict
        errors = {("body" if name == "_schema" else name): _all(messages) for name, messages in by_field.items()}
        raise InvalidInput(f"Not valid: {', '.join(errors)}.", errors) from None


def _all(messages: Any) -> list[str]:
    """The messages of a field; those of a list come by the places of its items."""
    if isinstance(messages, dict):
        return list(dict.fromkeys(message for one in messages.values() for message in _all(one)))
    return list(messages)


def _read_body(req: Request) -> bytes:
    try:
        body = req.get_data()
    except RequestEntityTooLarge:
        raise _too_large() from None
    except HTTPException:
        raise
    except Exception:  # gunicorn's, of a body whose chunks are malformed
        raise BadRequest("The body cannot be read.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    return body


def _too_large() -> BodyTooLarge:
    message = f"At most {MAX_BODY_BYTES} bytes."
    return BodyTooLarge(message, {"body": [message]})


class LazyRule(Rule):
    """A route that compiles the code that builds its URL when one is built: of most, none ever is."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compiled()(rule, **values)

        return build


class _NoSessions(SessionInterface):
    """No cookie tells anything: there is nothing to open at each request."""

    nothing = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self.nothing


class CartFlask(Flask):
    """Flask, with this service's JSON and routes, and no look at each request for what none has."""

    json_provider_class = DecimalJSON
    url_rule_class = LazyRule
    session_interface = _NoSessions()

    def ensure_sync(self, func: View) -> View:
        return func

    # No blueprint has hooks of its own, and no view registers one: those of the app are all there are.

    def preprocess_request(self) -> Any:
        for hook in self.before_request_funcs[None]:
            if (answer := hook()) is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        for hook in self.teardown_request_funcs[None]:
            hook(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Nothing is registered for it."""

    def make_response(self, rv: Any) -> Response:
        """Views answer with a Response, and errors with what Flask makes one of."""
        return rv if isinstance(rv, Response) else super().make_response(rv)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes by path and method alone: no host or subdomain has routes of its own."""
        if request is None:
            return None
        environ = request.environ
        host, scheme = environ.get("HTTP_HOST", ""), environ["wsgi.url_scheme"]
        query = environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, host, request.root_path, "", scheme, request.path, request.method, query)


class _Documentation(dict[str, Any]):
    """What the decorators of one view say of it. flask-smorest copies it where apispec would not change it."""

    def __deepcopy__(self, _: Any) -> "_Documentation":
        return self


def _documentation(view: View) -> _Documentation:
    said: _Documentation = view.__dict__.setdefault("_apidoc", _Documentation())
    return said


class CartBlueprint(Blueprint):
    """flask-smorest's Blueprint, whose decorators only document a view, but for ``body``.

    A view answers with a Response, so flask-smorest's own have nothing to do at each request.
    """

    def body(
        self,
        schema: type[Schema],
        example: Any,
        plainly: Callable[[Any], Any] | None = None,
        *,
        required: bool = True,
    ) -> Callable[[View], View]:
        """Read the JSON body, and give it to the view as its first argument. The outermost decorator but the route.

        :param plainly: the loaded value of a body that is plainly right, None of one that the schema has to judge
        :param required: if not, a request without a body is one with ``{}``
        """

        def decorate(view: View) -> View:
            @wraps(view)
            def with_body(**kwargs: Any) -> Any:
                body = read_json() if required or _has_body() else {}
                loaded = plainly(body) if plainly else None
                return view(judge(schema, body) if loaded is None else loaded, **kwargs)

            parameter = {"in": "json", "required": required, "schema": schema, "example": example}
            _documentation(with_body)["arguments"] = {"parameters": [parameter], "responses": {}}
            return with_body

        return decorate

    def response(
        self,
        status: int,
        schema: type[Schema] | dict[str, Any] | None = None,
        *,
        example: Any = None,
        headers: dict[str, Any] | None = None,
        description: str | None = None,
        content_type: str | None = None,
    ) -> Callable[[View], View]:
        """Document a good answer; of several with one status, the topmost comes first.

        :param content_type: None where it is JSON
        """
        described = {"schema": schema, "example": example, "headers": headers}
        answer = {name: value for name, value in described.items() if value is not None}
        answer |= {"description": description or HTTPStatus(status).phrase, "content_type": content_type}

        def document(view: View) -> View:
            responses = _documentation(view).setdefault("response", {}).setdefault("responses", {})
            responses.setdefault(status, []).append(answer)
            return view

        return document

    def open(self, view: View) -> View:
        """Document that nobody is asked who they are."""
        _documentation(view)["manual_doc"] = {"security": []}
        return view

    def register_views_in_doc(self, *args: Any, **kwargs: Any) -> None:
        """Document the views from a copy, since apispec changes what it is given."""
        kept = self.__dict__["_docs"]
        self.__dict__["_docs"] = {
            endpoint: {name: dict(said) if isinstance(said, dict) else said for name, said in by_method.items()}
            for endpoint, by_method in kept.items()
        }
        try:
            super().register_views_in_doc(*args, **kwargs)
        finally:
            self.__dict__["_docs"] = kept

    def problems(self, *kinds: type[Problem]) -> Callable[[View], View]:
        """Document the problems that an operation can answer."""
        by_status: dict[int, list[type[Problem]]] = {}
        answered: list[type[Problem]] = [*kinds, InternalError]
        for kind in answered:
            by_status.setdefault(kind.code, []).append(kind)

        def document(view: View) -> View:
            responses = _documentation(view).setdefault("response", {}).setdefault("responses", {})
            responses.update({status: [problem_reference(kinds)] for status, kinds in by_status.items()})
            return view

        return document


def idempotency_key(body: Any) -> IdempotencyKey | None:
    """Of the request with this body, as it was judged; or None where it has none.

    The form is a structured string ("The Idempotency-Key HTTP Header Field", an IETF draft).
    A key without its quotes, as many clients send it, is the same key.

    :raise InvalidInput: it is not of that form
    """
    header = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if header is None:
        return None
    form = re.fullmatch(r'"([\x20\x21\x23-\x5B\x5D-\x7E]{1,255})"|([A-Za-z0-9._~:/+=-]{1,255})', header.strip())
    if not form:
        message = 'Must be a string of 1 to 255 characters in double quotes, such as "8e03978e-40d5-43e8-bc93".'
        raise InvalidInput("Not valid: Idempotency-Key.", {"Idempotency-Key": [message]})
    request_text = f"{request.method} {request.path} {json.dumps(body, sort_keys=True, default=str)}"
    return IdempotencyKey(hash_of(form[1] or form[2]), hash_of(request_text))


def hash_of(text: str) -> str:
    """SHA-256 in hexadecimal, of any text that JSON can bring, lone surrogates too."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def query_parameters() -> dict[str, str]:
    """:raise InvalidInput: one stands twice"""
    if twice := {name: ["Must be given once."] for name, values in request.args.lists() if len(values) > 1}:
        raise InvalidInput(f"Not valid: {', '.join(twice)}.", twice)
    return request.args.to_dict()


def asked_if_match() -> ETags | None:
    """``If-Match``, None where it is not sent.

    :raise InvalidInput: it cannot be read, and to go on without it would overwrite what the caller has not seen
    """
    if "HTTP_IF_MATCH" not in request.environ:
        return None
    if not request.if_match:
        raise InvalidInput("Not valid: If-Match.", {"If-Match": ["Must be ETags in double quotes, or *."]})
    return request.if_match


def line_versions() -> IfMatch:
    """The versions of a line that ``If-Match`` allows (RFC 9110, section 13.1.1), None where it is not sent.

    :raise InvalidInput: there are more than a condition of DynamoDB takes
    """
    if_match = asked_if_match()
    if if_match is None:
        return None
    if if_match.star_tag:
        return "*"
    versions = frozenset(int(tag) for tag in if_match.as_set() if tag and re.fullmatch(r"[0-9]{1,19}", tag))
    if len(versions) > MAX_ETAGS:
        raise InvalidInput("Not valid: If-Match.", {"If-Match": [f"At most {MAX_ETAGS} ETags."]})
    return versions


class _Segment(BaseConverter):
    """One segment of a path. Not part of the others, as Werkzeug takes one for whose regex has a slash: it would try
    the rules one by one."""

    regex = "[^/]*"
    part_isolating = True


class UserId(_Segment):
    """``user_id`` in a path: no ``#``, so that no internal key can be reached through a URL."""

    pattern = r"(?!\.{1,2}$)[A-Za-z0-9._:@|=+,-]{1,128}"  # not a dot segment, which clients normalise away
    form = re.compile(pattern)
    message = "Must be 1 to 128 of the letters a to z and A to Z, digits and ._:@|=+,- and not only dots"

    def to_python(self, value: str) -> str:
        if not self.form.fullmatch(value):
            raise InvalidInput("Not valid: user_id.", {"user_id": [self.message]})
        return value


class ProductId(_Segment):
    """``product_id`` in a path: a whole number from 1 to 2^53-1; ``42.0`` is one, as it is in a body."""

    message = f"Must be a whole number from 1 to {MAX_PRODUCT_ID}."

    def to_python(self, value: str) -> int:
        form = re.fullmatch(r"([1-9][0-9]{0,15})(\.0{1,9})?", value)
        if not form or int(form[1]) > MAX_PRODUCT_ID:
            raise InvalidInput("Not valid: product_id.", {"product_id": [self.message]})
        return int(form[1])


class ShareId(_Segment):
    """``share_id`` in a path, as it was given when the link was made."""

    pattern = r"[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise InvalidInput("Not valid: share_id.", {"share_id": ["Must be 64 of the digits 0 to 9 and a to f."]})
        return value


class JobId(BaseConverter):
    """``job_id`` in a path, as it was given when the job was made."""

    regex = "[^/]*"
    pattern = r"[0-9a-f]{32}"

    def to_python(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise InvalidInput("Not valid: job_id.", {"job_id": ["Must be 32 of the digits 0 to 9 and a to f."]})
        return value


CONVERTERS = {"user_id": UserId, "product_id": ProductId, "share_id": ShareId, "job_id": JobId}


def document_url_parts(api: Api) -> None:
    """Tell OpenAPI what the converters accept."""
    user_id = {"type": "string", "pattern": f"^{UserId.pattern}$", "examples": ["user123"]}
    product_id = {"type": "integer", "minimum": 1, "maximum": MAX_PRODUCT_ID, "examples": [42]}
    share_id = {"type": "string", "pattern": f"^{ShareId.pattern}$"}
    job_id = {"type": "string", "pattern": f"^{JobId.pattern}$"}
    api.register_converter(JobId, lambda _: job_id)
    api.register_converter(ShareId, lambda _: share_id)
    api.register_converter(UserId, lambda _: user_id)
    api.register_converter(ProductId, lambda _: product_id)

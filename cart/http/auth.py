"""Who is calling, and what they may touch: every route is closed, but for those named as open.

A caller reaches the cart whose ``user_id`` is its subject, a holder of the admin scope every cart and route, and
whoever holds the id of a guest cart that cart. A link to a cart is judged by the views in ``shares``.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from flask import Flask, Response, current_app, request

from cart.config import Config, ConfigError
from cart.errors import Forbidden, Unauthenticated, Unavailable
from cart.logs import info

logger = logging.getLogger(__name__)

GUEST_PREFIX = "guest-"
GUEST = re.compile(GUEST_PREFIX + r"[A-Za-z0-9_-]{32}")  # 192 bits
MAX_TOKEN_BYTES = 8 * 1024
CLOCK_SKEW_SECONDS = 30
JWKS_TIMEOUT_SECONDS = 2
JWKS_LIFE_SECONDS = 300  # PyJWT's own
MAX_VERIFIED = 1000  # tokens whose signature need not be checked again

OPEN = "open"  # to anyone, and caches may keep the answer
OPEN_BY_LINK = "open by link"  # to whoever has a link; the view checks its token
LIBRARIES_ENDPOINTS = {"static", "api-docs.openapi_json", "api-docs.openapi_swagger_ui"}  # open too

Claims = dict[str, Any]
View = Callable[..., Any]


class Caller(NamedTuple):
    """Somebody whose identity has been checked."""

    subject: str
    scopes: set[str]


def new_guest_id() -> str:
    """An id that nobody can guess: to know it is to hold its cart."""
    return GUEST_PREFIX + secrets.token_urlsafe(24)


def allow(view: View, access: str) -> View:
    """Mark a view as open; a view without a mark is closed.

    :param access: ``OPEN`` or ``OPEN_BY_LINK``
    """
    view.__dict__["access"] = access
    return view


def open_to_all(view: View) -> View:
    """Let anyone call a view, and caches keep its answers."""
    return allow(view, OPEN)


def init_app(app: Flask, config: Config) -> None:
    """Check the caller before each view, and tell caches and browsers what an answer may be used for.

    Call it after all views are registered: it looks for those that are open.
    """
    access = {endpoint: vars(view).get("access") for endpoint, view in app.view_functions.items()}
    cacheable = LIBRARIES_ENDPOINTS | {endpoint for endpoint, mark in access.items() if mark == OPEN}
    if config.auth_mode != "none":
        identify = _verifier(config) if config.auth_mode == "jwt" else partial(_gateway_caller, config.auth_user_claim)
        app.extensions["cart_right_to"] = partial(_check, config, identify)
        by_link = {endpoint for endpoint, mark in access.items() if mark == OPEN_BY_LINK}
        app.before_request(partial(_check_route, cacheable | by_link))
    app.after_request(partial(_harden, cacheable))


def require_right_to(user_id: str | None) -> None:
    """Go on only if the caller may touch this cart; without one, every cart.

    :raise Unauthenticated: nobody is calling (401)
    :raise Forbidden: the caller may not, whether or not the cart exists (403)
    """
    if check := current_app.extensions.get("cart_right_to"):
        check(user_id)


def _check_route(open_endpoints: set[str]) -> None:
    """Let a request through to its view, or not."""
    asked = request._get_current_object()  # type: ignore[attr-defined] # one look-up, not five
    endpoint = asked.endpoint
    if asked.method == "OPTIONS" or endpoint is None or endpoint in open_endpoints:
        return
    require_right_to((asked.view_args or {}).get("user_id"))


def _check(config: Config, identify: Callable[[], Caller | None], user_id: str | None) -> None:
    if user_id and GUEST.fullmatch(user_id):
        return
    caller = identify()
    if caller is None:
        raise Unauthenticated
    if config.auth_admin_scope in caller.scopes:
        return
    # a subject that looks like a guest would own what somebody else was given
    if user_id is None:
        raise Forbidden(f"This needs the scope {config.auth_admin_scope}.")
    if user_id != caller.subject or user_id.startswith(GUEST_PREFIX):
        raise Forbidden


def _caller(claims: Claims, user_claim: str) -> Caller:
    """The scopes are in ``scope`` (RFC 8693, separated by spaces), ``scp`` or ``scopes``, as text or as a list."""
    subject = claims.get(user_claim)
    scopes: set[str] = set()
    for name in ("scope", "scp", "scopes"):
        value = claims.get(name) or []
        scopes.update(value.split() if isinstance(value, str) else map(str, value if isinstance(value, list) else []))
    return Caller(str(subject or ""), scopes)


def _gateway_caller(user_claim: str) -> Caller | None:
    claims = _gateway_claims()
    return None if claims is None else _caller(claims, user_claim)


def _gateway_claims() -> Claims | None:
    """What API Gateway's authorizer has verified. Zappa puts it where no header of a client can get to.

    Cognito nests the claims, a JWT authorizer nests them twice, a Lambda authorizer's context is flat beside its
    ``principalId`` ("Input to a Lambda function for proxy integration").
    """
    authorizer = request.environ.get("API_GATEWAY_AUTHORIZER")
    if not isinstance(authorizer, dict):
        return None
    for nest in (authorizer.get("jwt"), authorizer):
        if isinstance(nest, dict) and isinstance(nest.get("claims"), dict):
            return {"scopes": nest.get("scopes")} | nest["claims"]
    context = authorizer.get("lambda", authorizer)
    return {"sub": authorizer.get("principalId"), **context} if isinstance(context, dict) else None


def _verifier(config: Config) -> Callable[[], Caller | None]:
    """A function that verifies the request's bearer token (RFC 6750) and answers whose it is, None without one."""
    try:
        import jwt  # noqa: PLC0415 - only where it is used: it loads cryptography
    except ImportError:
        raise ConfigError("cart: AUTH_MODE=jwt needs PyJWT, which is not shipped to Lambda: use gateway") from None

    verified: dict[str, tuple[Caller, float]] = {}  # by token, until when it is good

    class Keys(jwt.PyJWKClient):
        def fetch_data(self) -> Any:
            verified.clear()  # the issuer may have withdrawn the key of some
            try:
                return super().fetch_data()
            except jwt.PyJWKClientConnectionError:
                raise
            except (jwt.PyJWTError, ValueError, OSError, RecursionError) as error:  # an answer that is no key set
                raise jwt.PyJWKClientConnectionError(str(error)) from error

    keys = Keys(config.auth_jwks_url, timeout=JWKS_TIMEOUT_SECONDS) if config.auth_jwks_url else None
    algorithms = config.auth_algorithms.split(",")

    def caller() -> Caller | None:
        scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("The token is too long.")
        now = time.time()
        if (known := verified.get(token)) and now < known[1]:
            return known[0]
        verified.pop(token, None)
        try:
            key: Any = keys.get_signing_key_from_jwt(token).key if keys else config.auth_public_key
            found: Claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=config.auth_audience,
                issuer=config.auth_issuer,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", config.auth_user_claim], "verify_aud": config.auth_audience is not None},
            )
        except jwt.PyJWKClientConnectionError:
            raise Unavailable("The issuer's keys cannot be fetched, try again shortly.") from None
        except (jwt.PyJWTError, TypeError) as error:  # the latter of a key of another kind than the token's alg
            info(logger, f"A token was refused: {type(error).__name__}")  # whose owner is not told why
            raise Unauthenticated("The token is not valid.") from None
        if len(verified) >= MAX_VERIFIED:
            verified.clear()
        # no longer than the issuer's keys are kept
        verified[token] = _caller(found, config.auth_user_claim), min(int(found["exp"]), now + JWKS_LIFE_SECONDS)
        return verified[token][0]

    return caller


def _harden(cacheable_endpoints: set[str], response: Response) -> Response:
    response.headers.add("X-Content-Type-Options", "nosniff")
    if request.endpoint not in cacheable_endpoints:
        response.headers.add("Cache-Control", "no-store")
    return response

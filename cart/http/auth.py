"""Authentication and access: every route is closed unless it is marked as open.

A caller may access the cart whose ``user_id`` is the caller's subject. With the admin scope, a caller may access every
cart and route. A guest cart is open to everybody who knows its id. The views of links check the tokens of links.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Lock, Thread
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
JWKS_LIFE_SECONDS = 300  # after which the keys are fetched again; until new ones are there, they are used
JWKS_MAX_AGE_SECONDS = 3600  # after which they are not used any more
JWKS_PAUSE_SECONDS = 30  # after a fetch, in which an unknown key does not cause another one
JWKS_FAILURE_SECONDS = 5  # after a failed fetch, in which there is no other one
JWKS_FETCH_SECONDS = 10  # after which a fetch is given up that has neither succeeded nor failed
MAX_VERIFIED = 1000  # verified tokens that are remembered

OPEN = "open"  # to everybody, and caches may store the answer
OPEN_BY_LINK = "open by link"  # the view checks the token of the link
STATIC_ENDPOINT = "static"  # Swagger UI's files, whose view Flask makes; open too

SCOPE_CLAIMS = ("scope", "scp", "scopes")  # the first is RFC 8693's

Claims = dict[str, Any]
View = Callable[..., Any]


class Caller(NamedTuple):
    """A caller whose identity has been verified."""

    subject: str
    scopes: set[str]


def new_guest_id() -> str:
    """Return an id that nobody can guess, since it gives access to its cart."""
    return GUEST_PREFIX + secrets.token_urlsafe(24)


def allow(view: View, access: str) -> View:
    """Mark a view as open, and return it. A view without a mark is closed.

    :param access: ``OPEN`` or ``OPEN_BY_LINK``
    """
    view.__dict__["access"] = access
    return view


def open_to_all(view: View) -> View:
    """Mark a view as open to everybody; caches may store its answers."""
    return allow(view, OPEN)


def init_app(app: Flask, config: Config) -> None:
    """Check the caller before each view, and add security headers to each answer.

    Call it after all views are registered, since it reads their marks.
    """
    access = {endpoint: vars(view).get("access") for endpoint, view in app.view_functions.items()}
    cacheable = {STATIC_ENDPOINT} | {endpoint for endpoint, mark in access.items() if mark == OPEN}
    if config.auth_mode != "none":
        identify = _token_verifier(config) if config.auth_mode == "jwt" else partial(_gateway_caller, config)
        app.extensions["cart_identify"] = identify
        app.extensions["cart_access_check"] = partial(_check, config, identify)
        by_link = {endpoint for endpoint, mark in access.items() if mark == OPEN_BY_LINK}
        app.before_request(partial(_check_route, cacheable | by_link))
    app.after_request(partial(_add_security_headers, cacheable))


def require_right_to(user_id: str | None) -> None:
    """Check that the caller may access a cart.

    :param user_id: the cart, or None for all carts
    :raise Unauthenticated: the request has no valid token (401)
    :raise Forbidden: the caller may not, whether or not the cart exists (403)
    """
    if check := current_app.extensions.get("cart_access_check"):
        check(user_id)


def verified_subject() -> str | None:
    """Return the subject of this request's token; None if it has no token, or authentication is off.

    :raise Unauthenticated: the token is not valid (401)
    """
    identify = current_app.extensions.get("cart_identify")
    caller = identify() if identify else None
    return caller.subject if caller else None


def _check_route(open_endpoints: set[str]) -> None:
    """Check that the caller may use the route of this request."""
    current = request._get_current_object()  # type: ignore[attr-defined] # one look-up, not five
    endpoint = current.endpoint
    if current.method == "OPTIONS" or endpoint is None or endpoint in open_endpoints:
        return
    require_right_to((current.view_args or {}).get("user_id"))


def _check(config: Config, identify: Callable[[], Caller | None], user_id: str | None) -> None:
    if user_id and GUEST.fullmatch(user_id):
        return
    caller = identify()
    if caller is None:
        raise Unauthenticated
    if config.auth_admin_scope in caller.scopes:
        return
    if user_id is None:
        raise Forbidden(f"This needs the scope {config.auth_admin_scope}.")
    # a subject with the prefix of guests is refused: such a cart may belong to a guest
    if user_id != caller.subject or user_id.startswith(GUEST_PREFIX):
        raise Forbidden


def _caller(claims: Claims, user_claim: str) -> Caller:
    """Return the caller of these claims.

    Scopes are a text, separated by spaces, or a list.
    """
    subject = claims.get(user_claim)
    scopes: set[str] = set()
    for name in SCOPE_CLAIMS:
        value = claims.get(name) or []
        scopes.update(value.split() if isinstance(value, str) else map(str, value if isinstance(value, list) else []))
    return Caller(str(subject or ""), scopes)


def _gateway_caller(config: Config) -> Caller | None:
    claims = _gateway_claims()
    if claims is None:
        return None
    scopes = {name: _gateway_scopes(claims.get(name)) for name in SCOPE_CLAIMS}
    return _caller(claims | scopes, config.auth_user_claim)


def _gateway_scopes(scopes: Any) -> Any:
    """Return scopes separated by spaces; gateways also pass a list as the text ``[a b]``, ``a,b`` or ``["a","b"]``."""
    return re.sub(r'[\[\]",]', " ", scopes) if isinstance(scopes, str) else scopes


def _gateway_claims() -> Claims | None:
    """Return the claims that API Gateway's authorizer has verified, or None if there was no authorizer.

    Zappa puts them into the WSGI environment, where no header of a client can overwrite them. With Cognito they are in
    ``claims``, with a JWT authorizer in ``jwt.claims``; the context of a Lambda authorizer is flat, beside its
    ``principalId`` ("Input to a Lambda function for proxy integration", API Gateway Developer Guide).
    """
    authorizer = request.environ.get("API_GATEWAY_AUTHORIZER")
    if not isinstance(authorizer, dict):
        return None
    for holder in (authorizer.get("jwt"), authorizer):
        if isinstance(holder, dict) and isinstance(holder.get("claims"), dict):
            return {"scopes": holder.get("scopes")} | holder["claims"]
    context = authorizer.get("lambda", authorizer)
    return {"sub": authorizer.get("principalId"), **context} if isinstance(context, dict) else None


class IssuerKeys:
    """The issuer's keys by their id (JWKS, RFC 7517), safe in threads.

    A thread of its own fetches them, so no caller waits longer than ``JWKS_TIMEOUT_SECONDS``, and one who has a known
    key does not wait at all: neither for an issuer that hangs, nor because others have unknown keys.
    """

    def __init__(self, fetch: Callable[[], dict[str, Any]], on_change: Callable[[], None]) -> None:
        """Make the cache.

        :param fetch: asks the issuer; whatever it raises means that the issuer has no valid answer
        :param on_change: called after new keys came
        """
        self._fetch, self._on_change = fetch, on_change
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._failed_at = self._started_at = float("-inf")  # by the monotonic clock
        self._lock = Lock()
        self._fetching: Future[None] | None = None

    def key(self, key_id: str | None) -> Any:
        """Return a key.

        :raise KeyError: the issuer has no such key
        :raise Unavailable: the issuer did not answer in time, or its last answer was not valid (503)
        """
        age_seconds = time.monotonic() - self._fetched_at
        key = self._keys.get(str(key_id)) if age_seconds < JWKS_MAX_AGE_SECONDS else None
        if key is not None and age_seconds < JWKS_LIFE_SECONDS:
            return key
        if key is None and age_seconds < JWKS_PAUSE_SECONDS:
            raise KeyError(key_id)
        fetching = self._start_fetch()
        if key is not None:
            return key
        if fetching is None or not self._succeeds(fetching):
            raise Unavailable("The issuer's keys cannot be fetched. Try again in a few seconds.")
        return self._keys[str(key_id)]

    def _start_fetch(self) -> "Future[None] | None":
        """Return the fetch that is going on, which may start now; None shortly after a failed one."""
        with self._lock:
            now = time.monotonic()
            if now - self._failed_at < JWKS_FAILURE_SECONDS:
                return None
            if self._fetching is None or self._fetching.done() or now - self._started_at > JWKS_FETCH_SECONDS:
                self._fetching, self._started_at = Future(), now
                Thread(target=self._refresh, args=[self._fetching], daemon=True).start()
            return self._fetching

    def _refresh(self, fetching: "Future[None]") -> None:
        try:
            self._keys = self._fetch()
        except Exception as error:  # the answer may be anything
            logger.warning("The issuer's keys could not be fetched: %s", type(error).__name__)
            self._failed_at = time.monotonic()
            fetching.set_exception(error)
        else:
            self._fetched_at = time.monotonic()
            self._on_change()
            fetching.set_result(None)

    def _succeeds(self, fetching: "Future[None]") -> bool:
        try:
            return fetching.exception(JWKS_TIMEOUT_SECONDS) is None
        except TimeoutError:
            return False


def _token_verifier(config: Config) -> Callable[[], Caller | None]:
    """Return a function that verifies the bearer token (RFC 6750) of the current request.

    It returns the caller, or None without a token, and raises ``Unauthenticated`` or ``Unavailable``.

    :raise ConfigError: PyJWT is not installed
    """
    try:
        import jwt  # noqa: PLC0415 - imported only if it is used: it loads cryptography
    except ImportError:
        raise ConfigError("cart: AUTH_MODE=jwt needs PyJWT, which is not shipped to Lambda: use gateway") from None

    verified: dict[str, tuple[Caller, float]] = {}  # by token: the caller, and its end in epoch seconds

    def fetch_keys() -> dict[str, Any]:
        client = jwt.PyJWKClient(str(config.auth_jwks_url), cache_jwk_set=False, timeout=JWKS_TIMEOUT_SECONDS)
        return {str(key.key_id): key.key for key in client.get_signing_keys()}

    # after new keys came, all tokens are verified again: the issuer may have withdrawn the key of some
    keys = IssuerKeys(fetch_keys, on_change=verified.clear) if config.auth_jwks_url else None
    algorithms = config.auth_algorithms.split(",")
    options: jwt.types.Options = {
        "require": ["exp", config.auth_user_claim],
        "verify_aud": config.auth_audience is not None,
    }

    def verify(token: str) -> Claims:
        try:
            key: Any = keys.key(jwt.get_unverified_header(token).get("kid")) if keys else config.auth_public_key
            claims: Claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=config.auth_audience,
                issuer=config.auth_issuer,
                leeway=CLOCK_SKEW_SECONDS,
                options=options,
            )
        # TypeError: the key is of another kind than the token's "alg"; KeyError: the issuer has no such key
        except (jwt.PyJWTError, TypeError, KeyError) as error:
            info(logger, f"A token was refused: {type(error).__name__}")  # the caller does not learn the reason
            raise Unauthenticated("The token is not valid.") from None
        return claims

    def identify() -> Caller | None:
        token = _bearer_token()
        if token is None:
            return None
        now = time.time()
        if (known := verified.get(token)) and now < known[1]:
            return known[0]
        verified.pop(token, None)
        claims = verify(token)
        if len(verified) >= MAX_VERIFIED:
            verified.clear()
        # for no longer than the issuer's keys are cached
        verified[token] = _caller(claims, config.auth_user_claim), min(int(claims["exp"]), now + JWKS_LIFE_SECONDS)
        return verified[token][0]

    return identify


def _bearer_token() -> str | None:
    words = request.environ.get("HTTP_AUTHORIZATION", "").split(maxsplit=1)
    if len(words) < 2 or words[0].lower() != "bearer":
        return None
    token = words[1].rstrip()
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthenticated("The token is too long.")
    return str(token)


def _add_security_headers(cacheable_endpoints: set[str], response: Response) -> Response:
    response.headers.add("X-Content-Type-Options", "nosniff")
    if request.endpoint not in cacheable_endpoints:
        response.headers.add("Cache-Control", "no-store")
    else:  # it may be compressed, by `cart.commands.compression` or a proxy
        response.vary.add("Accept-Encoding")
    return response

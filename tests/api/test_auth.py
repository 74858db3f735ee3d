"""Access: every route of the app, every form of credentials, and known attacks on them."""

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cart import create_app
from cart.config import ConfigError
from cart.http import auth
from tests.support.stores import CUP
from tests.support.tokens import AUDIENCE, ISSUER, RSA_KEY, pem, token

OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def settings(moto_store):
    return replace(
        moto_store.config,
        environment="production",
        auth_mode="jwt",
        auth_public_key=pem(RSA_KEY),
        auth_issuer=ISSUER,
        auth_audience=AUDIENCE,
    )


@pytest.fixture(scope="module")
def closed_app(settings):
    return create_app(settings)


@pytest.fixture
def client(closed_app):
    return closed_app.test_client()


@pytest.fixture
def gateway(settings):
    return create_app(replace(settings, auth_mode="gateway", auth_public_key=None)).test_client()


# --- keys

SHORT_KEY = {"Idempotency-Key": '"1"'}


def test_keys_belong_to_the_caller(client, user):
    """The owner, an admin, and the subjects of tokens that come by one link do not get each other's answers."""
    owner = bearer(token(user))
    link = client.post(f"/cart/{user}/shares", json={"access": "edit"}, headers=owner).json["token"]
    callers = [
        (f"/cart/{user}/items", user, None),
        (f"/cart/{user}/items", "root", "carts:admin"),
        (f"/shared/{link}/items", user, None),
        (f"/shared/{link}/items", "ann", None),
        (f"/shared/{link}/items", "bob", None),
    ]
    for path, subject, scope in callers:
        for replayed in (None, "true"):  # each time with a new token, as after a refresh
            headers = bearer(token(subject, scope=scope, jti=str(replayed))) | SHORT_KEY
            answer = client.post(path, json=CUP, headers=headers)
            assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (201, replayed)
    assert client.get(f"/cart/{user}", headers=owner).json["total_items"] == len(callers) * CUP["quantity"]


def test_key_with_an_invalid_token_is_not_used_without_it(client, user):
    """Else a retry after the end of the token would be carried out again."""
    link = client.post(f"/cart/{user}/shares", json={"access": "edit"}, headers=bearer(token(user))).json["token"]
    expired = bearer(token("ann", exp=int(time.time()) - 60))
    assert client.post(f"/shared/{link}/items", json=CUP, headers=expired | SHORT_KEY).status_code == 401
    assert "401" in client.get("/openapi.json").json["paths"]["/shared/{token}/items"]["post"]["responses"]
    assert client.post(f"/shared/{link}/items", json=CUP, headers=expired).status_code == 201
    assert client.post(f"/shared/{link}/items", json=CUP, headers=SHORT_KEY).status_code == 422


def test_keys_of_a_guest_do_not_change_with_a_login(client):
    guest = client.post("/cart").json["user_id"]
    for headers in ({}, bearer(token("ann"))):
        answer = client.post(f"/cart/{guest}/items", json=CUP, headers=headers | SHORT_KEY)
        assert answer.status_code == 201
    assert answer.headers["Idempotency-Replayed"] == "true"


# --- every route

OPEN = {
    "GET /health",
    "GET /health/ready",
    "POST /cart",
    "GET /openapi.json",
    "GET /",  # redirects to /docs
    "GET /docs",
    "GET /docs/start.js",
    "GET /docs/<path:filename>",
    "GET /analytics",  # the page without data, which it reads from the API
    "GET /analytics/assets/<name>",
    "GET /shared/<token>",  # needs the share token in the path
    "POST /shared/<token>/items",
    "PUT /shared/<token>/items/<product_id:product_id>",
    "DELETE /shared/<token>/items/<product_id:product_id>",
}


def routes(app):
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            values = {"user_id": "bob", "product_id": 42, "filename": "index.css"}
            values |= {"token": "A" * 32, "share_id": "0" * 64, "job_id": "0" * 32, "name": "analytics.js"}
            path = app.url_map.bind("").build(rule.endpoint, {name: values[name] for name in rule.arguments})
            yield f"{method} {rule.rule}", method, path


def test_every_route_needs_a_token_except_the_listed_ones(closed_app, client):
    """The routes are read from the app: a new one must need credentials or be listed here."""
    for name, method, path in routes(closed_app):
        with client.open(path, method=method, json={}) as nobody:
            assert (nobody.status_code == 401) == (name not in OPEN), name
        with client.open(path, method=method, json={}, headers=bearer(token("mallory"))) as answer:
            assert (answer.status_code == 403) == (name not in OPEN), name
        if name in OPEN:
            continue
        assert nobody.headers["WWW-Authenticate"] == "Bearer"
        assert nobody.mimetype == answer.mimetype == "application/problem+json"
        of_bob = "<user_id:" in name
        for subject, scope, allowed in (("bob", None, of_bob), ("mallory", "carts:admin", True)):
            with client.open(path, method=method, json={}, headers=bearer(token(subject, scope=scope))) as answer:
                assert (answer.status_code not in (401, 403)) == allowed, name


def test_route_without_a_cart_needs_the_admin_scope(settings):
    app = create_app(settings)
    app.add_url_rule("/later", view_func=lambda: "added later")
    client = app.test_client()
    assert client.get("/later").status_code == 401
    assert client.get("/later", headers=bearer(token())).status_code == 403
    assert client.get("/later", headers=bearer(token(scope="a carts:admin"))).status_code == 200


def test_403_is_the_same_whether_the_cart_exists_or_not(client):
    client.post("/cart/bob/items", json=CUP, headers=bearer(token("bob")))
    answers = [client.get(f"/cart/{user}", headers=bearer(token("mallory"))).json for user in ("bob", "nobody")]
    for answer in answers:
        answer.pop("instance")
    assert answers[0] == answers[1]


# --- jwt


def test_valid_token_gives_access_to_its_own_cart(client):
    assert client.post("/cart/alice/items", json=CUP, headers=bearer(token())).status_code == 201
    assert client.get("/cart/alice", headers={"Authorization": f"bearer {token()}"}).status_code == 200


def test_token_is_verified_again_only_after_it_or_its_key_may_have_expired(client, monkeypatch):
    verifications = []
    decode = jwt.decode
    monkeypatch.setattr(jwt, "decode", lambda *args, **kwargs: verifications.append(1) or decode(*args, **kwargs))
    clock = SimpleNamespace(offset=0, time=lambda: time.time() + clock.offset)
    monkeypatch.setattr(auth, "time", clock)
    now = int(time.time())
    long_lived, short_lived = token(exp=now + 3600), token(exp=now + 100)
    for text, offset, verified in (
        *((long_lived, 0, 1), (long_lived, 0, 1), (short_lived, 0, 2), (short_lived, 90, 2)),
        *((short_lived, 110, 3), (long_lived, 290, 3), (long_lived, 310, 4)),
    ):
        clock.offset = offset
        assert client.get("/cart/alice", headers=bearer(text)).status_code == 200
        assert len(verifications) == verified
    assert client.get("/cart/bob", headers=bearer(long_lived)).status_code == 403
    assert client.get("/cart/alice", headers=bearer(long_lived[:-4] + "AAAA")).status_code == 401


def unsigned(claims: dict, algorithm: str) -> str:
    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}."


GOOD_CLAIMS = {"sub": "alice", "iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800}
NOW = int(time.time())


@pytest.mark.parametrize(
    "invalid_token",
    [
        token(exp=NOW - 60),
        token(exp=None),
        token(nbf=NOW + 600),
        token(aud="another shop"),
        token(aud=None),
        token(iss="https://evil.example"),
        token(iss=None),
        token(sub=None),
        token(key=OTHER_KEY),
        token(key=EC_KEY, algorithm="ES256"),
        token(algorithm="PS256"),
        token(algorithm="RS512"),
        unsigned(GOOD_CLAIMS, "none"),
        unsigned(GOOD_CLAIMS, "None"),
        unsigned(GOOD_CLAIMS, "RS256"),
        token()[:-4] + "AAAA",
        "not-a-token",
        "a.b.c",
        "é",
        token(padding="x" * 10_000),
    ],
    ids=range(20),
)
def test_invalid_token_is_401(client, invalid_token):
    for path in ("/cart/alice", "/cart/bob"):
        response = client.get(path, headers={"Authorization": f"Bearer {invalid_token}".encode().decode("latin-1")})
        assert response.status_code == 401
        assert response.json is None or "alice" not in json.dumps(response.json)


def test_public_key_is_not_accepted_as_a_shared_secret(client):
    """The known attack: HS256 with the public key as the secret."""
    head = unsigned(GOOD_CLAIMS, "HS256").rstrip(".")
    mac = hmac.new(pem(RSA_KEY).encode(), head.encode(), hashlib.sha256).digest()
    forged = f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert client.get("/cart/alice", headers=bearer(forged)).status_code == 401


@pytest.mark.parametrize("form", ["Bearer {}", "Bearer   {}", "Bearer\t{}", "BEARER {} ", " Bearer {}\t"])
def test_token_may_have_any_white_space_around_it(client, form):
    """RFC 6750, section 2.1 and RFC 9110, section 11.4 allow more than one space."""
    assert client.get("/cart/alice", headers={"Authorization": form.format(token())}).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer \t ", "Basic YWxpY2U6eA==", "Token x"])
def test_missing_token_is_401(client, header):
    assert client.get("/cart/alice", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/cart/Alice",
            "/cart//alice",
            "/cart/alice%20",
            "/cart/%61lice/../bob",
            "/cart/bob%2f..%2falice",
        ),
        *("/cart/%2e%2e/bob", "/cart/alice%2Fitems", "/cart/bob%00", "/cart/b%256fb", "/cart/./bob", "/CART/bob"),
        *("/cart/alice;bob", "/cart/alice%2523", "/cart/bob?user_id=alice", "/cart/bob#alice"),
    ],
)
def test_path_manipulation_gives_no_access_to_another_cart(client, path):
    response = client.get(path, headers=bearer(token()))
    assert response.status_code in (403, 404, 405, 422)


def test_percent_encoded_id_is_the_same_id(client):
    assert client.get("/cart/%61lice", headers=bearer(token())).status_code == 200
    assert client.get("/cart/a%40b.example", headers=bearer(token("a@b.example"))).status_code == 200


@pytest.fixture
def issuer():
    """A JWKS endpoint whose keys the test can rotate, and which counts its calls."""

    class Issuer(BaseHTTPRequestHandler):
        keys: dict = {}
        calls = 0
        status = 200
        body = None  # or the body that it sends instead of its keys
        answers = threading.Event()  # while it is not set, the issuer hangs
        answers.set()

        def do_GET(self):
            Issuer.calls += 1
            assert Issuer.answers.wait(30)
            keys = {"keys": [jwk(key) | {"kid": kid} for kid, key in Issuer.keys.items()]}
            body = json.dumps(keys).encode() if Issuer.body is None else Issuer.body
            with suppress(OSError):  # the service gave up
                self.send_response(Issuer.status)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Issuer.url = f"http://127.0.0.1:{server.server_port}/keys"
    yield Issuer
    Issuer.answers.set()
    server.shutdown()
    thread.join()
    server.server_close()


def jwk(key) -> dict:
    if key is EC_KEY:
        return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"use": "sig", "alg": "ES256"}
    return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"use": "sig", "alg": "RS256"}


@pytest.fixture
def by_jwks(settings, issuer):
    return create_app(replace(settings, auth_public_key=None, auth_jwks_url=issuer.url)).test_client()


@pytest.fixture
def later(monkeypatch):
    """A function that lets seconds pass for the service."""
    clock = SimpleNamespace(offset=0)
    clock.time, clock.monotonic = (lambda: time.time() + clock.offset), (lambda: time.monotonic() + clock.offset)
    monkeypatch.setattr(auth, "time", clock)

    def let_pass(seconds: float) -> None:
        clock.offset += seconds

    return let_pass


def test_keys_are_fetched_once_and_again_after_rotation(by_jwks, issuer, later):
    issuer.keys = {"first": RSA_KEY}
    first = bearer(token(headers={"kid": "first"}))
    assert [by_jwks.get("/cart/alice", headers=first).status_code for _ in range(5)] == [200] * 5
    assert issuer.calls == 1
    issuer.keys = {"second": OTHER_KEY}
    second = bearer(token(key=OTHER_KEY, headers={"kid": "second"}))
    later(31)
    assert by_jwks.get("/cart/alice", headers=second).status_code == 200
    assert by_jwks.get("/cart/alice", headers=first).status_code == 401
    assert issuer.calls == 2


def test_token_with_an_unknown_key_is_logged_as_refused(settings, issuer, capsys):
    by_jwks_settings = replace(settings, auth_public_key=None, auth_jwks_url=issuer.url, log_level="INFO")
    client = create_app(by_jwks_settings).test_client()
    issuer.keys = {"first": RSA_KEY}
    for _ in range(2):  # after a fetch, and without one
        assert client.get("/cart/alice", headers=bearer(token(headers={"kid": "guess"}))).status_code == 401
    assert capsys.readouterr().out.count("A token was refused") == 2


def test_unknown_key_ids_cause_few_requests_to_the_issuer(by_jwks, issuer):
    issuer.keys = {"first": RSA_KEY}
    by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"})))
    for number in range(20):
        guessed = bearer(token(headers={"kid": f"guess-{number}"}))
        assert by_jwks.get("/cart/alice", headers=guessed).status_code == 401
    assert by_jwks.get("/cart/alice", headers=bearer(token())).status_code == 401  # without a key id
    assert issuer.calls == 1


def test_unreachable_issuer_is_503(by_jwks, issuer, later):
    issuer.status = 500
    for _ in range(3):
        response = by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"})))
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert issuer.calls == 1, "a failed fetch is remembered for some seconds"
    issuer.status, issuer.keys = 200, {"first": RSA_KEY}
    later(6)
    assert by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"}))).status_code == 200


def statuses_at_once(client, tokens: list[str]) -> list[int]:
    """Return the statuses of requests that wait at the same time."""
    with ThreadPoolExecutor(len(tokens)) as pool:
        ask = client.application.test_client
        return list(pool.map(lambda text: ask().get("/cart/alice", headers=bearer(text)).status_code, tokens))


def test_hanging_issuer_is_503_for_all_with_one_request(by_jwks, issuer, monkeypatch):
    monkeypatch.setattr(auth, "JWKS_TIMEOUT_SECONDS", 0.3)
    issuer.answers.clear()
    assert statuses_at_once(by_jwks, [token(headers={"kid": f"key-{number}"}) for number in range(8)]) == [503] * 8
    assert issuer.calls == 1
    assert not issuer.answers.is_set(), "nobody waited for the issuer"


def test_hanging_issuer_does_not_touch_callers_with_a_known_key(by_jwks, issuer, later, monkeypatch):
    monkeypatch.setattr(auth, "JWKS_TIMEOUT_SECONDS", 0.3)
    issuer.keys = {"first": RSA_KEY}
    seen = token(headers={"kid": "first"})
    assert by_jwks.get("/cart/alice", headers=bearer(seen)).status_code == 200
    later(31)
    issuer.answers.clear()
    strangers = [token(headers={"kid": f"guess-{number}"}) for number in range(4)]
    unseen = token(headers={"kid": "first"}, jti="another token")
    assert statuses_at_once(by_jwks, [*strangers, seen, unseen]) == [503] * 4 + [200] * 2
    assert issuer.calls == 2


def test_known_keys_are_used_for_an_hour_if_the_issuer_fails(by_jwks, issuer, later):
    issuer.keys = {"first": RSA_KEY}
    assert by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"}))).status_code == 200
    issuer.status = 500
    for seconds, status in ((301, 200), (3000, 200), (300, 503)):
        later(seconds)
        assert by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"}))).status_code == status
    assert issuer.calls > 1
    issuer.status = 200
    later(6)
    assert by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"}))).status_code == 200


def test_new_keys_end_what_was_verified_with_the_old_ones(by_jwks, issuer, later):
    issuer.keys = {"first": RSA_KEY}
    first = bearer(token(headers={"kid": "first"}))
    assert by_jwks.get("/cart/alice", headers=first).status_code == 200
    issuer.keys = {"second": OTHER_KEY}
    later(31)
    second = bearer(token(key=OTHER_KEY, headers={"kid": "second"}))
    assert by_jwks.get("/cart/alice", headers=second).status_code == 200
    assert by_jwks.get("/cart/alice", headers=first).status_code == 401


def test_missing_pyjwt_stops_the_start_with_a_message(settings, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jwt", None)
    with pytest.raises(ConfigError, match="not shipped to Lambda"):
        create_app(settings)


# --- gateway


def authorized(client, authorizer, path="/cart/alice", **options):
    return client.get(path, environ_overrides={"API_GATEWAY_AUTHORIZER": authorizer}, **options)


AUTHORIZERS = {
    "cognito": lambda claims: {"claims": claims},
    "jwt": lambda claims: {"jwt": {"claims": claims, "scopes": None}},
    "lambda": lambda claims: {"principalId": claims["sub"], "integrationLatency": 3, **claims},
    "lambda v2": lambda claims: {"lambda": claims},
}


@pytest.mark.parametrize("kind", AUTHORIZERS)
def test_verified_claims_of_an_authorizer_are_accepted(gateway, kind):
    make = AUTHORIZERS[kind]
    assert authorized(gateway, make({"sub": "alice"})).status_code == 200
    assert authorized(gateway, make({"sub": "mallory"})).status_code == 403
    assert authorized(gateway, make({"sub": "mallory", "scope": "openid carts:admin"})).status_code == 200
    assert authorized(gateway, make({"sub": "mallory", "scope": "carts:administrator"})).status_code == 403


def test_scopes_of_a_jwt_authorizer_are_read(gateway):
    claims = {"sub": "root"}
    assert authorized(gateway, {"jwt": {"claims": claims, "scopes": ["carts:admin"]}}).status_code == 200
    assert authorized(gateway, {"claims": claims | {"scp": ["carts:admin"]}}).status_code == 200


@pytest.mark.parametrize("name", ["scope", "scp", "scopes"])
@pytest.mark.parametrize(
    "form",
    [
        "carts:read {}",
        "[carts:read {}]",
        "carts:read,{}",
        "carts:read, {}",
        '["carts:read","{}"]',
        ["carts:read", "{}"],
    ],
)
@pytest.mark.parametrize("kind", AUTHORIZERS)
def test_scopes_are_read_in_each_form_that_a_gateway_passes(gateway, kind, form, name):
    for scope, status in (("carts:admin", 200), ("carts:administrator", 403), ("not-carts:admin", 403)):
        scopes = [item.format(scope) for item in form] if isinstance(form, list) else form.format(scope)
        assert authorized(gateway, AUTHORIZERS[kind]({"sub": "root", name: scopes})).status_code == status


def test_principal_of_a_lambda_authorizer_is_the_user(gateway):
    assert authorized(gateway, {"principalId": "alice"}).status_code == 200
    assert authorized(gateway, {"principalId": "mallory"}).status_code == 403


NOTHING = [None, {}, "alice", {"claims": {}}, {"jwt": {"claims": {}}}, {"lambda": {}}]
NOTHING += [{"claims": "alice"}, {"jwt": "alice"}, {"jwt": {"claims": "alice"}}, {"lambda": "alice"}]


@pytest.mark.parametrize("authorizer", NOTHING)
def test_authorizer_without_claims_is_refused(gateway, authorizer):
    assert authorized(gateway, authorizer).status_code in (401, 403)


def test_keys_of_a_service_without_a_subject_are_its_own(gateway, user):
    """The token of a service may have the admin scope and no subject."""
    for claims in ({"sub": user}, {"scope": "carts:admin"}):
        for replayed in (None, "true"):
            environ = {"API_GATEWAY_AUTHORIZER": {"claims": claims}}
            answer = gateway.post(f"/cart/{user}/items", json=CUP, headers=SHORT_KEY, environ_overrides=environ)
            assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (201, replayed)


@pytest.mark.parametrize(
    "name", ["API_GATEWAY_AUTHORIZER", "Api-Gateway-Authorizer", "X-Amzn-Authorizer", "Lambda.Event", "Remote-User"]
)
def test_client_header_is_never_a_claim(gateway, name):
    forged = json.dumps({"claims": {"sub": "alice"}})
    assert gateway.get("/cart/alice", headers={name: forged}).status_code == 401
    assert gateway.get("/cart/alice", headers={name: forged} | bearer(token())).status_code == 401


def test_configured_claim_is_the_user(settings):
    app = create_app(replace(settings, auth_mode="gateway", auth_public_key=None, auth_user_claim="cognito:username"))
    claims = {"sub": "4f1c", "cognito:username": "alice"}
    assert authorized(app.test_client(), {"claims": claims}).status_code == 200
    assert authorized(app.test_client(), {"claims": claims}, "/cart/4f1c").status_code == 403


# --- guests


def test_guest_id_gives_access_to_its_cart(client, moto_store):
    response = client.post("/cart")
    user_id = response.json["user_id"]
    assert response.status_code == 201
    assert response.headers["Location"] == f"/cart/{user_id}"
    assert auth.GUEST.fullmatch(user_id)
    assert moto_store.rows(user_id) == []
    assert client.get(f"/cart/{user_id}").json["items"] == []
    assert client.post(f"/cart/{user_id}/items", json=CUP).status_code == 201
    assert client.get(f"/cart/{user_id}", headers=bearer(token("mallory"))).status_code == 200


def test_guest_ids_cannot_be_guessed(client):
    ids = {client.post("/cart").json["user_id"] for _ in range(100)}
    assert len(ids) == 100
    assert all(len(base64.urlsafe_b64decode(user_id.removeprefix("guest-"))) * 8 >= 128 for user_id in ids)


@pytest.mark.parametrize(
    "user_id", ["guest-1", "guest-", "guest-" + "a" * 31, "guest-" + "a" * 33, "Guest-" + "a" * 32]
)
def test_malformed_guest_id_needs_a_token(client, user_id):
    assert client.get(f"/cart/{user_id}").status_code == 401


def test_token_subject_is_never_a_guest(client):
    """A token whose subject looks like a guest id gives no access that the id itself does not give."""
    assert client.get("/cart/guest-1", headers=bearer(token("guest-1"))).status_code == 403


# --- two carts


def test_merge_needs_access_to_both_carts(client):
    guest = client.post("/cart").json["user_id"]
    client.post(f"/cart/{guest}/items", json=CUP)
    client.post("/cart/owner/items", json=CUP | {"product_id": 7}, headers=bearer(token("owner")))

    def merge(target, source, *, by=None, scope=None):
        headers = bearer(token(by, scope=scope)) if by else {}
        return client.post(f"/cart/{target}/merge", json={"source_user_id": source}, headers=headers).status_code

    assert merge("alice", guest) == 401
    assert merge(guest, "owner") == 401
    for source in ("owner", "nobody", "guest-1"):
        assert merge("alice", source, by="alice") == 403
    assert merge("owner", guest, by="alice") == 403
    assert merge(guest, "owner", by="alice") == 403
    assert client.get("/cart/owner", headers=bearer(token("owner"))).json["total_items"] == 2
    assert client.get(f"/cart/{guest}").json["total_items"] == 2
    assert merge("carol", guest, by="carol") == 200
    assert merge("alice", "owner", by="root", scope="carts:admin") == 200
    assert client.get(f"/cart/{guest}").json["total_items"] == 0
    other_guest = client.post("/cart").json["user_id"]
    assert merge(other_guest, guest) == 200  # the caller knows both guest ids
    assert merge(guest, "carol", by="carol") == 200  # both carts belong to the caller


def test_share_link_needs_no_token_and_gives_only_its_access(client):
    client.post("/cart/bob/items", json=CUP, headers=bearer(token("bob")))
    links = {
        access: client.post("/cart/bob/shares", json={"access": access}, headers=bearer(token("bob"))).json["token"]
        for access in ("view", "edit")
    }
    answer = client.get(f"/shared/{links['view']}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert client.post(f"/shared/{links['view']}/items", json=CUP).status_code == 403
    assert client.post(f"/shared/{links['edit']}/items", json=CUP).status_code == 201
    for link in links.values():
        assert client.get(f"/cart/{link}").status_code == 401
        assert client.get("/cart/bob", headers=bearer(link)).status_code == 401
        assert client.delete(f"/shared/{link}").status_code == 405
        assert client.post("/cart/alice/copy", json={"share_token": link}).status_code == 401
        copied = client.post("/cart/alice/copy", json={"share_token": link}, headers=bearer(token("alice")))
        assert copied.status_code == 200
    mallory = bearer(token("mallory"))
    assert client.get("/cart/bob/shares", headers=mallory).status_code == 403
    assert client.post("/cart/bob/shares", json={}, headers=mallory).status_code == 403


# --- answers


def test_every_answer_has_the_security_headers(client):
    user_id = client.post("/cart").json["user_id"]
    for path, expected in ((f"/cart/{user_id}", "no-store"), ("/cart/bob", "no-store"), ("/health", None)):
        response = client.get(path)
        assert response.headers.get("Cache-Control") == expected
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_openapi_document_states_which_operations_need_a_token(closed_app, app_without_auth):
    document = closed_app.test_client().get("/openapi.json").json
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["security"] == [{"bearer": []}]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict):
                name = f"{method.upper()} {path}"
                is_open = name in {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", name) for name in OPEN}
                takes_a_token = name == "POST /shared/{token}/items"  # for its keys, and it may be left out
                expected = [{}, {"bearer": []}] if takes_a_token else [] if is_open else None
                assert operation.get("security") == expected
                assert ("401" in operation["responses"]) is (takes_a_token or not is_open)
                assert is_open or "403" in operation["responses"]
    open_document = app_without_auth.test_client().get("/openapi.json").json
    assert open_document["security"] == open_document["paths"]["/shared/{token}/items"]["post"]["security"] == []
    assert "securitySchemes" not in open_document["components"]


@pytest.fixture
def app_without_auth(moto_store):
    return create_app(moto_store.config)


def test_ids_and_names_cannot_forge_a_log_line(closed_app, capsys):
    name = 'cup \u2028 {"level": "FATAL"}'
    client = create_app(replace(closed_app.extensions["cart_config"], log_level="INFO", auth_mode="none")).test_client()
    capsys.readouterr()
    client.post("/cart/bob/items", json=CUP | {"product_name": name}, headers={"X-Request-ID": 'a{"level":1}'})
    client.post("/cart/bob/items", json=CUP | {"product_name": "a\nb"}, headers={"X-Request-ID": "x\ty"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # the second is refused before it is handled
    assert {json.loads(line)["level"] for line in lines} == {"INFO"}


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"[]", b"{}", b'{"keys": []}', b"[" * 100_000, b"null", b'"x"'])
def test_invalid_answer_of_the_issuer_is_503(by_jwks, issuer, later, body):
    issuer.body = body
    response = by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"})))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    issuer.body, issuer.keys = None, {"first": RSA_KEY}
    later(6)
    assert by_jwks.get("/cart/alice", headers=bearer(token(headers={"kid": "first"}))).status_code == 200


def test_key_of_another_type_than_the_token_is_refused(by_jwks, issuer):
    issuer.keys = {"rsa": RSA_KEY, "ec": EC_KEY}
    for key, algorithm, kid in ((RSA_KEY, "RS256", "ec"), (EC_KEY, "ES256", "rsa")):
        crossed = token(key=key, algorithm=algorithm, headers={"kid": kid})
        assert by_jwks.get("/cart/alice", headers=bearer(crossed)).status_code == 401


@pytest.mark.parametrize("name", ["scope", "scp", "scopes"])
@pytest.mark.parametrize("value", [5, True, {"carts:admin": 0}, 0.5])
def test_scopes_in_an_unknown_form_are_ignored(client, name, value):
    assert client.get("/cart/bob", headers=bearer(token(**{name: value}))).status_code == 403
    assert client.get("/cart/alice", headers=bearer(token(**{name: value}))).status_code == 200


def test_token_with_a_huge_expiry_is_handled(client):
    for _ in range(2):
        assert client.get("/cart/alice", headers=bearer(token(exp=10**400))).status_code == 200

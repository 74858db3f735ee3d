"""The direct client does what boto3's does: the same signatures, requests, answers and errors."""

import ast
import datetime
import functools
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.credentials import ReadOnlyCredentials
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError, EndpointVariantError, ReadTimeoutError, SSLError
from botocore.handlers import BUILTIN_HANDLERS
from botocore.httpsession import URLLib3Session
from botocore.session import get_session
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cart.config import Config
from cart.dynamodb import connections, direct
from cart.dynamodb.client import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, call, connect
from cart.dynamodb.direct import DirectClient
from cart.dynamodb.failures import Failure, failure_of
from cart.dynamodb.sigv4 import CONTENT_TYPE, authorization
from cart.logs import configure_logging
from tests.support.project import ROOT
from tests.support.raw_server import RawServer, Request, chunked, raw_server, response
from tests.support.tls import page, tls_server

DIRECT, BOTOCORE = "direct", "botocore"
KEYS = ReadOnlyCredentials("AKIDEXAMPLE", "secret/key+1", None)
ROW = {"user_id": {"S": "u"}, "quantity": {"N": "2"}, "deep": {"M": {"l": {"L": [{"BOOL": True}, {"SS": ["é\n"]}]}}}}
PAGE = json.dumps({"Items": [ROW], "Count": 1, "ScannedCount": 1}).encode()
WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+=", min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in [one for one in os.environ if one.startswith("AWS_") or one.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)


def client_of(url: str | None, transport: str = DIRECT, region: str = "eu-central-1") -> Any:
    return connect(Config(dynamodb_endpoint_url=url, dynamodb_transport=transport, aws_region=region))


def query(client: Any, user_id: str = "u") -> Any:
    return client.query(
        TableName="carts", KeyConditionExpression="user_id = :u", ExpressionAttributeValues={":u": {"S": user_id}}
    )


def update(client: Any) -> Any:
    return client.update_item(
        TableName="carts",
        Key={"user_id": {"S": "é€\U0001f600"}, "item_id": {"S": 'ITEM#"\\1'}},
        UpdateExpression="ADD quantity :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="ALL_NEW",
    )


def remove(client: Any) -> Any:
    return client.delete_item(TableName="carts", Key={"user_id": {"S": "u"}, "item_id": {"S": "ITEM#1"}})


def is_direct(request: Request) -> bool:
    return "amz-sdk-invocation-id" not in request.headers


def outcome(client: Any, ask: Any = query) -> tuple[Any, ...]:
    """What ``cart.dynamodb.call`` would see, without what tells the transports apart on purpose."""
    try:
        seen = ask(client)
        kind = "answer"
    except ClientError as error:
        seen, kind = error.response, type(error).__name__
        seen["ResponseMetadata"].pop("MaxAttemptsReached", None)  # botocore's note to itself that it may not retry
        return kind, seen, str(error).replace(" (reached max retries: 0)", "")
    except Exception as error:
        names = {Failure.NOT_SENT: "never sent", Failure.UNCERTAIN: "lost"}
        return (names.get(failure_of(error), type(error).__name__),)
    seen["ResponseMetadata"].pop("MaxAttemptsReached", None)
    return kind, seen


# The request


def signed_by_botocore(url: str, headers: dict[str, str], body: bytes, keys: Any, *scope: str) -> str:
    timestamp, region, service = scope
    request = AWSRequest("POST", url, headers, body)
    clock = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ")
    with patch("botocore.auth.get_current_datetime", return_value=clock):
        botocore.auth.SigV4Auth(keys, service, region).add_auth(request)
    return request.headers["Authorization"]


@given(
    host=st.from_regex(r"[a-z0-9][a-z0-9.-]{0,30}(:[1-9][0-9]{1,3})?", fullmatch=True),
    path=st.from_regex(r"(/[A-Za-z0-9_-]{1,8}){0,3}/?", fullmatch=True),
    scheme=st.sampled_from(["http", "https"]),
    target=WORDS,
    body=st.binary(max_size=2000),
    keys=st.builds(ReadOnlyCredentials, WORDS, WORDS, st.none() | WORDS | st.builds("{}  {} ".format, WORDS, WORDS)),
    region=WORDS,
    service=WORDS,
    clock=st.datetimes(datetime.datetime(1980, 1, 1), datetime.datetime(2200, 1, 1)),
)
@example("h", "", "https", "t", b"", KEYS, "r", "s", datetime.datetime(2026, 12, 31, 23, 59, 59))
@example("h", "", "https", "t", b"", KEYS, "r", "s", datetime.datetime(2027, 1, 1))
@settings(max_examples=200, deadline=None)
def test_signatures_are_botocores(host, path, scheme, target, body, keys, region, service, clock):
    if host.rpartition(":")[2] in ("80", "443"):
        host += "0"
    headers = {"X-Amz-Target": target, "Content-Type": CONTENT_TYPE, "User-Agent": "is not signed"}
    scope = clock.strftime("%Y%m%dT%H%M%SZ"), region, service
    ours = authorization(host, path or "/", target, body, keys, *scope)
    assert ours == signed_by_botocore(f"{scheme}://{host}{path}", headers, body, keys, *scope)


def assert_signed(request: Request, keys: Any, region: str = "eu-central-1") -> None:
    signed = {name: request.headers[name] for name in ("x-amz-target", "content-type")}
    url = f"http://{request.headers['host']}{request.first.split()[1]}"
    scope = request.headers["x-amz-date"], region, "dynamodb"
    assert request.headers["authorization"] == signed_by_botocore(url, signed, request.body, keys, *scope)
    assert request.headers.get("x-amz-security-token") == keys.token


@pytest.mark.parametrize("path", ["", "/", "/a", "/a/b_c/", "/a//b", "/a/../b", "/%20", "/a?x=y"])
@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjE/+=="])
def test_requests_are_botocores(monkeypatch, path, token):
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "cart")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793")
    with raw_server(lambda _: response(PAGE)) as server:
        for transport in (DIRECT, BOTOCORE):
            client = client_of(server.url + path, transport, "ap-southeast-2")
            for ask in (query, update, query, update, remove, remove):
                ask(client)
            client.close()
    ours, theirs = server.requests[:6], server.requests[6:]
    for mine, their in zip(ours, theirs, strict=True):
        assert mine.first == their.first
        assert json.loads(mine.body) == json.loads(their.body)  # with fewer spaces
        changing = {"authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request"}
        if mine.body != their.body:
            changing.add("content-length")
            assert mine.headers["content-length"] == str(len(mine.body))
        assert mine.headers["user-agent"].split(" m/")[0] == their.headers["user-agent"].split(" m/")[0]
        changing.add("user-agent")  # botocore's goes on with the features that a request has used
        same = their.headers.keys() - changing
        assert {name: mine.headers.get(name) for name in same} == {name: their.headers[name] for name in same}
        assert mine.headers.keys() - same <= changing
        assert is_direct(mine) == (path in ("", "/", "/a", "/a/b_c/"))
        if is_direct(mine):
            assert_signed(mine, KEYS._replace(token=token), "ap-southeast-2")


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "_X_AMZN_TRACE_ID"])
def test_no_setting_can_add_headers(monkeypatch, variable, transport):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "cart")
    monkeypatch.setenv(variable, "evil\r\nX-Evil: 1")
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url, transport)
        outcome(client)
        client.close()
    assert not any("x-evil" in one.headers for one in server.requests)


def test_what_is_no_json_is_written_by_botocore():
    """Which escapes a lone surrogate; DynamoDB has a word for it."""
    with raw_server(lambda _: response(PAGE)) as server:
        for transport in (DIRECT, BOTOCORE):
            client = client_of(server.url, transport)
            for user_id in ("u", "\ud800"):
                query(client, user_id)
            client.close()
    bodies = [json.loads(one.body) for one in server.requests]
    assert bodies[1] == bodies[3]
    assert bodies[1]["ExpressionAttributeValues"] == {":u": {"S": "\ud800"}}


def test_a_transaction_without_a_token_is_given_one():
    """By botocore, each time another."""
    with raw_server(lambda _: response(b"{}")) as server:
        client = client_of(server.url)
        for _ in range(3):
            client.transact_write_items(TransactItems=[{"Delete": {"TableName": "carts", "Key": {}}}])
        client.close()
    assert len({json.loads(one.body)["ClientRequestToken"] for one in server.requests}) == 3


def test_credentials_that_rotate_are_asked_for_each_time(monkeypatch, tmp_path):
    """By ``credential_process``: each call of it has other keys, which expire so soon that it is called each time."""
    count = tmp_path / "count"
    count.write_text("0")
    program = tmp_path / "keys.py"
    program.write_text(
        "import datetime, json, pathlib\n"
        f"count = pathlib.Path({str(count)!r})\n"
        "number = int(count.read_text()) + 1\n"
        "count.write_text(str(number))\n"
        "ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'A{number}', 'SecretAccessKey': f's{number}',"
        " 'SessionToken': f't{number}', 'Expiration': ends.isoformat()}))\n"
    )
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        for _ in range(3):
            query(client)
    used = [one.headers["x-amz-security-token"] for one in server.requests]
    assert len(set(used)) == 3
    for request, token in zip(server.requests, used, strict=True):
        assert_signed(request, ReadOnlyCredentials(f"A{token[1:]}", f"s{token[1:]}", token))


def test_credentials_of_a_container_are_refreshed(monkeypatch):
    numbers = iter(range(1, 100))

    def answer(request: Request) -> bytes:
        if not request.first.startswith("GET"):
            return response(PAGE)
        number = next(numbers)
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5 if number < 3 else 500)
        keys = {"AccessKeyId": f"A{number}", "SecretAccessKey": f"s{number}", "Token": f"t{number}"}
        return response(json.dumps(keys | {"Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode())

    with raw_server(answer) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        client = client_of(server.url)
        for _ in range(5):
            query(client)
    sent = [one for one in server.requests if one.first.startswith("POST")]
    used = [one.headers["x-amz-security-token"] for one in sent]
    assert used[-1] == used[-2] == "t3"
    for request, token in zip(sent, used, strict=True):
        assert is_direct(request)
        assert_signed(request, ReadOnlyCredentials(f"A{token[1:]}", f"s{token[1:]}", token))


def test_without_credentials_botocore_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for transport in (DIRECT, BOTOCORE):
        assert outcome(client_of(None, transport)) == ("NoCredentialsError",)


def test_the_endpoint_may_come_from_the_environment(monkeypatch):
    with raw_server(lambda _: response(PAGE)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        query(client_of(None))
    assert [is_direct(one) for one in server.requests] == [True]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_is_botocores_business(monkeypatch, variable):
    with raw_server(lambda _: response(PAGE)) as proxy, raw_server(lambda _: response(PAGE)) as server:
        monkeypatch.setenv(variable, proxy.url)
        client = client_of(server.url)
        assert query(client)["Count"] == 1
        assert server.requests == []
        assert [is_direct(one) for one in proxy.requests] == [False]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        query(client_of(server.url))
        assert [is_direct(one) for one in server.requests] == [True]


@pytest.mark.parametrize(
    "environ",
    [{}, {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, {"AWS_ACCOUNT_ID": "1" * 12}],
)
def test_endpoints_of_aws_are_those_that_botocore_finds(monkeypatch, environ):
    """No request leaves this machine: their names are resolved here, and where they lead nobody listens."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    asked: list[str] = []

    def nowhere(host: str, *_: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(-2, "no such name here")

    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    clients = [client_of(None, transport) for transport in (DIRECT, BOTOCORE)]
    assert isinstance(clients[0], DirectClient) == ("AWS_ACCOUNT_ID" not in environ)
    for client in clients:
        assert outcome(client) == ("never sent",)
    assert len(asked) == 2
    assert len(set(asked)) == 1


@pytest.mark.parametrize(("option", "regions"), [(None, 40), ("use_fips_endpoint", 30), ("use_dualstack_endpoint", 30)])
def test_the_endpoint_of_each_region_is_the_one_that_botocores_rules_give(option, regions):
    """``meta.endpoint_url`` is known without the rules, which botocore evaluates for each request."""
    session = get_session()
    if option:
        session.set_config_variable(option, True)
    compared = 0
    for partition in session.get_available_partitions():
        for region in session.get_available_regions("dynamodb", partition):
            try:
                client = session.create_client("dynamodb", region_name=region)
            except EndpointVariantError:
                continue
            if direct.reason_for_boto3(client, session) is None:
                url = client.generate_presigned_url("query", {"TableName": "t", "KeyConditionExpression": "a = :a"})
                assert urlsplit(url).netloc == urlsplit(client.meta.endpoint_url).netloc
                compared += 1
    assert compared >= regions


# Which client is chosen


class Tracer:
    """Wraps a method as wrapt does, on which X-Ray, ddtrace and OpenTelemetry build: it poses as a function."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    @property
    def __class__(self) -> Any:
        return type(self.wrapped)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self.wrapped.__get__(instance, owner)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.wrapped(*args, **options)


def as_function(wrapped: Any) -> Any:
    @functools.wraps(wrapped)
    def traced(*args: Any, **options: Any) -> Any:
        return wrapped(*args, **options)

    return traced


PATCHED = [
    (BaseClient, "_make_api_call"),
    (BaseClient, "__init__"),
    (Endpoint, "make_request"),
    (Endpoint, "prepare_request"),
    (URLLib3Session, "send"),
]


@pytest.mark.parametrize("wrap", [Tracer, as_function])
@pytest.mark.parametrize(("kind", "name"), PATCHED, ids=[f"{kind.__name__}.{name}" for kind, name in PATCHED])
def test_a_tracing_library_sees_every_request(monkeypatch, capsys, kind, name, wrap):
    configure_logging("INFO")
    monkeypatch.setattr(kind, name, wrap(vars(kind)[name]))
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        assert query(client)["Count"] == 1
        client.close()
    assert [is_direct(one) for one in server.requests] == [False]
    (line,) = logged(capsys)
    assert f"another library has changed {kind.__module__}.{kind.__name__}" in line


def logged(capsys: Any) -> list[str]:
    lines = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "boto3's client" in line]


@pytest.mark.parametrize(
    ("environ", "transport", "reason"),
    [
        ({}, "direct", None),
        ({}, "lean", None),
        ({}, "botocore", "DYNAMODB_TRANSPORT is botocore"),
        ({"http_proxy": "http://127.0.0.1:9"}, "direct", "a proxy is configured for http://127.0.0.1:9/"),
        ({"https_proxy": "http://127.0.0.1:9"}, "direct", None),
        ({"AWS_ENDPOINT_DISCOVERY_ENABLED": "true"}, "direct", "endpoint discovery is on"),
        ({"AWS_AUTH_SCHEME_PREFERENCE": "sigv4a"}, "direct", "another signature is configured"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://h/a b"}, "direct", "the endpoint http://h/a b is not a plain URL"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "https://x@h"}, "direct", "the endpoint https://x@h is not a plain URL"),
        ({"AWS_ACCOUNT_ID": "1" * 12}, "direct", None),  # an endpoint that is configured is the same for all
        (
            {"AWS_ACCOUNT_ID": "1" * 12, "AWS_ENDPOINT_URL_DYNAMODB": ""},
            "direct",
            "the account has its own endpoint (AWS_ACCOUNT_ID_ENDPOINT_MODE=disabled turns that off)",
        ),
        (
            {"AWS_ACCOUNT_ID": "1" * 12, "AWS_ENDPOINT_URL_DYNAMODB": "", "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"},
            "direct",
            None,
        ),
        (
            {"AWS_ENDPOINT_URL_DYNAMODB": "", "AWS_ACCOUNT_ID_ENDPOINT_MODE": "required"},
            "direct",
            "AWS_ACCOUNT_ID_ENDPOINT_MODE is required",
        ),
    ],
)
def test_one_log_line_says_why_boto3_was_chosen(monkeypatch, capsys, environ, transport, reason):
    configure_logging("INFO")
    for name, value in ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9/"} | environ).items():
        monkeypatch.setenv(name, value)
    client = client_of(None, transport)
    assert isinstance(client, DirectClient) == (reason is None)
    assert logged(capsys) == ([f"boto3's client sends all requests to DynamoDB: {reason}"] if reason else [])


def test_another_signature_is_boto3s(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default]\ndynamodb =\n  signature_version = v2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert not isinstance(client_of("http://127.0.0.1:9"), DirectClient)


def test_what_answers_botocores_requests_itself_is_let_to(monkeypatch):
    """As moto's decorators do."""
    sent: list[Any] = []
    handlers = [*BUILTIN_HANDLERS, ("before-send", lambda request, **_: sent.append(request) or 1 / 0)]
    for module in ("cart.dynamodb.direct", "cart.dynamodb.client"):
        monkeypatch.setattr(f"{module}.BUILTIN_HANDLERS", handlers)
    with pytest.raises(ZeroDivisionError):
        query(client_of("http://127.0.0.1:9"))
    assert sent


def test_no_private_name_of_a_library_is_used():
    """So that an upgrade of botocore breaks nothing unseen."""
    modules = [
        *(ROOT / "cart" / "dynamodb").glob("*.py"),
        ROOT / "cart" / "bus.py",
        ROOT / "cart" / "carts" / "catalog.py",
    ]
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                assert isinstance(node.value, ast.Name), ast.unparse(node)
                assert node.value.id == "self", ast.unparse(node)
            if isinstance(node, ast.ImportFrom):
                assert not any(one.name.startswith("_") for one in node.names), ast.unparse(node)


# The answer


@pytest.fixture(scope="module")
def wire() -> Iterator[RawServer]:
    """A server whose answer each test sets, and which ends the connection after it."""
    with raw_server(lambda _: None) as server:
        yield server


@pytest.fixture(scope="module")
def clients(wire: RawServer) -> Iterator[list[Any]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
        patched.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
        both = [client_of(wire.url, transport) for transport in (DIRECT, BOTOCORE)]
    yield both
    for client in both:
        client.close()


class AndClose:
    """Says an answer and ends the connection. ``wait`` until it has, lest a client takes it for one that is kept."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.over = threading.Semaphore(0)

    def __call__(self, connection: socket.socket) -> None:
        try:
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_RDWR)
        finally:  # the client may have gone first
            self.over.release()

    @staticmethod
    def reset(connection: socket.socket) -> None:
        """As a host that knows nothing of the connection."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    @staticmethod
    def hang(connection: socket.socket) -> None:
        """As a firewall that drops what is sent on a connection that it has forgotten."""
        connection.recv(1)  # until the client gives up

    def wait(self) -> None:
        assert self.over.acquire(timeout=10)


@pytest.fixture
def assert_same(wire: RawServer, clients: list[Any]) -> Callable[..., tuple[Any, ...]]:
    """Both transports make the same of an answer, and ask for it once."""

    def check(answer: bytes, ask: Any = query) -> tuple[Any, ...]:
        wire.requests.clear()
        close = AndClose(answer)
        wire.answer = lambda _: close
        outcomes = []
        for client in clients:
            outcomes.append(outcome(client, ask))
            close.wait()
        assert [is_direct(one) for one in wire.requests] == [True, False]
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    return check


@pytest.mark.parametrize("size", [50, 1000, 4095, 4096, 16_383, 16_385, 65_535, 65_536, 65_537, 200_000, 1_048_576])
@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_answers_of_every_size(size, kind, assert_same):
    chance = random.Random(size)
    cuts = [chance.randint(1, size) for _ in range(5)]
    answer = response(page(size)) if kind == "length" else chunked(page(size), cuts)
    kind, seen = assert_same(answer)
    assert kind == "answer"
    assert len(seen["Items"][0]["x"]["S"]) == max(0, size - len(page(0)))


@given(data=st.data(), rows=st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_chunks_of_every_cut(wire, clients, data, rows):
    """Cut into chunks, and the chunks into pieces as they come over the wire."""
    body = json.dumps({"Items": [ROW] * rows, "Count": rows}, ensure_ascii=False).encode()
    sizes = data.draw(st.lists(st.integers(1, len(body)), max_size=8))
    extension = data.draw(st.sampled_from(["", ";a=b", ";a", "  "]))
    trailers = data.draw(st.sampled_from(["", "X-A: 1\r\n", "X-A: 1\r\nX-B: 2\r\n"]))
    answer = chunked(body, sizes, extension, trailers)
    cuts = sorted(data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=5, unique=True)))

    def send(connection: socket.socket) -> None:
        for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
            connection.sendall(answer[start:end])
            time.sleep(0.001)

    wire.answer = lambda _: send
    wire.close_connections()
    for _ in range(2):
        assert query(clients[0])["Items"] == [ROW] * rows
    assert len(wire.connections) == 1


def dynamodb_error(kind: str, **fields: Any) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "no"} | fields).encode()


HTML = b"<html><body><b>Http/1.1 Service Unavailable</b></body></html>"
REASONS = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Message": "m", "Item": ROW | {"b": {"B": "AAE="}}}]
ANSWERS = {
    "no row": response(b"{}"),
    "binary values": response(b'{"Items": [{"b": {"B": "AAE="}, "s": {"BS": ["AA=="]}, "B": {"S": "\\u0042"}}]}'),
    "binary values, oddly spelt": response(b'{"Items": [{"b": {"\\u0042": "AAE="}}]}'),
    "nothing instead of values": response(b'{"Items": [{"s": {"S": null}}, null], "Count": null}'),
    "a field of tomorrow": response(b'{"Items": [], "Novel": 1}'),
    "other signs": response('{"Items": [{"s": {"S": "é€\U0001f600\\ud83d\\ude00 \\ud800"}}]}'.encode()),
    "numbers": response(b'{"ConsumedCapacity": {"CapacityUnits": 0.5, "Table": {"CapacityUnits": 1}}}'),
    "spaces": response(b' \n{"Items" : [ ] }\r\n '),
    "no body": response(b""),
    "no checksum": response(PAGE).replace(b"x-amz-crc32", b"x-other"),
    "headers twice, and empty": response(PAGE, headers=("X-A: 1", "x-a: 2", "X-B:", "X-C:  c")),
    "no reason": response(PAGE, "200"),
    "the same length twice": response(PAGE, headers=(f"Content-Length: {len(PAGE)}",)),
    "201": response(PAGE, "201 Created"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + response(PAGE),
    "until it closes": b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,
    "condition": response(dynamodb_error("ConditionalCheckFailedException", Item=ROW), "400 Bad Request"),
    "condition, binary": response(
        dynamodb_error("ConditionalCheckFailedException", Item={"b": {"B": "AA=="}}), "400 B"
    ),
    "transaction": response(dynamodb_error("TransactionCanceledException", CancellationReasons=REASONS), "400 B"),
    "throttled": response(dynamodb_error("ProvisionedThroughputExceededException"), "400 B"),
    "validation": response(dynamodb_error("ValidationException", Message="yes"), "400 B"),
    "unknown error": response(dynamodb_error("Whatever:http://x"), "400 B"),
    "error without a type": response(b'{"Message": "yes"}', "413 Too Large"),
    "error in no JSON": response(b"upstream connect error", "400 B"),
    "error in no UTF-8": response(b"\xff\xfe", "400 B"),
    "error of a list": response(b"[]", "400 B"),
    "500": response(dynamodb_error("InternalServerError"), "500 Internal Server Error"),
    "500 in JSON without a type": response(b"{}", "500 X"),
    "503 of a balancer": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n" % len(HTML) + HTML,
    "503 of HAProxy": b"HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n"
    + HTML,
    "503 of nothing": response(b"", "503 Service Unavailable"),
    "504 in no JSON": response(b"timeout", "504 Gateway Timeout"),
    "redirected": response(b"", "301 Moved", headers=("Location: http://127.0.0.1:9/",)),
    "300": response(PAGE, "300 Multiple"),
    "query error": response(dynamodb_error("X"), "400 B", headers=("x-amzn-query-error: Y;Sender",)),
    "not JSON": response(b"{"),
    "not UTF-8": response(b'{"Items": "\xff"}'),
    "a list": response(b"[1]"),
    "a string": response(b'"x"'),
    "wrong checksum": response(PAGE, crc=1),
    "wrong checksum of an error": response(dynamodb_error("X"), "400 B", crc=1),
    "checksum of letters": response(PAGE).replace(b"x-amz-crc32: ", b"x-amz-crc32: x"),
    "cut short": response(PAGE)[:-2],
    "nothing": b"",
    "half of a status": b"HTTP/1.1 2",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a status of letters": response(PAGE, "OK 200"),
    "a status of one digit": response(PAGE, "2 OK"),
    "a line too long": response(PAGE, headers=("X: " + "x" * 70_000,)),
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "a chunk without size": chunked(PAGE, [5]).replace(b"\r\n5\r\n", b"\r\n\r\n"),
    "a chunk of letters": chunked(PAGE, [5]).replace(b"\r\n5\r\n", b"\r\nxyz\r\n"),
    "a chunk too long": chunked(PAGE, [5]).replace(b"\r\n5\r\n", b"\r\n55555\r\n"),
    "chunks cut short": chunked(PAGE, [5, 5])[:-20],
    "chunks without end": chunked(PAGE, [5, 5])[:-7],
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_answers_of_every_kind(answer, assert_same):
    assert_same(answer)
    assert_same(answer, update)


# botocore takes these for answers, or for what they were not to be: here they are lost, since their end is unknown
UNCLEAR = {
    "half of the status line": b"HTTP/1.1 200 O",
    "half of the head": response(PAGE)[:40],
    "cut short, no checksum": response(PAGE).replace(b"x-amz-crc32", b"x-other")[:-2],
    "a length of letters": response(PAGE).replace(b"Length: ", b"Length: x"),
    "a length below nothing": response(PAGE).replace(b"Length: ", b"Length: -"),
    "a length of many digits": response(PAGE).replace(b"Length: ", b"Length: " + b"1" * 5000),
    "two lengths": response(PAGE, headers=("Content-Length: 1",)),
    "a coding unknown": response(PAGE, headers=("Transfer-Encoding: gzip, chunked",)),
    "a chunk shorter than it is": chunked(PAGE, [16]).replace(b"\r\n10\r\n", b"\r\nf\r\n"),
    "a chunk below nothing": chunked(PAGE, [5]).replace(b"\r\n5\r\n", b"\r\n-5\r\n"),
}


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_an_answer_whose_end_is_unclear_is_lost(answer, wire, clients):
    close = AndClose(answer)
    wire.answer = lambda _: close
    wire.requests.clear()
    assert outcome(clients[0]) == ("lost",)
    close.wait()
    assert len(wire.requests) == 1


def test_what_is_taken_for_json_has_no_times_and_binary_values_only_where_they_are_looked_for():
    """Of all the shapes that an answer of the operations can have."""
    model = client_of("http://127.0.0.1:9").meta.service_model
    seen: dict[str, Any] = {}

    def walk(shape: Any) -> None:
        if shape.name not in seen:
            seen[shape.name] = shape
            for one in [
                *getattr(shape, "members", {}).values(),
                *filter(None, (getattr(shape, "member", None), getattr(shape, "value", None))),
            ]:
                walk(one)

    for operation in direct.OPERATIONS.values():
        shape = model.operation_model(operation.name).output_shape
        assert operation.members == shape.members.keys()
        walk(shape)
    for code, names in direct.ERROR_MEMBERS.items():
        shape = model.shape_for_error_code(code)
        assert set(names) == shape.members.keys()
        walk(shape)
    kinds = {shape.type_name for shape in seen.values()}
    assert kinds <= {"structure", "list", "map", "string", "integer", "long", "double", "boolean", "blob"}
    members = [one for shape in seen.values() if shape.type_name == "structure" for one in shape.members.items()]
    assert all(one.serialization.get("name", name) == name for name, one in members)
    blobs = {
        (shape.name, name)
        for shape in seen.values()
        if shape.type_name == "structure"
        for name, one in shape.members.items()
        if "blob" in (one.type_name, getattr(getattr(one, "member", one), "type_name", ""))
    }
    assert blobs == {("AttributeValue", "B"), ("AttributeValue", "BS")}


# Connections


def test_a_connection_is_used_again():
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        for _ in range(5):
            query(client)
            update(client)
            client.describe_table(TableName="carts")  # botocore's way, which has connections of its own
        assert len(server.connections) == 2
        client.close()


@pytest.mark.parametrize("keeps", ["answers and closes", "closes when idle", "says more", "says what was asked"])
def test_a_connection_that_went_stale_is_noticed_before_a_write(keeps):
    """No error, and nothing twice."""

    def answer(_: Request) -> Any:
        if keeps == "answers and closes":
            return AndClose(response(PAGE))
        return response(PAGE) + (b"HTTP/1.1 408 Request Timeout\r\n\r\n" if keeps == "says more" else b"")

    with raw_server(answer) as server:
        client = client_of(server.url)
        for _ in range(20):
            assert update(client)["ResponseMetadata"]["HTTPStatusCode"] == 200
            if keeps == "closes when idle":
                server.connections[-1].shutdown(socket.SHUT_RDWR)
            time.sleep(0.02)
        client.close()
        assert len(server.connections) == (1 if keeps == "says what was asked" else 20)
    assert len(server.requests) == 20
    assert all(is_direct(one) for one in server.requests)


def test_an_answer_that_came_late_is_nobody_elses():
    """The connection of a request that was given up is not used again."""
    numbers = iter(range(100))

    def answer(_: Request) -> bytes:
        number = next(numbers)
        if number == 0:
            time.sleep(READ_TIMEOUT_SECONDS + 0.3)
        return response(json.dumps({"Count": number}).encode())

    with raw_server(answer) as server:
        client = client_of(server.url)
        assert outcome(client) == ("lost",)
        assert [query(client)["Count"] for _ in range(3)] == [1, 2, 3]
        client.close()


@pytest.mark.parametrize("what", ["head", "body", "chunks", "nothing"])
def test_an_answer_that_drips_ends_in_time(what):
    parts = {"head": b"X: y\r\n", "body": b" ", "chunks": b"1\r\n \r\n", "nothing": b""}
    begin = {
        "head": b"HTTP/1.1 200 OK\r\n",
        "body": response(b"x" * 100_000)[:-100_000],
        "chunks": chunked(b"", [])[: -len(b"0\r\n\r\n")],
        "nothing": b"",
    }

    def drip(connection: socket.socket) -> None:
        connection.sendall(begin[what])
        for _ in range(100):
            connection.sendall(parts[what])
            time.sleep(0.05)

    with raw_server(lambda _: drip) as server:
        client = client_of(server.url)
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            query(client)
        assert READ_TIMEOUT_SECONDS - 0.1 < time.monotonic() - started < READ_TIMEOUT_SECONDS + 0.3
        server.close_connections()


def test_a_request_that_is_not_taken_ends_in_time():
    """The server reads nothing: what is more than the kernel takes cannot be sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}")
        started = time.monotonic()
        assert outcome(client, lambda one: query(one, "x" * 8_000_000)) == ("lost",)
        assert time.monotonic() - started < READ_TIMEOUT_SECONDS + 0.5


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_an_answer_before_all_was_read_is_heard(transport):
    """As of a server that refuses a body for its size, and hangs up on the rest of it."""
    refusal = response(dynamodb_error("RequestEntityTooLarge"), "413 Too Large", headers=("Connection: close",))

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(refusal)
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.2)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=[listener])
        thread.start()
        client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}", transport)
        assert outcome(client, lambda one: query(one, "x" * 8_000_000))[0] == "ClientError"
        client.close()
        thread.join()


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_nobody_listens(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert outcome(client_of(url, transport)) == ("never sent",)
    assert outcome(client_of("http://nowhere.invalid:8000", transport)) == ("never sent",)


def test_a_thousand_requests_at_once_and_no_answer_crossed():
    """On answers of many sizes, some chunked, some on connections that end."""

    def answer(request: Request) -> Any:
        user_id = json.loads(request.body)["ExpressionAttributeValues"][":u"]["S"]
        number = int(user_id.removeprefix("user-"))
        row = {"user_id": {"S": user_id}, "padding": {"S": "x" * (number * 37 % 5000)}}
        body = json.dumps({"Items": [row], "Count": 1, "ConsumedCapacity": {"CapacityUnits": 0.5}}).encode()
        if number % 7 == 0:
            return AndClose(response(body, headers=("Connection: close",)))
        return chunked(body, [100, 1000]) if number % 3 == 0 else response(body)

    with raw_server(answer) as server:
        client = client_of(server.url)
        with ThreadPoolExecutor(50) as pool:
            users = [f"user-{number}" for number in range(1000)]
            pages = list(pool.map(lambda user_id: call(client, "query", **params(user_id)), users))
        client.close()
    assert [one["Items"][0]["user_id"]["S"] for one in pages] == users
    assert len(server.requests) == 1000


def params(user_id: str) -> dict[str, Any]:
    return {
        "TableName": "carts",
        "KeyConditionExpression": "user_id = :u",
        "ExpressionAttributeValues": {":u": {"S": user_id}},
    }


def test_a_child_process_shares_no_connection():
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        query(client)
        child = os.fork()
        if not child:
            os._exit(0 if outcome(client)[0] == "answer" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(server.connections) == 2
        query(client)
        assert len(server.connections) == 2  # the parent's is as good as before
        client.close()


def test_a_connection_with_an_answer_that_was_not_understood_is_not_used_again():
    answers = iter([b"SSH-2.0-OpenSSH_9.2\r\n\r\n", *[response(PAGE)] * 3])
    with raw_server(lambda _: next(answers)) as server:
        client = client_of(server.url)
        assert outcome(client) == ("lost",)
        assert query(client)["Count"] == query(client)["Count"] == 1
        assert len(server.connections) == 2
        client.close()


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Whatever"])
def test_interim_answers_are_skipped(status):
    interim = f"HTTP/1.1 {status}\r\nLink: </x>\r\n\r\n".encode()
    with raw_server(lambda _: interim * 2 + response(PAGE)) as server:
        client = client_of(server.url)
        assert query(client)["Count"] == query(client)["Count"] == 1
        assert len(server.connections) == 1
        client.close()


def test_another_protocol_is_no_answer():
    with raw_server(lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + response(PAGE)) as server:
        client = client_of(server.url)
        assert outcome(client) == ("lost",)
        client.close()


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
@pytest.mark.parametrize("forgets", [AndClose.reset, AndClose.hang], ids=["reset", "silence"])
def test_a_connection_that_fails_takes_those_with_it_that_were_idle_as_long(transport, forgets):
    """One write becomes an error, and the next is the first on a new connection."""
    busy = threading.Barrier(10)
    forgotten = threading.Event()
    old: set[int] = set()

    def answer(request: Request) -> Any:
        if not forgotten.is_set():
            busy.wait(10)
            old.add(request.connection)
            return response(PAGE)
        return forgets if request.connection in old else response(PAGE)

    with raw_server(answer) as server:
        client = client_of(server.url, transport)
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: update(client), range(10)))
        forgotten.set()
        assert [outcome(client, update)[0] for _ in range(4)] == ["lost", "answer", "answer", "answer"]
        client.close()
        server.close_connections()


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_a_connection_that_was_idle_for_long_is_not_used_again(transport, monkeypatch):
    for module in ("cart.dynamodb.connections", "cart.dynamodb.client"):
        monkeypatch.setattr(f"{module}.MAX_IDLE_SECONDS", 0.2)
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url, transport)
        for pause in (0, 0, 0.3, 0, 0.3):
            time.sleep(pause)
            query(client)
        assert len(server.connections) == 3
        client.close()


def test_the_connection_that_was_used_last_is_used_first_and_old_ones_are_closed(monkeypatch):
    pool = connections.Connections("127.0.0.1", 9, None, 1, max_idle=3)
    pairs = [socket.socketpair() for _ in range(4)]
    clock = [1000.0]
    monkeypatch.setattr("cart.dynamodb.connections.time.monotonic", lambda: clock[0])
    for here, _ in pairs:
        clock[0] += 10
        pool.keep(connections.Connection(here))
    assert pairs[3][0].fileno() == -1  # one more than are kept
    assert pool.take().sock is pairs[2][0]
    pool.keep(connections.Connection(pairs[2][0]))
    clock[0] += 45  # the first was idle for 75 seconds, the second for 65, the third for 45
    used = pool.take()
    assert used.sock is pairs[2][0]
    pool.keep(used)
    assert [here.fileno() == -1 for here, _ in pairs[:3]] == [True, True, False]
    pool.close()
    for pair in pairs:
        pair[1].close()


def test_a_name_server_that_hangs_costs_no_more_than_the_time_to_connect(monkeypatch):
    """Requests at the same time wait for one look-up; when the name server is back, so is the service."""
    look_ups: list[str] = []
    is_well = threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: str, *rest: Any) -> Any:
        look_ups.append(host)
        if not is_well.wait(10):
            raise socket.gaierror(-3, "no name server")
        return look_up("127.0.0.1", *rest)

    monkeypatch.setattr("socket.getaddrinfo", hang)
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url.replace("127.0.0.1", "database.test"))
        started = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(lambda _: outcome(client), range(10))) == [("never sent",)] * 10
        assert time.monotonic() - started < CONNECT_TIMEOUT_SECONDS + 0.5
        assert look_ups == ["database.test"]
        is_well.set()
        time.sleep(0.05)
        assert query(client)["Count"] == 1
        client.close()


# TLS


@pytest.mark.parametrize("how", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_tls_by_a_ca_bundle(monkeypatch, tmp_path, how):
    with tls_server(tmp_path, "IP:127.0.0.1") as (server, certificate):
        if how == "ca_bundle":
            (tmp_path / "config").write_text(f"[default]\nca_bundle = {certificate}\n")
            monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        else:
            monkeypatch.setenv(how, str(certificate))
        client = client_of(server.url)
        for _ in range(3):
            assert query(client)["Count"] == 1
        client.close()
    assert [is_direct(one) for one in server.requests] == [True] * 3
    assert {one.connection for one in server.requests} == {0}


@pytest.mark.parametrize("name", ["IP:127.0.0.1", "DNS:other.example"])
@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_tls_is_refused_without_trust(monkeypatch, tmp_path, name, transport):
    """Of a certificate that nobody vouches for, and of one that is somebody else's."""
    with tls_server(tmp_path, name) as (server, certificate):
        if name.startswith("DNS"):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        with pytest.raises(SSLError):
            query(client_of(server.url, transport))
    assert server.requests == []


# Costs


def test_nothing_is_connected_to_before_the_first_request():
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        time.sleep(0.05)
        assert server.connections == []
        query(client)
        client.close()


def test_it_loads_no_library_that_botocore_does_not():
    """Cold start is paid by users: what the module imports is there already, or costs next to nothing."""
    program = (
        "import sys, boto3, importlib.util as found\n"
        "boto3.client('dynamodb', region_name='us-east-1')\n"
        "before = set(sys.modules)\n"
        "sys.modules['cart'] = found.module_from_spec(found.spec_from_file_location('cart', 'cart/__init__.py'))\n"
        "import cart.dynamodb.direct\n"
        "print(sorted(name for name in set(sys.modules) - before if name.partition('.')[0] != 'cart'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "['orjson', 'orjson.orjson']\n"

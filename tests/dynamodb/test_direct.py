"""The direct client does what boto3's does: it has the same signatures, requests, answers and errors."""

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

pytestmark = pytest.mark.slow

DIRECT, BOTOCORE = "direct", "botocore"
KEYS = ReadOnlyCredentials("AKIDEXAMPLE", "secret/key+1", None)
ROW = {"user_id": {"S": "u"}, "quantity": {"N": "2"}, "deep": {"M": {"l": {"L": [{"BOOL": True}, {"SS": ["é\n"]}]}}}}
PAGE = json.dumps({"Items": [ROW], "Count": 1, "ScannedCount": 1}).encode()
WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+=", min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
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
    """Return what ``cart.dynamodb.call`` would get, without the intended differences between the transports."""
    try:
        answer = ask(client)
        kind = "answer"
    except ClientError as error:
        answer, kind = error.response, type(error).__name__
        answer["ResponseMetadata"].pop("MaxAttemptsReached", None)  # botocore's internal mark that it must not retry
        return kind, answer, str(error).replace(" (reached max retries: 0)", "")
    except Exception as error:
        names = {Failure.NOT_SENT: "never sent", Failure.UNCERTAIN: "lost"}
        return (names.get(failure_of(error), type(error).__name__),)
    answer["ResponseMetadata"].pop("MaxAttemptsReached", None)
    return kind, answer


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
def test_signatures_equal_botocores(host, path, scheme, target, body, keys, region, service, clock):
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
def test_requests_equal_botocores(monkeypatch, path, token):
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
    for our, their in zip(ours, theirs, strict=True):
        assert our.first == their.first
        assert json.loads(our.body) == json.loads(their.body)  # the direct client writes fewer spaces
        changing = {"authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request"}
        if our.body != their.body:
            changing.add("content-length")
            assert our.headers["content-length"] == str(len(our.body))
        assert our.headers["user-agent"].split(" m/")[0] == their.headers["user-agent"].split(" m/")[0]
        changing.add("user-agent")  # botocore's user agent continues with the features that a request has used
        same = their.headers.keys() - changing
        assert {name: our.headers.get(name) for name in same} == {name: their.headers[name] for name in same}
        assert our.headers.keys() - same <= changing
        assert is_direct(our) == (path in ("", "/", "/a", "/a/b_c/"))
        if is_direct(our):
            assert_signed(our, KEYS._replace(token=token), "ap-southeast-2")


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "_X_AMZN_TRACE_ID"])
def test_no_environment_variable_adds_headers(monkeypatch, variable, transport):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "cart")
    monkeypatch.setenv(variable, "evil\r\nX-Evil: 1")
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url, transport)
        outcome(client)
        client.close()
    assert not any("x-evil" in sent_request.headers for sent_request in server.requests)


def test_invalid_unicode_is_written_by_botocore():
    """botocore escapes a lone surrogate; DynamoDB has its own error for it."""
    with raw_server(lambda _: response(PAGE)) as server:
        for transport in (DIRECT, BOTOCORE):
            client = client_of(server.url, transport)
            for user_id in ("u", "\ud800"):
                query(client, user_id)
            client.close()
    bodies = [json.loads(sent_request.body) for sent_request in server.requests]
    assert bodies[1] == bodies[3]
    assert bodies[1]["ExpressionAttributeValues"] == {":u": {"S": "\ud800"}}


def test_transaction_without_a_token_gets_one():
    """botocore gives it, another one each time."""
    with raw_server(lambda _: response(b"{}")) as server:
        client = client_of(server.url)
        for _ in range(3):
            client.transact_write_items(TransactItems=[{"Delete": {"TableName": "carts", "Key": {}}}])
        client.close()
    assert len({json.loads(sent_request.body)["ClientRequestToken"] for sent_request in server.requests}) == 3


def test_rotating_credentials_are_read_for_each_request(monkeypatch, tmp_path):
    """``credential_process`` returns other keys at each call, which expire so soon that each request calls it."""
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
    used = [sent_request.headers["x-amz-security-token"] for sent_request in server.requests]
    assert len(set(used)) == 3
    for request, token in zip(server.requests, used, strict=True):
        assert_signed(request, ReadOnlyCredentials(f"A{token[1:]}", f"s{token[1:]}", token))


def test_container_credentials_are_refreshed(monkeypatch):
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
    posts = [sent_request for sent_request in server.requests if sent_request.first.startswith("POST")]
    used = [sent_request.headers["x-amz-security-token"] for sent_request in posts]
    assert used[-1] == used[-2] == "t3"
    for request, token in zip(posts, used, strict=True):
        assert is_direct(request)
        assert_signed(request, ReadOnlyCredentials(f"A{token[1:]}", f"s{token[1:]}", token))


def test_missing_credentials_raise_botocores_error(monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for transport in (DIRECT, BOTOCORE):
        assert outcome(client_of(None, transport)) == ("NoCredentialsError",)


def test_endpoint_is_read_from_the_environment(monkeypatch):
    with raw_server(lambda _: response(PAGE)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        query(client_of(None))
    assert [is_direct(sent_request) for sent_request in server.requests] == [True]


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_boto3_is_chosen_behind_a_proxy(monkeypatch, variable):
    with raw_server(lambda _: response(PAGE)) as proxy, raw_server(lambda _: response(PAGE)) as server:
        monkeypatch.setenv(variable, proxy.url)
        client = client_of(server.url)
        assert query(client)["Count"] == 1
        assert server.requests == []
        assert [is_direct(sent_request) for sent_request in proxy.requests] == [False]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        query(client_of(server.url))
        assert [is_direct(sent_request) for sent_request in server.requests] == [True]


@pytest.mark.parametrize(
    "environ",
    [{}, {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, {"AWS_ACCOUNT_ID": "1" * 12}],
)
def test_aws_endpoints_equal_botocores(monkeypatch, environ):
    """No request leaves this machine, since no name can be resolved."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    resolved: list[str] = []

    def fail_to_resolve(host: str, *_: Any) -> Any:
        resolved.append(host)
        raise socket.gaierror(-2, "no such name here")

    monkeypatch.setattr("socket.getaddrinfo", fail_to_resolve)
    clients = [client_of(None, transport) for transport in (DIRECT, BOTOCORE)]
    assert isinstance(clients[0], DirectClient) == ("AWS_ACCOUNT_ID" not in environ)
    for client in clients:
        assert outcome(client) == ("never sent",)
    assert len(resolved) == 2
    assert len(set(resolved)) == 1


@pytest.mark.parametrize(("option", "regions"), [(None, 40), ("use_fips_endpoint", 30), ("use_dualstack_endpoint", 30)])
def test_endpoint_of_each_region_equals_botocores_rules(option, regions):
    """``meta.endpoint_url`` is computed without the rules, which botocore evaluates for each request."""
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
    """Wraps a method as wrapt does, which X-Ray, ddtrace and OpenTelemetry use: it looks like a function."""

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
def test_boto3_is_chosen_when_a_tracing_library_patched_it(monkeypatch, capsys, kind, name, wrap):
    configure_logging("INFO")
    monkeypatch.setattr(kind, name, wrap(vars(kind)[name]))
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        assert query(client)["Count"] == 1
        client.close()
    assert [is_direct(sent_request) for sent_request in server.requests] == [False]
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
        ({"AWS_ACCOUNT_ID": "1" * 12}, "direct", None),  # a configured endpoint is the same for all regions
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
def test_reason_for_choosing_boto3_is_logged_once(monkeypatch, capsys, environ, transport, reason):
    configure_logging("INFO")
    for name, value in ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9/"} | environ).items():
        monkeypatch.setenv(name, value)
    client = client_of(None, transport)
    assert isinstance(client, DirectClient) == (reason is None)
    assert logged(capsys) == ([f"boto3's client sends all requests to DynamoDB: {reason}"] if reason else [])


def test_boto3_is_chosen_for_another_signature(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default]\ndynamodb =\n  signature_version = v2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert not isinstance(client_of("http://127.0.0.1:9"), DirectClient)


def test_boto3_is_chosen_when_botocore_is_mocked(monkeypatch):
    """moto's decorators work this way."""
    sent: list[Any] = []
    handlers = [*BUILTIN_HANDLERS, ("before-send", lambda request, **_: sent.append(request) or 1 / 0)]
    for module in ("cart.dynamodb.direct", "cart.dynamodb.client"):
        monkeypatch.setattr(f"{module}.BUILTIN_HANDLERS", handlers)
    with pytest.raises(ZeroDivisionError):
        query(client_of("http://127.0.0.1:9"))
    assert sent


def test_no_private_name_of_a_library_is_used():
    """Otherwise an upgrade of botocore could break the client without a failing test."""
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
                assert not any(imported.name.startswith("_") for imported in node.names), ast.unparse(node)


# The answer


@pytest.fixture(scope="module")
def wire() -> Iterator[RawServer]:
    """A server whose answer is set by each test, and which closes the connection after it."""
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


class AnswerAndClose:
    """Sends an answer and closes the connection.

    ``wait`` until it is closed, or a client may take the connection for one that is kept open.
    """

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.over = threading.Semaphore(0)

    def __call__(self, connection: socket.socket) -> None:
        try:
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_RDWR)
        finally:  # the client may have closed it first
            self.over.release()

    @staticmethod
    def reset(connection: socket.socket) -> None:
        """Reset the connection, as a host does that does not know it."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    @staticmethod
    def hang(connection: socket.socket) -> None:
        """Send nothing, as a firewall that drops the packets of a connection that it does not know."""
        connection.recv(1)  # until the client gives up

    def wait(self) -> None:
        assert self.over.acquire(timeout=10)


@pytest.fixture
def assert_same_outcome(wire: RawServer, clients: list[Any]) -> Callable[..., tuple[Any, ...]]:
    """Return a check that both transports read an answer alike, and send one request for it."""

    def check(answer: bytes, ask: Any = query) -> tuple[Any, ...]:
        wire.requests.clear()
        close = AnswerAndClose(answer)
        wire.answer = lambda _: close
        outcomes = []
        for client in clients:
            outcomes.append(outcome(client, ask))
            close.wait()
        assert [is_direct(sent_request) for sent_request in wire.requests] == [True, False]
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    return check


@pytest.mark.parametrize("size", [50, 1000, 4095, 4096, 16_383, 16_385, 65_535, 65_536, 65_537, 200_000, 1_048_576])
@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_answers_of_every_size_are_read_alike(size, kind, assert_same_outcome):
    chance = random.Random(size)
    cuts = [chance.randint(1, size) for _ in range(5)]
    answer = response(page(size)) if kind == "length" else chunked(page(size), cuts)
    kind, content = assert_same_outcome(answer)
    assert kind == "answer"
    assert len(content["Items"][0]["x"]["S"]) == max(0, size - len(page(0)))


@given(data=st.data(), rows=st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_chunked_answers_are_read_however_they_are_cut(wire, clients, data, rows):
    """The body is cut into chunks, and the chunks into pieces on the wire."""
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
def test_answers_of_every_kind_are_read_alike(answer, assert_same_outcome):
    assert_same_outcome(answer)
    assert_same_outcome(answer, update)


# botocore accepts these or reads them wrongly; here they are lost answers, since their end is unknown
WITHOUT_CLEAR_END = {
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


@pytest.mark.parametrize("answer", WITHOUT_CLEAR_END.values(), ids=WITHOUT_CLEAR_END.keys())
def test_answer_without_a_clear_end_is_lost(answer, wire, clients):
    close = AnswerAndClose(answer)
    wire.answer = lambda _: close
    wire.requests.clear()
    assert outcome(clients[0]) == ("lost",)
    close.wait()
    assert len(wire.requests) == 1


def test_answer_shapes_have_no_timestamps_and_only_known_binary_values():
    """This holds for all shapes that an answer of the operations can have."""
    model = client_of("http://127.0.0.1:9").meta.service_model
    shapes: dict[str, Any] = {}

    def walk(shape: Any) -> None:
        if shape.name not in shapes:
            shapes[shape.name] = shape
            for nested in [
                *getattr(shape, "members", {}).values(),
                *filter(None, (getattr(shape, "member", None), getattr(shape, "value", None))),
            ]:
                walk(nested)

    for operation in direct.OPERATIONS.values():
        shape = model.operation_model(operation.name).output_shape
        assert operation.members == shape.members.keys()
        walk(shape)
    for code, names in direct.ERROR_MEMBERS.items():
        shape = model.shape_for_error_code(code)
        assert set(names) == shape.members.keys()
        walk(shape)
    kinds = {shape.type_name for shape in shapes.values()}
    assert kinds <= {"structure", "list", "map", "string", "integer", "long", "double", "boolean", "blob"}
    members = [
        member for shape in shapes.values() if shape.type_name == "structure" for member in shape.members.items()
    ]
    assert all(member.serialization.get("name", name) == name for name, member in members)
    blobs = {
        (shape.name, name)
        for shape in shapes.values()
        if shape.type_name == "structure"
        for name, member in shape.members.items()
        if "blob" in (member.type_name, getattr(getattr(member, "member", member), "type_name", ""))
    }
    assert blobs == {("AttributeValue", "B"), ("AttributeValue", "BS")}


# Connections


def test_connection_is_reused():
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        for _ in range(5):
            query(client)
            update(client)
            client.describe_table(TableName="carts")  # sent by botocore, which has its own connections
        assert len(server.connections) == 2
        client.close()


@pytest.mark.parametrize("keeps", ["answers and closes", "closes when idle", "says more", "says what was asked"])
def test_stale_connection_is_noticed_before_a_write(keeps):
    """There is no error, and nothing is sent twice."""

    def answer(_: Request) -> Any:
        if keeps == "answers and closes":
            return AnswerAndClose(response(PAGE))
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
    assert all(is_direct(sent_request) for sent_request in server.requests)


def test_late_answer_is_not_read_by_another_request():
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


@pytest.mark.parametrize("part", ["head", "body", "chunks", "nothing"])
def test_slowly_sent_answer_ends_in_time(part):
    parts = {"head": b"X: y\r\n", "body": b" ", "chunks": b"1\r\n \r\n", "nothing": b""}
    begin = {
        "head": b"HTTP/1.1 200 OK\r\n",
        "body": response(b"x" * 100_000)[:-100_000],
        "chunks": chunked(b"", [])[: -len(b"0\r\n\r\n")],
        "nothing": b"",
    }

    def send_slowly(connection: socket.socket) -> None:
        connection.sendall(begin[part])
        for _ in range(100):
            connection.sendall(parts[part])
            time.sleep(0.05)

    with raw_server(lambda _: send_slowly) as server:
        client = client_of(server.url)
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            query(client)
        assert READ_TIMEOUT_SECONDS - 0.1 < time.monotonic() - started < READ_TIMEOUT_SECONDS + 0.3
        server.close_connections()


def test_request_that_the_server_does_not_read_ends_in_time():
    """The server reads nothing: what exceeds the kernel's buffers cannot be sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = client_of(f"http://127.0.0.1:{listener.getsockname()[1]}")
        started = time.monotonic()
        assert outcome(client, lambda dynamodb_client: query(dynamodb_client, "x" * 8_000_000)) == ("lost",)
        assert time.monotonic() - started < READ_TIMEOUT_SECONDS + 0.5


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_answer_sent_before_the_request_was_read_is_used(transport):
    """A server may refuse a body for its size, and close the connection before it has read the rest."""
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
        assert outcome(client, lambda dynamodb_client: query(dynamodb_client, "x" * 8_000_000))[0] == "ClientError"
        client.close()
        thread.join()


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_request_to_a_closed_port_is_never_sent(transport):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert outcome(client_of(url, transport)) == ("never sent",)
    assert outcome(client_of("http://nowhere.invalid:8000", transport)) == ("never sent",)


def test_1000_concurrent_requests_each_get_their_own_answer():
    """The answers have many sizes; some are chunked, and some connections are closed."""

    def answer(request: Request) -> Any:
        user_id = json.loads(request.body)["ExpressionAttributeValues"][":u"]["S"]
        number = int(user_id.removeprefix("user-"))
        row = {"user_id": {"S": user_id}, "padding": {"S": "x" * (number * 37 % 5000)}}
        body = json.dumps({"Items": [row], "Count": 1, "ConsumedCapacity": {"CapacityUnits": 0.5}}).encode()
        if number % 7 == 0:
            return AnswerAndClose(response(body, headers=("Connection: close",)))
        return chunked(body, [100, 1000]) if number % 3 == 0 else response(body)

    with raw_server(answer) as server:
        client = client_of(server.url)
        with ThreadPoolExecutor(50) as pool:
            users = [f"user-{number}" for number in range(1000)]
            pages = list(pool.map(lambda user_id: call(client, "query", **params(user_id)), users))
        client.close()
    assert [page_of_user["Items"][0]["user_id"]["S"] for page_of_user in pages] == users
    assert len(server.requests) == 1000


def params(user_id: str) -> dict[str, Any]:
    return {
        "TableName": "carts",
        "KeyConditionExpression": "user_id = :u",
        "ExpressionAttributeValues": {":u": {"S": user_id}},
    }


def test_child_process_shares_no_connection():
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        query(client)
        child = os.fork()
        if not child:
            os._exit(0 if outcome(client)[0] == "answer" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(server.connections) == 2
        query(client)
        assert len(server.connections) == 2  # the parent's connection still works
        client.close()


def test_connection_with_an_unreadable_answer_is_not_reused():
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


def test_upgrade_to_another_protocol_is_a_lost_answer():
    with raw_server(lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + response(PAGE)) as server:
        client = client_of(server.url)
        assert outcome(client) == ("lost",)
        client.close()


@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
@pytest.mark.parametrize("forgets", [AnswerAndClose.reset, AnswerAndClose.hang], ids=["reset", "silence"])
def test_failed_connection_closes_all_that_were_idle_as_long(transport, forgets):
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
def test_long_idle_connection_is_not_reused(transport, monkeypatch):
    for module in ("cart.dynamodb.connections", "cart.dynamodb.client"):
        monkeypatch.setattr(f"{module}.MAX_IDLE_SECONDS", 0.2)
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url, transport)
        for pause in (0, 0, 0.3, 0, 0.3):
            time.sleep(pause)
            query(client)
        assert len(server.connections) == 3
        client.close()


def test_last_used_connection_is_reused_first_and_old_ones_are_closed(monkeypatch):
    pool = connections.Connections("127.0.0.1", 9, None, 1, max_idle=3)
    pairs = [socket.socketpair() for _ in range(4)]
    clock = [1000.0]
    monkeypatch.setattr("cart.dynamodb.connections.time.monotonic", lambda: clock[0])
    for near_end, _ in pairs:
        clock[0] += 10
        pool.keep(connections.Connection(near_end))
    assert pairs[3][0].fileno() == -1  # one more than the pool keeps
    assert pool.take().sock is pairs[2][0]
    pool.keep(connections.Connection(pairs[2][0]))
    clock[0] += 45  # the first was idle for 75 seconds, the second for 65, the third for 45
    used = pool.take()
    assert used.sock is pairs[2][0]
    pool.keep(used)
    assert [near_end.fileno() == -1 for near_end, _ in pairs[:3]] == [True, True, False]
    pool.close()
    for pair in pairs:
        pair[1].close()


def test_hanging_name_server_costs_at_most_the_connect_timeout(monkeypatch):
    """Concurrent requests wait for one look-up; when the name server answers again, the service works again."""
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
def test_tls_with_a_ca_bundle_is_trusted(monkeypatch, tmp_path, how):
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
    assert [is_direct(sent_request) for sent_request in server.requests] == [True] * 3
    assert {sent_request.connection for sent_request in server.requests} == {0}


@pytest.mark.parametrize("name", ["IP:127.0.0.1", "DNS:other.example"])
@pytest.mark.parametrize("transport", [DIRECT, BOTOCORE])
def test_untrusted_tls_is_refused(monkeypatch, tmp_path, name, transport):
    """One certificate has no trusted issuer, the other belongs to another host."""
    with tls_server(tmp_path, name) as (server, certificate):
        if name.startswith("DNS"):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        with pytest.raises(SSLError):
            query(client_of(server.url, transport))
    assert server.requests == []


# Costs


def test_no_connection_is_opened_before_the_first_request():
    with raw_server(lambda _: response(PAGE)) as server:
        client = client_of(server.url)
        time.sleep(0.05)
        assert server.connections == []
        query(client)
        client.close()


def test_module_imports_nothing_that_botocore_does_not():
    """Imports are paid at each cold start: the module imports only what is loaded anyway, or is cheap."""
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

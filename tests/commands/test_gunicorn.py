"""The service under gunicorn, as `flask serve` runs it: its concurrency, and the bytes that it sends."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cart.commands import engines
from cart.commands.serve import gunicorn_command
from tests.support.project import ROOT
from tests.support.raw_server import Request, raw_server, response
from tests.support.running import wait_for_health
from tests.support.tls import tls_server

pytestmark = pytest.mark.slow

AT_ONCE = 40
CONSUMED = {"TableName": "dev-carts", "CapacityUnits": 0.5}
EMPTY = json.dumps({"Items": [], "Count": 0, "ScannedCount": 0, "ConsumedCapacity": CONSUMED}).encode()


@contextmanager
def served(
    endpoint_url: str, log: Path, config: str = "python:cart.commands.gunicorn_conf", **environ: str
) -> Iterator[str]:
    """Run gunicorn; yield its address."""
    with running(endpoint_url, log, config, **environ) as (address, _):
        yield address


@contextmanager
def running(
    endpoint_url: str, log: Path, config: str = "python:cart.commands.gunicorn_conf", **environ: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = engines.free_port()
    command = [
        config if word == "python:cart.commands.gunicorn_conf" else word for word in gunicorn_command("127.0.0.1", port)
    ]
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "WEB_CONCURRENCY": "1"}
    environment = os.environ | keys | {"DYNAMODB_ENDPOINT_URL": endpoint_url} | environ
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output, process_group=0)
    try:
        wait_for_health(f"http://127.0.0.1:{port}", process, log)
        yield f"127.0.0.1:{port}", process
    finally:
        engines.stop(process)


def get(address: str, path: str, **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as answer:
        result = answer.status, json.load(answer)
    connection.close()
    return result


@pytest.mark.parametrize(("allowed", "scheme"), [("127.0.0.1", "https"), ("192.0.2.1", "http")])
def test_document_names_the_address_that_a_trusted_proxy_passes_on(tmp_path, allowed, scheme):
    with served("http://127.0.0.1:1", tmp_path / "log", FORWARDED_ALLOW_IPS=allowed) as address:
        passed_on = {"Host": "shop.example", "X-Forwarded-Proto": "https"}
        status, document = get(address, "/openapi.json", **passed_on)
    assert (status, document["servers"]) == (200, [{"url": f"{scheme}://shop.example"}])


def test_one_process_waits_for_many_dynamodb_answers_at_once(tmp_path):
    """DynamoDB answers no request before it has received all."""
    all_asked = threading.Barrier(AT_ONCE, timeout=20)

    def answer(_: Request) -> bytes:
        all_asked.wait()
        return response(EMPTY)

    with (
        raw_server(answer) as dynamodb,
        served(dynamodb.url, tmp_path / "log") as address,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        answers = list(pool.map(lambda number: get(address, f"/cart/user{number}"), range(AT_ONCE)))
    assert answers == [
        (200, {"user_id": f"user{number}", "items": [], "total_items": 0, "total_price": 0, "price_changes": 0})
        for number in range(AT_ONCE)
    ]


@pytest.mark.parametrize("transport", ["direct", "botocore"])
def test_service_connects_to_dynamodb_by_tls(tmp_path, transport):
    """The answers have 300 KB and are read through gevent's sockets."""
    with tls_server(tmp_path, "IP:127.0.0.1") as (dynamodb, certificate):
        environ = {"AWS_CA_BUNDLE": str(certificate), "DYNAMODB_TRANSPORT": transport}
        with served(dynamodb.url, tmp_path / "log", **environ) as address:
            assert [get(address, "/health/ready") for _ in range(3)] == [(200, {"status": "ok"})] * 3
    assert len(dynamodb.requests) == 3


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with (
        raw_server(lambda _: response(EMPTY)) as dynamodb,
        served(dynamodb.url, tmp_path_factory.mktemp("gunicorn") / "log") as address,
    ):
        yield address


def exchange(address: str, request: str) -> bytes:
    """Send a request and return all bytes until the server closes the connection."""
    parts = urlsplit(f"//{address}")
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as talk:
        talk.sendall(request.replace("\n", "\r\n").encode())
        return b"".join(iter(lambda: talk.recv(65_536), b""))


def test_answer_is_sent_in_one_piece_without_a_server_header(address):
    parts = urlsplit(f"//{address}")
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as talk:
        for _ in range(3):
            talk.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, body = talk.recv(65_536).partition(b"\r\n\r\n")
            assert json.loads(body) == {"status": "ok"}
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
            assert {b"date", b"connection", b"content-length", b"x-request-id"} <= {*names}
            assert b"server" not in names
            assert len(names) == len({*names})


@pytest.mark.parametrize(
    ("request_line", "status", "has_body"),
    [
        ("HEAD /health HTTP/1.1", 200, False),
        ("GET /health HTTP/1.0", 200, True),
        ("DELETE /cart/u/items/1 HTTP/1.1", 204, False),
        ("GET /nowhere HTTP/1.1", 404, True),
    ],
)
def test_answer_has_a_body_where_http_allows_one(address, request_line, status, has_body):
    head, _, body = exchange(address, f"{request_line}\nHost: x\nConnection: close\n\n").partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert bool(body) == has_body
    if has_body:
        assert f"content-length: {len(body)}" in head.decode().lower()


def test_pipelined_requests_are_answered_in_order(address):
    """Requests are pipelined (RFC 9112, section 9.3.2); one of them has a chunked body."""
    requests = "GET /cart/a HTTP/1.1\nHost: x\n\n"
    requests += "PUT /cart/b/items/1 HTTP/1.1\nHost: x\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n"
    requests += '5\n{"qua\n9\nntity": 0\n1\n}\n0\n\n'
    requests += "GET /cart/c HTTP/1.1\nHost: x\nConnection: close\n\n"
    answers = exchange(address, requests)
    assert [int(answer.split()[0]) for answer in answers.split(b"HTTP/1.1 ")[1:]] == [200, 422, 200]
    assert answers.index(b'"user_id": "a"') < answers.index(b'"quantity": [') < answers.index(b'"user_id": "c"')


def test_unfinished_bodies_do_not_block_the_service(tmp_path):
    """There are as many as it serves at a time; the limit is one second here, not fifteen."""
    config = tmp_path / "config.py"
    config.write_text(
        "from cart.commands.gunicorn_conf import *\n"
        "from cart.commands import gunicorn_conf\n"
        "gunicorn_conf.REQUEST_SECONDS = 1\n"
    )
    with (
        raw_server(lambda _: response(EMPTY)) as dynamodb,
        served(dynamodb.url, tmp_path / "log", str(config), WEB_CONNECTIONS="2") as address,
        ExitStack() as stack,
    ):
        parts = urlsplit(f"//{address}")
        head = (
            b"POST /cart/u/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        )
        connections = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), 30)) for _ in range(2)
        ]
        for connection in connections:
            connection.sendall(head + b"{")
        assert get(address, "/health") == (200, {"status": "ok"})
        assert [connection.recv(1) for connection in connections] == [b"", b""]  # closed without an answer


def test_script_name_header_is_ignored(address):
    """gunicorn accepts SCRIPT_NAME from a peer on this machine, unless it is configured otherwise."""
    assert exchange(address, "GET /health HTTP/1.1\nHost: x\nSCRIPT_NAME: /x\nConnection: close\n\n").startswith(
        b"HTTP/1.1 200 "
    )


def test_request_without_a_host_is_a_problem(address):
    head, _, body = exchange(address, "GET /health HTTP/1.1\nConnection: close\n\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["errors"] == {"Host": ["Must be sent."]}
    assert exchange(address, "GET /health HTTP/1.0\n\n").startswith(b"HTTP/1.0 200 ")


def test_path_is_seen_as_it_was_sent(address):
    """An encoded slash is named, and ``//host/`` does not redirect to another host."""
    answer = exchange(address, "GET /cart/a%2Fb HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"(%2F)" in answer
    for path, location in (("/docs/", "../docs"), ("//docs/", "../docs"), ("//evil.example/", None)):
        head = exchange(address, f"GET {path}?a=%2F HTTP/1.1\nHost: x\nConnection: close\n\n").partition(b"\r\n\r\n")[0]
        expected = f"Location: {location}?a=%2F".encode() if location else None
        assert [line for line in head.split(b"\r\n") if line.startswith(b"Location:")] == [expected] * bool(location)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/analytics"])
def test_curl_gets_and_revalidates_compressed_answers(address, tmp_path, path):
    def curl(*options: str) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers and the body."""
        head, body = tmp_path / "head", tmp_path / "body"
        body.write_bytes(b"")
        command = ["curl", "-sS", "-D", str(head), "-o", str(body), *options, f"http://{address}{path}"]
        subprocess.run(command, check=True, timeout=30)
        first, *lines = head.read_text().strip().splitlines()
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body.read_bytes()

    status, plain, content = curl()
    assert (status, "content-encoding" in plain, int(plain["content-length"])) == (200, False, len(content))
    status, sent, decoded = curl("--compressed")
    assert (status, sent["content-encoding"], decoded) == (200, "gzip", content)
    assert int(sent["content-length"]) < len(content) / 2
    assert "transfer-encoding" not in sent
    raw = curl("-H", "Accept-Encoding: gzip")[2]
    assert (len(raw), gzip.decompress(raw)) == (int(sent["content-length"]), content)
    status, head, body = curl("--compressed", "--head")
    assert (status, head["content-encoding"]) == (200, "gzip")
    assert "content-length" not in head
    if "etag" in sent:
        status, same, body = curl("--compressed", "-H", f"If-None-Match: {sent['etag']}")
        assert (status, same["etag"], body) == (304, sent["etag"], b"")
        assert curl("-H", f"If-None-Match: {sent['etag']}")[::2] == (200, content)
        assert sent["etag"] == plain["etag"][:-1] + '-gzip"'


def test_compressed_request_is_decoded(address):
    body = gzip.compress(b'{"quantity": 0}')
    connection = http.client.HTTPConnection(address, timeout=30)
    for sent, headers in ((body, {}), (iter([body[:9], body[9:]]), {"Transfer-Encoding": "chunked"})):
        headers |= {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        connection.request("PUT", "/cart/u/items/1", sent, headers, encode_chunked=True)
        with connection.getresponse() as answer:
            assert answer.status == 422
            assert list(json.load(answer)["errors"]) == ["quantity"]
    connection.close()


def test_sent_requests_are_answered_during_shutdown(tmp_path):
    """24 clients open a connection for each request; each request sent before the shutdown is answered."""

    def ask(address: str) -> list[str]:
        outcomes = []
        while True:
            try:
                whole = exchange(address, "GET /cart/u HTTP/1.1\nHost: x\nConnection: close\n\n")
                outcomes.append("answered" if whole.startswith(b"HTTP/1.1 200 ") else repr(whole[:40]))
            except ConnectionRefusedError:
                return outcomes  # the port is closed
            except OSError as error:
                outcomes.append(type(error).__name__)

    with (
        raw_server(lambda _: response(EMPTY)) as dynamodb,
        running(dynamodb.url, tmp_path / "log") as (address, process),
        ThreadPoolExecutor(24) as pool,
    ):
        asking = [pool.submit(ask, address) for _ in range(24)]
        while len(dynamodb.requests) < 200:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        outcomes = Counter(outcome for future in asking for outcome in future.result())
        assert process.wait(30) == 0
    assert outcomes.keys() == {"answered"}, outcomes

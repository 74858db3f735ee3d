"""Test the benchmarks: the canned DynamoDB answers correctly, and a wrong answer ends a run."""

import http.client
import json
import subprocess
import sys
import zlib
from urllib.parse import urlsplit

import pytest

from benchmarks import canned, service
from cart import create_app
from cart.config import Config
from tests.support.project import ROOT, missing


@pytest.fixture(scope="module")
def endpoint_url():
    try:
        with canned.running() as url:
            yield url
    except canned.CompilerMissing as error:
        missing(str(error))


@pytest.fixture(scope="module")
def client(endpoint_url):
    return create_app(Config(dynamodb_endpoint_url=endpoint_url, log_level="WARNING")).test_client()


@pytest.mark.parametrize(("lines", "chunked"), [(0, False), (1, False), (10, True), (50, True), (1000, True)])
def test_canned_answer_is_sent_as_dynamodb_does(endpoint_url, lines, chunked):
    connection = http.client.HTTPConnection(urlsplit(endpoint_url).netloc, timeout=5)
    body = json.dumps({"ExpressionAttributeValues": {":user_id": {"S": f"bench-{lines}"}}})
    for _ in range(2):  # on one connection
        connection.request("POST", "/", body, {"X-Amz-Target": "DynamoDB_20120810.Query"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.headers["x-amz-crc32"] == str(zlib.crc32(content))
        assert answer.headers["Transfer-Encoding"] == ("chunked" if chunked else None)
        assert json.loads(content)["Count"] == len(json.loads(content)["Items"]) == lines
    connection.close()


@pytest.mark.parametrize("lines", [0, 1, 10, 50, 1000])
def test_service_reads_a_canned_cart(client, lines):
    assert body_of(client.get(f"/cart/bench-{lines}")) == canned.cart(lines)


@pytest.mark.parametrize("name", ["POST", "POST with key", "PUT"])
def test_service_writes_to_a_canned_cart(client, name):
    operation = service.operations((name,))[name]
    headers = {header: values[0] for header, values in operation["headers"].items()}
    answer = client.open(operation["path"], method=operation["method"], json=operation["body"], headers=headers)
    assert (answer.status_code, body_of(answer)) == (operation["status"], operation["answer"])


SHORT = canned.cart(9) | {"user_id": "bench-10"}


@pytest.mark.parametrize("contender", ["wsgi", "bare"])
def test_right_answer_gives_a_figure(endpoint_url, contender):
    process = work(endpoint_url, contender, service.operations(("GET 10",)))
    assert json.loads(process.stdout)["GET 10"] > 1


@pytest.mark.parametrize(
    ("contender", "changed", "message"),
    [
        ("wsgi", {"answer": SHORT}, "GET 10: answered 200"),
        ("bare", {"answer": SHORT}, "GET 10: answered 200"),
        ("wsgi", {"status": 201}, "GET 10: answered 200"),
        ("wsgi", {"closed": True}, "GET 10: without a token it is answered with 200"),
    ],
)
def test_wrong_answer_ends_a_run(endpoint_url, contender, changed, message):
    operations = {"GET 10": service.operations(("GET 10",))["GET 10"] | changed}
    process = work(endpoint_url, contender, operations, closed="closed" in changed)
    assert process.returncode
    assert message in process.stderr


def test_run_without_a_log_ends(endpoint_url):
    process = work(endpoint_url, "wsgi", service.operations(("GET 1",)), METRICS_NAMESPACE="")
    assert "1 operations were answered, 0 lines with metrics are in the log" in process.stderr


def work(endpoint_url, contender, operations, closed=False, **environ) -> subprocess.CompletedProcess[str]:
    task = {"warm_up": 0, "requests": 5, "operations": operations, "logged": contender == "wsgi", "closed": closed}
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "worker.py", contender],
        env=service.environment(endpoint_url, PYTHONPATH=str(ROOT), **environ),
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def body_of(answer):
    body = json.loads(answer.data)
    body.pop("price_changes", None)
    for line in [body, *body.get("items", [])]:
        line.pop("version", None)
    return body

"""Prism finds each answer of a tour over all operations as documented, and its mock takes the README's requests."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from cart.commands import engines
from tests.support.documents import Page
from tests.support.node import TOOLS, packages
from tests.support.products_service import products_service
from tests.support.project import ROOT
from tests.support.running import Answer, Caller, serving
from tests.support.stores import CUP

pytestmark = pytest.mark.slow

START_WITHIN_SECONDS = 60


@contextmanager
def prism(*arguments: str | Path) -> Iterator[str]:
    """Run Prism; the value is its URL."""
    port = engines.free_port()
    command = [packages(TOOLS) / ".bin" / "prism", *arguments, f"--port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        assert engines.wait_until_listens(url, START_WITHIN_SECONDS, lambda: process.poll() is None)
        yield url
    finally:
        engines.stop(process)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log"
    with engines.moto() as moto_url, products_service() as products:
        products.sell(price="19.99", stock=1000, name="Espresso cup")
        environ = {"DYNAMODB_TABLE_NAME": f"prism-{os.getpid()}", "CATALOG_URL": products.url, "LOG_LEVEL": "WARNING"}
        with serving(moto_url, log, **environ) as url:
            yield url


@pytest.fixture(scope="module")
def document_path(service: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    with urllib.request.urlopen(f"{service}/openapi.json", timeout=20) as response:
        path.write_bytes(response.read())
    return path


class Tour:
    """Calls operations through Prism's proxy, and checks what it reports.

    :ivar called: the operations that answered with success
    """

    def __init__(self, url: str, document: Any) -> None:
        self.caller = Caller(url)
        self.called: set[str] = set()
        self.operations = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if "operationId" in operation
        }

    def __call__(self, name: str, *path: object, status: int, body: object = None, **headers: str) -> Answer:
        """Call an operation with a request that the document allows."""
        answer, violations = self.send(name, *path, status=status, body=body, **headers)
        assert violations == [], (name, violations)
        if status < 400:
            self.called.add(name)
        return answer

    def refused(self, name: str, *path: object, status: int, body: object = None, **headers: str) -> None:
        """Call an operation with a request that the document does not allow."""
        _, violations = self.send(name, *path, status=status, body=body, **headers)
        assert {violation["location"][0] for violation in violations} == {"request"}, (name, violations)

    def send(
        self, name: str, *path: object, status: int, body: object, query: str = "", **headers: str
    ) -> tuple[Answer, list[dict[str, Any]]]:
        method, template = self.operations[name]
        values = iter(path)
        url = re.sub(r"\{\w+\}", lambda _: quote(str(next(values)), safe=""), template)
        answer = self.caller.ask(method, f"{url}{query}", body, **headers)
        assert answer is not None
        assert answer.status == status, (name, answer)
        return answer, json.loads(answer.headers.get("sl-violations", "[]"))


def test_answers_of_a_tour_are_as_documented(service, document_path):
    document = json.loads(document_path.read_text())
    with prism("proxy", document_path, service) as url:
        tour = Tour(url, document)
        walk(tour)
        tour.caller.connection.close()
    assert tour.called == set(tour.operations)


def walk(tour: Tour) -> None:
    """Call every operation with success, and meet the errors that a client can cause."""
    tour("getHealth", status=200)
    tour("getReadiness", status=200)
    carts(tour)
    saved(tour)
    links(tour)
    prices(tour)
    analytics(tour)


def carts(tour: Tour) -> None:
    guest = tour("createGuestCart", status=201).body["user_id"]
    line = tour("addItem", guest, status=201, body=CUP, Idempotency_Key='"key-1"')
    tour("addItem", guest, status=201, body=CUP, Idempotency_Key='"key-1"')
    tour("addItem", guest, status=422, body=CUP | {"quantity": 3}, Idempotency_Key='"key-1"')
    tour("addItem", guest, status=409, body=CUP | {"quantity": 999})
    tour.refused("addItem", guest, status=422, body=CUP | {"quantity": 0})
    tour.refused("addItem", guest, status=415, body=CUP, Content_Type="text/plain")
    tour.refused("addItem", "no user", status=422, body=CUP)
    cart = tour("getCart", guest, status=200)
    tour("getCart", guest, status=200, query="?include=saved")
    tour("getCart", guest, status=304, If_None_Match=cart.headers["ETag"])
    tour("setQuantity", guest, 42, status=200, body={"quantity": 3}, If_Match=line.headers["ETag"])
    tour("setQuantity", guest, 42, status=412, body={"quantity": 4}, If_Match=line.headers["ETag"])
    tour("setQuantity", guest, 7, status=404, body={"quantity": 4})
    tour("removeItem", guest, 42, status=412, If_Match=line.headers["ETag"])
    tour("mergeCarts", "user123", status=200, body={"source_user_id": guest})
    tour("removeItem", "user123", 42, status=204)
    tour("clearCart", "user123", status=412, If_Match=cart.headers["ETag"])
    tour("clearCart", "user123", status=204)
    tour("validateCart", "user123", status=200)
    tour("validateCart", "user123", status=200, query="?fix=true")


def saved(tour: Tour) -> None:
    tour("saveItem", "user123", status=201, body=CUP)
    tour("getSaved", "user123", status=200)
    tour("moveToCart", "user123", 42, status=200)
    tour("saveForLater", "user123", 42, status=200)
    tour("saveForLater", "user123", 42, status=404)
    tour("removeSaved", "user123", 42, status=204)


def links(tour: Tour) -> None:
    tour("addItem", "user123", status=201, body=CUP)
    link = tour("createShare", "user123", status=201, body={"access": "edit"}).body
    tour("listShares", "user123", status=200)
    tour("getSharedCart", link["token"], status=200)
    tour("addSharedItem", link["token"], status=201, body=CUP)
    tour("setSharedQuantity", link["token"], 42, status=200, body={"quantity": 1})
    tour("copySharedCart", "user456", status=200, body={"share_token": link["token"]})
    tour("removeSharedItem", link["token"], 42, status=204)
    tour("revokeShare", "user123", link["share_id"], status=204)
    tour("getSharedCart", link["token"], status=404)


def prices(tour: Tour) -> None:
    job = tour("changePrice", 42, status=202, body={"price": 21.5}).body["job_id"]
    tour("getPriceChange", 42, job, status=200)
    tour("getPriceChange", 43, job, status=404)
    tour("listCartsWithProduct", 42, status=200, query="?limit=1")
    tour("acceptPriceChanges", "user456", status=200)
    tour("acceptPriceChanges", "user456", status=200, body={"product_ids": [42]})
    tour("acceptPriceChanges", "user456", status=412, body={}, If_Match='"1"')


def analytics(tour: Tour) -> None:
    tour("getSummary", status=200)
    tour("getTopProducts", status=200, query="?sort=value")
    tour("getProductTotals", 42, status=200)
    tour("getAbandonment", status=200)
    tour("getSummary", status=200, Accept="text/csv")
    tour("getSummary", status=406, Accept="text/html")
    tour.refused("getSummary", status=422, query=f"?{urlencode({'from': 'yesterday'})}")


def test_mock_takes_the_readmes_requests(document_path):
    """A mock server is what front-end developers start with; it answers with the document's examples."""
    blocks = Page(ROOT / "README.md").blocks
    commands = [example.command for block in blocks for example in block.examples()]
    options = " --silent --output /dev/null --write-out '%{http_code}'"
    with prism("mock", document_path) as url:
        for command in commands:
            curl = command.replace("http://127.0.0.1:8000", url) + options
            process = subprocess.run(curl, shell=True, capture_output=True, text=True, timeout=20, check=False)
            assert process.stdout in ("200", "201"), command
    assert len(commands) == 3

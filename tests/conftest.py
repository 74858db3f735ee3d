"""Three engines, an app on each, and a user of one's own for every test."""

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import local_stage
import pytest
from flask import Flask
from flask.testing import FlaskClient
from products_service import ProductsService, products_service

from cart import create_app, engines, provision
from cart.config import Config
from cart.dynamodb import connect
from cart.table import BATCH_ROWS, CartTable

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # no look-up of credentials on the network

ENGINES = ["moto", "ministack", "dynamodb-local"]
WITHOUT_MINISTACK = ["moto", "dynamodb-local"]  # for what takes seconds and is decided on this side of the engine
IN_CI = os.environ.get("CI") == "true"
ROOT = Path(__file__).parent.parent
CUP = {"product_id": 42, "product_name": "Espresso cup", "quantity": 2, "price": 19.99}


def missing(what: str) -> None:
    """Skip where a part of the machine is missing; in CI that is a failure."""
    pytest.fail(what) if IN_CI else pytest.skip(what)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with engines.moto() as url:
        yield url


@pytest.fixture(scope="module")
def own_moto_url() -> Iterator[str]:
    """For many transactions: for each action of one, moto copies all that is in the table."""
    with engines.moto() as url:
        yield url


@pytest.fixture(scope="session")
def ministack_url() -> Iterator[str]:
    with engines.ministack() as url:
        yield url


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    yield from _dynamodb_local()


@pytest.fixture(scope="module")
def own_dynamodb_local_url() -> Iterator[str]:
    """An engine that has nothing to do but this, and no tables but ours."""
    yield from _dynamodb_local()


def _dynamodb_local() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(engines.dynamodb_local())
        except engines.EngineMissing as error:
            missing(str(error))
        yield url


@dataclass
class Store:
    """A table on one of the engines, looked at from behind the service's back."""

    engine: str
    config: Config
    client: Any

    def rows(self, user_id: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("query").paginate(
            TableName=self.config.dynamodb_table_name,
            KeyConditionExpression="user_id = :u",
            ExpressionAttributeValues={":u": {"S": user_id}},
            ConsistentRead=True,
        )
        return [row for page in pages for row in page["Items"]]

    def put(self, user_id: str, product_id: int, **attributes: Any) -> None:
        row = {
            "user_id": {"S": user_id},
            "item_id": {"S": f"ITEM#{product_id}"},
            "product_id": {"N": str(product_id)},
            "product_name": {"S": "Espresso cup"},
            "quantity": {"N": "2"},
            "price": {"N": "19.99"},
            "added_at": {"S": "2026-01-01T00:00:00.000000Z"},
            "updated_at": {"S": "2026-01-01T00:00:00.000000Z"},
            "version": {"N": "1"},
            "ttl": {"N": "4102444800"},
        }
        self.client.put_item(TableName=self.config.dynamodb_table_name, Item=row | attributes)

    def expire(self, user_id: str, ttl: int = 1) -> None:
        """Let all of a cart's life have passed."""
        for row in self.rows(user_id):
            self.client.put_item(TableName=self.config.dynamodb_table_name, Item=row | {"ttl": {"N": str(ttl)}})

    def empty(self) -> None:
        table = self.config.dynamodb_table_name
        pages = self.client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="user_id, item_id")
        deletes = [{"DeleteRequest": {"Key": key}} for page in pages for key in page["Items"]]
        for start in range(0, len(deletes), BATCH_ROWS):
            left = {table: deletes[start : start + BATCH_ROWS]}
            assert not self.client.batch_write_item(RequestItems=left)["UnprocessedItems"]


def make_store(engine: str, url: str, with_stream: bool = False, **settings: Any) -> Store:
    config = Config(
        dynamodb_endpoint_url=url, dynamodb_table_name=f"test-{uuid.uuid4().hex[:8]}", log_level="WARNING", **settings
    )
    client = connect(config, patient=True)
    provision.create(client, config.dynamodb_table_name, lambda _: None, with_stream)
    # ministack and DynamoDB Local delete expired rows within the minute: the tests are about those that are still there
    client.update_time_to_live(
        TableName=config.dynamodb_table_name, TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}
    )
    return Store(engine, config, client)


def engine_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of the shared engine that is the parameter of a fixture."""
    return request.getfixturevalue(f"{request.param.replace('-', '_')}_url")


@pytest.fixture(scope="session", params=ENGINES)
def store(request: pytest.FixtureRequest) -> Store:
    """On each of the engines: a test that takes this runs three times."""
    made = make_store(request.param, engine_url(request))
    if made.engine == "moto":
        _shared_on_moto.append(made)
    return made


@pytest.fixture(scope="session")
def moto_store(moto_url: str) -> Store:
    """On moto, for what has nothing to do with the engine."""
    made = make_store("moto", moto_url)
    _shared_on_moto.append(made)
    return made


_shared_on_moto: list[Store] = []


@pytest.fixture(scope="module", autouse=True)
def light_moto() -> Iterator[None]:
    """Leave nothing to the next module: for each action of a transaction, moto copies all that is in the table."""
    yield
    for shared in _shared_on_moto:
        shared.empty()


@pytest.fixture(scope="session", params=ENGINES[1:])
def real_store(request: pytest.FixtureRequest) -> Store:
    """On ministack and on DynamoDB Local, for what moto does not model."""
    return make_store(request.param, engine_url(request))


@pytest.fixture(scope="session")
def app(store: Store) -> Flask:
    return create_app(store.config)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def table(app: Flask) -> CartTable:
    gateway: CartTable = app.extensions["cart_table"]
    return gateway


@pytest.fixture
def products() -> Iterator[ProductsService]:
    """A products service that sells what the test lets it."""
    with products_service() as service:
        yield service


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project from which Zappa can pack, with things lying about that must not be shipped."""
    if sys.version_info[:2] != (3, 11):
        missing("a package for the function's Python 3.11 is built by Python 3.11")
    if not Path(sys.executable).with_name("zappa").exists():
        missing("zappa is not installed in this environment; run make setup")
    project = local_stage.copy_project(tmp_path_factory.mktemp("project"))
    for name in local_stage.STRAYS:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(local_stage.SECRET)
    return project


@pytest.fixture(scope="session")
def package(project: Path) -> Path:
    """The zip that Zappa makes of stage `local`."""
    path = project.with_name("package.zip")
    ended = local_stage.zappa(project, "package", "local", "--output", str(path))
    assert ended.returncode == 0, local_stage.said(ended)
    return path


@contextmanager
def serving(endpoint_url: str, log: Path, **environ: str) -> Iterator[str]:
    """The service as `flask serve` runs it, in processes of its own; the value is its URL."""
    port = engines.free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"DYNAMODB_ENDPOINT_URL": endpoint_url} | environ,
            stdout=output,
            stderr=output,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for_health(url, process, log)
            yield url
        finally:
            engines.stop(process)


def wait_for_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the service did not start: {log.read_text()}")

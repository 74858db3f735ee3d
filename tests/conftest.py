"""Fixtures for all tests: the engines, an app on each, and a new user for each test."""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from flask import Flask
from flask.testing import FlaskClient

from cart import create_app
from cart.commands import engines
from cart.dynamodb.client import connect
from cart.dynamodb.retries import retry_budget
from cart.dynamodb.table import CartTable
from tests.support import local_stage
from tests.support.faulty_client import FaultyClient
from tests.support.machine import share_machine
from tests.support.products_service import ProductsService, products_service
from tests.support.project import missing
from tests.support.stores import ENGINES, SHARED_ON_MOTO, Store, engine_url, make_store, shared_store

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # do not look up credentials on the network
for name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS"):  # tests call make as a user does, also under `make test`
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with engines.moto() as url:
        yield url


@pytest.fixture(scope="module")
def own_moto_url() -> Iterator[str]:
    """A moto of one test module, for tests with many transactions: moto copies the whole table for each action."""
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
    """A DynamoDB Local of one test module, which has no other load and no other tables."""
    yield from _dynamodb_local()


def _dynamodb_local() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(engines.dynamodb_local())
        except engines.EngineMissing as error:
            missing(str(error))
        yield url


@pytest.fixture(scope="session", autouse=True)
def botocore_models() -> Iterator[None]:
    """Read each of botocore's JSON files once, not for each client: parsing them is most of a client's CPU time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", staticmethod(cache(JSONFileLoader().load_file)))
        yield


@pytest.fixture(scope="session", autouse=True)
def faulty_clients() -> Iterator[None]:
    """Let tests run code at the calls of every app's clients, see ``faulty_client``."""

    def connect_faulty(*args: Any, **options: Any) -> FaultyClient:
        return FaultyClient(connect(*args, **options))

    with pytest.MonkeyPatch.context() as patch:
        for module in ("cart", "cart.bus"):
            patch.setattr(f"{module}.connect", connect_faulty)
        yield


@pytest.fixture(autouse=True)
def full_retry_budget() -> None:
    """Refill the process's retry budget, so that no test depends on the retries of another."""
    retry_budget.refill()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``store`` on each engine, or on those that its module lists in ``ENGINES``.

    A module that uses the session's ``app`` must not define a ``store`` of its own: that app keeps its first one.
    """
    marked = any(mark.args[0] == "store" for mark in metafunc.definition.iter_markers("parametrize"))
    if "store" in metafunc.fixturenames and not marked and not hasattr(metafunc.module, "store"):
        metafunc.parametrize("store", getattr(metafunc.module, "ENGINES", ENGINES), indirect=True, scope="session")


# Fixtures that start a real engine or package the function; tests that use them take long, alone or together
SLOW_FIXTURES = {"ministack_url", "dynamodb_local_url", "own_dynamodb_local_url", "real_store", "project"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests on real engines and those of the package as ``slow``, before ``-m`` selects by it.

    Then order the modules for the workers of pytest-xdist: those that take longest, in ``faults`` and ``commands``,
    come before ``api``, so that no worker begins one of them when the others have nothing left to do.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any(engine in values for engine in ENGINES[1:]) or SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    yield
    if is_worker(config):
        items.sort(key=lambda item: (is_alone(item), item.path), reverse=True)


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """While a test that is marked ``alone`` runs, let no worker of pytest-xdist run another test."""
    if not is_worker(item.config):
        return (yield)
    with share_machine(alone=is_alone(item)):
        return (yield)


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Store:
    """A table on one of the engines."""
    return shared_store(request)


@pytest.fixture(scope="session")
def moto_store(moto_url: str) -> Store:
    """A table on moto, for tests that do not depend on the engine."""
    store = make_store("moto", moto_url)
    SHARED_ON_MOTO.append(store)
    return store


@pytest.fixture(scope="module", autouse=True)
def light_moto() -> Iterator[None]:
    """Empty the tables on moto after each module, since moto copies all rows for each action of a transaction."""
    yield
    for shared in SHARED_ON_MOTO:
        shared.empty()


@pytest.fixture(scope="session", params=ENGINES[1:])
def real_store(request: pytest.FixtureRequest) -> Store:
    """A table on ministack and on DynamoDB Local, for tests of what moto does not model."""
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
    """A products service whose products the test sets."""
    with products_service() as service:
        yield service


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project for Zappa to package, with files in it that must not be shipped."""
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
    """The zip that Zappa makes for stage `local`."""
    path = project.with_name("package.zip")
    process = local_stage.zappa(project, "package", "local", "--output", str(path))
    assert process.returncode == 0, local_stage.output_of(process)
    return path

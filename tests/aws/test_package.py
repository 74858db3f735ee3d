"""What `zappa package local` ships: only the app and its dependencies, with valid bytecode."""

import hashlib
import importlib.util
import json
import re
import struct
import zipfile
from decimal import Decimal
from pathlib import Path, PurePosixPath

import pytest

from cart.analytics.page import ASSETS, PAGES
from cart.analytics.totals import Aggregates, ProductTotals
from deploy.bundle import NOT_INSTALLED
from tests.support.local_stage import (
    SECRET,
    STRAYS,
    content,
    copy_project,
    output_of,
    pattern_event,
    rest_event,
    run,
    scheduled_event,
    settings,
    unpack,
    zappa,
)
from tests.support.products_service import products_service
from tests.support.project import ROOT
from tests.support.records import history, image, record
from tests.support.stores import CUP, make_store

MAX_ZIPPED = 6_000_000
MAX_UNZIPPED = 20_000_000
MAX_PAGES_ZIPPED = 36_000

APP = {"cart", "entry.py", "wsgi.py"}
ZAPPAS = {"__init__.py", "__pycache__", "durationpy", "handler.py", "package_info.json", "zappa", "zappa_settings.py"}
LIBRARIES = {
    *(
        "apispec",
        "blinker",
        "boto3",
        "botocore",
        "click",
        "dateutil",
        "flask",
        "flask_cors",
        "flask_smorest",
        "flask_swagger_ui",
    ),
    *("itsdangerous", "jinja2", "jmespath", "markupsafe", "marshmallow", "orjson", "packaging"),
    *("s3transfer", "simplejson", "six.py", "urllib3", "webargs", "werkzeug"),
}
NEVER = {
    *(
        "test",
        "tests",
        "policies",
        "bin",
        "gevent",
        "greenlet",
        "gunicorn",
        "moto",
        "pip",
        "pytest",
        "_pytest",
        "ruff",
        "setuptools",
    ),
    *("commands", "deploy", "bundle.py", "engines.py", "conftest.py", "zappa_settings.json", ".env", ".git"),
}

SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
JOB_OF_18 = hashlib.sha256(b"42 18.00 2026-01-02T00:00:00.000000Z").hexdigest()[:32]
UNCHECKED_HASH = 0b01  # PEP 552
X86_64 = 62  # e_machine of ELF


POISON = record(None, None)
STREAMED = [*history([image(1), image(3)]), POISON, record(None, image(2), "bob")]


@pytest.fixture(scope="session")
def zipped(package):
    with zipfile.ZipFile(package) as archive:
        yield archive


@pytest.fixture(scope="session")
def names(zipped) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in zipped.namelist()]


@pytest.fixture(scope="session")
def tree(package, tmp_path_factory):
    return unpack(package, tmp_path_factory.mktemp("task"))


def is_metadata(name: str) -> bool:
    return name.endswith(".dist-info")


def test_package_has_only_allowed_files(names):
    tops = {name.parts[0] for name in names}
    assert {top for top in tops if not is_metadata(top)} == APP | ZAPPAS | LIBRARIES
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    shipped = dict(top.removesuffix(".dist-info").rsplit("-", 1) for top in tops if is_metadata(top))
    assert shipped.pop("zappa")
    assert shipped.pop("durationpy")
    expected = {
        name.lower().replace("-", "_"): version for name, version in pinned.items() if name not in NOT_INSTALLED
    }
    assert shipped == expected
    assert not NEVER & {part for name in names for part in name.parts}


def test_package_has_the_whole_app(names):
    shipped = {str(name) for name in names if name.parts[0] == "cart" and name.suffix != ".pyc"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "cart").rglob("*.py")}
    commands = {name for name in sources if name.startswith("cart/commands/")}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "cart").glob("*/pages/*")}
    assert commands
    assert {name for name in shipped if "__pycache__" not in name} == (sources - commands) | pages
    assert shipped.isdisjoint(commands)


def test_package_has_no_stray_files(zipped, names):
    assert not {PurePosixPath(name) for name in STRAYS} & set(names)
    assert not any(SECRET.encode() in zipped.read(entry) for entry in zipped.infolist())


def test_analytics_page_is_small(zipped):
    sizes = {entry.filename: entry.compress_size for entry in zipped.infolist() if "analytics/pages/" in entry.filename}
    assert sum(sizes.values()) <= MAX_PAGES_ZIPPED, sizes


def test_package_is_small(package, zipped):
    assert package.stat().st_size <= MAX_ZIPPED
    assert sum(entry.file_size for entry in zipped.infolist()) <= MAX_UNZIPPED


def test_every_module_has_hash_based_bytecode(zipped, names):
    sources = {name for name in names if name.suffix == ".py" and "__pycache__" not in name.parts}
    bytecode = {name.parent / "__pycache__" / f"{name.stem}.cpython-311.pyc" for name in sources}
    zappa_makes_late = {"zappa_settings", "__init__"}  # at the root
    late = {PurePosixPath("__pycache__") / f"{name}.cpython-311.pyc" for name in zappa_makes_late}
    assert {name for name in names if name.suffix == ".pyc"} == bytecode - late
    for name in bytecode - late:
        magic, flags = struct.unpack("<4sI", zipped.read(str(name))[:8])
        assert (magic, flags) == (importlib.util.MAGIC_NUMBER, UNCHECKED_HASH), name


def test_compiled_libraries_are_for_lambda(zipped, names):
    extensions = [name for name in names if name.suffix == ".so"]
    assert extensions
    for name in extensions:
        assert name.name.endswith(".cpython-311-x86_64-linux-gnu.so")
        start = zipped.read(str(name))[:20]
        assert start[:4] == b"\x7fELF"
        assert struct.unpack_from("<H", start, 18) == (X86_64,)
    tags = {tag for name in names if name.name == "WHEEL" for tag in re.findall(rb"Tag: (.+)", zipped.read(str(name)))}
    for tag in tags:
        assert re.fullmatch(rb"py2-none-any|py3-none-any|cp311-cp311-manylinux(1|2010|2014|_2_\d+)_x86_64\s*", tag), tag


@pytest.fixture(scope="module")
def package_run(tree, own_moto_url, tmp_path_factory):
    """A run of the package in a read-only folder:

    each operation, the documentation and its files, and the schedules.
    """
    store = make_store("moto", own_moto_url)
    scheduled = [event["function"] for event in settings()["local"]["events"] if "expression" in event]
    cart, line = "/cart/packed", "/cart/packed/items/42"
    events = [
        rest_event("POST", f"{cart}/items", CUP),
        rest_event("PUT", line, {"quantity": 5}),
        rest_event("GET", cart),
        rest_event("DELETE", line),
        rest_event("POST", f"{cart}/items", CUP),
        rest_event("DELETE", cart),
        rest_event("GET", "/health"),
        rest_event("GET", "/health/ready"),
        rest_event("GET", "/openapi.json"),
        rest_event("GET", "/docs"),
        rest_event("GET", "/docs/start.js"),
        *(rest_event("GET", f"/docs/{name}") for name in SWAGGER_FILES),
        rest_event("POST", f"{cart}/validate"),
        rest_event("POST", f"{cart}/items", CUP),
        pattern_event("ProductPriceChanged", CUP | {"price": 21.5, "changed_at": "2026-01-01T00:00:00Z"}),
        rest_event("GET", cart),
        rest_event("POST", f"{cart}/price-changes/accept"),
        rest_event("PUT", "/products/42/price", {"price": 18, "changed_at": "2026-01-02T00:00:00Z"}),
        pattern_event("PriceChangeStep-dev", {"job_id": JOB_OF_18}),
        rest_event("GET", f"/products/42/price-changes/{JOB_OF_18}"),
        rest_event("GET", "/analytics"),
        *(rest_event("GET", f"/analytics/assets/{name}") for name in ASSETS),
        rest_event("GET", "/analytics/summary", Accept="text/csv"),
        *(scheduled_event(f"arn:aws:events:::rule/cart-local-{name}") for name in scheduled),
        {"Records": STREAMED},
    ]
    environ = {
        "DYNAMODB_ENDPOINT_URL": own_moto_url,
        "DYNAMODB_TABLE_NAME": store.config.dynamodb_table_name,
        "AWS_ENDPOINT_URL": own_moto_url,  # of EventBridge
        "INSTANTIATE_LAMBDA_HANDLER_ON_IMPORT": "1",
        "CORS_ORIGINS": "https://shop.example",
    }
    before = snapshot(tree)
    with products_service() as catalog:
        catalog.sell(42)
        environ["CATALOG_URL"] = catalog.url
        run_of_package = run(tree, tmp_path_factory.mktemp("run"), events, environ, "-v")
    assert snapshot(tree) == before
    run_of_package.aggregates = Aggregates(store.client, store.config)
    return run_of_package


@pytest.fixture(scope="module")
def shopper_run(tree, moto_store, tmp_path_factory):
    """A process in which a shopper sends requests, and nothing else happens."""
    environ = {
        "DYNAMODB_ENDPOINT_URL": moto_store.config.dynamodb_endpoint_url,
        "DYNAMODB_TABLE_NAME": moto_store.config.dynamodb_table_name,
        "INSTANTIATE_LAMBDA_HANDLER_ON_IMPORT": "1",
    }
    events = [rest_event("POST", "/cart/packed/items", CUP), rest_event("DELETE", "/cart/packed")]
    return run(tree, tmp_path_factory.mktemp("shopped"), events, environ)


def snapshot(tree: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in tree.rglob("*")}


def test_package_answers_every_operation(package_run):
    statuses = [answer["statusCode"] for answer in package_run.answers if answer and "statusCode" in answer]
    of_prices, of_analytics = [200, 201, 200, 200, 202, 200], [200] * (1 + len(ASSETS) + 1)
    assert statuses == [201, 200, 200, 204, 201, 204, 200, 200, 200, *[200] * 5, *of_prices, *of_analytics]
    assert b"swagger-ui" in content(package_run.answers[9])
    answers = [answer for answer in package_run.answers if answer and "statusCode" in answer]
    page, *assets, summary = answers[-len(of_analytics) :]
    assert b"Cart analytics" in content(page)
    for name, answer in zip(ASSETS, assets, strict=True):
        assert content(answer) == (PAGES / name).read_bytes()
        assert not answer.get("isBase64Encoded")
    assert content(summary).startswith(b"day,lines_added,")


def test_package_lets_pages_of_the_shop_read_answers(package_run):
    """``Vary`` is one line, since Zappa keeps one value for each name in ``headers``."""
    cart, page = package_run.answers[2], package_run.answers[9]
    assert cart["headers"]["Vary"] == "Origin"
    assert page["headers"]["Vary"] == "Origin, Accept-Encoding"


def test_package_counts_stream_records(package_run):
    """It counts for any ARN of the stream, and returns the failed records; Zappa's handler would not do so."""
    assert package_run.answers[-1] == {"batchItemFailures": [{"itemIdentifier": POISON["dynamodb"]["SequenceNumber"]}]}
    assert package_run.aggregates.product(42) == ProductTotals(42, 2, 5, Decimal("99.95"))
    (line,) = [line for line in package_run.log() if "Counted" in line["message"]]
    assert line["message"] == "Counted 3 of 4 changes"


def test_shopper_requests_load_no_analytics_module(shopper_run):
    assert [answer["statusCode"] for answer in shopper_run.answers] == [201, 204]
    of_shoppers = {"cart.analytics", "cart.analytics.page", "cart.analytics.schemas", "cart.analytics.views"}
    assert {name for name in shopper_run.modules if name.startswith("cart.analytics")} == of_shoppers
    assert "cart.events" not in shopper_run.modules


def test_eventbridge_event_reaches_the_cart(package_run):
    """Zappa's handler would drop the event."""
    read, accepted, job, _, done = [answer and json.loads(content(answer)) for answer in package_run.answers[17:22]]
    (line,) = read["items"]
    assert (line["price"], line["current_price"], read["price_changes"]) == (19.99, 21.5, 1)
    assert (accepted["items"][0]["price"], accepted["price_changes"]) == (21.5, 0)
    assert (job["job_id"], job["status"]) == (JOB_OF_18, "running")
    assert (done["status"], done["changed"]) == ("done", 1)


def test_no_module_is_compiled_at_the_start(package_run, tree):
    """Python reports (``-v``) from which file it loads each module's code."""
    compiled = set(re.findall(rf"^# code object from {tree}/(.*)$", package_run.traced, re.MULTILINE))
    assert compiled == {"zappa_settings.py"}  # written by Zappa after packaging; 25 lines
    read = set(re.findall(r"^# code object from '(.*\.pyc)'$", package_run.traced, re.MULTILINE))
    loaded = {cached for cached in package_run.modules.values() if cached and cached.startswith(str(tree))}
    assert loaded - read == {f"{tree}/__pycache__/zappa_settings.cpython-311.pyc"}
    assert f"{tree}/cart/carts/__pycache__/views.cpython-311.pyc" in read


def test_every_shipped_module_of_the_app_is_loaded(names, package_run):
    sources = {name for name in names if name.parts[0] == "cart" and name.suffix == ".py"}
    modules = {".".join(name.with_suffix("").parts) for name in sources if name.stem != "__init__"}
    assert modules <= package_run.modules.keys(), "what the app never imports belongs into cart/commands or deploy"


@pytest.mark.parametrize(
    ("name", "text", "changed", "line"),
    [
        (
            *("zappa_settings.json", '"runtime": "python3.11"', '"runtime": "python3.13"'),
            "cart: the function runs on python3.13, so Zappa must run on it too; this is python3.11",
        ),
        (
            *("zappa_settings.json", '"touch": false', '"architecture": "arm64"'),
            "cart: architecture is set in stage local; the build reads only that of base",
        ),
        (
            *("requirements.txt", "flask==", "flask==99."),
            "cart: pip could not install requirements.txt for manylinux2014_x86_64 and Python 3.11",
        ),
    ],
    ids=["python", "architecture", "library"],
)
def test_failed_build_prints_one_line(project, tmp_path, name, text, changed, line):
    copy = copy_project(tmp_path / "copy")
    before = (copy / name).read_text()
    assert text in before
    (copy / name).write_text(before.replace(text, changed))
    process = zappa(copy, "package", "local")
    assert process.returncode != 0
    assert line in output_of(process).splitlines()
    assert "Traceback" not in output_of(process)

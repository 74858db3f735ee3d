"""The client of the products service, which says what a product is called, what it costs, and how many there are.

``GET /products/{id}`` and ``GET /products/{id}/inventory``; imported only where ``CATALOG_URL`` is set. Look-ups are
reads, so one that brought no answer is made once more. What was answered is kept for ``CATALOG_CACHE_SECONDS``.
"""

import logging
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from threading import Lock
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, validate
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError

from cart.config import Config
from cart.context import request_id, seconds_since
from cart.dynamodb.client import LAST_START_SECONDS
from cart.dynamodb.retries import retry
from cart.errors import CatalogUnavailable, ProductNotFound
from cart.http.fields import MAX_NAME_CHARACTERS, MAX_PRICE, Price, WholeNumber, check_printable
from cart.http.schema import JsonSchema
from cart.model.money import CENT
from cart.model.validation import Product

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 2
ANSWER_BY_SECONDS = LAST_START_SECONDS - 0.4  # after the request began, so that there is time left for the table
ATTEMPTS = 2
LOOKUPS_AT_ONCE = 8  # of a process
MAX_ANSWER_BYTES = 64 * 1024
MAX_PRODUCTS_KEPT = 10_000
PASSING = {429, 500, 502, 503, 504}

Asked = Future[bytes | None]


class _Unwell(Exception):
    """The catalogue does not answer as it should. What is wrong is for the log."""


class _Passing(_Unwell):
    """It may answer the next time."""


class ProductSchema(JsonSchema):
    """What the products service says of a product, as far as it is used."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = WholeNumber(required=True)
    name = fields.String(required=True, validate=validate.And(validate.Length(1), check_printable))
    price = Price(required=True, validate=validate.Range(CENT, MAX_PRICE))


class InventorySchema(JsonSchema):
    """What it says of a product's stock."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    stock_quantity = WholeNumber(required=True, validate=validate.Range(0))


product_schema = ProductSchema()
inventory_schema = InventorySchema()


class Catalog:
    """The products service. Its methods are safe in threads, and end in time for the request that is being answered."""

    def __init__(self, config: Config) -> None:
        self._url = (config.catalog_url or "").rstrip("/")
        self._headers = {"Accept": "application/json"}
        if config.catalog_token:
            self._headers["Authorization"] = f"Bearer {config.catalog_token}"
        self._keep_seconds = config.catalog_cache_seconds
        self._pool = PoolManager(num_pools=1, maxsize=LOOKUPS_AT_ONCE)
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="catalog")
        self._kept: dict[int, tuple[Product, float]] = {}  # by when they were kept
        self._keeping = Lock()

    def product(self, product_id: int) -> Product:
        """What the catalogue says of one product.

        :raise ProductNotFound: nothing (404)
        :raise CatalogUnavailable: no good answer came in time (503)
        """
        product = self.products([product_id])[product_id]
        if product is None:
            raise ProductNotFound(f"The catalogue has no product {product_id}.")
        return product

    def products(self, product_ids: Iterable[int]) -> dict[int, Product | None]:
        """What it says of each product, None of those it does not know. ``LOOKUPS_AT_ONCE`` requests at once.

        :raise CatalogUnavailable: of one of them, no good answer came in time (503)
        """
        found = {one: self._kept_product(one) for one in product_ids}
        deadline = time.monotonic() + ANSWER_BY_SECONDS - seconds_since(time.perf_counter())
        asked = {one: self._ask(one, deadline) for one, known in found.items() if not known}
        try:
            for one, (details, inventory) in asked.items():
                found[one] = self._keep(_product_of(one, details, inventory, deadline))
        except (_Unwell, TimeoutError) as error:
            logger.error("The catalogue is not well: %s", str(error) or "it takes too long")
            raise CatalogUnavailable from None
        finally:
            for future in chain(*asked.values()):
                future.cancel()  # one that has not begun: nobody waits for it any more
        return found

    def _kept_product(self, product_id: int) -> Product | None:
        product, until = self._kept.get(product_id, (None, 0.0))
        return product if time.monotonic() < until else None

    def _keep(self, product: Product | None) -> Product | None:
        if product:
            with self._keeping:
                self._kept.pop(product.product_id, None)  # so that the first is always the oldest
                self._kept[product.product_id] = (product, time.monotonic() + self._keep_seconds)
                if len(self._kept) > MAX_PRODUCTS_KEPT:
                    del self._kept[next(iter(self._kept))]
        return product

    def _ask(self, product_id: int, deadline: float) -> tuple[Asked, Asked]:
        """Begin to ask for a product and for its inventory."""
        url, headers = f"{self._url}/products/{product_id}", self._headers | {"X-Request-ID": request_id()}
        submit = self._threads.submit
        return submit(self._get, url, headers, deadline), submit(self._get, f"{url}/inventory", headers, deadline)

    def _get(self, url: str, headers: dict[str, str], deadline: float) -> bytes | None:
        """The body of what is at a URL, None where nothing is.

        :raise _Unwell: what is wrong, with the URL's path
        """
        return retry(
            lambda: self._get_once(url, headers, deadline - time.monotonic()),
            _Passing,
            ATTEMPTS,
            is_over=lambda: time.monotonic() >= deadline,
        )

    def _get_once(self, url: str, headers: dict[str, str], left_seconds: float) -> bytes | None:
        if left_seconds <= 0:
            raise _Passing("it takes too long")
        ends = time.monotonic() + left_seconds
        connect, read = (min(one, left_seconds) for one in (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))
        options: dict[str, Any] = {"retries": False, "redirect": False, "preload_content": False}
        try:
            response = self._pool.request(
                "GET", url, headers=headers, timeout=Timeout(connect=connect, read=read), **options
            )
            try:
                body = _body_of(response, url, ends)
            finally:
                response.close()  # not a connection whose answer was read to its end: that one is kept
        except HTTPError as error:
            raise _Passing(f"{error} of {url}") from None
        if response.status in (200, 404):
            return body if response.status == 200 else None
        raise (_Passing if response.status in PASSING else _Unwell)(f"{response.status} of {url}")


def _body_of(response: BaseHTTPResponse, url: str, ends: float) -> bytes:
    """All of an answer, unless it is too long in bytes or in time."""
    body = b""
    while piece := response.read1(MAX_ANSWER_BYTES, decode_content=False):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _Unwell(f"over {MAX_ANSWER_BYTES} bytes of {url}")
        if time.monotonic() > ends:
            raise _Passing(f"too slow an answer of {url}")
    return body


def _product_of(product_id: int, details: Asked, inventory: Asked, deadline: float) -> Product | None:
    """One that has no inventory cannot be bought: its stock is 0."""
    said = _answer(product_id, details, product_schema, deadline)
    if said is None:
        return None
    if said["product_id"] != product_id:
        raise _Unwell(f"product {said['product_id']} where {product_id} was asked for")
    stock = _answer(product_id, inventory, inventory_schema, deadline)
    name = said["name"][:MAX_NAME_CHARACTERS]
    return Product(product_id, name, said["price"], stock["stock_quantity"] if stock else 0)


def _answer(product_id: int, asked: Asked, schema: JsonSchema, deadline: float) -> dict[str, Any] | None:
    """What was answered, once it is; None where nothing is there."""
    body = asked.result(max(deadline - time.monotonic(), 0))
    try:
        return None if body is None else schema.loads(body)
    except (ValueError, ValidationError) as error:
        raise _Unwell(f"{type(schema).__name__} of product {product_id}: {error}") from None

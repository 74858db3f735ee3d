"""The client of the products service, which gives the name, the price and the stock of a product.

It sends ``GET /products/{id}`` and ``GET /products/{id}/inventory``, and is imported only if ``CATALOG_URL`` is set. A
request without an answer is sent once more. Answers are cached for ``CATALOG_CACHE_SECONDS``.
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
ANSWER_BY_SECONDS = LAST_START_SECONDS - 0.4  # after the request began, which leaves time for the table
ATTEMPTS = 2
LOOKUPS_AT_ONCE = 8  # of a process
MAX_ANSWER_BYTES = 64 * 1024
MAX_CACHED_PRODUCTS = 10_000
TRANSIENT_STATUSES = {429, 500, 502, 503, 504}

Answer = Future[bytes | None]  # a body, None for 404


class _BadAnswer(Exception):
    """The catalogue gave no usable answer. The message is for the log."""


class _TransientFault(_BadAnswer):
    """A fault that may be gone at the next request."""


class ProductSchema(JsonSchema):
    """A product as the products service sends it: id, name and price. Other members are ignored."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = WholeNumber(required=True)
    name = fields.String(required=True, validate=validate.And(validate.Length(1), check_printable))
    price = Price(required=True, validate=validate.Range(CENT, MAX_PRICE))


class InventorySchema(JsonSchema):
    """The stock of a product, in units."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    stock_quantity = WholeNumber(required=True, validate=validate.Range(0))


product_schema = ProductSchema()
inventory_schema = InventorySchema()


class Catalog:
    """A client with a cache. Its methods are safe in threads, and end before the deadline of the current request."""

    def __init__(self, config: Config) -> None:
        self._url = (config.catalog_url or "").rstrip("/")
        self._headers = {"Accept": "application/json"}
        if config.catalog_token:
            self._headers["Authorization"] = f"Bearer {config.catalog_token}"
        self._cache_seconds = config.catalog_cache_seconds
        self._pool = PoolManager(num_pools=1, maxsize=LOOKUPS_AT_ONCE)
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="catalog")
        self._cache: dict[int, tuple[Product, float]] = {}  # product and end of its life, the oldest first
        self._cache_lock = Lock()

    def product(self, product_id: int) -> Product:
        """Return a product.

        :raise ProductNotFound: the catalogue does not have it (404)
        :raise CatalogUnavailable: no usable answer came in time (503)
        """
        product = self.products([product_id])[product_id]
        if product is None:
            raise ProductNotFound(f"The catalogue has no product {product_id}.")
        return product

    def products(self, product_ids: Iterable[int]) -> dict[int, Product | None]:
        """Return each product, None for those that the catalogue does not have.

        Sends ``LOOKUPS_AT_ONCE`` requests at once.

        :raise CatalogUnavailable: for one of them, no usable answer came in time (503)
        """
        products = {product_id: self._cached(product_id) for product_id in product_ids}
        deadline = time.monotonic() + ANSWER_BY_SECONDS - seconds_since(time.perf_counter())
        missing = [product_id for product_id, product in products.items() if not product]
        answers = {product_id: self._request(product_id, deadline) for product_id in missing}
        try:
            for product_id, (details, inventory) in answers.items():
                products[product_id] = self._put_in_cache(_product_of(product_id, details, inventory, deadline))
        except (_BadAnswer, TimeoutError) as error:
            logger.error("The catalogue gave no usable answer: %s", str(error) or "it takes too long")
            raise CatalogUnavailable from None
        finally:
            for future in chain(*answers.values()):
                future.cancel()  # if it has not begun: its answer is not needed any more
        return products

    def _cached(self, product_id: int) -> Product | None:
        product, until = self._cache.get(product_id, (None, 0.0))
        return product if time.monotonic() < until else None

    def _put_in_cache(self, product: Product | None) -> Product | None:
        if product:
            with self._cache_lock:
                self._cache.pop(product.product_id, None)  # the new entry becomes the last
                self._cache[product.product_id] = (product, time.monotonic() + self._cache_seconds)
                if len(self._cache) > MAX_CACHED_PRODUCTS:
                    del self._cache[next(iter(self._cache))]
        return product

    def _request(self, product_id: int, deadline: float) -> tuple[Answer, Answer]:
        """Start the requests for a product and for its inventory."""
        url, headers = f"{self._url}/products/{product_id}", self._headers | {"X-Request-ID": request_id()}
        submit = self._threads.submit
        return submit(self._get, url, headers, deadline), submit(self._get, f"{url}/inventory", headers, deadline)

    def _get(self, url: str, headers: dict[str, str], deadline: float) -> bytes | None:
        """Return the body of an answer, None for 404.

        :raise _BadAnswer: with the reason and the URL
        """
        return retry(
            lambda: self._get_once(url, headers, deadline - time.monotonic()),
            _TransientFault,
            ATTEMPTS,
            is_over=lambda: time.monotonic() >= deadline,
        )

    def _get_once(self, url: str, headers: dict[str, str], remaining_seconds: float) -> bytes | None:
        if remaining_seconds <= 0:
            raise _TransientFault("it takes too long")
        ends = time.monotonic() + remaining_seconds
        connect, read = (min(limit, remaining_seconds) for limit in (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))
        options: dict[str, Any] = {"retries": False, "redirect": False, "preload_content": False}
        try:
            response = self._pool.request(
                "GET", url, headers=headers, timeout=Timeout(connect=connect, read=read), **options
            )
            try:
                body = _body_of(response, url, ends)
            finally:
                response.close()  # keeps the connection if the answer was read to its end
        except HTTPError as error:
            raise _TransientFault(f"{error} of {url}") from None
        if response.status in (200, 404):
            return body if response.status == 200 else None
        raise (_TransientFault if response.status in TRANSIENT_STATUSES else _BadAnswer)(f"{response.status} of {url}")


def _body_of(response: BaseHTTPResponse, url: str, ends: float) -> bytes:
    """Return the whole body.

    :raise _BadAnswer: it is over ``MAX_ANSWER_BYTES``, or not complete at ``ends``
    """
    body = b""
    while piece := response.read1(MAX_ANSWER_BYTES, decode_content=False):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _BadAnswer(f"over {MAX_ANSWER_BYTES} bytes of {url}")
        if time.monotonic() > ends:
            raise _TransientFault(f"too slow an answer of {url}")
    return body


def _product_of(product_id: int, details: Answer, inventory: Answer, deadline: float) -> Product | None:
    """Return the product of two answers. Without an inventory its stock is 0."""
    values = _answer(product_id, details, product_schema, deadline)
    if values is None:
        return None
    if values["product_id"] != product_id:
        raise _BadAnswer(f"product {values['product_id']} where {product_id} was asked for")
    stock = _answer(product_id, inventory, inventory_schema, deadline)
    name = values["name"][:MAX_NAME_CHARACTERS]
    return Product(product_id, name, values["price"], stock["stock_quantity"] if stock else 0)


def _answer(product_id: int, answer: Answer, schema: JsonSchema, deadline: float) -> dict[str, Any] | None:
    """Wait for an answer and return its values, None for 404."""
    body = answer.result(max(deadline - time.monotonic(), 0))
    try:
        return None if body is None else schema.loads(body)
    except (ValueError, ValidationError) as error:
        raise _BadAnswer(f"{type(schema).__name__} of product {product_id}: {error}") from None

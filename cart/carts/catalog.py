"""The client of the products service, which gives the name, the price and the stock of a product.

It sends ``GET /products/{id}`` and ``GET /products/{id}/inventory``, and is imported only if ``CATALOG_URL`` is set. A
request without an answer is sent once more. Products are cached for ``CATALOG_CACHE_SECONDS``.

A fault of the catalogue (no answer in time, 5xx, 429, a token that it refuses) is ``CatalogUnavailable``. An answer
that cannot be understood makes only its product unreadable. It is not cached, so that a correction is seen at once.
"""

import logging
import re
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
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
from cart.errors import CatalogUnavailable, ProductNotFound, ProductUnreadable
from cart.http import json
from cart.http.fields import MAX_NAME_CHARACTERS, MAX_PRICE, Price, WholeNumber, check_printable
from cart.http.schema import JsonSchema
from cart.model.lines import DISCONTINUED, UNREADABLE
from cart.model.validation import CatalogEntry, Product

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 2
ANSWER_BY_SECONDS = LAST_START_SECONDS - 0.4  # after the request began, which leaves time for the table
ATTEMPTS = 2
LOOKUPS_AT_ONCE = 8  # of a process
MAX_ANSWER_BYTES = 64 * 1024
MAX_CACHED_PRODUCTS = 10_000
TRANSIENT_STATUSES = {408, 429, 500, 502, 503, 504}
REFUSED_STATUSES = {401, 403, 407}  # they are about the token, not about the product
UNKNOWN_STATUSES = {404, 410}

Answer = Future[bytes | None]  # a body, None for an unknown product


class _Failed(Exception):
    """The catalogue is not available. The message is for the log."""


class _TransientFault(_Failed):
    """A fault that may be gone at the next request."""


class _Unreadable(Exception):
    """An answer about a product cannot be understood. The message is for the log."""


_NUMBER_TEXT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def _number_of(value: Any) -> Any:
    """Return the number that a text has in JSON's notation without an exponent; anything else is returned as it is.

    Other notations are ambiguous: `1,000` and `1.000,00` depend on the country.
    """
    return json.loads(value) if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value) else value


class _CatalogPrice(Price):
    def _validated(self, value: Any) -> Decimal:
        return abs(cents) if (cents := super()._validated(_number_of(value))) == 0 else cents  # no -0.00


class _CatalogNumber(WholeNumber):
    def _validated(self, value: Any) -> int:
        return super()._validated(_number_of(value))


class _CatalogName(fields.String):
    """A text, which is loaded as a line may have it: one line without control characters, of at most 200 characters."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = re.sub("[\ud800-\udfff]", "", super()._deserialize(value, attr, data, **kwargs))
        one_line = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
        return one_line.strip()[:MAX_NAME_CHARACTERS].rstrip()


class ProductSchema(JsonSchema):
    """A product as the products service sends it: id, name and price. Other members are ignored."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    product_id = _CatalogNumber(required=True)
    name = _CatalogName(required=True, validate=check_printable)
    price = _CatalogPrice(required=True, validate=validate.Range(0, MAX_PRICE))


class InventorySchema(JsonSchema):
    """The stock of a product, in units. ``null`` and numbers below 0 mean none."""

    class Meta(JsonSchema.Meta):
        unknown = EXCLUDE

    stock_quantity = _CatalogNumber(required=True, allow_none=True)


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
        :raise ProductUnreadable: what the catalogue has of it cannot be understood (409)
        :raise CatalogUnavailable: no answer came in time (503)
        """
        product = self.products([product_id])[product_id]
        if product == DISCONTINUED:
            raise ProductNotFound(f"The catalogue has no product {product_id}.")
        if isinstance(product, str):
            raise ProductUnreadable(
                f"The catalogue's data of product {product_id} cannot be understood, and must be corrected there."
            )
        return product

    def products(self, product_ids: Iterable[int]) -> dict[int, CatalogEntry]:
        """Return what the catalogue says of each product. Sends ``LOOKUPS_AT_ONCE`` requests at once.

        :raise CatalogUnavailable: for one of them, no answer came in time (503)
        """
        products: dict[int, CatalogEntry] = {}
        deadline = time.monotonic() + ANSWER_BY_SECONDS - seconds_since(time.perf_counter())
        cached = {product_id: self._cached(product_id) for product_id in product_ids}
        answers = {
            product_id: self._request(product_id, deadline) for product_id, product in cached.items() if not product
        }
        try:
            for product_id, product in cached.items():
                products[product_id] = product or self._entry(product_id, *answers[product_id], deadline)
        except (_Failed, TimeoutError) as error:
            logger.error("The catalogue gave no usable answer: %s", str(error) or "it takes too long")
            raise CatalogUnavailable from None
        finally:
            for future in chain(*answers.values()):
                future.cancel()  # if it has not begun: its answer is not needed any more
        return products

    def _entry(self, product_id: int, details: Answer, inventory: Answer, deadline: float) -> CatalogEntry:
        """Wait for the two answers about a product, and return what they say. Only a product is cached."""
        try:
            product = _product_of(product_id, details, inventory, deadline)
        except _Unreadable as error:
            logger.error("The catalogue's data of product %s cannot be understood: %s", product_id, error)
            return UNREADABLE
        return self._put_in_cache(product) if product else DISCONTINUED

    def _cached(self, product_id: int) -> Product | None:
        product, until = self._cache.get(product_id, (None, 0.0))
        return product if time.monotonic() < until else None

    def _put_in_cache(self, product: Product) -> Product:
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
        """Return the body of an answer, None if the catalogue does not know the product.

        :raise _Failed: with the reason and the URL
        :raise _Unreadable: with the reason and the URL
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
        status, message = response.status, f"{response.status} of {url}"
        if status in TRANSIENT_STATUSES:
            raise _TransientFault(message)
        if status in REFUSED_STATUSES or status >= 500:
            raise _Failed(message)
        if status != 200 and status not in UNKNOWN_STATUSES:
            raise _Unreadable(message)
        return body if status == 200 else None


def _body_of(response: BaseHTTPResponse, url: str, ends: float) -> bytes:
    """Return the whole body.

    :raise _Unreadable: it is over ``MAX_ANSWER_BYTES``
    :raise _TransientFault: it is not complete at ``ends``
    """
    body = b""
    while piece := response.read1(MAX_ANSWER_BYTES, decode_content=False):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _Unreadable(f"over {MAX_ANSWER_BYTES} bytes of {url}")
        if time.monotonic() > ends:
            raise _TransientFault(f"too slow an answer of {url}")
    return body


def _product_of(product_id: int, details: Answer, inventory: Answer, deadline: float) -> Product | None:
    """Return the product of two answers. Without an inventory its stock is 0."""
    values = _answer(details, product_schema, deadline)
    if values is None:
        return None
    if values["product_id"] != product_id:
        raise _Unreadable(f"it has the id of product {values['product_id']}")
    stock = _answer(inventory, inventory_schema, deadline) or {"stock_quantity": 0}
    return Product(product_id, values["name"], values["price"], max(stock["stock_quantity"] or 0, 0))


def _answer(answer: Answer, schema: JsonSchema, deadline: float) -> dict[str, Any] | None:
    """Wait for an answer and return its values, None if the catalogue does not know the product."""
    body = answer.result(max(deadline - time.monotonic(), 0))
    try:
        return None if body is None else schema.loads(body)
    except (ValueError, ValidationError) as error:
        raise _Unreadable(f"{type(schema).__name__}: {error}") from None

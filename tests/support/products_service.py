"""A products service on loopback: a real HTTP server that answers correctly unless a test sets a fault."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MADE_AT = "2026-01-01T00:00:00Z"
Fault = Callable[["Handler"], bool]  # returns whether it has answered in place of the service


class ProductsService:
    """The products on sale, the requests that came, and the fault to cause.

    :ivar requests: the path and headers of each request
    :ivar fault: called with each request before the service answers it
    :ivar connections: the number of connections that were opened
    """

    def __init__(self) -> None:
        self.sold: dict[int, dict[str, object]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.fault: Fault | None = None
        self.connections = 0
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.url = ""

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def sell(self, product_id: int = 42, price: str = "19.99", stock: int | None = 10, name: str = "Moka pot") -> None:
        """Sell a product.

        :param price: as it stands in the JSON
        :param stock: None: the service has no inventory of it
        """
        self.sold[product_id] = {"price": price, "stock": stock, "name": name}

    def discontinue(self, product_id: int = 42) -> None:
        del self.sold[product_id]

    def body_of(self, path: str) -> bytes | None:
        """Return the body in the seed platform's form, or None for its 404."""
        _, products, product_id, *rest = path.split("/")
        assert products == "products"
        product = self.sold.get(int(product_id))
        if product is None or (rest and product["stock"] is None):
            return None
        if rest:
            body = {"inventory_id": 7, "product_id": int(product_id), "stock_quantity": product["stock"]}
            return json.dumps(body | {"warehouse_location": "A1", "updated_at": MADE_AT}).encode()
        body = {"product_id": int(product_id), "sku": "SKU", "name": product["name"], "description": "", "price": "P"}
        return json.dumps(body | {"created_at": MADE_AT}).replace('"P"', str(product["price"])).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: ProductsService

    def setup(self) -> None:
        super().setup()
        with self.service.lock:
            self.service.connections += 1

    def do_GET(self) -> None:
        service = self.service
        with service.lock:
            service.requests.append((self.path, dict(self.headers)))
            service.at_once += 1
            service.most_at_once = max(service.most_at_once, service.at_once)
        try:
            with suppress(OSError):  # the client has closed the connection
                if not (service.fault and service.fault(self)):
                    body = service.body_of(self.path)
                    self.answer(404 if body is None else 200, body or b'{"detail": "Not found"}')
        finally:
            with service.lock:
                service.at_once -= 1

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def products_service() -> Iterator[ProductsService]:
    service = ProductsService()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"service": service}))
    server.daemon_threads = True
    server.block_on_close = False
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield service
    finally:
        service.over.set()
        server.shutdown()
        server.server_close()
        serving.join()


# --- faults


def on_inventory(fault: Fault) -> Fault:
    return lambda handler: handler.path.endswith("/inventory") and fault(handler)


def on_details(fault: Fault) -> Fault:
    return lambda handler: not handler.path.endswith("/inventory") and fault(handler)


def for_first_requests(count: int, fault: Fault) -> Fault:
    """Cause the fault for the first ``count`` requests alone."""
    remaining = [None] * count

    def fault_if_remaining(handler: Handler) -> bool:
        with handler.service.lock:
            hit = remaining and remaining.pop() is None
        return bool(hit) and fault(handler)

    return fault_if_remaining


def answers_with(body: bytes | str, status: int = 200, **headers: str) -> Fault:
    """Answer with this body and status."""
    data = body.encode() if isinstance(body, str) else body

    def fault(handler: Handler) -> bool:
        handler.answer(status, data, **headers)
        return True

    return fault


def hangs(handler: Handler) -> bool:
    """Send no answer until the test is over."""
    handler.service.over.wait(30)
    handler.close_connection = True
    return True


def answers_after(seconds: float) -> Fault:
    """Answer after this time."""

    def fault(handler: Handler) -> bool:
        handler.service.over.wait(seconds)
        return False

    return fault


def resets_connection(handler: Handler) -> bool:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    return True


def ends_inside_body(handler: Handler) -> bool:
    """End the connection in the middle of the body."""
    body = handler.service.body_of(handler.path) or b""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True
    return True


def sends_byte_by_byte(part: str) -> Fault:
    """Send the ``headers`` or the ``body`` byte by byte: no single byte is late, but the whole answer is."""

    def fault(handler: Handler) -> bool:
        head = "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" if part == "body" else "HTTP/1.1 200 OK\r\nX: "
        handler.wfile.write(head.encode())
        while not handler.service.over.wait(0.1):
            handler.wfile.write(b" ")
        handler.close_connection = True
        return True

    return fault


def sends_gigabyte(handler: Handler) -> bool:
    """Announce a gigabyte and send it for as long as the client reads."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(2**30))
    handler.end_headers()
    deadline = time.monotonic() + 20
    handler.close_connection = True
    while not handler.service.over.is_set() and time.monotonic() < deadline:
        handler.wfile.write(b" " * 65536)
    return True

"""A proxy between the service and DynamoDB Local that fails as networks and DynamoDB do, by a schedule from a seed."""

import http.client
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import BinaryIO
from urllib.parse import urlsplit

HOST = "127.0.0.1"
SHORT_DELAY_SECONDS = (0.01, 0.15)
TOO_LONG_SECONDS = 2.2  # the service gives up on an answer after 2
REFUSE_SECONDS = 0.03  # how long the port is closed
DOES_NOT_PASS_ON = (b"transfer-encoding", b"connection", b"keep-alive", b"content-length")


class Fault(Enum):
    """A fault of one request. "Before" and "after" refer to the moment when DynamoDB carries it out."""

    SHORT_DELAY = auto()
    LATE = auto()  # carried out after the client gave up
    SLOW_ANSWER = auto()  # carried out at once, but answered after the client gave up
    REFUSE = auto()  # the connection is reset, and the port is closed for a moment
    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    CUT_SHORT = auto()  # half of the answer is sent
    ERROR_BEFORE = auto()
    ERROR_AFTER = auto()
    THROTTLE = auto()
    CHECKSUM = auto()


# Weights: each fault happens many times in a run, and the two that take seconds happen rarely
WEIGHTS = dict.fromkeys(Fault, 10) | {Fault.SHORT_DELAY: 25, Fault.LATE: 3, Fault.SLOW_ANSWER: 3}
NOT_CARRIED_OUT = {Fault.REFUSE, Fault.CUT_BEFORE, Fault.ERROR_BEFORE, Fault.THROTTLE}

Request = tuple[str, bytes, http.client.HTTPMessage]  # its first line, body and headers


class FaultProxy:
    """Faults are off until ``rate`` is set.

    :ivar rate: the share of requests to which a fault happens, 0 to 1
    :ivar kinds: the faults that may happen
    :ivar counts: how often each has happened, and ``None`` where none did
    """

    def __init__(self, endpoint_url: str, seed: int) -> None:
        parts = urlsplit(endpoint_url)
        self.engine = (parts.hostname or HOST, parts.port or 80)
        self.rate = 0.0
        self.kinds: Sequence[Fault] = list(Fault)
        self.counts: Counter[Fault | None] = Counter()
        self._random = random.Random(seed)
        self._delays = random.Random(seed)  # apart, so that threads do not change the order of the faults
        self._changed = threading.Condition()
        self._under_way: set[int] = set()
        self._is_open = threading.Event()  # whether the port is
        self._is_open.set()
        self._arrived = 0
        self._stopped = False
        self._listener = socket.create_server((HOST, 0))
        self._port = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self._port}"

    def settle(self) -> None:
        """Wait for the requests that are being handled: after this, none of them changes anything."""
        time.sleep(0.02)  # what a client sent before it gave up or crashed is read by then
        with self._changed:
            current = set(self._under_way)
            if not self._changed.wait_for(lambda: not current & self._under_way, timeout=30):
                raise TimeoutError("DynamoDB Local does not answer")

    def listen(self) -> None:
        """Accept connections until stopped; listen again after each REFUSE."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # shut down, by ``stop`` or a REFUSE
                self._is_open.clear()
                self._listener.close()
                if self._stopped:
                    return
                time.sleep(REFUSE_SECONDS)
                self._listener = socket.create_server((HOST, self._port))
                self._is_open.set()
                continue
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def stop(self) -> None:
        self._stopped = True
        self._stop_listening()

    def wait_until_open(self) -> None:
        """Wait until the port is open again after a REFUSE."""
        assert self._is_open.wait(10)

    def _stop_listening(self) -> None:
        self._is_open.clear()
        with suppress(OSError):  # a REFUSE has closed it already
            self._listener.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection, until either side ends it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        engine = http.client.HTTPConnection(*self.engine, timeout=60)
        with connection, connection.makefile("rb") as reader, suppress(OSError):
            try:
                while request := _read(reader):
                    number, fault = self._begin()
                    try:
                        if not self._answer(connection, engine, request, fault):
                            break
                    finally:
                        self._end(number)
            finally:
                engine.close()

    def _begin(self) -> tuple[int, Fault | None]:
        with self._changed:
            fault = None
            if self._random.random() < self.rate:
                (fault,) = self._random.choices(self.kinds, [WEIGHTS[kind] for kind in self.kinds])
            self.counts[fault] += 1
            self._arrived += 1
            self._under_way.add(self._arrived)
            return self._arrived, fault

    def _end(self, number: int) -> None:
        with self._changed:
            self._under_way.discard(number)
            self._changed.notify_all()

    def _answer(
        self, connection: socket.socket, engine: http.client.HTTPConnection, request: Request, fault: Fault | None
    ) -> bool:
        """:return: whether the connection can be used again"""
        if fault is Fault.SHORT_DELAY:
            time.sleep(self._delays.uniform(*SHORT_DELAY_SECONDS))
        if fault is Fault.LATE:
            time.sleep(TOO_LONG_SECONDS)
        answer = b"" if fault in NOT_CARRIED_OUT else _forward(engine, request, fault is Fault.CHECKSUM)
        if fault is Fault.SLOW_ANSWER:
            time.sleep(TOO_LONG_SECONDS)
        if fault is Fault.REFUSE:
            self._stop_listening()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset at close
        if fault in (Fault.ERROR_BEFORE, Fault.ERROR_AFTER):
            answer = _error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError")
        if fault is Fault.THROTTLE:
            answer = _error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
        if fault in (Fault.REFUSE, Fault.CUT_BEFORE, Fault.CUT_AFTER):
            return False
        if fault is Fault.CUT_SHORT:
            connection.sendall(answer[: len(answer) - 2])
            return False
        connection.sendall(answer)
        return True


@contextmanager
def fault_proxy(endpoint_url: str, seed: int) -> Iterator[FaultProxy]:
    """Run the proxy in threads of this process."""
    proxy = FaultProxy(endpoint_url, seed)
    listening = threading.Thread(target=proxy.listen)
    listening.start()
    try:
        yield proxy
    finally:
        while listening.is_alive():  # during a REFUSE the thread sleeps, and listens once more
            proxy.stop()
            listening.join(2 * REFUSE_SECONDS)


def _read(reader: BinaryIO) -> Request | None:
    """Return the next request, or None if the client has closed the connection."""
    request_line = reader.readline().decode("latin-1")
    if not request_line.endswith("\n"):
        return None
    headers = http.client.parse_headers(reader)
    size = int(headers.get("Content-Length", 0))
    body = reader.read(size)
    return (request_line, body, headers) if len(body) == size else None


def _forward(engine: http.client.HTTPConnection, request: Request, wrong_checksum: bool) -> bytes:
    request_line, body, headers = request
    method, path, _ = request_line.split()
    engine.request(method, path, body, dict(headers))
    with engine.getresponse() as response:
        content = response.read()
        response_headers = [(name.encode(), value.encode("latin-1")) for name, value in response.getheaders()]
    response_headers = [(name, value) for name, value in response_headers if name.lower() not in DOES_NOT_PASS_ON]
    if wrong_checksum:
        response_headers = [
            (name, b"%d" % (zlib.crc32(content) ^ 1) if name.lower() == b"x-amz-crc32" else v)
            for name, v in response_headers
        ]
    return _response(response.status, content, response_headers)


def _error(status: int, kind: str) -> bytes:
    content = json.dumps({"__type": kind, "message": "secret: the fault proxy's doing"}).encode()
    checksum = b"%d" % zlib.crc32(content)
    return _response(status, content, [(b"Content-Type", b"application/x-amz-json-1.0"), (b"x-amz-crc32", checksum)])


def _response(status: int, content: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = [b"HTTP/1.1 %d %s" % (status, http.client.responses[status].encode())]
    lines += [b"%s: %s" % header for header in [*headers, (b"Content-Length", b"%d" % len(content))]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content

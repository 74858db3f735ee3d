"""One HTTP/1.1 exchange on a connection: send a request, and read its whole answer before a deadline (RFC 9112).

``http.client`` needs 2.6 times the instructions for the same exchange with DynamoDB, most of them in its header parser,
which is the one for e-mail.
"""

import time
from contextlib import suppress
from typing import Any, NamedTuple

HEXADECIMAL = set(b"0123456789ABCDEFabcdef")
MAX_HEAD_BYTES = 65_536
RECEIVE_BYTES = 65_536
FRESH_TIMEOUT = 0.99  # while this part of the time remains, the socket's own timeout is close enough to the deadline


class HttpAnswer(NamedTuple):
    """A complete answer.

    :ivar headers: by name in lower case; the values of a repeated header are joined by commas
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Malformed(ValueError):
    """The bytes received are not an HTTP answer, or not a complete one."""


class _Reader:
    """Read the bytes that arrive on a connection, until a deadline.

    :raise Malformed: the other end closed the connection too early
    :raise TimeoutError: the deadline has passed
    :raise OSError: the connection failed
    """

    def __init__(self, sock: Any, seconds: float) -> None:
        self._sock = sock
        self._deadline = time.monotonic() + seconds
        self._timeout_holds_until = self._deadline - seconds * FRESH_TIMEOUT
        self._data = bytearray()
        self._position = 0

    def receive(self) -> bool:
        """Wait for more bytes; return False if the other end has closed the connection."""
        if (now := time.monotonic()) > self._timeout_holds_until:
            if now >= self._deadline:
                raise TimeoutError("the answer took too long")
            self._sock.settimeout(self._deadline - now)
        received = self._sock.recv(RECEIVE_BYTES)
        self._data += received
        return bool(received)

    def unread_bytes(self) -> int:
        """Return the number of bytes that were received and not yet read."""
        return len(self._data) - self._position

    def read(self, size: int) -> bytes:
        """Read exactly ``size`` bytes."""
        while len(self._data) < self._position + size:
            if not self.receive():
                raise Malformed("an answer ended too early")
        start, self._position = self._position, self._position + size
        return bytes(self._data[start : self._position])

    def read_until(self, delimiter: bytes) -> bytes:
        """Read the bytes before the next delimiter, and skip the delimiter."""
        while (
            (end := self._data.find(delimiter, self._position)) < 0
            and self.unread_bytes() <= MAX_HEAD_BYTES
            and self.receive()
        ):
            pass
        start = self._position
        if not 0 <= end - start <= MAX_HEAD_BYTES:
            raise Malformed("a line of an answer is too long or has no end")
        self._position = end + len(delimiter)
        return bytes(self._data[start:end])

    def read_all(self) -> bytes:
        """Read until the other end closes the connection."""
        while self.receive():
            pass
        return self.read(self.unread_bytes())


def exchange(sock: Any, request: bytes, seconds: float) -> tuple[HttpAnswer, bool]:
    """Send a request, and read its whole answer.

    >>> answer, reusable = exchange(sock, b"POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}", 1.5)

    :param seconds: time limit for both together
    :return: the answer, and whether the connection can be used again
    :raise Malformed: the answer is not HTTP, or its end is not defined
    :raise TimeoutError: the time is over
    :raise OSError: the connection failed
    """
    reader = _Reader(sock, seconds)
    if sock.gettimeout() != seconds:
        sock.settimeout(seconds)
    with suppress(BrokenPipeError):  # a server can answer and close before it has read the whole request
        sock.sendall(request)
    first, lines = _read_head(reader)
    status = first[9:12]
    if first[:9] not in ("HTTP/1.1 ", "HTTP/1.0 ") or not status.isdecimal() or first[12:13] not in ("", " "):
        raise Malformed("an answer has no status")
    headers = _headers(lines)
    coding, size = headers.get("transfer-encoding", "").lower(), headers.get("content-length", "")
    keep_alive = first.startswith("HTTP/1.1") and headers.get("connection", "").lower() in ("", "keep-alive")
    if status == "101":
        raise Malformed("an answer changes the protocol")
    if status in ("204", "304"):
        body = b""
    elif coding == "chunked":
        body = b"".join(iter(lambda: _read_chunk(reader), b""))
        while reader.read_until(b"\r\n"):  # trailers
            pass
    elif size and not coding:
        body = reader.read(_content_length(size))
    elif coding or size:
        raise Malformed("the end of an answer is not defined")
    else:
        body, keep_alive = reader.read_all(), False
    return HttpAnswer(int(status), headers, body), keep_alive and not reader.unread_bytes()


def _read_head(reader: _Reader) -> tuple[str, list[str]]:
    """Read the status line and the header lines, and skip interim answers: every 1xx but 101 (RFC 9110, 15.2)."""
    head = reader.read_until(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1") and not head.startswith(b"HTTP/1.1 101"):
        head = reader.read_until(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, lines


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a header of an answer has no colon")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _content_length(value: str) -> int:
    """Return the length; a repeated header with the same value counts once (RFC 9110, 8.6)."""
    if not value.isdecimal():
        sizes = {size.strip() for size in value.split(",")}
        value = sizes.pop()
        if sizes or not value.isdecimal():
            raise Malformed("an answer does not state its length")
    return int(value)


def _read_chunk(reader: _Reader) -> bytes:
    size = reader.read_until(b"\r\n").partition(b";")[0].strip()
    if not size or not HEXADECIMAL.issuperset(size):
        raise Malformed("a chunk has no size")
    chunk = reader.read(int(size, 16))
    if chunk and reader.read_until(b"\r\n"):
        raise Malformed("a chunk is longer than its size")
    return chunk

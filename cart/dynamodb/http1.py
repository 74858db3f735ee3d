"""One HTTP/1.1 exchange over a connection: a request, and all of its answer, until a deadline (RFC 9112)."""

import time
from contextlib import suppress
from socket import MSG_PEEK
from typing import Any

from urllib3.util.connection import is_connection_dropped

HTTPS_PORT = 443
HEXADECIMAL = set(b"0123456789ABCDEFabcdef")
MAX_HEAD_BYTES = 65_536
PIECE_BYTES = 65_536
SOON = 0.99  # of the time for an answer: a socket that has so much of it left is not told anew


class Answer:
    """What came over the wire. botocore's hooks know an answer by these names; those of its headers are lower case."""

    def __init__(self, status_code: int, headers: dict[str, str], content: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content


class Malformed(ValueError):
    """What came is not an HTTP answer, or not a whole one."""


class _Reader:
    """What comes over a connection until a deadline.

    :raise Malformed: the other end closed it too early
    :raise OSError: it was lost, or the time is over
    """

    def __init__(self, sock: Any, seconds: float) -> None:
        self._sock = sock
        self._deadline = time.monotonic() + seconds
        self._soon = self._deadline - seconds * SOON
        self._data = bytearray()
        self._taken = 0

    def more(self) -> bool:
        """Wait for more to come; False where no more will."""
        if (now := time.monotonic()) > self._soon:  # until then, the time that the socket was given will do
            if now >= self._deadline:
                raise TimeoutError("the answer takes too long")
            self._sock.settimeout(self._deadline - now)
        piece = self._sock.recv(PIECE_BYTES)
        self._data += piece
        return bool(piece)

    def left(self) -> int:
        """Bytes that came and were not taken."""
        return len(self._data) - self._taken

    def take(self, size: int) -> bytes:
        while len(self._data) < self._taken + size:
            if not self.more():
                raise Malformed("an answer ended too early")
        start, self._taken = self._taken, self._taken + size
        return bytes(self._data[start : self._taken])

    def until(self, mark: bytes) -> bytes:
        """What comes before the next mark, which is taken too."""
        while (end := self._data.find(mark, self._taken)) < 0 and self.left() <= MAX_HEAD_BYTES and self.more():
            pass
        start = self._taken
        if not 0 <= end - start <= MAX_HEAD_BYTES:
            raise Malformed("a line of an answer has no end")
        self._taken = end + len(mark)
        return bytes(self._data[start:end])

    def rest(self) -> bytes:
        while self.more():
            pass
        return self.take(self.left())


def is_disturbed(connection: Any) -> bool:
    """Whether the other end has closed it, or said something unasked.

    urllib3 itself asks ``poll``, which takes a twentieth of a request where it is gevent's.
    """
    if connection.default_port == HTTPS_PORT:  # whose sockets do not let one peek
        return is_connection_dropped(connection)
    sock = connection.sock
    sock.settimeout(0)
    try:
        sock.recv(1, MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def ask(sock: Any, request: bytes, seconds: float) -> tuple[Answer, bool]:
    """Send a request and read all of its answer.

    :param seconds: for both together
    :return: the answer, and whether the connection can be used again
    """
    reader = _Reader(sock, seconds)
    if sock.gettimeout() != seconds:
        sock.settimeout(seconds)
    with suppress(BrokenPipeError):  # a server can answer, and close, before it has read all
        sock.sendall(request)
    head = reader.until(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100 "):
        head = reader.until(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = first[9:12]
    if first[:9] not in ("HTTP/1.1 ", "HTTP/1.0 ") or not status.isdecimal() or first[12:13] not in ("", " "):
        raise Malformed("an answer has no status")
    headers = _headers(lines)
    coding, size = headers.get("transfer-encoding", "").lower(), headers.get("content-length", "")
    keeps = first.startswith("HTTP/1.1") and headers.get("connection", "").lower() in ("", "keep-alive")
    if status in ("204", "304"):
        content = b""
    elif coding == "chunked":
        content = b"".join(iter(lambda: _chunk(reader), b""))
        while reader.until(b"\r\n"):  # trailers
            pass
    elif size.isdecimal() and not coding:
        content = reader.take(int(size))
    elif coding or size:
        raise Malformed("an answer does not say where it ends")
    else:
        content, keeps = reader.rest(), False
    return Answer(int(status), headers, content), keeps and not reader.left()


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a header of an answer is none")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _chunk(reader: _Reader) -> bytes:
    size = reader.until(b"\r\n").partition(b";")[0].strip()
    if not size or not HEXADECIMAL.issuperset(size):
        raise Malformed("a chunk has no size")
    chunk = reader.take(int(size, 16))
    if chunk and reader.until(b"\r\n"):
        raise Malformed("a chunk is longer than it says")
    return chunk

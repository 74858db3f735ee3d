"""One HTTP/1.1 exchange over a connection: a request, and all of its answer, until a deadline (RFC 9112)."""

import time
from contextlib import suppress
from typing import Any

HEXADECIMAL = set(b"0123456789ABCDEFabcdef")
MAX_HEAD_BYTES = 65_536
PIECE_BYTES = 65_536


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

    def __init__(self, sock: Any, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self.data = bytearray()  # what came and was not taken

    def more(self) -> bool:
        """Wait for more to come; False where no more will."""
        left_seconds = self._deadline - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left_seconds)
        piece = self._sock.recv(PIECE_BYTES)
        self.data += piece
        return bool(piece)

    def take(self, size: int) -> bytes:
        while len(self.data) < size:
            if not self.more():
                raise Malformed("an answer ended too early")
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def until(self, mark: bytes) -> bytes:
        """What comes before the next mark, which is taken too."""
        while (end := self.data.find(mark)) < 0 and len(self.data) <= MAX_HEAD_BYTES and self.more():
            pass
        if not 0 <= end <= MAX_HEAD_BYTES:
            raise Malformed("a line of an answer has no end")
        return self.take(end + len(mark))[:end]

    def rest(self) -> bytes:
        while self.more():
            pass
        return self.take(len(self.data))


def ask(sock: Any, request: bytes, seconds: float) -> tuple[Answer, bool]:
    """Send a request and read all of its answer.

    :param seconds: for both together
    :return: the answer, and whether the connection can be used again
    """
    reader = _Reader(sock, time.monotonic() + seconds)
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
    return Answer(int(status), headers, content), keeps and not reader.data


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

"""An HTTP server that sends the bytes that a test gives it, and closes connections when the test wants it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from zlib import crc32

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class Request:
    first: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int = 0  # its number, from 0 on


@dataclass
class RawServer:
    """Call ``answer`` with each request: it returns the bytes to send, or acts on the connection. None closes it."""

    url: str
    answer: Callable[[Request], Answer | None]
    requests: list[Request] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def close_connections(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()


@contextmanager
def raw_server(answer: Callable[[Request], Answer | None], tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    server = RawServer(url, answer)
    threads: list[threading.Thread] = []

    def listen() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections.append(connection)
            threads.append(threading.Thread(target=_serve, args=[server, connection, tls, len(threads)]))
            threads[-1].start()

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        listening.join()
        server.close_connections()
        for thread in threads:
            thread.join()


def _serve(server: RawServer, connection: socket.socket, tls: ssl.SSLContext | None, number: int) -> None:
    with connection, suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with tls.wrap_socket(connection, server_side=True) if tls else connection.dup() as talk:
            if tls:
                server.connections.append(talk)
            with talk.makefile("rb") as reader:
                while request := _read(reader):
                    request.connection = number
                    server.requests.append(request)
                    answer = server.answer(request)
                    if answer is None:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    if isinstance(answer, bytes):
                        talk.sendall(answer)
                    else:
                        answer(talk)


def _read(reader) -> Request | None:
    request_line = reader.readline().decode().strip()
    if not request_line:
        return None
    headers = {}
    while line := reader.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return Request(request_line, headers, reader.read(int(headers.get("content-length", 0))))


def response(body: bytes, status: str = "200 OK", headers: tuple[str, ...] = (), crc: int | None = None) -> bytes:
    """Return an answer with the headers and checksum that DynamoDB sends."""
    lines = [
        f"HTTP/1.1 {status}",
        "Server: Server",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(body)}",
        "Connection: keep-alive",
        "x-amzn-RequestId: 4KBNVRGD25RG1KEO9UT4V3FQDJVV4KQNSO5AEMVJF66Q9ASUAAJG",
        f"x-amz-crc32: {crc32(body) if crc is None else crc}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, sizes: list[int], extension: str = "", trailers: str = "", tail: bytes = b"") -> bytes:
    """Return the same answer in chunks of these sizes; one more chunk holds the rest."""
    pieces = []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    pieces.append(body)
    lines = [b"%x%s\r\n%s\r\n" % (len(piece), extension.encode(), piece) for piece in pieces if piece]
    whole = b"".join(pieces)
    head = response(whole).replace(b"Content-Length: %d" % len(whole), b"Transfer-Encoding: chunked", 1)
    return head[: len(head) - len(whole)] + b"".join(lines) + b"0\r\n" + trailers.encode() + b"\r\n" + tail

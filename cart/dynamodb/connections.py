"""Connections to one host: made within a time limit, and kept while idle. The last used is taken first."""

import os
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, NamedTuple

MAX_IDLE_SECONDS = 60.0  # well below the 350 seconds after which NAT gateways of AWS drop a connection

Addresses = list[tuple[Any, ...]]  # as getaddrinfo returns them


class Connection(NamedTuple):
    """A connection that is not in use.

    :ivar idle_since: ``time.monotonic()`` of its last use, or None for a new connection
    """

    sock: Any
    idle_since: float | None = None


class Connections:
    """Connections to one host and port. Safe in threads, in greenlets and after a fork.

    :param tls: returns the TLS context, called at the first connection; None for plain HTTP
    :param connect_seconds: time limit for a new connection: name look-up, TCP and TLS together
    :param max_idle: number of idle connections that are kept
    """

    def __init__(
        self, host: str, port: int, tls: Callable[[], ssl.SSLContext] | None, connect_seconds: float, max_idle: int
    ) -> None:
        self._host = host
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._connect_seconds = connect_seconds
        self._max_idle = max_idle
        self._idle: deque[Connection] = deque()  # ordered by their last use
        self._resolver = _Resolver(host, port)
        self._process = os.getpid()
        weakref.finalize(self, _close_all, self._idle)

    def take(self) -> Connection:
        """Return an idle connection that is still open, or a new one.

        :raise ssl.SSLError: the TLS handshake failed
        :raise TimeoutError: no connection could be made in time
        :raise OSError: no connection could be made
        """
        if os.getpid() != self._process:  # after a fork, the idle connections belong to the parent
            self.close()
            self._resolver.reset()
            self._process = os.getpid()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Connection(self._connect())
            if time.monotonic() - (connection.idle_since or 0) > MAX_IDLE_SECONDS:
                self.close()  # the others have been idle even longer
            elif not has_input(connection.sock):
                return connection
            connection.sock.close()

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request, and close those that have been idle for too long."""
        now = time.monotonic()
        self._close_idle_since(now - MAX_IDLE_SECONDS)
        if len(self._idle) < self._max_idle:
            self._idle.append(Connection(connection.sock, now))
        else:
            connection.sock.close()

    def discard(self, connection: Connection) -> None:
        """Close a connection that failed and, if it was reused, all that have been idle for as long or longer.

        If a firewall or NAT has dropped this connection, it has dropped the others too.
        """
        connection.sock.close()
        if connection.idle_since is not None:
            self._close_idle_since(connection.idle_since)

    def close(self) -> None:
        """Close all idle connections."""
        self._close_idle_since(float("inf"))

    def _close_idle_since(self, moment: float) -> None:
        """Close the connections that have been idle since this time of ``time.monotonic()`` or longer."""
        try:
            while (self._idle[0].idle_since or 0) <= moment:
                self._idle.popleft().sock.close()
        except IndexError:
            pass

    def _connect(self) -> Any:
        deadline = time.monotonic() + self._connect_seconds
        addresses = self._resolver.addresses(self._connect_seconds)
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0:
                raise TimeoutError("no address of the host answered in time")
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.settimeout(remaining_seconds / (len(addresses) - number))  # some time for each address
                sock.connect(address)
                sock.settimeout(max(deadline - time.monotonic(), 0.001))
                return self._with_tls(sock)
            except ssl.SSLError:
                sock.close()
                raise
            except OSError:
                sock.close()
                if number == len(addresses) - 1:
                    raise
            except BaseException:
                sock.close()
                raise
        raise OSError("the host has no address")

    def _with_tls(self, sock: Any) -> Any:
        if not self._make_tls:
            return sock
        if not self._tls:
            self._tls = self._make_tls()
        return self._tls.wrap_socket(sock, server_hostname=self._host)


def _close_all(idle: deque[Connection]) -> None:
    for connection in idle:
        connection.sock.close()


class _Resolver:
    """Look up the addresses of a host, with a time limit.

    ``getaddrinfo`` has no time limit, so it runs in a thread. Concurrent requests wait for the same look-up, so a name
    server that hangs blocks one thread, and not one for each request.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._is_address = _is_address(host)
        self.reset()

    def reset(self) -> None:
        """Drop a look-up that is running: after a fork, its thread exists only in the parent."""
        self._lock = Lock()
        self._pending: Future[Addresses] | None = None

    def addresses(self, seconds: float) -> Addresses:
        """Return the addresses as ``getaddrinfo`` does.

        :raise TimeoutError: there is no answer within these seconds
        :raise OSError: the host is not known
        """
        if self._is_address:
            return self._look_up()
        with self._lock:
            pending = self._pending
            if not pending or pending.done():
                pending = self._pending = Future()
                Thread(target=self._fill, args=[pending], name="name look-up", daemon=True).start()
        return pending.result(seconds)

    def _look_up(self) -> Addresses:
        return list(socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM))

    def _fill(self, future: "Future[Addresses]") -> None:
        try:
            future.set_result(self._look_up())
        except BaseException as error:
            future.set_exception(error)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False


def has_input(sock: Any) -> bool:
    """Return whether the other end of an idle connection has closed it or sent data; it cannot be used then."""
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        pass
    return True

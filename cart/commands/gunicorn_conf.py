"""gunicorn's configuration: `python -m gevent.monkey --module gunicorn -c python:cart.commands.gunicorn_conf wsgi:app`.

gevent must patch the standard library before boto3 is imported, or boto3's TLS does not work.
"""

import logging
from functools import partial
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers import ggevent

from cart.config import Config
from cart.logs import without_secrets

_config = Config.from_env()
workers = _config.web_concurrency
worker_connections = _config.web_connections
limit_request_line = 8190  # gunicorn's maximum: it answers longer lines itself, without a problem document
forwarder_headers = ""  # else a client on this host could send a SCRIPT_NAME, to which gunicorn answers 500
preload_app = True  # a bad setting stops the start, and the workers share the memory of the loaded modules
control_socket_disable = True  # it would leave a file in the home folder


def _remove_secrets(record: logging.LogRecord) -> bool:
    record.msg, record.args = without_secrets(record.getMessage()), ()
    return True


REQUEST_SECONDS = 15  # including the time to receive the body; the service itself needs at most 5


class Server(StreamServer):
    """A server that accepts the waiting connections before it closes: they would be reset."""

    def close(self) -> None:
        """Accept the waiting connections, then close."""
        if not self.closed:
            self.stop_accepting()
            while accepted := self.do_read():
                self.do_handle(*accepted)
        super().close()


class Worker(ggevent.GeventWorker):
    """A worker with a time limit for each request: gunicorn waits without a limit for the rest of a body."""

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> Server:
        """Return the server of a listener. gunicorn calls this like the class ``server_class`` of its own worker."""
        server = Server(listener, handle=partial(self.handle, listener), spawn=spawn)
        if self.cfg.workers > 1:
            server.max_accept = 1  # as in gunicorn's worker, so that workers share the connections
        return server

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection. gunicorn needs the listener only for its address, and it may be closed already."""
        super().handle(client, client, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer a request, or close its connection after ``REQUEST_SECONDS``."""
        time_limit = gevent.Timeout.start_new(REQUEST_SECONDS)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except gevent.Timeout as timeout:
            if timeout is not time_limit:
                raise
            raise NoMoreData from None
        finally:
            time_limit.close()


worker_class = Worker


class Response(wsgi.Response):
    """A response without the header ``Server``, whose head and body are sent together."""

    headers_sent: bool

    def default_headers(self) -> list[str]:
        """Return gunicorn's headers without ``Server``."""
        return [header for header in super().default_headers() if not header.startswith("Server:")]

    def write(self, arg: bytes) -> None:
        """Send the head and a whole body in one call: gunicorn needs two. Send part of a body as gunicorn does."""
        if self.headers_sent or self.chunked or self._omits_body or len(arg) != self.response_length:
            super().write(arg)
            return
        head = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self.headers_sent = True
        self.sent = len(arg)
        util.write(self.sock, "".join(head).encode("latin-1") + arg)


def on_starting(server: Any) -> None:
    """Keep secrets out of gunicorn's log lines, and make it use ``Response``, before the workers are forked.

    gunicorn logs the path of a request that fails, which can contain the token of a link. It has no setting for the
    response class.
    """
    server.log.error_log.addFilter(_remove_secrets)
    wsgi.Response = Response

"""gunicorn's configuration: `python -m gevent.monkey --module gunicorn -c python:cart.commands.gunicorn_conf wsgi:app`.

gevent's patches come before all imports: boto3's TLS, once imported without them, does not work with them.
"""

from functools import partial
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers import ggevent

from cart.config import Config

_config = Config.from_env()
workers = _config.web_concurrency
worker_connections = _config.web_connections
limit_request_line = 8190  # the most that gunicorn takes: beyond it answers in its own words
forwarder_headers = ""  # a client on this host could name another SCRIPT_NAME, which gunicorn answers with a 500
preload_app = True  # a bad setting stops the start, and workers share the memory of what is loaded
control_socket_disable = True  # it would leave a file behind in the home folder

REQUEST_SECONDS = 15  # with the reading of its body; the service itself takes 5


class Server(StreamServer):
    """A server that, before it closes, accepts the connections whose clients have sent already: they would be reset."""

    def close(self) -> None:
        """Accept the connections that wait, and close."""
        if not self.closed:
            self.stop_accepting()
            while accepted := self.do_read():
                self.do_handle(*accepted)
        super().close()


class Worker(ggevent.GeventWorker):
    """A worker that no client can hold for ever: gunicorn itself waits for the rest of a body without end."""

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> Server:
        """Return the server of a listener. gunicorn calls this where it would call the class of that name."""
        server = Server(listener, handle=partial(self.handle, listener), spawn=spawn)
        if self.cfg.workers > 1:
            server.max_accept = 1  # as gunicorn has it, so that workers share the connections
        return server

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection. Only the listener's name is needed, and the listener may be closed by now."""
        super().handle(client, client, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer a request, or close its connection after ``REQUEST_SECONDS``."""
        slow = gevent.Timeout.start_new(REQUEST_SECONDS)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except gevent.Timeout as timeout:
            if timeout is not slow:
                raise
            raise NoMoreData from None
        finally:
            slow.close()


worker_class = Worker


class Response(wsgi.Response):
    """A response without the header ``Server``, sent in one piece."""

    headers_sent: bool

    def default_headers(self) -> list[str]:
        """Without ``Server``."""
        return [header for header in super().default_headers() if not header.startswith("Server:")]

    def write(self, arg: bytes) -> None:
        """Head and body at once, where that is all: gunicorn sends one after the other."""
        if self.headers_sent or self.chunked or self._omits_body or len(arg) != self.response_length:
            super().write(arg)
            return
        head = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self.headers_sent = True
        self.sent = len(arg)
        util.write(self.sock, "".join(head).encode("latin-1") + arg)


def on_starting(_: Any) -> None:
    """Make gunicorn use our ``Response``, before workers are forked. It has no setting for the class."""
    wsgi.Response = Response

"""gunicorn's configuration: `python -m gevent.monkey -m gunicorn -c python:cart.serving wsgi:app`.

gevent's patches come before all imports: boto3's TLS, once imported without them, does not work with them.
"""

from gunicorn import util
from gunicorn.http import wsgi

from cart.config import Config

_config = Config.from_env()
workers = _config.web_concurrency
worker_connections = _config.web_connections
worker_class = "gevent"
preload_app = True  # a bad setting stops the start, and workers share the memory of what is loaded
control_socket_disable = True  # it would leave a file behind in the home folder


class Response(wsgi.Response):
    """An answer that does not say which server gave it, and leaves in one piece."""

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


wsgi.Response = Response

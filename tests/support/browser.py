"""The options of Chromium, and an app that it can reach."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run"),
]


@contextmanager
def listening(app, prefix) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, DispatcherMiddleware(NotFound(), {prefix: app}), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Run ministack's DynamoDB and save its tables every few seconds; ministack itself saves only when it stops.

This is a script that imports nothing of this package: ``python -P cart/commands/ministack_server.py``. Its settings
are ministack's environment variables (``GATEWAY_PORT``, ``BIND_HOST``, ``PERSIST_STATE``, ``STATE_DIR``).
"""

import asyncio
import gc
import os
import signal
import time
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import app
from ministack.core.persistence import PERSIST_STATE, save_state
from ministack.services import dynamodb

SAVE_EVERY_SECONDS = 3  # with the time that a save takes, a SIGKILL loses the changes of less than 10 seconds
IDLE_CONNECTION_SECONDS = 75


class Saver:
    """Serves requests, and saves the tables if there were any since the last save."""

    def __init__(self) -> None:
        self._requests = 0
        self._saved_requests = 0

    async def count(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request as ministack does, and count it: any request may change a table.

        A request of a web page is refused: ministack checks no signature, so any page that is open in a browser on this
        machine could read and change the tables.
        """
        if any(name == b"origin" for name, _ in scope.get("headers", ())):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        self._requests += scope["type"] == "http"
        await app(scope, receive, send)

    async def save_until(self, stopping: asyncio.Event) -> None:
        """Save every ``SAVE_EVERY_SECONDS`` if there were requests. ministack itself saves when it stops."""
        while not stopping.is_set():
            started = time.monotonic()
            if PERSIST_STATE and self._requests != self._saved_requests:
                self._saved_requests = self._requests
                await _save_in_child()
            pause = max(0.1, SAVE_EVERY_SECONDS - (time.monotonic() - started))
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue


async def _save_in_child() -> None:
    """Save the tables as they are now, without stopping requests: a forked child has a copy that does not change."""
    gc.freeze()  # garbage collection then skips the rows; visiting them all would stop requests for a while
    child = os.fork()
    if child == 0:
        try:
            os.nice(10)
            gc.disable()
            save_state("dynamodb", dynamodb.get_state())
        finally:
            os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.05)


async def run() -> None:
    """Serve until SIGTERM. The save in progress ends before ministack makes its last one."""
    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = IDLE_CONNECTION_SECONDS
    config.loglevel = "WARNING"
    config.backlog = 1024
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    saver = Saver()
    saves = asyncio.create_task(saver.save_until(stopping))

    async def wait_until_stopped() -> None:
        await stopping.wait()
        await saves

    await serve(saver.count, config, shutdown_trigger=wait_until_stopped)


if __name__ == "__main__":
    asyncio.run(run())

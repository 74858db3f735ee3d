"""A log line that cannot be written changes no answer, and no log line has a secret."""

import io
import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from cart import create_app
from cart.commands import gunicorn_conf
from cart.config import Config
from cart.logs import configure_logging, info, without_secrets
from tests.support.project import ROOT

logger = logging.getLogger("cart.test")
GUEST = "guest-7TzYh0bU2mBzXxS4o3JkP9aQcVdL1wEf"
TOKEN = "kP9aQcVdL1wEf7TzYh0bU2mBzXxS4o3J"
ASK = """
import sys
from wsgi import app
statuses = [app.test_client().get(path).status_code for path in ("/health", "/nowhere", "/health")]
app.logger.error("an error")
print(statuses, file=sys.stderr)
"""


def statuses(stdout: int) -> str:
    """Return the statuses of some requests to a service that logs to this file descriptor."""
    process = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )
    return process.stderr


def test_full_disk_changes_no_answer():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        assert statuses(full.fileno()).startswith("[200, 404, 200]\n")


def test_closed_pipe_changes_no_answer():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert statuses(writing).startswith("[200, 404, 200]\n")
    finally:
        os.close(writing)


class Full(io.StringIO):
    """A stream that accepts nothing until there is room."""

    has_room = False

    def write(self, text: str) -> int:
        if not self.has_room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_next_line_states_how_many_were_dropped(monkeypatch):
    configure_logging("INFO")
    stream = Full()
    monkeypatch.setattr(sys, "stdout", stream)
    info(logger, "lost")
    logger.warning("lost as well")
    stream.has_room = True
    info(logger, "kept")
    info(logger, "kept too")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == [
        "2 log lines before this one could not be written",
        "kept",
        "kept too",
    ]
    assert lines[0]["level"] == "ERROR"


def test_closed_stdout_raises_nothing(monkeypatch):
    configure_logging("INFO")
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    info(logger, "lost")
    logger.warning("lost")


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("Getting cart for user user123", "Getting cart for user user123"),
        (f"Getting cart for user {GUEST}", "Getting cart for user guest-#"),
        (f"GET /cart/{GUEST}/items and {GUEST}", "GET /cart/guest-#"),
        (f"Error handling request /shared/{TOKEN}/items?x=1", "Error handling request /shared/#"),
        (f"Error handling request /dev/shared/{TOKEN}", "Error handling request /dev/shared/#"),
    ],
)
def test_secrets_are_logged_as_a_hash(text, hashed):
    cleaned = without_secrets(text)
    assert cleaned.startswith(hashed)
    assert GUEST not in cleaned
    assert TOKEN not in cleaned
    assert without_secrets(text) == cleaned  # the same secret has the same hash
    assert without_secrets(text.replace("7Tz", "8Tz")) == cleaned.replace("7Tz", "8Tz") or "#" in cleaned


def test_two_guests_have_different_hashes():
    assert without_secrets(GUEST) != without_secrets(GUEST[:-1] + "g")


@pytest.mark.parametrize("path", [f"/shared/{TOKEN}", f"/cart/{GUEST}"])
def test_unhandled_error_logs_the_route_and_not_the_path(path, capsys):
    app = create_app(Config(log_level="INFO"))

    class Defect:
        def __getattr__(self, _: str) -> Any:
            raise RuntimeError(f"something about {GUEST} at /shared/{TOKEN}")

    app.extensions["cart_table"].client = Defect()
    assert app.test_client().get(path).status_code == 500
    lines = capsys.readouterr().out.splitlines()
    (error,) = [json.loads(line) for line in lines if '"exc_info"' in line]
    route = "/shared/<share_token>" if "shared" in path else "/cart/<user_id:user_id>"
    assert error["message"].startswith("Unhandled error of GET /")
    assert "RuntimeError: something about guest-#" in error["exc_info"]
    assert route.partition("<")[0] in error["message"]
    for line in lines:
        assert GUEST not in line
        assert TOKEN not in line


def test_gunicorn_log_lines_have_no_secrets():
    class Server:
        class log:
            error_log = logging.getLogger("gunicorn.error.test")

    lines = io.StringIO()
    Server.log.error_log.addHandler(logging.StreamHandler(lines))
    gunicorn_conf.on_starting(Server)
    Server.log.error_log.error("Error handling request %s", f"/shared/{TOKEN}")
    assert lines.getvalue().startswith("Error handling request /shared/#")
    assert TOKEN not in lines.getvalue()

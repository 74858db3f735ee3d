"""The first steps of a new user: open the address, and type the commands of the README before anything is set."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cart import create_app
from cart.config import Config
from cart.dynamodb.client import CREDENTIALS
from tests.support.project import ROOT

pytestmark = pytest.mark.slow

TABLE_COMMANDS = ["table create", "table status", "analytics rebuild", "analytics follow", "prices resume"]


def flask(folder: Path, command: str, **environ: str) -> tuple[int, str]:
    """Run a command as a user without any configuration does; return its exit status and its output."""
    nothing_set = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    process = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *command.split(" ")],
        cwd=folder,
        env=nothing_set | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return process.returncode, process.stdout + process.stderr


@pytest.mark.parametrize("command", TABLE_COMMANDS)
def test_command_without_credentials_names_the_missing_settings(tmp_path, command):
    line = f"set DYNAMODB_ENDPOINT_URL to the URL of an engine (`make run` starts one), or {CREDENTIALS}"
    assert flask(tmp_path, command) == (1, f"cart: no DynamoDB to connect to: {line}\n")


@pytest.mark.parametrize("command", TABLE_COMMANDS)
def test_command_without_credentials_names_the_running_engine(tmp_path, command):
    with socket.create_server(("127.0.0.1", 0)) as engine:
        url = f"http://127.0.0.1:{engine.getsockname()[1]}"
        (tmp_path / ".cart-data").mkdir()
        (tmp_path / ".cart-data/endpoint").write_text(f"{url}\n")
        line = f"set DYNAMODB_ENDPOINT_URL={url}, the engine of `make run`, or {CREDENTIALS}"
        assert flask(tmp_path, command) == (1, f"cart: no DynamoDB to connect to: {line}\n")


def test_stopped_engine_is_not_named(tmp_path):
    (tmp_path / ".cart-data").mkdir()
    (tmp_path / ".cart-data/endpoint").write_text("http://127.0.0.1:1\n")
    status, output = flask(tmp_path, "table status")
    assert (status, "(`make run` starts one)" in output, "127.0.0.1" in output) == (1, True, False)


def test_monitoring_needs_aws_credentials(tmp_path):
    line = f"cart: dashboards and alarms are created in AWS: set {CREDENTIALS}\n"
    assert flask(tmp_path, "monitoring create") == (1, line)
    assert flask(tmp_path, "monitoring create", DYNAMODB_ENDPOINT_URL="http://127.0.0.1:1") == (1, line)


@pytest.mark.parametrize("command", ["table status", "analytics rebuild", "monitoring create"])
def test_incomplete_credentials_print_one_line(tmp_path, command):
    line = "cart: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY\n"
    assert flask(tmp_path, command, AWS_ACCESS_KEY_ID="x") == (1, line)


@pytest.mark.parametrize("command", ["table status", "analytics rebuild", "analytics follow", "prices resume"])
def test_missing_table_prints_one_line(tmp_path, moto_url, command):
    environ = {"DYNAMODB_ENDPOINT_URL": moto_url, "DYNAMODB_TABLE_NAME": "not-created"}
    line = "cart: there is no table not-created; run flask --app wsgi table create to create it\n"
    assert flask(tmp_path, command, **environ) == (1, line)


@pytest.mark.parametrize("port", ["abc", "0", "65536", "99999", "-1", "8000x", "８０", ""])
def test_invalid_port_prints_one_line(tmp_path, port):
    assert flask(tmp_path, f"serve --port {port}") == (1, f"cart: PORT={port} must be a whole number from 1 to 65535\n")


# --- GET /


@pytest.mark.parametrize("settings", [{}, {"auth_mode": "gateway"}, {"auth_mode": "jwt", "auth_jwks_url": "http://x"}])
def test_root_redirects_to_the_docs_in_every_auth_mode(settings):
    client = create_app(Config(**settings)).test_client()
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "docs")
    followed = client.get("/", follow_redirects=True)
    assert (followed.status_code, followed.request.path) == (200, "/docs")
    assert "swagger-ui" in followed.text


def test_redirect_has_the_prefix_of_a_stage():
    """This holds also for the stage's address without a slash at its end."""
    answer = create_app(Config()).test_client().get("/", environ_overrides={"SCRIPT_NAME": "/dev"})
    assert answer.headers["Location"] == "/dev/docs"


def test_redirect_is_not_in_the_openapi_document():
    document = create_app(Config()).test_client().get("/openapi.json").json
    assert "/" not in document["paths"]

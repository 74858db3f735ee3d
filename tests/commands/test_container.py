"""Dockerfile.local and compose.yaml, step by step in a clean folder and a clean virtual environment.

No Docker engine runs here: the instructions are read from the files and carried out by hand.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.request
import venv

import pytest
import yaml

from cart.commands import engines
from tests.support.project import ROOT
from tests.support.running import request, wait_for_health
from tests.support.stores import CUP


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile.local").read_text())
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def image(instructions, tmp_path_factory):
    """The folder that the COPY and RUN steps leave, and the environment with which its commands run."""
    image = tmp_path_factory.mktemp("image")
    app = image / "app"
    app.mkdir()
    venv.create(image / "venv", with_pip=True)
    path = f"{image / 'venv' / 'bin'}:/usr/bin:/bin"
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    environ = kept | {"PATH": path, "HOME": "/nonexistent"}
    for word, rest in instructions:
        if word == "COPY":
            source, target = rest.split()
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, app / target)
        elif word == "RUN":
            subprocess.run(shlex.split(rest), cwd=app, env=environ, check=True, capture_output=True)
        elif word == "ENV":
            environ |= dict(pair.split("=") for pair in rest.split())
    return app, environ


def of(instructions, word: str) -> str:
    (rest,) = [rest for found, rest in instructions if found == word]
    return rest


def test_what_it_is_made_of(instructions):
    assert of(instructions, "FROM") == "python:3.11-slim"
    assert of(instructions, "EXPOSE") == "8000"
    assert int(of(instructions, "USER").split(":")[0]) > 0
    assert all("dev" not in rest for word, rest in instructions if word == "RUN")


def test_it_is_ready_with_its_table_healthy_and_ends_gracefully(instructions, image, moto_url, tmp_path):
    app, environ = image
    command = json.loads(of(instructions, "CMD"))
    port = str(engines.free_port())
    environ |= {"DYNAMODB_ENDPOINT_URL": moto_url, "DYNAMODB_TABLE_NAME": "container", "WEB_CONCURRENCY": "3"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", port], cwd=app, env=environ, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_health(url, process, tmp_path / "log")
        assert request("GET", f"{url}/health/ready")[0] == 200
        assert request("POST", f"{url}/cart/u/items", CUP)[0] == 201
        assert request("GET", f"{url}/openapi.json")[0] == 200
        for path in ("/analytics", "/analytics/assets/uplot.js"):
            with urllib.request.urlopen(f"{url}{path}") as page:
                assert page.read()
        probe = json.loads(of(instructions, "HEALTHCHECK").partition("CMD ")[2])
        probe = [word.replace(":8000/", f":{port}/") for word in probe]
        assert subprocess.run(probe, env=environ, check=False).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert subprocess.run(probe, env=environ, check=False, capture_output=True).returncode != 0
    finally:
        engines.stop(process)
    assert (tmp_path / "log").read_text().count("Booting worker") == 3


def test_compose_joins_them():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    cart, dynamodb = compose["services"]["cart"], compose["services"]["dynamodb"]
    assert cart["build"]["dockerfile"] == "Dockerfile.local"
    assert cart["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    assert cart["environment"]["DYNAMODB_ENDPOINT_URL"] == "http://dynamodb:8000"
    assert {"WEB_CONCURRENCY", "WEB_CONNECTIONS"} <= cart["environment"].keys()
    analytics = compose["services"]["analytics"]
    assert analytics["command"] == ["flask", "--app", "wsgi", "analytics", "follow"]
    assert analytics["environment"].items() <= cart["environment"].items()
    version = dynamodb["image"].removeprefix("amazon/dynamodb-local:")
    assert (
        f"DynamoDB Local {version}" in (ROOT / "cart" / "commands" / "engines.py").read_text()
    )  # the one that is tested
    volume = dynamodb["volumes"][0].split(":")
    assert volume[0] in compose["volumes"]
    assert volume[1] in dynamodb["command"]

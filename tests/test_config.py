"""Settings: read from the environment, and a bad one stops the start with one line."""

import os
import subprocess
import sys

import pytest

from cart.config import Config, ConfigError
from conftest import ROOT


def test_the_defaults():
    config = Config.from_env({})
    assert config == Config()
    assert config.dynamodb_table_name == "dev-carts"


def test_every_setting_is_read():
    environ = {
        "ENVIRONMENT": "production",
        "LOG_LEVEL": "WARNING",
        "AWS_REGION": "eu-central-1",
        "DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:8000",
        "CART_TTL_DAYS": "7",
        "CART_MAX_QUANTITY": "20",
    }
    config = Config.from_env(environ)
    for name, text in environ.items():
        assert str(getattr(config, name.lower())) == text
    assert config.dynamodb_table_name == "production-carts"
    assert Config.from_env({"DYNAMODB_TABLE_NAME": "mine"}).dynamodb_table_name == "mine"


def test_an_empty_setting_has_its_default():
    assert Config.from_env({"CART_TTL_DAYS": "", "DYNAMODB_ENDPOINT_URL": ""}) == Config()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CART_TTL_DAYS", "0"),
        ("CART_TTL_DAYS", "thirty"),
        ("CART_TTL_DAYS", "1.5"),
        ("CART_TTL_DAYS", "-1"),
        ("CART_TTL_DAYS", "9" * 5000),
        ("CART_MAX_QUANTITY", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("ENVIRONMENT", "a b"),
        ("AWS_REGION", "nowhere"),
        ("DYNAMODB_TABLE_NAME", "x"),
        ("DYNAMODB_ENDPOINT_URL", "localhost:8000"),
    ],
)
def test_a_bad_value_names_its_setting(name, text):
    with pytest.raises(ConfigError, match=f"^cart: {name}="):
        Config.from_env({name: text})


@pytest.mark.parametrize("module", ["flask --app wsgi routes", "gunicorn wsgi:app --preload --bind 127.0.0.1:0"])
def test_a_bad_value_stops_the_start_with_one_line(module):
    environ = os.environ | {"CART_TTL_DAYS": "soon"}
    command = [sys.executable, "-m", *module.split()]
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "cart: CART_TTL_DAYS='soon' must be a whole number from 1 to 3650" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout

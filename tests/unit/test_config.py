"""Settings are read from the environment; an invalid one stops the start with one line."""

import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from cart.config import Config, ConfigError
from cart.dynamodb.client import connect
from tests.support.project import ROOT


def test_defaults_are_used_without_settings():
    config = Config.from_env({})
    assert vars(config) == vars(Config())
    assert config.dynamodb_table_name == "dev-carts"


def test_every_setting_is_read():
    environ = {
        "ENVIRONMENT": "production",
        "LOG_LEVEL": "WARNING",
        "AWS_REGION": "eu-central-1",
        "DYNAMODB_ENDPOINT_URL": "http://127.0.0.1:8000",
        "DYNAMODB_TRANSPORT": "botocore",
        "CART_TTL_DAYS": "7",
        "SAVED_TTL_DAYS": "14",
        "CART_MAX_QUANTITY": "20",
        "CART_MAX_LINES": "10",
        "CART_MAX_SHARES": "5",
        "METRICS_NAMESPACE": "Shop",
        "AUTH_MODE": "jwt",
        "AUTH_USER_CLAIM": "username",
        "AUTH_ADMIN_SCOPE": "shop:admin",
        "AUTH_ALGORITHMS": "ES256,EdDSA",
        "AUTH_JWKS_URL": "https://issuer.example/keys",
        "AUTH_AUDIENCE": "shop",
        "AUTH_ISSUER": "https://issuer.example",
        "EVENT_BUS_NAME": "carts/of-the.shop_1",
        "CORS_ORIGINS": "https://shop.example,http://localhost:3000,https://*.preview.example:8443",
        "CATALOG_URL": "https://products.example/v1",
        "CATALOG_TOKEN": "abc.def-ghi",
        "CATALOG_CACHE_SECONDS": "5",
        "WEB_CONCURRENCY": "3",
        "WEB_CONNECTIONS": "4",
    }
    assert environ.keys() | {"DYNAMODB_TABLE_NAME", "AUTH_PUBLIC_KEY"} == {
        setting.name.upper() for setting in fields(Config)
    }
    config = Config.from_env(environ)
    for name, text in environ.items():
        assert str(getattr(config, name.lower())) == text
    assert config.dynamodb_table_name == "production-carts"
    assert Config.from_env({"DYNAMODB_TABLE_NAME": "mine"}).dynamodb_table_name == "mine"


def test_empty_setting_has_its_default():
    assert vars(Config.from_env({"CART_TTL_DAYS": "", "DYNAMODB_ENDPOINT_URL": ""})) == vars(Config())


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
        ("DYNAMODB_ENDPOINT_URL", "http://["),
        ("DYNAMODB_TRANSPORT", "fast"),
        ("AUTH_MODE", "sometimes"),
        ("AUTH_ALGORITHMS", "none"),
        ("AUTH_ALGORITHMS", "HS256"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*"),
        ("CORS_ORIGINS", "https://*.example"),
        ("CORS_ORIGINS", "https://shop-*.preview.example"),
        ("CORS_ORIGINS", "https://a.*.preview.example"),
        ("CORS_ORIGINS", "https://*.*.preview.example"),
        ("CORS_ORIGINS", "https://*.preview.example/"),
        ("CORS_ORIGINS", "https://shop.example,*"),
        ("CATALOG_URL", "products.example"),
        ("CATALOG_TOKEN", "two words"),
        ("CATALOG_CACHE_SECONDS", "3601"),
        ("WEB_CONCURRENCY", "x"),
    ],
)
def test_invalid_value_is_refused_with_its_setting(name, text):
    with pytest.raises(ConfigError, match=f"^cart: {name}=") as refusal:
        Config.from_env({name: text})
    (setting,) = (field for field in fields(Config) if field.name == name.lower())
    assert setting.metadata.get("pattern", "must match") not in str(refusal.value)


SETTINGS_OF_TEXT = [field for field in fields(Config) if "pattern" in field.metadata]


@pytest.mark.parametrize("setting", SETTINGS_OF_TEXT, ids=lambda one: one.name)
def test_refusal_describes_the_valid_form(setting):
    """A control character is never valid; an example in the message must be valid."""
    with pytest.raises(ConfigError) as refusal:
        Config.from_env({setting.name.upper(): "\x01 "})
    line = str(refusal.value)
    if example := setting.metadata.get("example"):
        assert line.endswith(f", such as {example}")
        assert re.fullmatch(setting.metadata["pattern"], example)
    else:
        choices = setting.metadata["pattern"].split("|")
        assert line.endswith(f"must be {', '.join(choices[:-1])} or {choices[-1]}")


def test_wildcard_origin_is_refused_with_an_example():
    with pytest.raises(ConfigError) as refusal:
        Config.from_env({"CORS_ORIGINS": "*"})
    assert str(refusal.value) == (
        "cart: CORS_ORIGINS='*' must be a list of origins with commas and no spaces, each a scheme and a host without "
        "a path; '*' is never alone, only the first of at least three labels of a host, such as "
        "https://shop.example,https://*.preview.example"
    )


@pytest.mark.parametrize("module", ["flask --app wsgi routes", "gunicorn wsgi:app --preload --bind 127.0.0.1:0"])
def test_invalid_value_stops_the_start_with_one_line(module):
    environ = os.environ | {"CART_TTL_DAYS": "soon"}
    command = [sys.executable, "-m", *module.split()]
    process = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 1
    assert "cart: CART_TTL_DAYS='soon' must be a whole number from 1 to 3650" in process.stderr
    assert "Traceback" not in process.stderr + process.stdout


@pytest.mark.parametrize("environment", ["production", "staging", "local", "prod"])
def test_only_dev_and_test_are_open_by_default(environment):
    with pytest.raises(ConfigError, match="AUTH_MODE must be set"):
        Config.from_env({"ENVIRONMENT": environment})
    assert Config.from_env({"ENVIRONMENT": environment, "AUTH_MODE": "none"}).auth_mode == "none"
    assert Config.from_env({"ENVIRONMENT": "test"}).auth_mode == "none"


def test_jwt_needs_exactly_one_source_of_keys():
    for keys in ({}, {"AUTH_JWKS_URL": "https://x.example", "AUTH_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----\n"}):
        with pytest.raises(ConfigError, match="AUTH_JWKS_URL or AUTH_PUBLIC_KEY"):
            Config.from_env({"AUTH_MODE": "jwt"} | keys)


def test_missing_aws_profile_prints_one_line(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(ConfigError, match="nope"):
        connect(Config())

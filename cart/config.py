"""Every setting, read once from the environment. docs/operations.md lists them for users."""

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

# An origin, or with `*.` the origins of all hosts one label below
_ORIGIN = r"https?://([^\s,/*]+|\*(\.[A-Za-z0-9-]+){2,}(:\d{1,5})?)"
OPEN_ENVIRONMENTS = {"dev", "test"}  # here AUTH_MODE is none unless it is set


class ConfigError(SystemExit):
    """A setting has a bad value. The process ends with this one line and status 1."""


def _text(default: str | None, pattern: str, form: str, example: str, secret: bool = False) -> Any:
    """Define a text setting.

    :param form: what ``pattern`` allows, in words, for the error message
    :param secret: the value is not printed in the error message
    """
    metadata = {"pattern": pattern, "form": f"must be {form}, such as {example}", "example": example, "secret": secret}
    return field(default=default, metadata=metadata)


def _choice(default: str, *choices: str) -> Any:
    """Define a setting with a fixed set of values."""
    metadata = {"pattern": "|".join(choices), "form": f"must be {', '.join(choices[:-1])} or {choices[-1]}"}
    return field(default=default, metadata=metadata)


def _whole_number(default: int, low: int, high: int) -> Any:
    """Define a setting that is a whole number from ``low`` to ``high``."""
    return field(default=default, metadata={"low": low, "high": high})


def _url(example: str) -> Any:
    """Define a setting that is an http or https URL, unset by default."""
    pattern = r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/\S*)?"
    return _text(None, pattern, "an http or https URL", example)


@dataclass(kw_only=True, eq=False, repr=False)  # dataclass compiles each generated method at every cold start
class Config:
    """The settings of one app. The environment variable of a field is its name in upper case."""

    environment: str = _text("dev", r"[A-Za-z0-9_.-]{1,200}", "1 to 200 letters, digits, '_', '.' or '-'", "production")
    log_level: str = _choice("INFO", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    aws_region: str = _text("us-east-1", r"[a-z]{2}(-[a-z]+)+-\d+", "the name of an AWS region", "eu-central-1")
    dynamodb_table_name: str = _text(
        "", r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits, '_', '.' or '-'", "production-carts"
    )
    dynamodb_endpoint_url: str | None = _url("http://localhost:8000")
    dynamodb_transport: str = _choice("direct", "direct", "lean", "botocore")  # "lean" is the old name of "direct"
    metrics_namespace: str | None = _text(
        None, r"[A-Za-z0-9_./#:-]{1,255}", "1 to 255 letters, digits or characters of '_./#:-'", "Shop/Cart"
    )
    cart_ttl_days: int = _whole_number(30, 1, 3650)
    saved_ttl_days: int = _whole_number(180, 1, 3650)
    cart_max_quantity: int = _whole_number(999, 1, 1_000_000)
    cart_max_lines: int = _whole_number(100, 1, 100)  # DynamoDB's limit for one transaction
    cart_max_shares: int = _whole_number(100, 1, 1000)
    auth_mode: str = _choice("", "none", "gateway", "jwt")
    auth_user_claim: str = _text("sub", r"\S{1,100}", "the name of a claim, without spaces", "sub")
    auth_admin_scope: str = _text("carts:admin", r"\S{1,100}", "one scope, without spaces", "carts:admin")
    auth_algorithms: str = _text(
        "RS256,ES256",
        r"((RS|ES|PS)(256|384|512)|EdDSA)(,((RS|ES|PS)(256|384|512)|EdDSA))*",
        "a list of RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512 and EdDSA with commas and no spaces",
        "RS256,ES256",
    )
    auth_jwks_url: str | None = _text(
        None, r"https?://\S+", "an http or https URL", "https://issuer.example/.well-known/jwks.json"
    )
    auth_public_key: str | None = _text(
        None, r"(?s)-----BEGIN PUBLIC KEY-----.*", "a public key in PEM", "-----BEGIN PUBLIC KEY----- and its lines"
    )
    auth_audience: str | None = _text(None, r"\S+", "one audience, without spaces", "shop")
    auth_issuer: str | None = _text(None, r"\S+", "one issuer, without spaces", "https://issuer.example")
    catalog_url: str | None = _url("https://products.example/v1")
    catalog_token: str | None = _text(  # RFC 6750, section 2.1
        None,
        r"[A-Za-z0-9._~+/=-]{1,8192}",
        "1 to 8192 letters, digits or characters of '._~+/=-'",
        "abc.def-ghi",
        secret=True,
    )
    catalog_cache_seconds: int = _whole_number(30, 0, 3600)
    web_concurrency: int = _whole_number(2, 1, 1000)
    web_connections: int = _whole_number(50, 1, 1000)
    event_bus_name: str | None = _text(
        None, r"[A-Za-z0-9._/-]{1,256}", "1 to 256 letters, digits, '.', '_', '/' or '-'", "carts"
    )
    cors_origins: str | None = _text(
        None,
        rf"{_ORIGIN}(,{_ORIGIN})*",
        "a list of origins with commas and no spaces, each a scheme and a host without a path; '*' is never alone, "
        "only the first of at least three labels of a host",
        "https://shop.example,https://*.preview.example",
    )

    def __post_init__(self) -> None:
        if not self.dynamodb_table_name:
            self.dynamodb_table_name = f"{self.environment}-carts"
        if not self.auth_mode:
            if self.environment not in OPEN_ENVIRONMENTS:
                raise ConfigError(f"cart: AUTH_MODE must be set if ENVIRONMENT is {self.environment}")
            self.auth_mode = "none"
        if self.auth_mode == "jwt" and bool(self.auth_jwks_url) == bool(self.auth_public_key):
            raise ConfigError("cart: AUTH_MODE=jwt needs AUTH_JWKS_URL or AUTH_PUBLIC_KEY, and not both")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings. A variable that is unset or empty leaves the default.

        :raise ConfigError: a value is not valid
        """
        texts = {setting: environ.get(setting.name.upper()) for setting in fields(cls)}
        return cls(**{setting.name: _read(setting, text) for setting, text in texts.items() if text})


def _read(setting: Field[Any], text: str) -> Any:
    if pattern := setting.metadata.get("pattern"):
        if re.fullmatch(pattern, text):
            return text
        form = setting.metadata["form"]
    else:
        low, high = setting.metadata["low"], setting.metadata["high"]
        if re.fullmatch(r"\d{1,18}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        form = f"must be a whole number from {low} to {high}"
    value = "(a secret)" if setting.metadata.get("secret") else repr(text)
    raise ConfigError(f"cart: {setting.name.upper()}={value} {form}")


def uncounted_queue(function: str) -> str:
    """Return the name of the queue for the stream records that could not be counted.

    :param function: the name of the Lambda function
    """
    return f"{function}-uncounted"

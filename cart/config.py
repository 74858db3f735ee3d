"""Every setting, read once from the environment. docs/operations.md lists them for users."""

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

OPEN_ENVIRONMENTS = {"dev", "test"}  # where nobody is asked who they are, unless AUTH_MODE says so
URL = r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/\S*)?"
LOG_LEVELS = "DEBUG|INFO|WARNING|ERROR|CRITICAL"


class ConfigError(SystemExit):
    """A setting has a bad value: the process ends with this one line and status 1."""


def _text(default: str | None, pattern: str, secret: bool = False) -> Any:
    return field(default=default, metadata={"pattern": pattern, "secret": secret})


def _whole_number(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(kw_only=True, eq=False, repr=False)  # each method that it writes is compiled at every cold start
class Config:
    """The settings of one app. A field's name in upper case is its environment variable."""

    environment: str = _text("dev", r"[A-Za-z0-9_.-]{1,200}")
    log_level: str = _text("INFO", LOG_LEVELS)
    aws_region: str = _text("us-east-1", r"[a-z]{2}(-[a-z]+)+-\d+")
    dynamodb_table_name: str = _text("", r"[A-Za-z0-9_.-]{3,255}")
    dynamodb_endpoint_url: str | None = _text(None, URL)
    dynamodb_transport: str = _text("lean", "lean|botocore")
    metrics_namespace: str | None = _text(None, r"[A-Za-z0-9_./#:-]{1,255}")
    cart_ttl_days: int = _whole_number(30, 1, 3650)
    saved_ttl_days: int = _whole_number(180, 1, 3650)
    cart_max_quantity: int = _whole_number(999, 1, 1_000_000)
    cart_max_lines: int = _whole_number(100, 1, 100)  # as many as one transaction takes
    auth_mode: str = _text("", "none|gateway|jwt")
    auth_user_claim: str = _text("sub", r"\S{1,100}")
    auth_admin_scope: str = _text("carts:admin", r"\S{1,100}")
    auth_algorithms: str = _text("RS256,ES256", r"((RS|ES|PS)(256|384|512)|EdDSA)(,((RS|ES|PS)(256|384|512)|EdDSA))*")
    auth_jwks_url: str | None = _text(None, r"https?://\S+")
    auth_public_key: str | None = _text(None, r"(?s)-----BEGIN PUBLIC KEY-----.*")
    auth_audience: str | None = _text(None, r"\S+")
    auth_issuer: str | None = _text(None, r"\S+")
    catalog_url: str | None = _text(None, URL)
    catalog_token: str | None = _text(None, r"[A-Za-z0-9._~+/=-]{1,8192}", secret=True)  # RFC 6750, section 2.1
    catalog_cache_seconds: int = _whole_number(30, 0, 3600)
    web_concurrency: int = _whole_number(2, 1, 1000)
    web_connections: int = _whole_number(50, 1, 1000)
    event_bus_name: str | None = _text(None, r"[A-Za-z0-9._/-]{1,256}")
    cors_origins: str | None = _text(None, r"https?://[^\s,/*]+(,https?://[^\s,/*]+)*")

    def __post_init__(self) -> None:
        if not self.dynamodb_table_name:
            self.dynamodb_table_name = f"{self.environment}-carts"
        if not self.auth_mode:
            if self.environment not in OPEN_ENVIRONMENTS:
                raise ConfigError(f"cart: AUTH_MODE must be set where ENVIRONMENT is {self.environment}")
            self.auth_mode = "none"
        if self.auth_mode == "jwt" and bool(self.auth_jwks_url) == bool(self.auth_public_key):
            raise ConfigError("cart: AUTH_MODE=jwt needs AUTH_JWKS_URL or AUTH_PUBLIC_KEY, and not both")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; one that is unset or empty has its default.

        :raise ConfigError: a value is not of its setting's form
        """
        return cls(**{one.name: _read(one, text) for one in fields(cls) if (text := environ.get(one.name.upper()))})


def _read(setting: Field[Any], text: str) -> Any:
    if pattern := setting.metadata.get("pattern"):
        if re.fullmatch(pattern, text):
            return text
        wanted = f"must match {pattern}"
    else:
        low, high = setting.metadata["low"], setting.metadata["high"]
        if re.fullmatch(r"\d{1,18}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        wanted = f"must be a whole number from {low} to {high}"
    shown = "(a secret)" if setting.metadata.get("secret") else repr(text)
    raise ConfigError(f"cart: {setting.name.upper()}={shown} {wanted}")


def uncounted_queue(function: str) -> str:
    """The name of the queue that is told of the records that were given up."""
    return f"{function}-uncounted"

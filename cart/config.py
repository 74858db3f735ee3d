"""Every setting, read once from the environment. README.md lists them for users."""

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self

LOG_LEVELS = "DEBUG|INFO|WARNING|ERROR|CRITICAL"


class ConfigError(SystemExit):
    """A setting has a bad value: the process ends with this one line and status 1."""


def _text(default: str | None, pattern: str) -> Any:
    return field(default=default, metadata={"pattern": pattern})


def _whole_number(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one app. A field's name in upper case is its environment variable."""

    environment: str = _text("dev", r"[A-Za-z0-9_.-]{1,200}")
    log_level: str = _text("INFO", LOG_LEVELS)
    aws_region: str = _text("us-east-1", r"[a-z]{2}(-[a-z]+)+-\d+")
    dynamodb_table_name: str = _text("", r"[A-Za-z0-9_.-]{3,255}")
    dynamodb_endpoint_url: str | None = _text(None, r"https?://\S+")
    metrics_namespace: str | None = _text(None, r"[A-Za-z0-9_./#:-]{1,255}")
    cart_ttl_days: int = _whole_number(30, 1, 3650)
    cart_max_quantity: int = _whole_number(999, 1, 1_000_000)

    def __post_init__(self) -> None:
        if not self.dynamodb_table_name:
            object.__setattr__(self, "dynamodb_table_name", f"{self.environment}-carts")

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
    raise ConfigError(f"cart: {setting.name.upper()}={text!r} {wanted}")

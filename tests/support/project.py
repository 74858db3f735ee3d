"""The project's folder, and what a test does if a tool is missing on this machine."""

import os
from pathlib import Path

import pytest

IN_CI = os.environ.get("CI") == "true"
ROOT = Path(__file__).parent.parent.parent


def missing(reason: str) -> None:
    """Skip the test because a tool is missing on this machine; in CI, fail it."""
    pytest.fail(reason) if IN_CI else pytest.skip(reason)

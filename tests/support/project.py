"""The project's folder, and what to do where a part of the machine is missing."""

import os
from pathlib import Path

import pytest

IN_CI = os.environ.get("CI") == "true"
ROOT = Path(__file__).parent.parent.parent


def missing(what: str) -> None:
    """Skip where a part of the machine is missing; in CI that is a failure."""
    pytest.fail(what) if IN_CI else pytest.skip(what)

"""Each package that the service installs has a wheel for every supported machine, so no compiler is needed.

uv resolves for machines other than this one; pip evaluates environment markers by its own.
"""

import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from tests.support.project import ROOT

UV = Path(sys.executable).with_name("uv")
FILES = ["requirements.txt", "requirements-run.txt"]
PLATFORMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

# Packages that must be compiled, by platform and Python
EXCEPTIONS = {
    ("aarch64-apple-darwin", "3.11"): ["gevent"],  # its last wheel for this Python on macOS is version 25.5.1
}

pytestmark = pytest.mark.slow


def resolve(file: Path, platform: str, python: str, compiled: list[str]) -> subprocess.CompletedProcess[str]:
    """Resolve a requirements file to wheels alone, except for the packages in ``compiled``."""
    command = [UV, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-config"]
    command += ["--no-python-downloads", "--python", sys.executable]
    command += ["--python-platform", platform, "--python-version", python, "--only-binary", ":all:"]
    command += [f"--no-binary={package}" for package in compiled]
    return subprocess.run([*command, file], capture_output=True, text=True, check=False)


def names(requirements: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE))


CASES = list(product(FILES, PLATFORMS, PYTHONS))


@pytest.fixture(scope="module")
def resolutions() -> dict[tuple[str, str, str], "Future[subprocess.CompletedProcess[str]]"]:
    """Resolve each file for each machine, several at once, since uv mostly waits for the package index."""
    with ThreadPoolExecutor() as pool:
        return {
            (file, platform, python): pool.submit(
                resolve, ROOT / file, platform, python, EXCEPTIONS.get((platform, python), [])
            )
            for file, platform, python in CASES
        }


@pytest.mark.parametrize(("file", "platform", "python"), CASES)
def test_every_package_has_a_wheel(resolutions, file, platform, python):
    resolved = resolutions[file, platform, python].result()
    assert resolved.returncode == 0, resolved.stderr
    assert names(resolved.stdout) >= names((ROOT / "requirements.txt").read_text())


def test_requirements_txt_pins_all_dependencies():
    resolved = resolve(ROOT / "requirements.txt", PLATFORMS[0], PYTHONS[0], [])
    assert names(resolved.stdout) == names((ROOT / "requirements.txt").read_text())


@pytest.mark.parametrize(
    ("platform", "python", "package"),
    [(*machine, package) for machine, packages in EXCEPTIONS.items() for package in packages],
)
def test_every_compiled_package_has_no_wheel(platform, python, package):
    resolved = resolve(ROOT / "requirements.txt", platform, python, [])
    assert resolved.returncode != 0
    assert f"{package}==" in resolved.stderr


def test_package_without_wheels_is_named(tmp_path):
    requirements = (ROOT / "requirements.txt").read_text() + "gunicorn-h1c==0.6.10\n"
    (tmp_path / "requirements.txt").write_text(requirements)
    resolved = resolve(tmp_path / "requirements.txt", PLATFORMS[0], PYTHONS[0], [])
    assert resolved.returncode != 0
    assert "gunicorn-h1c==0.6.10 has no usable wheels" in resolved.stderr

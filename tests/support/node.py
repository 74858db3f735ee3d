"""Node programs for tests and checks. The packages of a package-lock.json are installed once, in the cache folder.

``python -m tests.support.node spectral lint FILE`` runs a program of tests/clients/package.json.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from cart.commands.engines import cache_folder
from tests.support.project import ROOT, missing

TOOLS = ROOT / "tests" / "clients"
QUIET = {"REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "REDOCLY_TELEMETRY": "off"}  # else Redocly calls its maker's servers


class NpmFailed(Exception):
    """The packages cannot be installed. The message is one line."""


def node_modules(folder: Path) -> Path:
    """Return the folder ``node_modules`` with the packages of the package-lock.json in this folder.

    :raise NpmFailed: npm is missing, or cannot install them
    """
    lock = (folder / "package-lock.json").read_bytes()
    installed = cache_folder() / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not installed.exists():
        installed.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=installed.parent) as scratch:
            _install(folder, Path(scratch))
            with suppress(OSError):  # another process has put it there meanwhile
                (Path(scratch) / "packages").rename(installed)
    return installed / "node_modules"


def _install(folder: Path, scratch: Path) -> None:
    if shutil.which("npm") is None:
        raise NpmFailed("npm is not installed (on Debian: apt-get install npm)")
    project = scratch / "packages"
    project.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(folder / name, project)
    command = ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    npm = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if npm.returncode:
        raise NpmFailed(f"npm could not install the packages of {folder}: {npm.stderr.strip().splitlines()[-1:]}")


def packages(folder: Path) -> Path:
    """Return ``node_modules`` of a folder for a test, which is skipped if they cannot be installed."""
    try:
        return node_modules(folder)
    except NpmFailed as error:
        missing(str(error))
        raise


def main(name: str, *arguments: str) -> None:
    try:
        program = node_modules(TOOLS) / ".bin" / name
    except NpmFailed as error:
        sys.exit(f"cart: {error}")
    os.execve(program, [str(program), *arguments], os.environ | QUIET)


if __name__ == "__main__":
    main(*sys.argv[1:])

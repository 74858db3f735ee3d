"""Build the contenders of the cold start benchmark: for each, a zip and the folder that Lambda unpacks from it."""

import os
import shutil
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import Command, Deadline, run
from deploy import bundle

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "benchmarks" / "reference"
PLAIN_SETTINGS = """{"local": {
    "project_name": "cart", "app_function": "wsgi.app", "runtime": "python3.11", "aws_region": "us-east-1",
    "s3_bucket": "cart", "use_precompiled_packages": false
}}"""
PIP: Command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


@dataclass
class Contender:
    """A zip for Lambda and its unpacked folder."""

    title: str
    archive: Path
    tree: Path
    last_import: str  # the last module that is imported
    module: str  # creates the app when it is imported
    function: str

    @property
    def zip_bytes(self) -> int:
        return self.archive.stat().st_size

    @property
    def unzipped_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.tree.rglob("*") if path.is_file())


def make_all(folder: Path, environment: Mapping[str, str], deadline: Deadline) -> dict[str, Contender]:
    """Pack and unpack the three contenders below ``folder``."""
    archives = {
        "ours": _pack_ours(folder / "ours.zip", environment, deadline),
        "plain": _pack_plain(folder / "plain.zip", environment, deadline),
        "reference": _pack_reference(folder / "reference.zip", environment, deadline),
    }
    trees = {name: _unpack(archive) for name, archive in archives.items()}
    # Lambda calls ours by deploy/entry.py, which calls this handler unless the event is for cart.events
    zappa = {"last_import": "cart", "module": "handler", "function": "lambda_handler"}
    ours = zappa | {"module": "entry", "function": "handle"}
    mangum = {"last_import": "cart_api.table", "module": "cart_api.main", "function": "handler"}
    titles = {"ours": "ours", "plain": "(a) default Zappa", "reference": "(b) FastAPI + Mangum"}
    return {
        name: Contender(titles[name], archives[name], trees[name], **how)
        for name, how in {"ours": ours, "plain": zappa, "reference": mangum}.items()
    }


def _pack_ours(archive: Path, environment: Mapping[str, str], deadline: Deadline) -> Path:
    """Pack our service as `make package` does."""
    _zappa(archive, ROOT, Path(sys.prefix), environment, deadline)
    return archive


def _pack_plain(archive: Path, environment: Mapping[str, str], deadline: Deadline) -> Path:
    """Pack the app as Zappa does by default: a virtual environment of requirements.txt and Zappa, and the app's files.

    With one exception: `use_precompiled_packages` is off. It looks up some fifty packages at pypi.org in every build,
    to replace the host's wheels by those for Lambda, which are the same on this platform.
    """
    folder = archive.with_suffix(".project")
    venv = archive.with_suffix(".venv")
    shutil.copytree(ROOT / "cart", folder / "cart", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "wsgi.py", folder)
    (folder / "zappa_settings.json").write_text(PLAIN_SETTINGS)
    run([sys.executable, "-m", "venv", venv], environment, deadline)
    needed: Command = ["-r", ROOT / "requirements.txt", f"zappa=={version('zappa')}"]
    run([venv / "bin" / "python", *PIP, *needed], environment, deadline)
    _zappa(archive, folder, venv, environment, deadline)
    return archive


def _zappa(archive: Path, folder: Path, venv: Path, environment: Mapping[str, str], deadline: Deadline) -> None:
    command: Command = [venv / "bin" / "zappa", "package", "local", "-o", archive]
    run(command, {**environment, "VIRTUAL_ENV": str(venv)}, deadline, folder)


def _pack_reference(archive: Path, environment: Mapping[str, str], deadline: Deadline) -> Path:
    """Pack FastAPI, pydantic, boto3 and Mangum, reduced in the same ways as deploy/bundle.py reduces ours."""
    tree = archive.with_suffix(".tree")
    lambdas: Command = ["--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--only-binary=:all:"]
    needed: Command = ["-r", REFERENCE / "requirements.txt", "-c", ROOT / "requirements.txt"]
    run([sys.executable, *PIP, "--no-compile", "--target", tree, *lambdas, *needed], environment, deadline)
    doomed = [path for path in (tree / "botocore" / "data").iterdir() if path.name not in bundle.BOTOCORE_KEPT]
    for path in doomed + [path for pattern in bundle.PRUNED for path in tree.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    bundle._slim_botocore(tree / "botocore" / "data")
    shutil.copytree(REFERENCE / "cart_api", tree / "cart_api", ignore=shutil.ignore_patterns("__pycache__"))
    bundle._compile(tree)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                packed.writestr(zipfile.ZipInfo(str(path.relative_to(tree))), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive


def _unpack(archive: Path) -> Path:
    """Unpack a zip and keep the dates of its files, as Lambda and `unzip` do; Python's zipfile would set today's."""
    tree = archive.with_suffix("")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tree)
        for entry in packed.infolist():
            seconds = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(tree / entry.filename, (seconds, seconds))
    return tree

"""What is shipped to Lambda, and nothing else: Zappa calls ``make`` before it packs (`prebuild_script`).

Zappa packs the whole working folder and the whole virtual environment. So both are made here, clean, below
``.build``, and Zappa is pointed at them. Only the standard library is imported: Zappa loads this file by its path.
"""

import compileall
import gzip
import json
import os
import py_compile
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

BUILD = Path(".build")
APP = BUILD / "app"  # becomes the working folder
VENV = BUILD / "venv"  # and this the virtual environment
PAGES = Path("cart") / "analytics" / "pages"
COMMANDS = Path("cart") / "commands"  # for machines that develop and deploy
ENTRY = Path("deploy") / "entry.py"  # becomes a module beside the package

# Zappa's handler needs these parts of Zappa, and of what it depends on only durationpy
ZAPPA_RUNTIME = {"__init__.py", "asgi.py", "handler.py", "middleware.py", "utilities.py", "wsgi.py"}

# Of requirements.txt: the server, and what only AUTH_MODE=jwt loads; on Lambda, API Gateway stands in for both
NOT_INSTALLED = {
    *("gunicorn", "gevent", "greenlet", "zope-event", "zope-interface"),
    *("pyjwt", "cryptography", "cffi", "pycparser"),
}

# Below site-packages. A pattern that matches nothing ends the build: the library has changed, look again
PRUNED = [
    "bin",
    "boto3/data/[!d]*",
    "boto3/examples",
    "botocore/data/*/*/examples-1.json",
    "botocore/data/dynamodb/2011-12-05",
    "botocore/data/events/2014-02-03",
    "flask_swagger_ui/dist/swagger-ui.js",
    "flask_swagger_ui/templates",
    "packaging/licenses",
    "packaging/metadata.py",
    "packaging/pylock.py",
    "s3transfer/crt.py",
    "s3transfer/processpool.py",
    "dateutil/rrule.py",
    "simplejson/tests",
    "urllib3/contrib/emscripten",
    "werkzeug/debug",
    "dateutil/zoneinfo",
    "*/py.typed",
    "*/*.pyi",
    "*.dist-info/licenses",
    "*.dist-info/RECORD",
    "zappa-*.dist-info/METADATA",
]
SERVICES = {"dynamodb", "events"}
BOTOCORE_KEPT = SERVICES | {"endpoints.json", "partitions.json", "_retry.json", "sdk-default-configuration.json"}


def make() -> None:
    """Build both trees and make them this process's working folder and virtual environment.

    :raise SystemExit: the Python that runs Zappa is not that of the function, or a library cannot be had
    """
    runtime, architecture = _target()
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if running != runtime:
        raise SystemExit(f"cart: the function runs on {runtime}, so Zappa must too; this is {running}")
    shutil.rmtree(BUILD, ignore_errors=True)
    packages = VENV / "lib" / runtime / "site-packages"
    _install(packages, runtime.removeprefix("python"), architecture)
    _prune(packages)
    _slim_botocore(packages / "botocore" / "data")
    _slim_metadata(packages)
    _copy_app(packages)
    for tree in (packages, APP):
        _compile(tree)
    sys.path.append(str(Path.cwd()))  # where Zappa will look for what it calls back, which is not shipped
    os.environ["VIRTUAL_ENV"] = str(VENV.resolve())
    os.chdir(APP)


def _target() -> tuple[str, str]:
    """Runtime and architecture. Zappa does not say which stage it packs, so all stages have the same."""
    stages = json.loads(Path("zappa_settings.json").read_text())
    for name in ("runtime", "architecture"):
        if differing := sorted(stage for stage in stages.keys() - {"base"} if name in stages[stage]):
            raise SystemExit(f"cart: {name} is set in stage {', '.join(differing)}; the build reads that of base alone")
    return stages["base"]["runtime"], stages["base"]["architecture"]


def _install(packages: Path, python: str, architecture: str) -> None:
    """Lambda's wheels, whatever this machine is; requirements.txt pins all there is, so pip adds nothing to it."""
    platform = "manylinux2014_" + {"x86_64": "x86_64", "arm64": "aarch64"}[architecture]
    lines = [line.split("#")[0].strip() for line in Path("requirements.txt").read_text().splitlines()]
    wanted = [line for line in lines if line and line.split("==")[0] not in NOT_INSTALLED]
    wanted += [f"{name}=={version(name)}" for name in ("zappa", "durationpy")]
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    pip += ["--target", str(packages), "--platform", platform, "--python-version", python, "--only-binary=:all:"]
    if subprocess.run([*pip, *wanted], check=False).returncode:
        raise SystemExit(f"cart: pip could not install requirements.txt for {platform} and Python {python}")


def _prune(packages: Path) -> None:
    doomed = [path for path in (packages / "botocore" / "data").iterdir() if path.name not in BOTOCORE_KEPT]
    doomed += [path for path in (packages / "zappa").iterdir() if path.name not in ZAPPA_RUNTIME]
    for pattern in PRUNED:
        matched = list(packages.glob(pattern))
        if not matched:
            raise SystemExit(f"cart: nothing matches {pattern} of deploy/bundle.py")
        doomed += matched
    for path in doomed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _slim_botocore(data: Path) -> None:
    """Leave out what botocore reads at every start and never uses: other services' endpoints, and documentation."""
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {name: one for name, one in partition["services"].items() if name in SERVICES}
    (data / "endpoints.json").write_text(json.dumps(endpoints))
    for packed in data.glob("*/*/service-2.json.gz"):
        model = json.loads(gzip.decompress(packed.read_bytes()), object_hook=_without_documentation)
        packed.with_suffix("").write_text(json.dumps(model))
        packed.unlink()


def _slim_metadata(packages: Path) -> None:
    """Leave out each library's description of itself: what is read is the version, in the head."""
    for metadata in packages.glob("*.dist-info/METADATA"):
        head, _, _ = metadata.read_text().partition("\n\n")
        metadata.write_text(f"{head}\n")


def _without_documentation(node: dict[str, Any]) -> dict[str, Any]:
    if isinstance(node.get("documentation"), str):
        del node["documentation"]
    return node


def _copy_app(packages: Path) -> None:
    """The app, and Zappa's handler, which Zappa will copy there too but not compile."""
    for source in [Path("wsgi.py"), *Path("cart").rglob("*.py")]:
        if COMMANDS not in source.parents:
            (APP / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, APP / source)
    shutil.copy(ENTRY, APP)
    (APP / PAGES).mkdir()
    for pattern in ("*.html", "*.css", "*.js", "*.LICENSE"):
        for source in PAGES.glob(pattern):
            shutil.copy(source, APP / source)
    shutil.copy(packages / "zappa" / "handler.py", APP)


def _compile(tree: Path) -> None:
    """Bytecode that survives the zip, whose entries are all dated 1980: valid by decree, not by date.

    Zappa makes a package of every folder; where it would add ``__init__.py``, that is here already, and compiled.
    """
    for folder in {source.parent for source in tree.rglob("*.py")} - {tree}:
        (folder / "__init__.py").touch()
    compiled = compileall.compile_dir(
        tree,
        quiet=1,
        stripdir=str(tree),
        prependdir="/var/task",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit(f"cart: {tree} does not compile")

"""Stage `local` without AWS: run Zappa on a copy of the project, and run its zip as Lambda does."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
API = "abcde12345.execute-api.us-east-1.amazonaws.com"
SHOP = "cart.shop.example"

SECRET = "do-not-ship-7f3a"
STRAYS = (".env", "secret.txt", "notes.py", "cart/.env", "cart/dump.json", "exports/carts.csv")

# As Lambda's runtime does: import the handler's module once, then call it with each event
RUNTIME = """
import importlib, json, pathlib, sys, types
module, _, function = sys.argv[2].rpartition(".")
handle = getattr(importlib.import_module(module), function)
answer, events = pathlib.Path(sys.argv[1]), json.loads(sys.stdin.read())
made_first = "wsgi" in sys.modules
context = types.SimpleNamespace(aws_request_id="of-lambda")
answers = [handle(event, context) for event in events]
modules = {name: getattr(module, "__cached__", None) for name, module in sys.modules.items()}
answer.write_text(json.dumps({"made_first": made_first, "answers": answers, "modules": modules}))
"""


def settings() -> dict[str, dict[str, Any]]:
    """Return zappa_settings.json by stage, with ``extends`` carried out as Zappa does it: shallow."""
    stages = json.loads((ROOT / "zappa_settings.json").read_text())
    base = stages.pop("base")
    return {name: base | stage for name, stage in stages.items()}


def copy_project(folder: Path) -> Path:
    """Copy the repository without what git ignores, since the build makes ``.build`` and leaves it there."""
    hidden = shutil.ignore_patterns(".*", "__pycache__", "venv", "*.zip")
    return Path(shutil.copytree(ROOT, folder, ignore=hidden, dirs_exist_ok=True))


def zappa(project: Path, *arguments: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
    """Run plain `zappa`, as in a terminal where the virtual environment is active; None removes a variable."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nobodys = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    chosen = {"VIRTUAL_ENV": sys.prefix, "AWS_EC2_METADATA_DISABLED": "true"} | nobodys | CREDENTIALS
    merged = {name: value for name, value in (inherited | chosen | environ).items() if value is not None}
    command = [str(Path(sys.executable).with_name("zappa")), *arguments]
    return subprocess.run(command, cwd=project, env=merged, capture_output=True, text=True, timeout=240, check=False)


def unpack(package: Path, folder: Path) -> Path:
    """Unpack the zip read-only and with the dates that it holds, as Lambda does."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            seconds = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(folder / entry.filename, (seconds, seconds))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


@dataclass
class Run:
    """The result of a process of the function. ``modules`` has each module's bytecode file, by the module's name."""

    made_first: bool
    answers: list[dict[str, Any]]
    modules: dict[str, str | None]
    printed: str
    traced: str

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.printed.splitlines() if line.startswith("{")]


def run(tree: Path, scratch: Path, events: list[dict[str, Any]], environ: dict[str, str], *options: str) -> Run:
    """Answer the events in a new Python process that can import only the standard library and the tree."""
    lambdas = {
        "PATH": "/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": str(tree),
        "LAMBDA_TASK_ROOT": str(tree),
        "AWS_LAMBDA_FUNCTION_NAME": "cart-local",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    process = subprocess.run(
        [
            sys.executable,
            "-S",
            "-B",
            *options,
            "-c",
            RUNTIME,
            str(scratch / "answers.json"),
            settings()["local"]["lambda_handler"],
        ],
        cwd=tree,
        env=lambdas | CREDENTIALS | environ,
        input=json.dumps(events),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return Run(**json.loads((scratch / "answers.json").read_text()), printed=process.stdout, traced=process.stderr)


def rest_event(
    method: str, path: str, body: Any = None, host: str = API, packed: bool = False, **headers: str
) -> dict[str, Any]:
    """Return a request as a REST API's proxy integration sends it; its path is still percent-encoded there.

    :param body: text, or what is to be JSON
    :param host: that of the API with the stage in its path, or a custom domain without it
    :param packed: the body is in base64
    """
    text = body if isinstance(body, str | None) else json.dumps(body)
    default_headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "User-Agent": "test"}
    if text is not None:
        default_headers["Content-Type"] = "application/json"
    default_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": default_headers,
        "multiValueHeaders": {name: [value] for name, value in default_headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": f"/local{path}" if host == API else path,
            "protocol": "HTTP/1.1",
            "stage": "local",
            "domainName": host,
            "requestId": "of-the-api",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "test"},
            "apiId": "abcde12345",
        },
        "body": base64.b64encode(text.encode()).decode() if packed and text is not None else text,
        "isBase64Encoded": packed,
    }


def scheduled_event(rule_arn: str) -> dict[str, Any]:
    """Return what EventBridge sends when a rule's time has come."""
    return {"detail-type": "Scheduled Event", "source": "aws.events", "resources": [rule_arn], "detail": {}}


def pattern_event(detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Return what EventBridge sends for an event that matches a rule's pattern ("AWS service event metadata")."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": detail_type,
        "source": "products",
        "account": "111122223333",
        "time": "2026-11-23T14:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


def content(answer: dict[str, Any]) -> bytes:
    """Return the body as API Gateway passes it on."""
    body = answer.get("body", "")
    return base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()


def header(answer: dict[str, Any], name: str) -> str:
    (value,) = answer["multiValueHeaders"][name]
    return value


def output_of(process: subprocess.CompletedProcess[str]) -> str:
    """Return all that a command printed, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", process.stdout + process.stderr)

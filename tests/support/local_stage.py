"""Stage `local` without AWS: Zappa on a copy of the project, and its zip run as Lambda runs it."""

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

# What Lambda's runtime does: the handler's module is imported once, then it is called with each event
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
    """zappa_settings.json by stage, ``extends`` carried out as Zappa does it: shallow."""
    stages = json.loads((ROOT / "zappa_settings.json").read_text())
    base = stages.pop("base")
    return {name: base | stage for name, stage in stages.items()}


def copy_project(folder: Path) -> Path:
    """The repository without what git does not have, since the build makes and leaves ``.build``."""
    hidden = shutil.ignore_patterns(".*", "__pycache__", "venv", "*.zip")
    return Path(shutil.copytree(ROOT, folder, ignore=hidden, dirs_exist_ok=True))


def zappa(project: Path, *arguments: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
    """Plain `zappa`, as in a terminal where the virtual environment is active; None takes a variable away."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nobodys = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    given = {"VIRTUAL_ENV": sys.prefix, "AWS_EC2_METADATA_DISABLED": "true"} | nobodys | CREDENTIALS
    merged = {name: value for name, value in (kept | given | environ).items() if value is not None}
    command = [str(Path(sys.executable).with_name("zappa")), *arguments]
    return subprocess.run(command, cwd=project, env=merged, capture_output=True, text=True, timeout=240, check=False)


def unpack(package: Path, folder: Path) -> Path:
    """With the dates that are in the zip, as Lambda does, and read-only, as it is there."""
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
    """What came of a process of the function. ``modules`` has each module's bytecode file, by the module's name."""

    made_first: bool
    answers: list[dict[str, Any]]
    modules: dict[str, str | None]
    printed: str
    traced: str

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.printed.splitlines() if line.startswith("{")]


def run(tree: Path, scratch: Path, events: list[dict[str, Any]], environ: dict[str, str], *options: str) -> Run:
    """Answer the events in a new Python that sees nothing but its standard library and the tree."""
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
    ended = subprocess.run(
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
    assert ended.returncode == 0, ended.stderr[-3000:]
    return Run(**json.loads((scratch / "answers.json").read_text()), printed=ended.stdout, traced=ended.stderr)


def rest_event(
    method: str, path: str, body: Any = None, host: str = API, packed: bool = False, **headers: str
) -> dict[str, Any]:
    """A request as a REST API's proxy integration hands it over; its path is still percent-encoded there.

    :param body: text, or what is to be JSON
    :param host: that of the API with the stage in its path, or a domain of one's own without
    :param packed: the body comes in base64
    """
    text = body if isinstance(body, str | None) else json.dumps(body)
    sent = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "User-Agent": "test"}
    if text is not None:
        sent["Content-Type"] = "application/json"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
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
    """What EventBridge sends when a rule's time has come."""
    return {"detail-type": "Scheduled Event", "source": "aws.events", "resources": [rule_arn], "detail": {}}


def pattern_event(detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
    """What EventBridge sends of an event that a rule's pattern matches ("AWS service event metadata")."""
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
    """The body as API Gateway hands it on."""
    body = answer.get("body", "")
    return base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()


def header(answer: dict[str, Any], name: str) -> str:
    (value,) = answer["multiValueHeaders"][name]
    return value


def said(ended: subprocess.CompletedProcess[str]) -> str:
    """All that a command printed, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout + ended.stderr)

"""Run `make package`, `deploy`, `update` and `undeploy`.

They run Zappa. `deploy` and `update` first create the stage's table, and check the health of the API at the end.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from botocore.exceptions import NoCredentialsError

from cart.config import Config
from cart.dynamodb.client import CREDENTIALS, connect
from cart.dynamodb.failures import AWS_ERRORS
from deploy.subscription import unsubscribe

ACTIONS = ("package", "deploy", "update", "undeploy")
HEALTH_TIMEOUT_SECONDS = 30


def main(action: str, stage: str) -> None:
    """Do one of ``ACTIONS`` for a stage of zappa_settings.json."""
    settings = _settings(stage)
    os.environ |= settings["aws_environment_variables"] | {"VIRTUAL_ENV": sys.prefix}
    os.environ.setdefault("AWS_REGION", settings["aws_region"])
    if action == "package":
        _zappa("package", stage, "--output", str(Path(f"cart-{stage}.zip").resolve()))
        return
    _print_account()
    if action == "undeploy":
        _zappa("undeploy", stage)
        config = Config.from_env()
        function = f"{settings['project_name']}-{stage}"
        unsubscribe(partial(connect, config, True), function, config.dynamodb_table_name)
        return
    _run([sys.executable, "-m", "flask", "--app", "wsgi", "table", "create"])
    _zappa(action, stage)
    _check_health(_url(stage))


def _settings(stage: str) -> dict[str, Any]:
    stages = json.loads(Path("zappa_settings.json").read_text())
    if stage not in stages or stage == "base":
        names = ", ".join(sorted(stages.keys() - {"base"}))
        _fail(f"there is no stage {stage!r} in zappa_settings.json; there are {names}")
    merged: dict[str, Any] = stages["base"] | stages[stage]
    return merged


def _print_account() -> None:
    try:
        caller = connect(Config.from_env(), boto_defaults=True, service="sts").get_caller_identity()
    except NoCredentialsError:
        _fail(f"set {CREDENTIALS}")
    except AWS_ERRORS as error:
        _fail(f"AWS does not accept the credentials: {error}")
    print(f"Account {caller['Account']}, as {caller['Arn']}")  # noqa: T201


def _zappa(*arguments: str) -> None:
    _run([str(Path(sys.executable).with_name("zappa")), *arguments])


def _run(command: list[str]) -> None:
    """Run a command in the terminal; exit with its status if it fails, since it has printed the reason."""
    result = subprocess.run(command, check=False)
    if result.returncode:
        sys.exit(result.returncode)


def _url(stage: str) -> str:
    command = [str(Path(sys.executable).with_name("zappa")), "status", stage, "--json"]
    status = subprocess.run(command, check=False, capture_output=True, text=True)
    if status.returncode:
        sys.stderr.write(status.stdout + status.stderr)
        sys.exit(status.returncode)
    url: str = read_status(status.stdout)["API Gateway URL"]
    return url.rstrip("/")


def read_status(output: str) -> dict[str, Any]:
    """Return the JSON object that `zappa status --json` prints, after its warnings.

    :raise SystemExit: the output has no API Gateway URL
    """
    status: dict[str, Any] = {}
    for line in re.finditer(r"^\{", output, re.MULTILINE):
        with suppress(ValueError):
            status, _ = json.JSONDecoder().raw_decode(output, line.start())
    if "API Gateway URL" not in status:
        _fail(f"zappa status --json printed no API Gateway URL: {' '.join(output.split())}")
    return status


def _check_health(url: str) -> None:
    for path in ("/health", "/health/ready"):
        try:
            urllib.request.urlopen(url + path, timeout=HEALTH_TIMEOUT_SECONDS).close()  # noqa: S310
        except OSError as error:
            _fail(f"the health check {url}{path} failed: {error}")
    print(f"Healthy:    {url}\nSwagger UI: {url}/docs")  # noqa: T201


def _fail(message: str) -> NoReturn:
    sys.exit(f"cart: {message}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ACTIONS:
        _fail(f"usage: python -m deploy.stages {'|'.join(ACTIONS)} STAGE")
    main(*sys.argv[1:])

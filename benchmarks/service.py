"""Define the inputs of the contenders: environment, callers' tokens, and operations with their expected answers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks import canned

ROOT = Path(__file__).parent.parent
BENCH = ROOT / ".bench"
TABLE = "benchmark-carts"
AUDIENCE, ISSUER = "cart", "https://issuer.example"
DAY_SECONDS = 86_400
ADDED, ADDED_UNITS, SET_UNITS = 3, 2, 5
OPERATIONS = ("GET 1", "GET 10", "GET 50", "POST", "POST with key", "PUT")

Operation = dict[str, Any]


def environment(endpoint_url: str, **more: str) -> dict[str, str]:
    """Return an environment without the caller's variables, with logs and metrics as in a stage."""
    return {
        "PATH": f"{BENCH}/bin:/usr/bin:/bin",
        "HOME": str(BENCH),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "DYNAMODB_ENDPOINT_URL": endpoint_url,
        "DYNAMODB_TABLE_NAME": TABLE,
        "ENVIRONMENT": "dev",
        "LOG_LEVEL": "INFO",
        "METRICS_NAMESPACE": "Cart",
        "AUTH_MODE": "none",
        "PYTHONHASHSEED": "0",
        **more,
    }


def search_path(tree: Path) -> str:
    """Return the PYTHONPATH for the service in a tree (this or another clone), the reference, and Zappa's settings."""
    return os.pathsep.join(map(str, (tree, ROOT / "benchmarks" / "reference", _zappa_settings().parent)))


@cache
def _zappa_settings() -> Path:
    """Write the settings module that Zappa writes for the stage `dev` when it packs."""
    file = BENCH / "settings" / "zappa_settings.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "zappa.cli", "save-python-settings-file", "dev", "-o", str(file)]
    given = {"VIRTUAL_ENV": str(BENCH), "AWS_DEFAULT_REGION": "us-east-1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment("http://127.0.0.1:1") | given, capture_output=True, text=True, check=False
    )
    if ended.returncode or not file.exists():
        sys.exit(f"bench: Zappa's settings cannot be made: {ended.stdout}{ended.stderr}")
    return file


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def jwt_settings() -> dict[str, str]:
    public = _key().public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form).decode()
    return {"AUTH_MODE": "jwt", "AUTH_PUBLIC_KEY": pem, "AUTH_AUDIENCE": AUDIENCE, "AUTH_ISSUER": ISSUER}


def token(user_id: str, number: int = 0, scope: str = "openid profile") -> str:
    """Return a caller's bearer token (RS256); each ``number`` results in a different token."""
    now = int(time.time())
    claims = {"sub": user_id, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + DAY_SECONDS, "jti": str(number)}
    return jwt.encode(claims | {"scope": scope}, _key(), algorithm="RS256")


def user_of(operation: str) -> str:
    """Return the user of an operation, whose cart has the number of lines in the operation's name, by default 10."""
    number = operation.rpartition(" ")[2]
    return f"bench-{number if number.isdigit() else 10}"


def operations(names: tuple[str, ...], tokens: Callable[[str], list[str]] | None = None) -> dict[str, Operation]:
    """Return the operations by name, in the form that benchmarks/worker.py expects.

    :param tokens: returns the tokens of a user that are used in turn
    """
    made = {name: _operation(name) for name in names}
    for name, one in made.items():
        if tokens:
            one["headers"]["Authorization"] = [f"Bearer {each}" for each in tokens(user_of(name))]
    return made


def _operation(name: str) -> Operation:
    user_id = user_of(name)
    headers = {
        "Host": ["abcdef1234.execute-api.us-east-1.amazonaws.com"],
        "Accept": ["*/*"],
        "User-Agent": ["curl/8.5.0"],
        "X-Forwarded-For": ["192.0.2.7, 198.51.100.9"],
        "X-Forwarded-Port": ["443"],
        "X-Forwarded-Proto": ["https"],
    }
    made: Operation = {"method": name.partition(" ")[0], "path": f"/cart/{user_id}", "body": None, "status": 200}
    made |= {"headers": headers, "claims": {"claims": {"sub": user_id, "scope": "openid profile"}}}
    if made["method"] == "GET":
        return made | {"answer": canned.cart(int(user_id.removeprefix("bench-")))}
    if made["method"] == "DELETE":
        return made | {"status": 204, "answer": None}
    headers["Content-Type"] = ["application/json"]
    line = canned.line(ADDED)
    if made["method"] == "PUT":
        made |= {"path": f"/cart/{user_id}/items/{line['product_id']}", "body": {"quantity": SET_UNITS}}
        return made | {"answer": canned.line(ADDED, SET_UNITS)}
    if name == "POST with key":
        headers["Idempotency-Key"] = [f'"8e03978e-40d5-43e8-bc93-{number:012}"' for number in range(1000)]
    body = {name: line[name] for name in ("product_id", "product_name", "price")} | {"quantity": ADDED_UNITS}
    made |= {"path": f"/cart/{user_id}/items", "body": body, "status": 201}
    return made | {"answer": canned.line(ADDED, line["quantity"] + ADDED_UNITS)}

"""README.md is true: its tables are those of the code, its commands and files exist, its answers are real."""

import json
import re
import shlex
from dataclasses import fields

from cart import create_app, errors
from cart.config import Config
from tests.support.openapi import is_problem, operations
from tests.support.project import ROOT

README = (ROOT / "README.md").read_text()


def table_under(heading: str) -> list[list[str]]:
    """The rows of the first table of a section, each a list of its cells."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_endpoints():
    document = json.loads(create_app(Config()).test_client().get("/openapi.json").data)
    assert sorted(row[0].strip("`") for row in table_under("Call it")) == sorted(
        name for name, _ in operations(document)
    )


def test_errors():
    listed = {row[0].strip("`"): int(row[1]) for row in table_under("Errors")}
    kinds = [kind for kind in vars(errors).values() if is_problem(kind)]
    assert listed == {kind.type.removeprefix("urn:cart:problem:"): kind.status for kind in kinds}


def test_settings():
    listed = {row[0].strip("`"): row[1].strip("`") for row in table_under("Settings")}
    special = {
        "DYNAMODB_TABLE_NAME": "{ENVIRONMENT}-carts",
        "DYNAMODB_ENDPOINT_URL": "unset: AWS",
        "METRICS_NAMESPACE": "unset: no metrics",
        "AUTH_MODE": "none` in `dev` and `test`, else it must be set",
        "CORS_ORIGINS": "unset: none",
        "EVENT_BUS_NAME": "unset: nobody is told",
        "AUTH_AUDIENCE": "unset: not checked",
        "AUTH_ISSUER": "unset: not checked",
    }
    defaults = {one.name.upper(): "unset" if one.default is None else str(one.default) for one in fields(Config)}
    assert listed == defaults | special


def test_layout():
    listed = {name for row in table_under("Layout") for name in re.findall(r"`(cart/\w+(?:/|\.py))`", row[0])}
    modules = {path.relative_to(ROOT) for path in (ROOT / "cart").rglob("*.py")}
    assert listed == {str(path) if len(path.parts) == 2 else f"cart/{path.parts[1]}/" for path in modules}


def test_promises_are_shown():
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for promise, _, shown in table_under("What happens when …"):
        name = shown.strip("`")
        assert name in sources or any(f"def {name}(" in source for source in sources.values()), promise


def test_make_targets():
    targets = set(" ".join(re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)).split())
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_the_curl_examples_answer_as_shown(client, table):
    """Each request is made of our client; what differs between runs is left out of the comparison."""
    consoles = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    examples = re.findall(r"^\$ (curl .*)\n(.*)$", "".join(consoles).replace("\\\n", ""), re.MULTILINE)
    assert len(examples) == 4
    client.delete("/cart/user123")
    for command, shown in examples:
        words = shlex.split(command)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        body = words[words.index("-d") + 1] if "-d" in words else None
        path = next(word for word in words if word.startswith("http")).removeprefix("http://127.0.0.1:8000")
        answer = client.open(path, method=method, data=body, content_type="application/json")
        assert changing_parts_out(answer.get_data(as_text=True)) == changing_parts_out(shown)
    client.delete("/cart/user123")


def changing_parts_out(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{32}|\d{16}", "…", text)

"""Messages to clients: each has a code and parameters, and docs/api.md lists the codes."""

import ast
import json
import re
import subprocess
import sys

import pytest
from marshmallow import fields, validate

from cart import create_app
from cart.config import Config
from cart.errors import InvalidInput
from cart.http.fields import Length, OneOf, Range
from cart.http.schema import CODES, JsonSchema, RequestSchema
from cart.messages import Message
from tests.support.project import ROOT

SOURCES = [ast.parse(path.read_text()) for path in (ROOT / "cart").rglob("*.py")]
MESSAGES_OF_VALIDATORS = ("error", "message_min", "message_max", "message_all")
# Keys of marshmallow's messages that no request leads to: its validators raise instead of returning False, days have
# no zone, and `format` is about dumping
UNREACHABLE = {"validator_failed", "invalid_awareness", "format"}
APP = create_app(Config(dynamodb_endpoint_url="http://127.0.0.1:1", log_level="CRITICAL"))


def calls(name: str) -> list[ast.Call]:
    """Return the calls of this name in the sources of the service."""
    nodes = [node for source in SOURCES for node in ast.walk(source) if isinstance(node, ast.Call)]
    return [node for node in nodes if isinstance(node.func, ast.Name) and node.func.id == name]


def subclasses(kind: type) -> list[type]:
    return [kind, *(nested for direct in kind.__subclasses__() for nested in subclasses(direct))]


def test_message_keeps_its_code_and_gets_parameters_when_it_is_formatted():
    message = Message("At least {min}, not {input}.", "too-few").format(input="x", min=3, max=None)
    assert (message, message.code, message.params) == ("At least 3, not x.", "too-few", {"min": 3})
    message = Message("One of {choices}.", "not-one-of", choices=["a", "b"]).format(choices="a, b")
    assert (message, message.params) == ("One of a, b.", {"choices": ["a", "b"]})


def test_problem_has_codes_beside_its_messages():
    few, blank = Message("At least 3.", "too-few", min=3), Message("Must not be blank.", "blank")
    members = InvalidInput("", {"name": [few, blank], "other": [blank]}).members
    assert members == {
        "errors": {"name": ["At least 3.", "Must not be blank."], "other": ["Must not be blank."]},
        "error_codes": {
            "name": [{"code": "too-few", "params": {"min": 3}}, {"code": "blank", "params": {}}],
            "other": [{"code": "blank", "params": {}}],
        },
    }


def validators_of(field: fields.Field) -> list[validate.Validator]:
    return [part for validator in field.validators for part in getattr(validator, "validators", [validator])]


def fields_of(field: fields.Field) -> list[fields.Field]:
    return [field, *(fields_of(field.inner) if isinstance(field, fields.List) else [])]


def test_every_message_of_a_request_schema_has_a_code():
    kinds = [kind for kind in subclasses(RequestSchema) if kind is not RequestSchema]
    assert len(kinds) > 8
    for kind in kinds:
        with APP.app_context():
            schema = kind()
        assert set(map(type, schema.error_messages.values())) == {Message}
        for field in [nested for outer in schema.fields.values() for nested in fields_of(outer)]:
            plain = {key for key, message in field.error_messages.items() if type(message) is not Message}
            assert plain <= UNREACHABLE, f"{kind.__name__}: {field}"
            for validator in validators_of(field):
                texts = [getattr(validator, name, None) for name in MESSAGES_OF_VALIDATORS]
                assert {type(text) for text in texts if text} <= {Message}, f"{kind.__name__}: {validator}"


def test_request_schemas_refuse_unknown_members_and_others_ignore_them():
    for kind in subclasses(JsonSchema):
        if "Meta" not in vars(kind):
            assert kind.opts.unknown == ("raise" if issubclass(kind, RequestSchema) else "exclude")


@pytest.mark.parametrize(
    ("validator", "value", "params"),
    [
        (Range(1, 9), 10, {"min": 1, "max": 9}),
        (Range(min=1), 0, {"min": 1}),
        (Range(max=9), 10, {"max": 9}),
        (Length(1, 2), "abc", {"min": 1, "max": 2}),
        (Length(min=1), "", {"min": 1}),
        (Length(max=2), "abc", {"max": 2}),
        (OneOf(["a", "b"]), "c", {"choices": ["a", "b"]}),
    ],
)
def test_validators_have_the_texts_of_marshmallow_and_parameters(validator, value, params):
    original = getattr(validate, type(validator).__name__)
    bounds = [getattr(validator, name) for name in ("choices", "min", "max") if hasattr(validator, name)]
    with pytest.raises(validate.ValidationError) as raised:
        validator(value)
    with pytest.raises(validate.ValidationError) as expected:
        original(*bounds)(value)
    assert raised.value.messages == expected.value.messages
    assert raised.value.messages[0].params == params


def test_every_handwritten_message_has_a_code():
    refusals = calls("ValidationError")
    assert refusals
    for call in refusals:
        message = call.args[0]
        assert isinstance(message, ast.Call), ast.unparse(call)
        assert ast.unparse(message.func) == "Message", ast.unparse(call)


@pytest.mark.slow
def test_mypy_refuses_a_plain_text_as_a_message(tmp_path):
    source = tmp_path / "plain.py"
    source.write_text('from cart.errors import InvalidInput\nInvalidInput("", {"name": ["Plain text."]})\n')
    command = [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}", str(source)]
    mypy = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert mypy.returncode == 1
    assert 'List item 0 has incompatible type "str"; expected "Message"' in mypy.stdout


def test_guide_lists_every_code():
    written = {call.args[1].value for call in calls("Message") if isinstance(call.args[1], ast.Constant)}
    guide = (ROOT / "docs" / "api.md").read_text()
    table = guide[guide.index("| code | ") :].partition("\n\n")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(written | {code for codes in CODES.values() for code in codes.values()})


ITEM = {"product_id": 42, "product_name": "Cup", "quantity": 1, "price": 1}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/cart/u/items", {**ITEM, "product_id": "42"}, {"product_id": [("not-an-integer", {})]}),
        ("POST", "/cart/u/items", {**ITEM, "quantity": 0}, {"quantity": [("out-of-range", {"min": 1, "max": 999})]}),
        ("POST", "/cart/u/items", {**ITEM, "quantity": None}, {"quantity": [("null", {})]}),
        ("POST", "/cart/u/items", {**ITEM, "price": 1.999}, {"price": [("too-many-decimals", {"max": 2})]}),
        ("POST", "/cart/u/items", {**ITEM, "price": "1"}, {"price": [("not-a-number", {})]}),
        (
            "POST",
            "/cart/u/items",
            {**ITEM, "price": 0},
            {"price": [("out-of-range", {"min": 0.01, "max": 9999999.99})]},
        ),
        ("POST", "/cart/u/items", {**ITEM, "product_name": 1}, {"product_name": [("not-a-string", {})]}),
        ("POST", "/cart/u/items", {**ITEM, "product_name": "\0"}, {"product_name": [("control-characters", {})]}),
        (
            *("POST", "/cart/u/items", {**ITEM, "product_name": ""}),
            {"product_name": [("length-out-of-range", {"min": 1, "max": 200}), ("blank", {})]},
        ),
        ("POST", "/cart/u/items", {**ITEM, "colour": "red"}, {"colour": [("unknown-field", {})]}),
        ("POST", "/cart/u/items", [], {"body": [("not-an-object", {})]}),
        ("PUT", "/cart/u/items/42", {}, {"quantity": [("required", {})]}),
        ("PUT", "/cart/u/items/x", {}, {"product_id": [("out-of-range", {"min": 1, "max": 9007199254740991})]}),
        ("PUT", "/cart/a%23/items/1", {}, {"user_id": [("not-a-user-id", {})]}),
        ("DELETE", "/cart/u/shares/1", None, {"share_id": [("not-hexadecimal", {"digits": 64})]}),
        ("GET", "/cart/u?include=all", None, {"include": [("not-one-of", {"choices": ["saved"]})]}),
        ("GET", "/cart/u?include=saved&include=saved", None, {"include": [("repeated", {})]}),
        ("GET", "/cart/a%2Fb/x/y", None, {"user_id": [("not-one-path-segment", {})]}),
        ("POST", "/cart/u/validate?fix=1", None, {"fix": [("not-a-boolean", {})]}),
        ("POST", "/cart/u/merge", {"source_user_id": "u"}, {"source_user_id": [("same-cart", {})]}),
        ("POST", "/cart/u/merge", {"source_user_id": "a", "dry_run": 1}, {"dry_run": [("not-a-boolean", {})]}),
        (
            *("POST", "/cart/u/merge", {"source_user_id": "a", "strategy": "add"}),
            {"strategy": [("not-one-of", {"choices": ["sum", "max", "keep", "replace"]})]},
        ),
        ("POST", "/cart/u/price-changes/accept", {"product_ids": 1}, {"product_ids": [("not-a-list", {})]}),
        ("PUT", "/products/1/price", {"price": 1, "changed_at": "now"}, {"changed_at": [("not-a-time", {})]}),
        (
            *("PUT", "/products/1/price", {"price": 1, "changed_at": "2026-02-30T00:00:00Z"}),
            {"changed_at": [("no-such-time", {})]},
        ),
        (
            *("PUT", "/products/1/price", {"price": 1, "changed_at": "2126-01-01T00:00:00Z"}),
            {"changed_at": [("in-the-future", {})]},
        ),
        ("GET", "/products/1/carts?limit=0", None, {"limit": [("out-of-range", {"min": 1, "max": 100})]}),
        ("GET", "/products/1/carts?cursor=x", None, {"cursor": [("not-a-cursor", {})]}),
        ("GET", "/products/1/carts?page=2", None, {"page": [("unknown-field", {})]}),
        ("GET", "/analytics/summary?from=1.1.2026", None, {"from": [("not-a-day", {})]}),
        (
            *("GET", "/analytics/summary?from=2026-01-02&to=2026-01-01", None),
            {"from": [("after-last-day", {"last": "2026-01-01"})]},
        ),
        (
            *("GET", "/analytics/summary?from=2024-01-01&to=2026-01-01", None),
            {"from": [("too-many-days", {"max": 366, "last": "2026-01-01"})]},
        ),
    ],
)
def test_answer_has_the_code_of_each_message(method, path, body, expected):
    client = APP.test_client()
    answer = client.open(path, method=method, json=body).get_json(force=True)
    codes = {
        field: [(entry["code"], entry["params"]) for entry in entries]
        for field, entries in answer["error_codes"].items()
    }
    assert json.loads(json.dumps(codes, default=float)) == json.loads(json.dumps(expected))
    assert {field: len(messages) for field, messages in answer["errors"].items()} == {
        field: len(entries) for field, entries in codes.items()
    }


@pytest.mark.parametrize(
    ("headers", "data", "expected"),
    [
        ({"Content-Type": "text/plain"}, "{}", {"Content-Type": "not-one-of"}),
        ({"Content-Type": "application/json"}, "{", {"body": "not-json"}),
        ({"Content-Type": "application/json"}, "1" * 70_000, {"body": "too-many-bytes"}),
        (
            {"Content-Type": "application/json", "Idempotency-Key": " "},
            json.dumps(ITEM),
            {"Idempotency-Key": "not-an-idempotency-key"},
        ),
        ({"Content-Type": "application/json", "If-Match": ","}, '{"quantity": 1}', {"If-Match": "not-etags"}),
        (
            {"Content-Type": "application/json", "If-Match": ", ".join(f'"{n}"' for n in range(51))},
            '{"quantity": 1}',
            {"If-Match": "too-many"},
        ),
    ],
)
def test_answer_has_the_code_of_each_message_about_headers_and_bodies(headers, data, expected):
    path, method = ("/cart/u/items/42", "PUT") if "If-Match" in headers else ("/cart/u/items", "POST")
    answer = APP.test_client().open(path, method=method, headers=headers, data=data).get_json(force=True)
    assert {field: entry["code"] for field, (entry,) in answer["error_codes"].items()} == expected

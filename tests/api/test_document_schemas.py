"""The schemas of the OpenAPI document: what generated clients read, and that examples and answers are valid by them."""

import json
import re
import shutil
import subprocess
from collections import Counter

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from cart import create_app, errors
from cart.config import Config
from tests.support.openapi import is_problem, is_schema, operations, parts
from tests.support.project import missing
from tests.support.stores import CUP

ENGINES = ("moto",)


@pytest.fixture(scope="module")
def document():
    return json.loads(create_app(Config()).test_client().get("/openapi.json").data)


@pytest.fixture(scope="module")
def schemas(document):
    return document["components"]["schemas"]


def contents(document):
    """Yield the content of each request body and response, with its path."""
    for path, part in parts(document):
        if "content" in part and "/examples/" not in path:
            for media_type, content in part["content"].items():
                yield f"{path}: {media_type}", content


def problem_responses(document):
    for name, response in document["components"]["responses"].items():
        yield name, response["content"]["application/problem+json"]


def assert_valid(document, schema, value):
    """Assert that a value is valid by a schema of the document."""
    registry = Registry().with_resource("urn:document", Resource(contents=document, specification=DRAFT202012))
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(absolute, registry=registry, format_checker=checker).validate(value)


# --- problems


def test_each_problem_type_has_a_schema_with_a_constant_type(schemas):
    of_no_operation = {errors.NotFound, errors.MethodNotAllowed, errors.VersionConflict}
    kinds = {kind for kind in vars(errors).values() if is_problem(kind)} - of_no_operation
    for kind in kinds:
        schema = schemas[f"{kind.__name__}Problem"]
        assert schema["properties"]["type"] == {"type": "string", "enum": [kind.type]}
        assert schema["properties"].keys() == {"type", "title", "status", "detail", "instance", *kind.member_schemas}
        assert set(schema["required"]) == schema["properties"].keys() - set(kind.optional_members)
        assert "additionalProperties" not in schema  # further members can be added
    alone = {name for name, schema in schemas.items() if name.endswith("Problem") and "oneOf" not in schema}
    assert alone - {"LineProblem"} == {f"{kind.__name__}Problem" for kind in kinds}


def test_several_problems_of_a_status_are_told_apart_by_their_type(document, schemas):
    joined = 0
    for name, content in problem_responses(document):
        schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        types = {example["value"]["type"] for example in content["examples"].values()}
        if len(content["examples"]) == 1:
            assert schema["properties"]["type"]["enum"] == [*types], name
            continue
        joined += 1
        assert schema["discriminator"]["propertyName"] == "type"
        mapping = schema["discriminator"]["mapping"]
        assert mapping.keys() == types, name
        assert [{"$ref": path} for path in mapping.values()] == schema["oneOf"], name
        for kind, path in mapping.items():
            assert schemas[path.rpartition("/")[2]]["properties"]["type"]["enum"] == [kind]
    assert joined > 5


def test_conflict_of_versions_has_what_is_there_now(document):
    for name, operation in operations(document):
        if ref := operation["responses"].get("412", {}).get("$ref"):
            of_line = "{product_id}" in name
            assert ref.endswith("/LineVersionConflict" if of_line else "/CartVersionConflict"), name
    line, cart = (
        document["components"]["schemas"][f"{kind}VersionConflictProblem"]["properties"]["current"]
        for kind in ("Line", "Cart")
    )
    assert line["anyOf"] == [{"$ref": "#/components/schemas/Line"}, {"type": "null"}]
    assert cart["$ref"] == "#/components/schemas/Cart"


def test_problems_that_the_service_answers_are_valid(store, user, document):
    client = create_app(store.config).test_client()
    line, cart = f"/cart/{user}/items/42", f"/cart/{user}"
    client.post(f"{cart}/items", json=CUP)
    etag = {"If-Match": '"1"'}
    requests = [
        ("POST", "/cart/{user_id}/items", f"{cart}/items", {"json": CUP | {"quantity": 999}}, 409),
        ("POST", "/cart/{user_id}/items", f"{cart}/items", {"json": {}}, 422),
        ("POST", "/cart/{user_id}/items", f"{cart}/items", {"data": "{"}, 415),
        ("POST", "/cart/{user_id}/items", f"{cart}/items", {"data": "{", "content_type": "application/json"}, 400),
        ("POST", "/cart/{user_id}/items", f"{cart}/items", {"json": "x" * 70_000}, 413),
        ("POST", "/cart/{user_id}/validate", f"{cart}/validate", {}, 409),
        ("PUT", "/cart/{user_id}/items/{product_id}", line, {"json": {"quantity": 1}, "headers": etag}, 412),
        ("PUT", "/cart/{user_id}/items/{product_id}", f"{line}1", {"json": {"quantity": 1}}, 404),
        ("DELETE", "/cart/{user_id}/items/{product_id}", line, {"headers": etag}, 412),
        ("DELETE", "/cart/{user_id}/items/{product_id}", f"{line}1", {"headers": etag}, 412),
        ("DELETE", "/cart/{user_id}/items/{product_id}", f"{line}x", {}, 422),
        ("DELETE", "/cart/{user_id}", cart, {"headers": etag}, 412),
        ("POST", "/cart/{user_id}/price-changes/accept", f"{cart}/price-changes/accept", {"headers": etag}, 412),
        ("GET", "/shared/{token}", "/shared/unknown", {}, 404),
        ("GET", "/analytics/summary", "/analytics/summary", {"headers": {"Accept": "image/png"}}, 406),
    ]
    seen = Counter()
    for method, path, url, options, status in requests:
        answer = client.open(url, method=method, **options)
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json"), (method, url)
        response = document["paths"][path][method.lower()]["responses"][str(status)]
        name = response["$ref"].rpartition("/")[2]
        content = document["components"]["responses"][name]["content"]["application/problem+json"]
        assert_valid(document, content["schema"], answer.get_json(force=True))
        seen[name] += 1
    assert len(seen) > 11


# --- examples


def test_examples_are_valid(document):
    checked = 0
    for _, content in contents(document):
        examples = [example["value"] for example in content.get("examples", {}).values()]
        for value in [*examples, *([content["example"]] if "example" in content else [])]:
            assert_valid(document, content["schema"], value)
            checked += 1
    assert checked > 60


# --- numbers, enums, patterns


def test_numbers_have_formats(document):
    numbers = Counter()
    for path, schema in parts(document):
        if not is_schema(path) or "type" not in schema or isinstance(schema["type"], dict):
            continue
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if "integer" in types:
            numbers["integer"] += 1
            assert schema["format"] in ("int32", "int64"), path
            is_long = re.search(r"/(product_id|version)$|/product_ids/items$", path)
            assert not is_long or schema["format"] == "int64", path
            assert schema.get("maximum", 0) < 2**31 or schema["format"] == "int64", path
        if "number" in types:
            numbers["number"] += 1
            assert schema["format"] == "double", path
        assert "multipleOf" not in schema, path  # 0.01 is not representable: validators would refuse valid prices
    assert numbers["integer"] > 60
    assert numbers["number"] > 20


def test_known_values_are_enums(schemas):
    strategies, accesses = ["sum", "max", "keep", "replace"], ["view", "edit"]
    expected = {
        ("Receipt", "strategy"): strategies,
        ("MergeRequest", "strategy"): strategies,
        ("CopyRequest", "strategy"): strategies,
        ("ReceiptLine", "rule"): [*strategies, "move", "copy"],
        ("ReceiptLine", "place"): ["cart", "saved"],
        ("ReceiptLine", "price_from"): ["source", "target"],
        ("ReceiptLine", "reason"): ["quantity-limit", "lines-limit"],
        ("Holder", "place"): ["cart", "saved"],
        ("Share", "access"): accesses,
        ("ShareWithToken", "access"): accesses,
        ("SharedCart", "access"): accesses,
        ("ShareRequest", "access"): accesses,
        ("PriceJob", "status"): ["running", "done"],
        ("ProductRanking", "sort"): ["units", "carts", "value"],
        ("Health", "status"): ["ok"],
        ("LineProblem", "type"): ["price_changed", "out_of_stock", "insufficient_stock", "discontinued", "unreadable"],
        ("LineFix", "action"): ["changed", "saved_for_later", "left"],
    }
    enums = {
        (name, member): branch["enum"]
        for name, definition in schemas.items()
        for member, schema in definition.get("properties", {}).items()
        for branch in (schema, *schema.get("anyOf", ()))
        if "enum" in branch and "instance" not in definition["properties"]  # a problem's
    }
    assert enums == expected


def test_nullable_enums_are_an_enum_or_null(document, schemas):
    """A list of types with a null in the enum becomes three enums in a client of openapi-python-client."""
    reason = schemas["ReceiptLine"]["properties"]["reason"]
    assert reason["anyOf"] == [{"type": "string", "enum": ["quantity-limit", "lines-limit"]}, {"type": "null"}]
    enums = [(path, schema) for path, schema in parts(document) if is_schema(path) and "enum" in schema]
    assert enums
    for path, schema in enums:
        assert isinstance(schema["type"], str), path
        assert None not in schema["enum"], path


def test_requests_are_closed_and_responses_are_open(document, schemas):
    requests = {
        content["schema"]["$ref"].rpartition("/")[2] for path, content in contents(document) if "requestBody" in path
    }
    assert len(requests) >= 6
    assert {name for name, schema in schemas.items() if schema.get("additionalProperties") is False} == requests


def patterns(document):
    return {schema["pattern"] for path, schema in parts(document) if isinstance(schema.get("pattern"), str)}


# What ECMA-262 with the `u` flag, or RE2 (Go, Rust), does not have: look-around, back references, \Z, \A, \uXXXX
NOT_PORTABLE = re.compile(r"\(\?[=!<P]|\\[1-9AZzkupP]")


@pytest.mark.parametrize("pattern", [r"a\Z", r"(?=a)", r"(?!a)", r"(?<=a)", r"(a)\1", r"\u0000", r"(?P<a>a)"])
def test_patterns_that_are_not_portable_are_recognised(pattern):
    assert NOT_PORTABLE.search(pattern)


def test_patterns_are_portable(document):
    found = patterns(document)
    assert len(found) >= 4
    assert {pattern for pattern in found if NOT_PORTABLE.search(pattern)} == set()


def texts_for_patterns(document):
    """Yield each pattern that is a member's or a parameter's, and the texts that the document gives as its examples."""
    by_member = {}
    for _, part in parts({"examples": [value for _, value in contents(document)]}):
        for name, value in part.items():
            if isinstance(value, str):
                by_member.setdefault(name, set()).add(value)
    for path, part in parts(document):
        schema = part.get("schema", part)  # of a parameter or header, or of a member
        if isinstance(schema, dict) and isinstance(schema.get("pattern"), str) and not path.endswith("/schema"):
            examples = {part["example"]} if "example" in part else set()
            name = part.get("name", path.rpartition("/")[2])
            yield schema["pattern"], {*examples, *schema.get("examples", ()), *by_member.get(name, ())}


RUN_PATTERNS = """
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(cases.map(([pattern, texts]) => {
  const form = new RegExp(pattern, 'u')
  return texts.map((text) => form.test(text))
})))
"""
GOOD_AND_BAD = {  # by a text that only one pattern has
    "A-Za-z0-9_": (
        ["a", ".a", "...", "..a", "guest-7", "a" * 128, "." + "a" * 127, "." * 128, "a@b.c:d|e=f+g,h"],
        ["", ".", "..", "a" * 129, "a/b", "a#b", "a\n", "ä", "." * 129, ".." + "a" * 127],
    ),
    "x7F-": (
        ["a", " a ", "☕", "é", "\u200bx"],
        ["", " ", "\x00", "a\x7f", "a\n", "\u00a0", "\u200b", "\u3164 \u2800", "\ufeff\u00ad"],
    ),
    "{64}": (["0" * 64], ["0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n"]),
    "{32}": (["f" * 32], ["f" * 31, "g" * 32]),
}


@pytest.mark.slow
def test_patterns_compile_in_javascript_and_match_the_examples(document):
    if not shutil.which("node"):
        missing("node, which runs the patterns")
    cases = [(pattern, sorted(texts), []) for pattern, texts in texts_for_patterns(document)]
    assert len([texts for _, texts, _ in cases if texts]) > 10
    for mark, (good, bad) in GOOD_AND_BAD.items():
        (pattern,) = [pattern for pattern in patterns(document) if mark in pattern]
        cases.append((pattern, good, bad))
    given = json.dumps([(pattern, [*good, *bad]) for pattern, good, bad in cases])
    node = subprocess.run(
        ["node", "-e", RUN_PATTERNS], input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert node.returncode == 0, node.stderr
    for (pattern, good, bad), matches in zip(cases, json.loads(node.stdout), strict=True):
        assert matches == [True] * len(good) + [False] * len(bad), pattern


# --- names

# Types of languages and of generated clients: a model of this name would hide them, or be hidden
RESERVED = {
    *("any", "api", "apiclient", "array", "blob", "boolean", "client", "configuration", "date", "duration", "enum"),
    *("error", "errors", "exception", "file", "function", "integer", "list", "long", "map", "model", "models", "none"),
    *("null", "number", "object", "option", "optional", "result", "record", "request", "response", "self", "set"),
    *("string", "symbol", "task", "thread", "time", "type", "union", "unit", "void", "accept", "copy", "merge"),
}


def test_schema_names_do_not_collide_in_generated_languages(document, schemas):
    lower = Counter(name.lower() for name in schemas)
    assert [name for name, times in lower.items() if times > 1] == []
    assert {name for name in schemas if not re.fullmatch("[A-Z][A-Za-z0-9]*", name)} == set()
    assert {name for name in schemas if name.lower() in RESERVED} == set()
    # Go generates NewX, NewXWithDefaults and NullableX for a model X; others generate XEnum, XInner and XAllOf
    generated = re.compile(r"(new|nullable).*|.*(enum|inner|allof|anyof|oneof|withdefaults)")
    assert {name for name in schemas if generated.fullmatch(name.lower())} == set()
    # openapi-python-client names a variable after the model, beside one for each member
    snake_case = {name: re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in schemas}
    assert {name for name in schemas if snake_case[name] in schemas[name].get("properties", ())} == set()
    # clients for TypeScript and Go name the parameters of an operation OperationRequest and ApiOperationRequest
    ids = {operation.get("operationId", "").lower() for _, operation in operations(document)}
    assert {name for name in lower if name.removesuffix("request").removesuffix("response") in ids} == set()

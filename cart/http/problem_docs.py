"""The documentation of problems: the responses and schemas of the OpenAPI document to which operations refer."""

import inspect
from typing import Any

from apispec.core import Components

from cart.errors import Problem
from cart.http.headers import REQUEST_ID
from cart.http.problems import PROBLEM_JSON
from cart.messages import INT32, members_by_field

# JSON Schemas of the members of all problems, beside `type` (RFC 9457, "Problem Details for HTTP APIs")
MEMBERS = {
    "title": {"type": "string", "description": "The same for all problems of a type"},
    "status": INT32,
    "detail": {"type": "string", "description": "What happened and what to do, for developers"},
    "instance": {"type": "string", "description": "The request id, which the log lines contain too"},
}
ERROR_CODE = {
    "type": "object",
    "description": "The code of a message, by which a front end can show a text of its own",
    "properties": {
        "code": {"type": "string", "examples": ["out-of-range"], "description": "Stable name of the message"},
        "params": {
            "type": "object",
            "additionalProperties": True,
            "examples": [{"min": 1, "max": 999}],
            "description": "The values in the message",
        },
    },
    "required": ["code", "params"],
}


def response_name(kinds: list[type[Problem]]) -> str:
    """Return the name of a response in the OpenAPI document.

    :param kinds: the problems that it can be, all of one status
    """
    return "Or".join(kind.__name__ for kind in kinds)


def define_problems(components: Components, kinds: list[type[Problem]]) -> None:
    """Add a response to the components of an OpenAPI document, and the schemas to which it refers.

    :param kinds: the problems that it can be, all of one status
    """
    schemas = {"ErrorCode": ERROR_CODE} | {_schema_name([kind]): _schema(kind) for kind in kinds}
    if len(kinds) > 1:
        schemas[_schema_name(kinds)] = _one_of(kinds)
    for name, schema in schemas.items():
        if name not in components.schemas:
            components.schema(name, schema)
    if response_name(kinds) not in components.responses:
        components.response(response_name(kinds), _response(kinds), lazy=True)


def _schema_name(kinds: list[type[Problem]]) -> str:
    return f"{response_name(kinds)}Problem"


def _example(kind: type[Problem]) -> dict[str, Any]:
    head = {"type": kind.type, "title": kind.title, "status": kind.status}
    detail = {"detail": kind.detail, "instance": "5f2c9e1b7a604f0d"}
    return head | detail | members_by_field(kind.errors) | kind.example


def _path(schema: str) -> str:
    return f"#/components/schemas/{schema}"


def _schema(kind: type[Problem]) -> dict[str, Any]:
    properties = {"type": {"type": "string", "enum": [kind.type]}} | MEMBERS | kind.member_schemas
    description = inspect.cleandoc(kind.__doc__ or "")
    required = [name for name in properties if name not in kind.optional_members]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _one_of(kinds: list[type[Problem]]) -> dict[str, Any]:
    paths = {kind.type: _path(_schema_name([kind])) for kind in kinds}
    return {
        "oneOf": [{"$ref": path} for path in paths.values()],
        "discriminator": {"propertyName": "type", "mapping": paths},
    }


def _response(kinds: list[type[Problem]]) -> dict[str, Any]:
    examples = {kind.__name__: {"value": _example(kind)} for kind in kinds}
    names = {name for kind in kinds for name in (*kind.headers, *kind.optional_headers)}
    return {
        "description": " Or: ".join(inspect.cleandoc(kind.__doc__ or "") for kind in kinds),
        "content": {PROBLEM_JSON: {"schema": {"$ref": _path(_schema_name(kinds))}, "examples": examples}},
        "headers": {name: name for name in sorted(names | {REQUEST_ID})},
    }

"""The base class of this service's schemas, and what else views pass to flask-smorest's decorators."""

from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, fields

from cart.http import json
from cart.messages import Message

# The codes of marshmallow's own messages, by field and key of ``default_error_messages``
CODES: dict[type[fields.Field[Any]], dict[str, str]] = {
    fields.Field: {"required": "required", "null": "null"},
    fields.String: {"invalid": "not-a-string", "invalid_utf8": "not-a-string"},
    fields.Number: {"invalid": "not-a-number", "too_large": "out-of-range"},
    fields.Integer: {"invalid": "not-an-integer"},
    fields.Decimal: {"special": "not-a-number"},
    fields.Boolean: {"invalid": "not-a-boolean"},
    fields.List: {"invalid": "not-a-list"},
}
for field, codes in CODES.items():
    texts = field.default_error_messages
    texts |= {key: Message(texts[key], code) for key, code in codes.items()}


class JsonSchema(Schema):
    """A marshmallow schema whose ``dumps`` and ``loads`` read and write numbers as ``Decimal``.

    A schema on the hot path has a second, faster implementation beside its fields: ``fast_load`` or ``fast_dumps``.
    ``load`` and ``dumps`` use it where they can. A property test compares each of them with marshmallow's.
    """

    class Meta:
        render_module = json
        unknown = EXCLUDE  # a client can meet members of a later version

    error_messages = {
        "type": Message("Invalid input type.", "not-an-object"),
        "unknown": Message("Unknown field.", "unknown-field"),
    }

    loads_nothing = False  # whether ``{}`` loads as ``{}``, so that an empty query needs no schema

    def load(self, data: Any, **options: Any) -> Any:
        """Load as marshmallow does, and faster if the data needs no conversion and no message."""
        loaded = None if options or self.many else self.fast_load(data)
        return super().load(data, **options) if loaded is None else loaded

    def dumps(self, obj: Any, *args: Any, **options: Any) -> str:
        """Return the JSON text that marshmallow makes of an object, and faster where the schema can."""
        text = None if args or options or self.many else self.fast_dumps(obj)
        return str(super().dumps(obj, *args, **options)) if text is None else text

    def fast_load(self, data: Any) -> Any | None:
        """Return what marshmallow would load of this data; None leaves it to marshmallow."""
        return None

    def fast_dumps(self, obj: Any) -> str | None:
        """Return the text that marshmallow would dump of this object; None leaves it to marshmallow."""
        return None

    def __deepcopy__(self, _: Any) -> "JsonSchema":
        """Return the schema itself. flask-smorest copies it with each decorator, and nothing changes a schema."""
        return self


class RequestSchema(JsonSchema):
    """The base of schemas for requests, which refuse unknown members."""

    class Meta(JsonSchema.Meta):
        unknown = RAISE


class Constant(dict[Any, Any]):
    """A dictionary for the OpenAPI document that nothing changes, such as an example.

    Each of flask-smorest's decorators makes a deep copy of what the others said. A copy of this is itself, which leaves
    out 3,000 of them, or a hundredth of a cold start.
    """

    def __deepcopy__(self, _: Any) -> "Constant":
        return self

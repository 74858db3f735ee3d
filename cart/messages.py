"""Messages about fields, with their codes, and how the JSON of a problem shows them."""

from typing import Any


class Message(str):
    """A message about a field, with a code and parameters by which a front end can show a text of its own.

    marshmallow calls ``format`` on the messages of its fields and validators.

    :ivar code: a stable name of the message, in kebab case
    :ivar params: the values in the text, as JSON; such as ``min`` and ``max``
    """

    __slots__ = ("code", "params")
    code: str
    params: dict[str, Any]

    def __new__(cls, text: str, code: str, **params: Any) -> "Message":
        """Make the message.

        :param text: may name values in braces, which ``format`` inserts
        """
        message = super().__new__(cls, text)
        message.code, message.params = code, params
        return message

    def format(self, *args: object, **values: object) -> "Message":
        """Return the message with these values in its text, which become parameters unless it has them already."""
        named = {name: value for name, value in values.items() if f"{{{name}}}" in self and name != "input"}
        return Message(super().format(*args, **values), self.code, **named | self.params)


Errors = dict[str, list[Message]]  # by field

# JSON Schemas of members that a problem can have
INT32 = {"type": "integer", "format": "int32"}
FIELD_ERRORS: dict[str, Any] = {
    "errors": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
        "description": "Messages by field, parameter or header",
    },
    "error_codes": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"$ref": "#/components/schemas/ErrorCode"}},
        "description": "For each message in `errors`, in the same order, its code",
    },
}


def members_by_field(errors: Errors) -> dict[str, Any]:
    """Return the members that tell what is wrong with each field."""
    return {
        "errors": {field: [str(message) for message in messages] for field, messages in errors.items()},
        "error_codes": {
            field: [{"code": message.code, "params": message.params} for message in messages]
            for field, messages in errors.items()
        },
    }

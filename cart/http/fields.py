"""Fields of marshmallow that convert nothing: money, whole numbers, booleans, names; validators with coded messages."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any

from marshmallow import ValidationError, fields, validate

from cart.http.json import whole_number, whole_number_in_url
from cart.messages import Message
from cart.model.money import CENT

INT64 = {"format": "int64"}  # metadata of integers that can exceed 32 bits
MAX_PRICE = Decimal("9999999.99")
MAX_NAME_CHARACTERS = 200
# Characters for a class of a regular expression. They are written out, since ECMA-262, RE2 and Python have no common
# escape for them. Invisible are white space, the blank of Braille, and what has the property
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt of Unicode 16).
CONTROL = r"\x00-\x1F\x7F-\x9F"
INVISIBLE = (
    "\\s\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
)
# The OpenAPI document leaves these out: ECMA-262 cannot read those above U+FFFF without the flag `u`, and Go compiles
# no source with U+FEFF
UNDOCUMENTED_INVISIBLE = "\ufeff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
NAME_PATTERN = f"^[^{CONTROL}]*[^{CONTROL}{INVISIBLE}][^{CONTROL}]*$"


class Range(validate.Range):
    """marshmallow's Range, whose messages have a code."""

    message_min = Message("Must be greater than or equal to {{min}}.", "out-of-range")
    message_max = Message("Must be less than or equal to {{max}}.", "out-of-range")
    message_all = Message("Must be greater than or equal to {{min}} and less than or equal to {{max}}.", "out-of-range")


class Length(validate.Length):
    """marshmallow's Length, whose messages have a code."""

    message_min = Message(validate.Length.message_min, "length-out-of-range")
    message_max = Message(validate.Length.message_max, "length-out-of-range")
    message_all = Message(validate.Length.message_all, "length-out-of-range")


class OneOf(validate.OneOf):
    """marshmallow's OneOf, whose message has a code."""

    def __init__(self, choices: Iterable[str]) -> None:
        choices = list(choices)
        super().__init__(choices, error=Message(self.default_message, "not-one-of", choices=choices))


class Price(fields.Decimal):
    """A JSON number with at most two decimals. A string or a boolean is refused, not converted."""

    default_error_messages = {"decimals": Message("Must have at most 2 decimals.", "too-many-decimals", max=2)}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(places=2, **kwargs)

    def _validated(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.make_error("invalid")
        cents = super()._validated(value)
        if cents != value:
            raise self.make_error("decimals")
        return cents


class WholeNumber(fields.Integer):
    """A JSON integer. ``2.0`` and ``2e0`` are integers too (JSON Schema); ``"2"`` and ``true`` are not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, Decimal):
            value = whole_number(value)
        return super()._validated(value)


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``; no string or number that could mean one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class NumberInQuery(fields.Integer):
    """A whole number, in the forms of JSON; other forms that Python reads as a number are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        number = whole_number_in_url(value)
        if number is None:
            raise self.make_error("invalid")
        return number


def has_visible_character(name: str) -> bool:
    """Return whether a name has a character that is not in ``INVISIBLE``."""
    return bool(name.strip()) if name.isascii() else _visible().search(name) is not None


@cache
def _visible() -> re.Pattern[str]:
    """Return the pattern of one visible character. It is compiled at the first name that is not ASCII."""
    return re.compile(f"[^{CONTROL}{INVISIBLE}{UNDOCUMENTED_INVISIBLE}]")


def check_printable(name: str) -> None:
    """Check that a name can be shown.

    :raise ValidationError: it has no visible character, or it has a control character or a lone surrogate
    """
    if not has_visible_character(name):
        raise ValidationError(Message("Must not be blank.", "blank"))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise ValidationError(Message("Must not have control characters or lone surrogates.", "control-characters"))


def given_price() -> Price:
    return Price(
        required=True,
        validate=Range(CENT, MAX_PRICE),
        metadata={"description": "Of one unit; at most two decimals"},
    )

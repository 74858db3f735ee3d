"""Fields of marshmallow that convert nothing: money, whole numbers, booleans, names; validators with coded messages."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from cart.errors import Message
from cart.model.money import CENT

INT64 = {"format": "int64"}  # metadata of integers that can exceed 32 bits
MAX_PRICE = Decimal("9999999.99")
MAX_NAME_CHARACTERS = 200


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
    """A JSON integer. ``2.0`` is one (JSON Schema, section 6.1.1); ``"2"``, ``true`` and ``1e2`` are not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, Decimal) and _is_whole(value):
            value = int(value)
        return super()._validated(value)


def _is_whole(number: Decimal) -> bool:
    """Written with a fraction of zeros, and short enough to convert: no bound of ours has more digits."""
    return (
        number.is_finite() and -20 < int(number.as_tuple().exponent) < 0 and number.adjusted() < 20 and number % 1 == 0
    )


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``; no string or number that could mean one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class NumberInQuery(fields.Integer):
    """A whole number of 1 to 9 digits; other forms that Python reads as a number are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise self.make_error("invalid")
        return int(value)


def check_printable(name: str) -> None:
    if not name.strip():
        raise ValidationError(Message("Must not be blank.", "blank"))
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise ValidationError(Message("Must not have control characters or lone surrogates.", "control-characters"))


def given_price() -> Price:
    return Price(
        required=True,
        validate=Range(CENT, MAX_PRICE),
        metadata={"description": "Of one unit; at most two decimals"},
    )

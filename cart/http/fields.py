"""Fields of marshmallow that convert nothing: money, whole numbers, booleans, names."""

import re
import unicodedata
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from cart.model.money import CENT

MAX_PRICE = Decimal("9999999.99")
MAX_NAME_CHARACTERS = 200


class Price(fields.Decimal):
    """A JSON number with at most two decimals. A string or a boolean is refused, not converted."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(places=2, **kwargs)

    def _validated(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.make_error("invalid")
        cents = super()._validated(value)
        if cents != value:
            raise ValidationError("Must have at most 2 decimals.")
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
        raise ValidationError("Must not be blank.")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise ValidationError("Must not have control characters or lone surrogates.")


def given_price() -> Price:
    return Price(
        required=True,
        validate=validate.Range(CENT, MAX_PRICE),
        metadata={"multipleOf": CENT, "description": "Of one unit"},
    )

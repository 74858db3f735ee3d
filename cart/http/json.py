"""JSON whose numbers are Decimal: money is never a float, neither read nor written.

``dumps`` and ``loads`` are used by Flask (``DecimalJSON``) and by the schemas (``JsonSchema``).
"""

import decimal
import json
import re
from typing import Any

import simplejson
from flask.json.provider import JSONProvider

MAX_BODY_BYTES = 64 * 1024
MAX_INT_DIGITS = 4000
MAX_WHOLE_DIGITS = 20  # no limit of a field has more
NUMBER = r"(0|[1-9][0-9]{0,19})(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,3})?"  # RFC 8259, section 6
# As precise as the longest body, so that the schema sees each digit. Without traps, a number that is out of range
# becomes Infinity or NaN, and the schema refuses it with the name of the field.
_exact = decimal.Context(prec=MAX_BODY_BYTES, traps=[])


def dumps(value: Any, **options: Any) -> str:
    """Return the JSON text of a value."""
    return str(simplejson.dumps(value, use_decimal=True, **options))


def loads(text: str | bytes, **_: Any) -> Any:
    """Read JSON text.

    :raise ValueError: not UTF-8 JSON, or an object with two equal names
    """
    try:
        return _decoder.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError("It is nested too deep.") from None


class DecimalJSON(JSONProvider):
    """These functions for Flask."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return loads(s)


def whole_number(number: decimal.Decimal) -> int | None:
    """Return the integer that a JSON number is, such as 42.0 or 4.2e1 (JSON Schema Core, section 4.2.3).

    :return: None if the number has a fraction, or more than ``MAX_WHOLE_DIGITS`` digits
    """
    is_short = number.is_finite() and number.adjusted() < MAX_WHOLE_DIGITS
    return int(number) if is_short and number == number.to_integral_value() else None


def whole_number_in_url(text: str) -> int | None:
    """Return the integer of a part of a URL, in every form that a JSON number has; None if it is no integer."""
    return whole_number(decimal.Decimal(text)) if re.fullmatch(NUMBER, text) else None


def _whole(digits: str) -> int | decimal.Decimal:
    """Return an int, or a Decimal if Python refuses to convert so many digits; no field accepts such a number."""
    return int(digits) if len(digits) <= MAX_INT_DIGITS else _exact.create_decimal(digits)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("An object has the same name twice.")
    return members


_decoder = json.JSONDecoder(
    parse_int=_whole,
    parse_float=_exact.create_decimal,
    parse_constant=_exact.create_decimal,
    object_pairs_hook=_refuse_duplicates,
)

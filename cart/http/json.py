"""JSON whose numbers are Decimal: money is never a float, neither read nor written.

``dumps`` and ``loads`` are used by Flask (``DecimalJSON``) and by the schemas (``JsonSchema``).
"""

import decimal
import json
from typing import Any

import simplejson
from flask.json.provider import JSONProvider

MAX_BODY_BYTES = 64 * 1024
MAX_INT_DIGITS = 4000
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

"""JSON with Decimal numbers."""

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


class DecimalJSON(JSONProvider):
    """JSON with ``Decimal`` numbers: money is never a float, neither in requests nor in answers."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return an object as JSON text."""
        return str(simplejson.dumps(obj, use_decimal=True, **kwargs))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Read JSON text.

        :raise ValueError: it is not JSON in UTF-8, is nested too deep, or has a name twice in one object
        """
        text = s if isinstance(s, str) else s.decode("utf-8")
        try:
            return _decoder.decode(text)
        except RecursionError:
            raise ValueError("It is nested too deep.") from None


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

"""JSON whose numbers are Decimal."""

import decimal
import json
from typing import Any

import simplejson
from flask.json.provider import JSONProvider

MAX_BODY_BYTES = 64 * 1024
MAX_INT_DIGITS = 4000
# As wide as the longest body, so that no digit is rounded away before the schema has seen it;
# what is not finite becomes Infinity or NaN, which the schema refuses by the field's name.
_exact = decimal.Context(prec=MAX_BODY_BYTES, traps=[])


class DecimalJSON(JSONProvider):
    """JSON whose numbers are ``Decimal``: money is never a float, neither read nor written."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return str(simplejson.dumps(obj, use_decimal=True, **kwargs))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """:raise ValueError: not UTF-8 JSON"""
        text = s if isinstance(s, str) else s.decode("utf-8")
        try:
            return _decoder.decode(text)
        except RecursionError:
            raise ValueError("It is nested too deep.") from None


def _whole(digits: str) -> int | decimal.Decimal:
    """An int, or a Decimal where Python would refuse to convert so many digits; no field takes either."""
    return int(digits) if len(digits) <= MAX_INT_DIGITS else _exact.create_decimal(digits)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("A name stands twice in one object.")
    return members


_decoder = json.JSONDecoder(
    parse_int=_whole,
    parse_float=_exact.create_decimal,
    parse_constant=_exact.create_decimal,
    object_pairs_hook=_no_key_twice,
)

"""GitHub's loose values: how null, booleans, numbers, strings, arrays and objects turn into each other.

https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

import json
import math
import re
from collections.abc import Mapping

Scalar = None | bool | int | float | str

# Above this a float no longer holds every whole number.
_EXACT = 2**53
_NUMERAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


class ExpressionError(Exception):
    """An expression that cannot be read or evaluated."""


def number(text: str) -> int | float:
    """The number a numeral stands for; whole ones as `int`. Not a numeral: NaN."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    for prefix, base in (("0x", 16), ("0o", 8)):
        if digits.startswith(prefix) and re.fullmatch("[0-9a-fA-F]+" if base == 16 else "[0-7]+", digits[2:]):
            return sign * int(digits[2:], base) if len(digits) < 18 else math.inf * sign
    if not _NUMERAL.fullmatch(text):
        return math.inf * sign if digits == "Infinity" else math.nan
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def to_number(value: object) -> float:
    """What a value counts as when two types are compared."""
    match value:
        case None:
            return 0.0
        case bool() | int() | float():
            return float(value)
        case str():
            return float(number(value.strip())) if value.strip() else 0.0
        case _:
            return math.nan


def to_text(value: object) -> str:
    """What a value looks like inside a string."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number_text(float(value))
        case str():
            return value
        case Mapping():
            return "Object"
        case _:
            return "Array"


def _number_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return format(value + 0.0, ".15g")


def truthy(value: object) -> bool:
    """False, 0, NaN, '' and null are false; every array and object is true."""
    if isinstance(value, bool | int | float):
        return bool(value) and not math.isnan(value)
    return value is not None and value != ""


def equal(left: object, right: object) -> bool:
    """`==`: strings without case, arrays and objects by identity, mixed types as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.upper() == right.upper()
    if isinstance(left, list | Mapping) and isinstance(right, list | Mapping):
        return left is right
    return to_number(left) == to_number(right)


def less(left: object, right: object) -> bool:
    """`<`: strings without case, everything else as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.upper() < right.upper()
    return to_number(left) < to_number(right)


def from_json(text: str) -> object:
    """The value of a JSON text."""
    try:
        return json.loads(text, parse_int=number, parse_float=number, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ExpressionError(f"fromJSON() was given what is not JSON: {text[:60]!r}") from error


def _no_constant(name: str) -> object:
    raise ValueError(name)


def to_json(value: object) -> str:
    """The value as JSON, laid out as GitHub lays it out."""
    return json.dumps(value, indent=2, ensure_ascii=False)

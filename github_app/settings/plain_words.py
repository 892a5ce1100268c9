"""What pydantic finds, in words that need no pydantic. Pure."""

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "missing": "is missing",
    "int_parsing": "is no whole number",
    "int_type": "is no whole number",
    "int_from_float": "is no whole number",
    "float_parsing": "is no number",
    "float_type": "is no number",
    "bool_parsing": "is no boolean: write true or false",
    "bool_type": "is no boolean: write true or false",
    "string_type": "has to be text in quotes",
    "string_pattern_mismatch": "does not match the form that it has to have",
    "tuple_type": "has to be a list",
    "dict_type": "has to be a table",
    "model_type": "has to be a table",
    "greater_than": "has to be greater than {gt}",
    "greater_than_equal": "has to be at least {ge}",
    "less_than": "has to be less than {lt}",
    "less_than_equal": "has to be at most {le}",
    "too_short": "has to have at least {min_length}",
    "string_too_short": "must not be empty",
}


def in_plain_words(kind: str, message: str, context: Mapping[str, Any] | None = None) -> str:
    """The sentence for a kind of mistake; any other's own message."""
    words = _WORDS.get(kind)
    return message.removeprefix("Value error, ") if words is None else words.format_map({**(context or {})})

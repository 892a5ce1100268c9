"""Globs over names: `*`, `?` and `[...]`, without regard to case. Pure."""

import re
from fnmatch import fnmatchcase

_ANY = r"[\s\S]"


def matches(text: str, glob: str) -> bool:
    """Tell whether a glob matches a whole text."""
    return fnmatchcase(text.lower(), glob.lower())


def matches_exactly(text: str, glob: str) -> bool:
    """The same with regard to case: of two branches or files that differ in nothing else each is one of its own."""
    return fnmatchcase(text, glob)


def as_regex(glob: str) -> str:
    """The same as a regular expression for jq's `test(…; "i")` (Oniguruma), which has to match a part of the text."""
    parts, at = [], 0
    while at < len(glob):
        here = glob[at]
        at += 1
        end = _end_of_set(glob, at) if here == "[" else -1
        if here == "*":
            parts.append(f"{_ANY}*")
        elif here == "?":
            parts.append(_ANY)
        elif end > 0:
            parts.append(_set(glob[at:end]))
            at = end + 1
        else:
            parts.append(_literal(here))
    return rf"\A{''.join(parts)}\z"


def _end_of_set(glob: str, start: int) -> int:
    """The place of the `]` that ends a set; -1 when none does, and the `[` stands for itself."""
    first = start + (glob[start : start + 1] == "!")
    return glob.find("]", first + (glob[first : first + 1] == "]"))


def _set(inside: str) -> str:
    negated = inside.startswith("!")
    # A range is written as it is; everything else stands for itself.
    written = re.sub(r"[^A-Za-z0-9-]", lambda found: _literal(found[0]), inside[negated:])
    return f"[{'^' if negated else ''}{written}]"


def _literal(character: str) -> str:
    return (
        character if character.isalnum() or character == "_" else f"\\{character}" if character.isascii() else character
    )

"""The administrator's file as text that may be shown: the values of its variables are masked. Pure."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

MASK = "********"
_VARIABLES = frozenset({"env", "secret_env"})
_HEADER = re.compile(r"\s*\[+\s*(?P<key>[^\]]+?)\s*\]+\s*(?:#.*)?")
_ENTRY = re.compile(r"(?P<key>\s*[^=#\[]+?\s*)=\s*(?P<value>.*)")


class CannotMaskError(Exception):
    """The file is written so that its variables cannot be told from the rest."""


def masked(text: str) -> str:
    """The same file with each value of `env` and `secret_env` masked; comments stay as they are.

    Raises:
        CannotMaskError: a value would still be there.
    """
    shown = "\n".join(_lines(text.splitlines()))
    try:
        left = list(_values(tomllib.loads(shown), within=False))
    except tomllib.TOMLDecodeError:
        raise CannotMaskError from None
    if any(each != MASK for each in left):
        raise CannotMaskError
    return shown + "\n" if shown else ""


def _lines(lines: list[str]) -> Iterator[str]:
    within, until = False, ""
    for line in lines:
        if until:
            # Inside a string of several lines that is masked.
            until = "" if until in line else until
            continue
        if header := _HEADER.fullmatch(line):
            within = not _VARIABLES.isdisjoint(_parts(header["key"]))
        elif (entry := _ENTRY.fullmatch(line)) and (within or _says_variables(entry)):
            until = next(
                (q for q in ('"""', "'''") if entry["value"].startswith(q) and entry["value"].count(q) == 1), ""
            )
            yield f'{entry["key"].rstrip()} = "{MASK}"'
            continue
        yield line


def _says_variables(entry: re.Match[str]) -> bool:
    inline = re.search(r"(?<![\w-])[\"']?(?:env|secret_env)[\"']?\s*[.=]", entry["value"])
    return bool(inline) or not _VARIABLES.isdisjoint(_parts(entry["key"]))


def _parts(key: str) -> set[str]:
    return {part.strip().strip("\"'") for part in key.split(".")}


def _values(tree: Any, *, within: bool) -> Iterator[object]:
    """Every value that stands below `env` or `secret_env`."""
    if isinstance(tree, dict):
        for key, each in tree.items():
            yield from _values(each, within=within or key in _VARIABLES)
    elif isinstance(tree, list):
        for each in tree:
            yield from _values(each, within=within)
    elif within:
        yield tree

"""The administrator's file as text that may be shown: the values of its variables are masked. Pure.

Each entry is read by the TOML parser itself, so that what stands in a string is never taken for a line of its own.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

MASK = "********"
# Nothing shorter is a secret, and short words stand in many places.
_SECRET_LENGTH = 8
_VARIABLES = frozenset({"env", "secret_env"})
_MENTIONS = re.compile(r"\b(secret_)?env\b")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# An entry may go over so many lines.
_LONGEST_ENTRY = 2000


class CannotMaskError(Exception):
    """The file is written so that its variables cannot be told from the rest."""


def masked(text: str) -> str:
    """The same file with each value of `env` and `secret_env` masked, and comments that may hold one.

    Raises:
        CannotMaskError: it cannot be read, or a value would still be there.
    """
    try:
        text = text.replace("\r\n", "\n")
        secrets = [each for each in _values(tomllib.loads(text), within=False) if len(each) >= _SECRET_LENGTH]
        shown = "\n".join(_lines(text.split("\n")))
    except (tomllib.TOMLDecodeError, RecursionError):
        raise CannotMaskError from None
    left = {line for each in secrets for line in each.split("\n") if len(line) >= _SECRET_LENGTH}
    if any(line in shown for line in left):
        raise CannotMaskError
    return shown


def _lines(lines: list[str]) -> Iterator[str]:
    within, at = False, 0
    while at < len(lines):
        line = lines[at].strip()
        if line.startswith("#") and "=" in line and (within or _MENTIONS.search(line)):
            yield f"# {MASK}"
        elif line.startswith("["):
            within = not _VARIABLES.isdisjoint(_keys(tomllib.loads(line)))
            yield lines[at]
        elif line and not line.startswith("#"):
            entry, end = _entry(lines, at)
            masks = within or not _VARIABLES.isdisjoint(_keys(entry))
            yield from [f'{_path(entry)} = "{MASK}"'] if masks else lines[at:end]
            at = end
            continue
        else:
            yield lines[at]
        at += 1


def _entry(lines: list[str], at: int) -> tuple[dict[str, Any], int]:
    """The entry that begins on a line, read, and the line after it: a string or a list may go over several."""
    for end in range(at + 1, min(len(lines), at + _LONGEST_ENTRY) + 1):
        try:
            return tomllib.loads("\n".join(lines[at:end])), end
        except tomllib.TOMLDecodeError:
            continue
    raise CannotMaskError


def _keys(tree: object) -> set[str]:
    """Every key of a value, however deep."""
    if isinstance(tree, dict):
        return {*tree, *(key for each in tree.values() for key in _keys(each))}
    if isinstance(tree, list):
        return {key for each in tree for key in _keys(each)}
    return set()


def _path(entry: dict[str, Any]) -> str:
    """The dotted key of an entry."""
    names: list[str] = []
    tree: object = entry
    while isinstance(tree, dict) and len(tree) == 1:
        ((name, tree),) = tree.items()
        names.append(name if _BARE.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return ".".join(names)


def _values(tree: Any, *, within: bool) -> Iterator[str]:
    """Every value that stands below `env` or `secret_env`, as text."""
    if isinstance(tree, dict):
        for key, each in tree.items():
            yield from _values(each, within=within or key in _VARIABLES)
    elif isinstance(tree, list):
        for each in tree:
            yield from _values(each, within=within)
    elif within:
        yield str(tree)

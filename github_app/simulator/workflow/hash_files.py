"""`hashFiles()` without Node.js: what act's own script prints where there is a `node`, which many machines have not.

A program of its own: act gives it the patterns in a variable and takes the hash from between two marks. Which files,
and in which order, is actions/toolkit's (packages/glob, internal-globber.ts); the hash of their hashes is
actions/runner's (hashFiles.ts). Standard library only.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_MARK = "__OUTPUT__"
_GLOB = re.compile(r"[*?\[]")


def hash_files(patterns: str, root: Path) -> str:
    """The hash of the files below `root` that the lines of `patterns` match; empty where none does."""
    lines = [line.strip() for line in patterns.splitlines() if line.strip() and not line.strip().startswith("#")]
    rules = [(not line.startswith("!"), _regular(line.removeprefix("!"))) for line in lines]
    digests = [
        hashlib.sha256(file.read_bytes()).digest()
        for start in _starts(lines)
        for file in _below(root / start)
        if _wanted(file.relative_to(root).as_posix(), rules)
    ]
    return hashlib.sha256(b"".join(digests)).hexdigest() if digests else ""


def _wanted(path: str, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """The last pattern that matches decides."""
    return next((included for included, rule in reversed(rules) if rule.fullmatch(path)), False)


def _starts(lines: list[str]) -> list[str]:
    """The folders in which to look: what stands before a pattern's first wildcard, and below no other."""
    found = dict.fromkeys(_start(line) for line in lines if not line.startswith("!"))
    return [each for each in found if not any(_lies_in(each, other) for other in found if other != each)]


def _start(line: str) -> str:
    segments = line.removeprefix("./").split("/")
    plain = [segment for segment in segments if segment]
    first = next((number for number, segment in enumerate(plain) if _GLOB.search(segment)), len(plain))
    return "/".join(plain[:first]) or "."


def _lies_in(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _below(path: Path) -> Iterator[Path]:
    """Files in the order of their names, a folder at its place among them; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir(), key=lambda each: os.fsencode(each.name)):
            yield from _below(child)
    elif path.is_file():
        yield path


def _regular(line: str) -> re.Pattern[str]:
    """A pattern, with all that lies below what it matches."""
    segments = [each for each in line.removeprefix("./").split("/") if each]
    parts = ["(?:[^/]+/)*" if segment == "**" else f"{_segment(segment)}/" for segment in segments]
    return re.compile("".join(parts).removesuffix("/") + ("[^/]+" if segments[-1:] == ["**"] else "(?:/.*)?"))


def _segment(segment: str) -> str:
    parts = re.findall(r"\*+|\?|\[[^\]]+\]|.", segment)
    return "".join(
        "[^/]*" if part[0] == "*" else "[^/]" if part == "?" else part if len(part) > 1 else re.escape(part)
        for part in parts
    )


def main(environment: Mapping[str, str]) -> None:
    """Print the hash as act looks for it."""
    sys.stdout.write(f"{_MARK}{hash_files(environment.get('patterns', ''), Path.cwd())}{_MARK}\n")


if __name__ == "__main__":
    main(os.environ)

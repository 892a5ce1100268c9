"""Text from strangers, made harmless for where it is shown. Pure.

Names of jobs, workflows, branches and labels, what sandboxes print and what GitHub answers are chosen by others. The
log is JSON, which escapes by itself, and the pages of setup are templates that do.
"""

import json
import re

import msgspec

_LONGEST_NAME = 120
# Joins the parts of an emoji.
_JOINER = "\u200d"
# Colours, bold, faint, italic, underline and reverse, and their ends; not what hides or blinks (ECMA-48, 8.3.117).
_LOOK = r"(?:0?[0-47]|2[2-47]|3[0-79]|4[0-79]|9[0-7]|10[0-7]|[34]8[;:](?:5[;:]\d{1,3}|2(?:[;:]\d{1,3}){3}))?"
_COLOUR = rf"\x1b\[{_LOOK}(?:;{_LOOK})*m"
_SEQUENCES = re.compile(
    # Strings (titles, clipboard, links), control sequences, and all other escapes; an unfinished one to the text's end.
    r"\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|\Z)"
    r"|\x1b\[[0-?]*[ -/]*(?:[@-~]|\Z)"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x90\x98\x9d-\x9f].*?(?:\x07|\x1b\\|\x9c|\Z)|\x9b[0-?]*[ -/]*[@-~]?",
    re.DOTALL,
)


def visible(text: str, *, lines: bool = False) -> str:
    """For a terminal: what would move the cursor, colour, hide or turn text around shows as its code.

    `lines` keeps the ends of lines and tabs.
    """
    kept = f"{_JOINER}\n\t" if lines else _JOINER
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in text
    )


def coloured(text: str) -> str:
    """For a terminal: lines and colours, and nothing else."""
    parts = re.split(f"({_COLOUR})", text.replace("\r\n", "\n"))
    whole = "".join(part if re.fullmatch(_COLOUR, part) else plain(part) for part in parts)
    return f"{whole}\x1b[0m" if len(parts) > 1 else whole


def plain(text: str) -> str:
    """For a page: lines, and nothing that a terminal would obey."""
    without = _SEQUENCES.sub("", text)
    return "".join(each for each in without if each.isprintable() or each in f"{_JOINER}\n\t")


def short(text: str) -> str:
    """For a page: a name, on one line and of a length that can be shown."""
    shown = visible(text)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}…"


def ascii_json(found: object) -> str:
    """For a terminal or a program: JSON of ASCII alone."""
    return json.dumps(msgspec.to_builtins(found))


def fenced(text: str) -> str:
    """For Markdown: a block in which nothing is a link, a mention or markup (GitHub Flavored Markdown, 4.5)."""
    fence = "`" * max(3, 1 + _longest_run(text))
    return f"{fence}text\n{visible(text, lines=True)}\n{fence}"


def code(text: str) -> str:
    """For Markdown: the same within a line (6.1)."""
    shown = visible(text)
    fence = "`" * (1 + _longest_run(shown))
    return f"{fence} {shown} {fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)

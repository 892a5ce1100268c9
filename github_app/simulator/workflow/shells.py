"""Stand-ins for the shells that act starts, so that nothing is lost of what a failing step prints.

act gives each step a terminal and, where the step fails, closes it without reading what is still in it
(nektos/act, host_environment.go: `exec` returns at once on an error): up to half of 3,000 lines are gone, and the error
with them. So each shell is started through a script that marks the end of the output of a failed one, and that waits
until the mark has come out of act; the reader answers it. Standard library only.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from github_app.simulator.workflow import hash_files

# How often, at 0.05 s, a stand-in looks for the answer: a reader that is gone must not hold a step for ever.
_LOOKS = 200
# Of nothing that a secret could be, for act masks secrets in what is printed.
_MARK = "\x1e\x1e\x1e"
# What act starts by these names itself, whatever a file says.
_ALWAYS = ("bash", "sh", "python", "pwsh")

# The terminal is in raw mode and the mark stands behind what the step printed last, also where that ends in no newline.
# The stand-ins' folder is taken out of PATH, where a step has no use for it.
_SCRIPT = """#!/bin/sh
here='{folder}'
before=${{PATH%%"$here":*}}
PATH=$before${{PATH#*"$here":}}
export PATH
{run}
code=$?
[ $code -eq 0 ] && exit 0
printf '{mark}%s\\n' $$
left={looks}
while [ ! -e "$here/$$" ] && [ $left -gt 0 ]; do sleep 0.05; left=$((left - 1)); done
exit $code
"""
_RUN = '"${0##*/}" "$@"'
# act asks where Node.js is, to start it by that path; here it is. Without one it can still hash files.
_RUN_NODE = """[ "$*" = "--no-warnings -e console.log(process.execPath)" ] && echo "$0" && exit 0
if command -v node >/dev/null; then
    node "$@"
else
    case "$1" in */workflow/hashfiles/index.js) exec '{python}' -I '{hash_files}' ;; esac
    echo "This action needs Node.js, which is not on this machine."
    (exit 127)
fi"""


class Shells:
    """The stand-ins in a folder of their own, which comes first in PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, workflow: str, path: str) -> str:
        """Write a stand-in for each shell of a standalone file that is found along `path`; the PATH with them."""
        self._folder.mkdir()
        for name in {*_ALWAYS, *_named(json.loads(workflow))}:
            if shutil.which(name, path=path):
                self._write(name, _RUN)
        self._write("node", _RUN_NODE.format(python=sys.executable, hash_files=hash_files.__file__))
        return f"{self._folder}{os.pathsep}{path}"

    def _write(self, name: str, run: str) -> None:
        mark = "".join(f"\\{ord(each):03o}" for each in _MARK)
        file = self._folder / name
        file.write_text(_SCRIPT.format(folder=self._folder, mark=mark, looks=_LOOKS, run=run), encoding="utf-8")
        file.chmod(0o755)

    def take(self, line: str) -> str | None:
        """A line that a step printed, without the mark, which is answered; None where nothing else stands in it."""
        text, marked, process = line.partition(_MARK)
        if not marked:
            return line
        if process.isdecimal():
            (self._folder / process).touch()
        return text or None


def _named(value: Any) -> Iterator[str]:
    """The first word of each `shell`, where it is a plain command's name."""
    match value:
        case dict():
            shell = value.get("shell")
            if isinstance(shell, str) and (words := shell.split()) and words[0].isidentifier():
                yield words[0]
            for item in value.values():
                yield from _named(item)
        case list():
            for item in value:
                yield from _named(item)

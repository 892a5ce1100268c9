"""The command line as a process, which leaves nothing behind."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class CommandLine:
    """Runs `modal-runner` with a directory for temporary files of its own."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment |= {"TMPDIR": str(self.scratch), "NO_COLOR": "1", "COLUMNS": "200"}

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start it as a terminal does, in a process group of its own."""
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "github_app", *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        with self.start(*arguments, **environment) as process:
            printed, complained = process.communicate(timeout=100)
        return subprocess.CompletedProcess(process.args, process.returncode, printed, complained)

    def left(self) -> list[str]:
        """What is left: files, and processes that have to do with the directory."""
        deadline = time.monotonic() + 3
        while (found := [*map(str, self.scratch.rglob("*")), *self._processes()]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _processes(self) -> Iterator[str]:
        mark = str(self.scratch).encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                here = os.fsencode((process / "cwd").readlink())
                arguments = (process / "cmdline").read_bytes()
                if mark in here or mark in arguments or mark in (process / "environ").read_bytes():
                    yield f"{process.name}: {arguments!r}"


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line; whatever a test leaves of it fails the test."""
    line = CommandLine(tmp_path)
    yield line
    assert line.left() == []

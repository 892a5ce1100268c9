"""A command of ours in a terminal, with someone who types and reads."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.worlds.universe import Universe


class Screen:
    """Both ends of the terminal, and the command."""

    def __init__(self, ours: int, theirs: int, process: asyncio.subprocess.Process) -> None:
        self._ours, self._theirs, self._process = ours, theirs, process
        self._shown = ""

    async def shows(self, text: str) -> str:
        """Wait until a text is shown; everything up to it since the last one."""
        async with asyncio.timeout(40):
            while text not in self._shown:
                try:
                    self._shown += os.read(self._ours, 4096).decode()
                except BlockingIOError:
                    assert self._process.returncode is None, self._shown
                    await asyncio.sleep(0.02)
        before, _, self._shown = self._shown.partition(text)
        return before + text

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Make it another size, and tell the command as a terminal does."""
        _set_size(self._ours, rows, columns)
        self._process.send_signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Tell the command that the terminal goes."""
        self._process.send_signal(signal.SIGHUP)

    def modes(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._theirs)

    async def ends(self) -> int:
        """Wait for the command's end; its exit code."""
        return await asyncio.wait_for(self._process.wait(), 40)


@asynccontextmanager
async def screen(it: Universe, *arguments: str) -> AsyncIterator[Screen]:
    """Run `modal-runner` in a terminal of 30 rows and 100 columns, with Modal's token and nothing of GitHub's."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    _set_size(ours, 30, 100)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", *arguments),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "vt100", **it.modal.env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        yield Screen(ours, theirs, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
        os.close(theirs)


def _set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

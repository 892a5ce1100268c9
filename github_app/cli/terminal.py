"""This side's terminal, or pipes, joined to a shell in a sandbox."""

import asyncio
import os
import signal
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from github_app.errors import SandboxError
from github_app.sandboxes import RemoteShell

_STDIN = 0
_PIECE, _PIECES = 65_536, 4
# What a terminal that goes and a machine that stops send.
_ENDINGS = (signal.SIGHUP, signal.SIGTERM)


def is_there() -> bool:
    """Whether a person sits at both ends: keys come from a terminal, and what is printed goes to one."""
    return os.isatty(_STDIN) and os.isatty(1)


async def join(shell: RemoteShell, *, terminal: bool) -> int | None:
    """Pass everything on in both ways until the shell ends; its exit code, or None: its sandbox has ended.

    In a terminal every key goes to the other side, also Ctrl-C. Whatever happens, the terminal is as it was then, and
    the shell has ended.

    Raises:
        SandboxError: Modal did not answer.
    """
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None  # noqa: S101 - there is one around every coroutine
    for each in _ENDINGS:
        loop.add_signal_handler(each, this.cancel)
    with _raw() if terminal else nullcontext():
        beside = [asyncio.create_task(_Input().pass_on(shell, terminal=terminal))]
        beside += [asyncio.create_task(_follow_size(shell))] if terminal else []
        try:
            return await shell.run(_write)
        finally:
            for task in beside:
                task.cancel()
            with suppress(SandboxError):
                await shell.hang_up()


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class _Input:
    """What is typed or piped in, piece by piece; read on a thread, for a file cannot be waited for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces = asyncio.Queue[bytes]()
        # No more is read than is passed on.
        self._room = threading.Semaphore(_PIECES)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        data = b"-"
        while data:
            self._room.acquire()
            try:
                data = os.read(_STDIN, _PIECE)
            except OSError:
                # A terminal that is gone.
                data = b""
            # At the very end nobody takes it any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, data)

    async def pass_on(self, shell: RemoteShell, *, terminal: bool) -> None:
        """Pass everything on; a terminal that is gone ends the shell, and the end of a file its input."""
        while data := await self._pieces.get():
            if not await shell.send(data):
                return
            self._room.release()
        if not terminal:
            await shell.send(b"")
            return
        with suppress(SandboxError):
            await shell.hang_up()


async def _follow_size(shell: RemoteShell) -> None:
    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    while True:
        await changed.wait()
        changed.clear()
        size = os.get_terminal_size(_STDIN)
        with suppress(SandboxError):
            await shell.resize(size.lines, size.columns)


@contextmanager
def _raw() -> Iterator[None]:
    before = termios.tcgetattr(_STDIN)
    try:
        # What was typed by now is kept.
        tty.setraw(_STDIN, termios.TCSADRAIN)
        yield
    finally:
        # It may be gone.
        with suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)

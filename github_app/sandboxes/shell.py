"""A shell in a running sandbox, beside its job: Modal's exec, which its own `modal shell` uses too."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import modal
import modal.exception

from github_app.errors import SandboxError
from github_app.sandboxes.modal_sandboxes import sandbox_errors
from github_app.sandboxes.scripts import SHELL

# No sandbox lives longer than a day (modal.com/docs/guide/sandbox, "Timeouts").
_LONGEST_LIFE_S = 86_400.0
_DEADLINE_S = 20.0
# Between the end of a sandbox and that of what ran in it, in either order.
_APART_S = 10.0
_KILLED = 137
STDOUT, STDERR = 1, 2

Show = Callable[[int, bytes], None]


@dataclass(frozen=True)
class Greeting:
    """What shell.sh says first: its process inside the sandbox, as which user it runs, and in which folder."""

    process: int
    user: str
    folder: str

    @classmethod
    def read(cls, line: str) -> Self:
        """Read the line.

        Raises:
            ValueError: it is another.
        """
        process, user, folder = line.strip().split(" ", 2)
        return cls(int(process), user, folder)


class RemoteShell:
    """One shell, open in a sandbox."""

    def __init__(
        self,
        sandbox: modal.Sandbox,
        process: "modal.container_process.ContainerProcess[bytes]",
        printed: AsyncIterator[bytes],
    ) -> None:
        self._sandbox = sandbox
        self._process = process
        self._printed = printed
        self._begun = b""
        self._ended = False
        self.greeting = Greeting(0, "", "")

    @classmethod
    async def open(
        cls, sandbox_id: str, *, repository: str, command: str, terminal: bool, client: modal.Client | None = None
    ) -> Self | None:
        """Start a shell, or a command in one, in the folder of a repository; None: the sandbox has ended.

        `terminal`: with one of the size of ours, and of its kind (TERM).

        Raises:
            SandboxError: Modal refused or did not answer.
        """
        async with sandbox_errors(f"opening a shell in sandbox {sandbox_id}"):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=client)
                if await sandbox.poll.aio() is not None:
                    return None
            except modal.exception.NotFoundError:
                return None
            try:
                process = await sandbox.exec.aio(
                    *("/bin/sh", "-c", SHELL, "sh", repository, command), pty=terminal, text=False
                )
                shell = cls(sandbox, process, aiter(process.stdout))
                await shell._greet()
            except modal.exception.Error:
                # Between the two it may have ended.
                if await sandbox.poll.aio() is None:
                    raise
                return None
        return shell

    async def _greet(self) -> None:
        line = b""
        async for piece in self._printed:
            line += piece
            if b"\n" in line:
                break
        line, _, self._begun = line.partition(b"\n")
        try:
            self.greeting = Greeting.read(line.decode(errors="replace"))
        except ValueError:
            told = line.decode(errors="replace") or "nothing"
            raise SandboxError(f"the sandbox opened no shell; it said {told!r}", retryable=False) from None

    async def run(self, show: Show) -> int | None:
        """Hand over what it prints, by descriptor, until it ends; its exit code, or None: its sandbox has ended.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors("following the shell", _LONGEST_LIFE_S):
            shell = asyncio.create_task(self._until_it_ends(show))
            sandbox = asyncio.create_task(self._until_the_sandbox_ends())
            try:
                await asyncio.wait({shell, sandbox}, return_when=asyncio.FIRST_COMPLETED)
                if _broke_off(shell):
                    await asyncio.wait({shell, sandbox}, timeout=_APART_S)
                return None if _succeeded(sandbox) and _broke_off(shell) else await shell
            finally:
                self._ended = _succeeded(shell) or _succeeded(sandbox)
                shell.cancel()
                sandbox.cancel()

    async def _until_it_ends(self, show: Show) -> int:
        await asyncio.gather(self._show_output(show), self._show_errors(show))
        return await self._process.wait.aio()

    async def _show_output(self, show: Show) -> None:
        if self._begun:
            show(STDOUT, self._begun)
        async for piece in self._printed:
            show(STDOUT, piece)

    async def _show_errors(self, show: Show) -> None:
        async for piece in self._process.stderr:
            show(STDERR, piece)

    async def _until_the_sandbox_ends(self) -> None:
        with suppress(modal.exception.SandboxTimeoutError):
            await self._sandbox.wait.aio(raise_on_termination=False)

    async def send(self, data: bytes) -> bool:
        """Write to it, or end its input with nothing; False: it takes no more."""
        if data:
            self._process.stdin.write(data)
        else:
            self._process.stdin.write_eof()
        try:
            await self._process.stdin.drain.aio()
        except modal.exception.Error:
            # It has ended, which its output tells.
            return False
        return bool(data)

    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size, for which Modal's exec has no call: a program of the sandbox sets it.

        Raises:
            SandboxError: Modal did not answer.
        """
        await self._beside(f"stty rows {rows} cols {columns} < /proc/{self.greeting.process}/fd/0")

    async def hang_up(self) -> None:
        """End it as a terminal that is gone does, if it has not ended; else it would go on with its sandbox.

        Raises:
            SandboxError: Modal did not answer.
        """
        if not self._ended:
            process = self.greeting.process
            await self._beside(f"kill -HUP -{process} 2>/dev/null || kill -HUP {process}")

    async def _beside(self, script: str) -> None:
        async with sandbox_errors("speaking to the shell's sandbox", _DEADLINE_S):
            asked = await self._sandbox.exec.aio("/bin/sh", "-c", script, timeout=int(_DEADLINE_S))
            await asked.wait.aio()


def _succeeded(task: asyncio.Task[int] | asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _broke_off(shell: asyncio.Task[int]) -> bool:
    """Tell whether a shell has not ended by itself: what ends with its sandbox is killed, or is not to be heard of."""
    if _succeeded(shell):
        return shell.result() == _KILLED
    return not shell.done() or isinstance(shell.exception(), modal.exception.Error)

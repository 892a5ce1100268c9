"""What a runner's sandbox prints, followed while it runs."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Self

import modal
import modal.exception

from github_app.errors import SandboxError
from github_app.sandboxes.modal_sandboxes import sandbox_errors

# No sandbox lives longer than a day (modal.com/docs/guide/sandbox, "Timeouts").
_LONGEST_LIFE_S = 86_400.0
# A program that never ends its line shows all the same.
_LONGEST_LINE = 65_536


class Console:
    """The console of one running sandbox."""

    def __init__(self, name: str, sandbox: modal.Sandbox) -> None:
        self._name = name
        self._sandbox = sandbox

    @classmethod
    async def of(cls, name: str, sandbox_id: str, client: modal.Client | None = None) -> Self | None:
        """The console of a sandbox that runs; None for one that has ended.

        Raises:
            SandboxError: Modal did not answer.
        """
        async with sandbox_errors(f"looking for sandbox {name!r}"):
            try:
                sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=client)
                return cls(name, sandbox) if await sandbox.poll.aio() is None else None
            except modal.exception.NotFoundError:
                return None

    async def follow(self, tell: Callable[[str], None]) -> None:
        """Hand over each line of what it has printed, as far as Modal keeps it, and prints, until it ends.

        Raises:
            SandboxError: Modal did not answer, or what was printed is no text.
        """
        async with sandbox_errors(f"following sandbox {self._name!r}", _LONGEST_LIFE_S):
            try:
                await asyncio.gather(_lines(self._sandbox.stdout, tell), _lines(self._sandbox.stderr, tell))
            except UnicodeDecodeError as error:
                # The SDK decodes by itself, and strictly.
                raise SandboxError(
                    f"following sandbox {self._name!r}: it has printed what is not UTF-8; `modal-runner logs "
                    f"{self._name}` shows it",
                    retryable=False,
                ) from error


async def _lines(stream: AsyncIterable[str], tell: Callable[[str], None]) -> None:
    begun = ""
    async for piece in stream:
        *lines, begun = (begun + piece).split("\n")
        for line in lines:
            tell(line)
        if len(begun) > _LONGEST_LINE:
            tell(begun)
            begun = ""
    if begun:
        tell(begun)

"""The end of what runners have printed: asked of Modal once for all who look, and not by many at a time."""

import asyncio
from collections import OrderedDict

from github_app.dashboard.keeping import Kept
from github_app.foreign_text import plain
from github_app.sandboxes import ModalSandboxes

_LINES = 40
# A line may be as long as a job likes.
_LONGEST = 64 * 1024
_GOOD_FOR_S = 3.0
_AT_ONCE = 4
_MOST_KEPT = 50


class Tails:
    """Reads them."""

    def __init__(self, sandboxes: ModalSandboxes) -> None:
        self._sandboxes = sandboxes
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._kept: OrderedDict[str, Kept[str]] = OrderedDict()

    async def of(self, runner: str, sandbox_id: str) -> str:
        """The last lines of a runner's sandbox, as text.

        Raises:
            SandboxError: Modal did not answer.
        """
        kept = self._kept.get(sandbox_id)
        if kept is None:
            kept = self._kept[sandbox_id] = Kept(lambda: self._read(runner, sandbox_id), _GOOD_FOR_S)
        self._kept.move_to_end(sandbox_id)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return await kept.get()

    async def _read(self, runner: str, sandbox_id: str) -> str:
        async with self._places:
            printed = await self._sandboxes.output(runner, sandbox_id, _LINES) or ""
        return plain(printed[-_LONGEST:])

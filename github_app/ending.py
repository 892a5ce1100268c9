"""Ending a runner safely. The worst that this software can do is to kill a running job.

GitHub's word alone is not enough: `busy` was seen to read false minutes into a job, and DELETE to go through then. So
a second witness is asked, inside the sandbox, before and after GitHub is told to forget the runner.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Place, RunnerRecord, Witness
from github_app.records import finish_runner
from github_app.store import ModalDictStore

# GitHub may have given the runner a job a moment before the DELETE; its Worker needs a second or two to appear.
WORKER_APPEARS_S = 3.0

_log = structlog.get_logger(__name__)


class Ending(StrEnum):
    """How an attempt to end a runner went."""

    ENDED = "ended"
    WORKS = "works"
    UNSURE = "unsure"


class Runners(Protocol):
    """What ending needs of GitHub."""

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister; a `GitHubError` 422 means busy, 404 unknown."""


class Sandboxes(Protocol):
    """What ending needs of Modal."""

    async def find(self, name: str) -> str | None:
        """Look a running sandbox up by name."""
        ...

    async def witness(self, sandbox_id: str) -> Witness:
        """Look inside."""
        ...

    async def terminate(self, sandbox_id: str) -> None:
        """Kill; nothing happens to one that has ended."""


async def end_safely(
    runner: RunnerRecord,
    *,
    runners: Runners,
    sandboxes: Sandboxes,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Ending:
    """End a runner unless anything says that it works. Takes about five seconds.

    Raises:
        GitHubError, SandboxError: someone did not answer; nothing was ended that should not be.
    """
    if await _look(runner, sandboxes) is Witness.WORKING:
        return _told(runner, Ending.WORKS, "the sandbox runs a job")
    try:
        await runners.remove(runner.place, runner.github_id)
    except GitHubError as error:
        if error.status == 422:
            return _told(runner, Ending.WORKS, "GitHub says that it is busy")
        if error.status != 404:
            raise
        # One 404 proves nothing: GitHub has answered it wrongly. A second, later one does.
        await sleep(WORKER_APPEARS_S)
        if not await _unknown_again(runner, runners):
            return _told(runner, Ending.UNSURE, "GitHub's answers differ")
    else:
        await sleep(WORKER_APPEARS_S)
    if await _look(runner, sandboxes) is Witness.WORKING:
        return _told(runner, Ending.WORKS, "the sandbox has taken a job")
    # By name again: a creation whose answer was late may have brought the sandbox meanwhile.
    sandbox_id = runner.sandbox_id or await sandboxes.find(runner.name)
    if sandbox_id is not None:
        await sandboxes.terminate(sandbox_id)
    return _told(runner, Ending.ENDED, None)


async def _look(runner: RunnerRecord, sandboxes: Sandboxes) -> Witness:
    # An id that is not recorded does not mean that there is no sandbox: names are unique, and lead to it.
    sandbox_id = runner.sandbox_id or await sandboxes.find(runner.name)
    return Witness.GONE if sandbox_id is None else await sandboxes.witness(sandbox_id)


async def _unknown_again(runner: RunnerRecord, runners: Runners) -> bool:
    try:
        await runners.remove(runner.place, runner.github_id)
    except GitHubError as error:
        if error.status in {404, 422}:
            return error.status == 404
        raise
    # The first answer was wrong, and now the runner is deregistered: as good as a first success.
    return True


def _told(runner: RunnerRecord, ending: Ending, reason: str | None) -> Ending:
    _log.info("runner_end", runner=runner.name, sandbox=runner.sandbox_id, outcome=ending.value, reason=reason)
    return ending


class Endings:
    """Ends runners safely, and records those that it has ended."""

    def __init__(self, *, store: ModalDictStore, runners: Runners, sandboxes: Sandboxes, clock: Clock) -> None:
        self._store = store
        self._runners = runners
        self._sandboxes = sandboxes
        self._clock = clock

    async def end(self, runner: RunnerRecord) -> bool:
        """End a runner unless anything says that it works; tell whether it has ended.

        Raises:
            GitHubError, SandboxError, StoreError: someone did not answer; the next sweep tries again.
        """
        ending = await end_safely(runner, runners=self._runners, sandboxes=self._sandboxes, sleep=self._clock.sleep)
        if ending is Ending.ENDED:
            await finish_runner(self._store, runner, self._clock.now())
        return ending is Ending.ENDED

    async def end_sandbox(self, sandbox_id: str) -> bool:
        """End a sandbox that no runner at GitHub stands behind, unless it works; tell whether it has ended.

        Raises:
            SandboxError: Modal did not answer.
        """
        for wait in (WORKER_APPEARS_S, 0.0):
            if await self._sandboxes.witness(sandbox_id) is Witness.WORKING:
                return False
            await self._clock.sleep(wait)
        await self._sandboxes.terminate(sandbox_id)
        return True

"""Ending a runner safely. The worst that this software can do is to kill a running job.

GitHub's word alone is not enough: `busy` was seen to read false minutes into a job, and DELETE to go through then. So
a second witness is asked, inside the sandbox, before and after GitHub is told to forget the runner.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Place, RunnerRecord, RunnerStatus, Witness
from github_app.runners.records import finish_runner
from github_app.runners.write_limit import Deregistration
from github_app.store import ModalDictStore

# GitHub may have given the runner a job a moment before the DELETE; its Worker needs a second or two to appear.
WORKER_APPEARS_S = 3.0
# So long after a runner was registered Modal may not find the sandbox by name that was made for it.
_FOUND_WITHIN_S = 300.0

_log = structlog.get_logger(__name__)


class _Answer(Enum):
    """What came of telling GitHub to forget a runner."""

    REMOVED = "removed"
    UNKNOWN = "unknown"
    WORKS = "works"


class PacedDeregistration(Deregistration, Protocol):
    """The same within GitHub's write limit: a right is paid for, then used."""

    async def pay(self, place: Place) -> None:
        """Wait for the right to one removal; a `GitHubError` when that would take long."""

    async def listed(self, place: Place, name: str, runner_id: int) -> RunnerStatus | None:
        """What GitHub's list says of this runner; None when it is not in there."""
        ...


class SandboxLookup(Protocol):
    """Finds sandboxes at Modal."""

    async def find(self, name: str) -> str | None:
        """Look a running sandbox up by name."""
        ...


class SandboxTermination(SandboxLookup, Protocol):
    """Ends sandboxes."""

    async def terminate(self, sandbox_id: str) -> None:
        """Kill; nothing happens to one that has ended."""


class SandboxEnding(SandboxTermination, Protocol):
    """Looks into sandboxes, and ends them."""

    async def witness(self, sandbox_id: str) -> Witness:
        """Look inside."""
        ...


async def end_safely(
    runner: RunnerRecord,
    *,
    runners: PacedDeregistration,
    sandboxes: SandboxEnding,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    is_new: bool = False,
) -> bool:
    """End a runner unless anything says that it works; tell whether it has ended. Takes about five seconds.

    `is_new`: it was started minutes ago, so that Modal may not find its sandbox by name yet.

    Raises:
        GitHubError, SandboxError: someone did not answer; nothing was ended that should not be.
    """
    answer = await _look_and_remove(runner, runners, sandboxes, is_new=is_new)
    if answer is _Answer.UNKNOWN:
        # One 404 proves nothing: GitHub has answered it wrongly. A second, later one does, where the list agrees.
        await sleep(WORKER_APPEARS_S)
        answer = await _look_and_remove(runner, runners, sandboxes, is_new=is_new)
        if answer is _Answer.UNKNOWN and await runners.listed(runner.place, runner.name, runner.github_id):
            return _told(runner, "GitHub lists a runner whose removal it answered with 404")
    if answer is _Answer.WORKS:
        return False
    # Also where GitHub does not know it twice: the first 404 may have been wrong, and another process may have removed
    # the runner since, right after it was given a job.
    await sleep(WORKER_APPEARS_S)
    if await _look(runner, sandboxes) is Witness.WORKING:
        return _told(runner, "the sandbox has taken a job")
    # By name again: a creation whose answer was late may have brought the sandbox meanwhile.
    sandbox_id = runner.sandbox_id or await sandboxes.find(runner.name)
    if sandbox_id is not None:
        await sandboxes.terminate(sandbox_id)
    _log.info("runner_ended", runner=runner.name, sandbox=runner.sandbox_id)
    return True


async def _look(runner: RunnerRecord, sandboxes: SandboxEnding) -> Witness | None:
    """Look inside; None: no sandbox is known, neither by the record nor to Modal."""
    # An id that is not recorded does not mean that there is no sandbox: names are unique, and lead to it.
    sandbox_id = runner.sandbox_id or await sandboxes.find(runner.name)
    return None if sandbox_id is None else await sandboxes.witness(sandbox_id)


async def _look_and_remove(
    runner: RunnerRecord, runners: PacedDeregistration, sandboxes: SandboxEnding, *, is_new: bool
) -> _Answer:
    # Whatever has to be waited for comes first: between the look and the removal lies no time.
    await runners.pay(runner.place)
    seen = await _look(runner, sandboxes)
    if seen is Witness.WORKING:
        _told(runner, "the sandbox runs a job")
        return _Answer.WORKS
    if seen is None and is_new and await _is_online(runner, runners):
        _told(runner, "Modal knows no sandbox of it, and GitHub says that it is online")
        return _Answer.WORKS
    try:
        await runners.remove(runner.place, runner.github_id)
    except GitHubError as error:
        if error.status == 422:
            _told(runner, "GitHub says that it is busy")
            return _Answer.WORKS
        if error.status == 404:
            return _Answer.UNKNOWN
        raise
    return _Answer.REMOVED


async def _is_online(runner: RunnerRecord, runners: PacedDeregistration) -> bool:
    """Ask the other side where there is nothing to look into yet: an absence proves nothing, and a connection does.

    Not for long: GitHub may list a runner as online for minutes after its sandbox has died.
    """
    listed = await runners.listed(runner.place, runner.name, runner.github_id)
    return listed is not None and (listed.busy or listed.status == "online")


def _told(runner: RunnerRecord, reason: str) -> bool:
    _log.info("runner_left_alone", runner=runner.name, sandbox=runner.sandbox_id, reason=reason)
    return False


class Endings:
    """Ends runners safely, and records those that it has ended."""

    def __init__(
        self, *, store: ModalDictStore, runners: PacedDeregistration, sandboxes: SandboxEnding, clock: Clock
    ) -> None:
        self._store = store
        self._runners = runners
        self._sandboxes = sandboxes
        self._clock = clock

    async def end(self, runner: RunnerRecord) -> bool:
        """End a runner unless anything says that it works or is looked into; tell whether it has ended.

        Raises:
            GitHubError, SandboxError, StoreError: someone did not answer; the next sweep tries again.
        """
        if runner.is_kept(self._clock.now()):
            return _told(runner, "someone looks into its sandbox, or may")
        ended = await end_safely(
            runner,
            runners=self._runners,
            sandboxes=self._sandboxes,
            sleep=self._clock.sleep,
            is_new=self._clock.now() - runner.started_at < _FOUND_WITHIN_S,
        )
        if ended:
            await finish_runner(self._store, runner, self._clock.now())
        return ended

    async def deregister(self, runner: RunnerRecord) -> None:
        """Have GitHub forget a runner whose job is over, whatever goes on in its sandbox.

        Raises:
            GitHubError, StoreError: 422 says that it is busy after all.
        """
        await self._runners.pay(runner.place)
        await self._runners.remove(runner.place, runner.github_id)

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

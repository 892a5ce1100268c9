"""GitHub's write limit, kept to by every process together."""

import asyncio
import uuid
from typing import Protocol

from github_app import retry
from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import JobEvent, Place
from github_app.notes import Chunk
from github_app.store import BUDGET, ModalDictStore

# GitHub allows an installation 900 points a minute, and a write costs five (docs: "Rate limits for the REST API"):
# 180 writes, here in lanes. A lane's writes are made within ten seconds of taking it, and it is free again 70 seconds
# after, so that no minute, wherever it begins, sees more than LANES x WRITES.
LANES = 12
WRITES = 15
GOOD_FOR_S = 10.0
PERIOD_S = 70.0
# What is written with the App's own JWT has a budget of its own.
THE_APP = 0


class WriteBudget:
    """The write limit of each installation, shared lane by lane: keys taken by put-if-absent, as slots are."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._left: dict[int, tuple[int, float]] = {}
        self._closed: dict[int, float] = {}
        self._taking = asyncio.Lock()

    async def spend(self, installation_id: int) -> float | None:
        """Spend one write: None when it may be made now, else the Unix time at which to ask again.

        Raises:
            StoreError: the store did not answer.
        """
        async with self._taking:
            now = self._clock.now()
            if self._closed.get(installation_id, 0.0) > now:
                return self._closed[installation_id]
            left, good_until = self._left.get(installation_id, (0, 0.0))
            if left == 0 or good_until <= now:
                reopens = await self._take_lane(installation_id)
                # GitHub may have told of a limit meanwhile.
                closed = max(reopens or 0.0, self._closed.get(installation_id, 0.0))
                if closed > now:
                    self._closed[installation_id] = closed
                    return closed
                left, good_until = WRITES, now + GOOD_FOR_S
            self._left[installation_id] = (left - 1, good_until)
            return None

    async def wait(self, installation_id: int) -> float | None:
        """Spend one write, and wait a little for it; return the time to ask again when it takes longer.

        Raises:
            StoreError: the store did not answer.
        """
        patience = self._clock.now() + retry.PATIENCE_S
        while (again := await self.spend(installation_id)) is not None:
            if again > patience:
                return again
            await self._clock.sleep(again - self._clock.now())
        return None

    def heed(self, installation_id: int, error: GitHubError) -> None:
        """Stop spending until GitHub's limit is over, when it has told us so."""
        if error.retry_after:
            until = self._clock.now() + error.retry_after
            self._closed[installation_id] = max(until, self._closed.get(installation_id, 0.0))

    async def _take_lane(self, installation_id: int) -> float | None:
        """Take a free lane, or return the time at which one may be free."""
        now = self._clock.now()
        period = int(now // PERIOD_S)
        reopens = (period + 1) * PERIOD_S
        for lane in range(LANES):
            last = await self._store.get(BUDGET, f"{installation_id}/{period - 1}/{lane}")
            if last is not None and last.taken_at + PERIOD_S > now:
                reopens = min(reopens, last.taken_at + PERIOD_S)
                continue
            chunk = Chunk(uuid.uuid4().hex, now)
            if await self._store.put_new(BUDGET, f"{installation_id}/{period}/{lane}", chunk):
                return None
        # Never "now": a clock that stands between two periods must not make a caller spin.
        return max(reopens, now + 1.0)


class Runners(Protocol):
    """What is needed of GitHub."""

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner."""


class PacedRunners:
    """Deregisters runners within the write limit."""

    def __init__(self, runners: Runners, budget: WriteBudget, clock: Clock) -> None:
        self._runners = runners
        self._budget = budget
        self._clock = clock

    async def pay(self, place: Place) -> None:
        """Wait for the right to one removal.

        Raises:
            GitHubError: the write limit leaves no room in the next half minute.
            StoreError: the store did not answer.
        """
        again = await self._budget.wait(place.installation_id)
        if again is not None:
            raise GitHubError(
                "removal of a runner: GitHub's write limit is reached",
                retryable=True,
                retry_after=again - self._clock.now(),
            )

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner, after `pay`.

        Raises:
            GitHubError: as `Runners.remove`.
        """
        try:
            await self._runners.remove(place, runner_id)
        except GitHubError as error:
            self._budget.heed(place.installation_id, error)
            raise


class Notices(Protocol):
    """What is needed of GitHub."""

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell why a job is not served. Never raises."""

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Tell why no more runners are started for a job. Never raises."""


class PacedNotices:
    """Tells of refusals within the write limit; one that finds no room is left to the log."""

    def __init__(self, notices: Notices, budget: WriteBudget) -> None:
        self._notices = notices
        self._budget = budget

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell why a job is not served.

        Raises:
            StoreError: the store did not answer.
        """
        if await self._budget.wait(job.installation_id) is None:
            await self._notices.refused(job, sentence)

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Tell why no more runners are started for a job.

        Raises:
            StoreError: the store did not answer.
        """
        if await self._budget.wait(job.installation_id) is None:
            await self._notices.halted(job, sentence)

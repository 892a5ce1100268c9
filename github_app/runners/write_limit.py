"""GitHub's write limit, kept to by every process together."""

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError, StoreError
from github_app.model import JobEvent, Place, RunnerStatus
from github_app.runners import retry
from github_app.store import BUDGET, TOLD, ModalDictStore
from github_app.store.notes import Lane, NoticeWritten

# GitHub allows an installation 900 points a minute, and a write costs five (docs: "Rate limits for the REST API"):
# 180 writes, here in lanes. A lane's writes are spent within five seconds of taking it, a launch sends its own within
# two more or pays again, and the lane is free again 67 seconds after it was taken: so no minute, wherever it begins,
# sees more than (LANES + NOTICE_LANES) x WRITES. Few writes a lane, so that processes which write side by side leave
# few unused; more lanes would be more trips to take them.
LANES = 43
# For notices alone: whoever can queue jobs that are refused can cause as many as he likes, and launches and removals
# must not wait for them.
NOTICE_LANES = 2
NOTICES = "notices/"
WRITES = 4
GOOD_FOR_S = 5.0
SENT_WITHIN_S = 5.0
PERIOD_S = 60.0 + GOOD_FOR_S + SENT_WITHIN_S
# A notice waits for the lane after the next at most, and only so many do.
_NOTICE_PATIENCE_S = 2 * PERIOD_S
_MOST_WAITING = 50
# What is written with the App's own JWT has a budget of its own.
THE_APP = 0

_log = structlog.get_logger(__name__)


class WriteBudget:
    """The write limit of each installation, shared lane by lane: keys taken by put-if-absent, as slots are."""

    def __init__(self, store: ModalDictStore, clock: Clock, *, lanes: int = LANES, prefix: str = "") -> None:
        """`lanes` of it, under keys that begin with `prefix`."""
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._prefix = prefix
        self._left: dict[int, tuple[int, float]] = {}
        # By installation and lane: the last period in which it was taken, and when, as far as is known here.
        self._known: dict[int, dict[int, tuple[int, float]]] = {}
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

    async def wait(self, installation_id: int, patience_s: float = retry.PATIENCE_S) -> float | None:
        """Spend one write, and wait a little for it; return the time to ask again when it takes longer.

        Raises:
            StoreError: the store did not answer.
        """
        patience = self._clock.now() + patience_s
        while (again := await self.spend(installation_id)) is not None:
            if again > patience:
                return again
            await self._clock.sleep(again - self._clock.now())
        return None

    def give_back(self, installation_id: int, since: float) -> None:
        """Take back a write that was spent after `since` (Unix time) and is not made, where its lane is still held."""
        left, good_until = self._left.get(installation_id, (0, 0.0))
        if since >= good_until - GOOD_FOR_S:
            self._left[installation_id] = (min(left + 1, WRITES), good_until)

    def heed(self, installation_id: int, error: GitHubError) -> None:
        """Stop spending until GitHub's limit is over, when it has told us so."""
        if error.retry_after:
            until = self._clock.now() + error.retry_after
            self._closed[installation_id] = max(until, self._closed.get(installation_id, 0.0))

    def is_closed(self, installation_id: int) -> bool:
        """Tell whether nothing may be written now, by what is known without asking."""
        return self._closed.get(installation_id, 0.0) > self._clock.now()

    async def _take_lane(self, installation_id: int) -> float | None:
        """Take a free lane, or return the time at which one may be free."""
        now = self._clock.now()
        period = int(now // PERIOD_S)
        reopens = (period + 1) * PERIOD_S
        known = self._known.setdefault(installation_id, {})
        for lane in range(self._lanes):
            taken_in, taken_at = known.get(lane, (0, -math.inf))
            if taken_in == period:
                continue
            if taken_at + PERIOD_S > now:
                reopens = min(reopens, taken_at + PERIOD_S)
                continue
            key = f"{self._prefix}{installation_id}/{period}/{lane}"
            last, is_ours = await asyncio.gather(
                self._store.get(BUDGET, f"{self._prefix}{installation_id}/{period - 1}/{lane}"),
                self._store.put_new(BUDGET, key, Lane(uuid.uuid4().hex, now)),
            )
            if last is not None and last.taken_at + PERIOD_S > now:
                # Its writes of the last period still count: it is free for whoever comes after that. One that another
                # has just put will be taken back too.
                if is_ours:
                    await self._store.take(BUDGET, key)
                known[lane] = (period - 1, last.taken_at)
                reopens = min(reopens, last.taken_at + PERIOD_S)
                continue
            # Of another's it is not known when he took it: not to be had in this period is all that counts.
            known[lane] = (period, now if is_ours else -math.inf)
            if is_ours:
                return None
        # Never "now": a clock that stands between two periods must not make a caller spin.
        return max(reopens, now + 1.0)


class Deregistration(Protocol):
    """Has GitHub forget runners."""

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner, at once; a `GitHubError` 422 means busy, 404 unknown."""


class RunnersAtGitHub(Deregistration, Protocol):
    """Has GitHub forget runners, and looks them up."""

    async def named(self, place: Place, name: str) -> list[RunnerStatus]:
        """Look runners up by name."""
        ...


class PacedRunners:
    """Deregisters runners within the write limit."""

    def __init__(self, runners: RunnersAtGitHub, budget: WriteBudget, clock: Clock) -> None:
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

    async def listed(self, place: Place, name: str, runner_id: int) -> RunnerStatus | None:
        """What GitHub's list says of this runner, and not of another of its name; it costs no write.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        return next((found for found in await self._runners.named(place, name) if found.id == runner_id), None)

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner, after `pay`.

        Raises:
            GitHubError: as `Deregistration.remove`.
        """
        try:
            await self._runners.remove(place, runner_id)
        except GitHubError as error:
            self._budget.heed(place.installation_id, error)
            raise


class Notices(Protocol):
    """How the author of a workflow is told; a `GitHubError` says that he was not."""

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell why a job is not served."""

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Tell why no more runners are started for a job."""


class SafeNotices(Notices, Protocol):
    """The same by one that never raises."""


class Permissions(Protocol):
    """What the App may do where it is installed."""

    async def permits(self, installation_id: int, permission: str) -> bool:
        """Tell whether an installation gives the App the right to write something."""
        ...


class PacedNotices:
    """Tells the author of a workflow, once a commit, within a small share of the write limit.

    Never raises: what finds no room, or may not be written, is in the log and the records.
    """

    def __init__(
        self, notices: Notices, *, app: Permissions, store: ModalDictStore, launches: WriteBudget, clock: Clock
    ) -> None:
        """A limit that GitHub tells of while a notice is written closes the budget of `launches` too."""
        self._notices = notices
        self._app = app
        self._store = store
        self._launches = launches
        self._waiting = 0
        self._share = WriteBudget(store, clock, lanes=NOTICE_LANES, prefix=NOTICES)
        self._clock = clock

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell why a job is not served."""
        await self._tell(job, "refused", partial(self._notices.refused, job, sentence))

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Tell why no more runners are started for a job."""
        await self._tell(job, "halted", partial(self._notices.halted, job, sentence))

    async def _tell(self, job: JobEvent, kind: str, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._tell_once(job, kind, write)
        except StoreError as error:
            _log.warning("notice_not_written", job=job.job_id, reason=str(error))

    async def _tell_once(self, job: JobEvent, kind: str, write: Callable[[], Awaitable[None]]) -> None:
        if job.sha is None or not await self._app.permits(job.installation_id, "checks"):
            return
        key, told = f"{job.repository_id}/{job.sha}/{kind}", NoticeWritten(uuid.uuid4().hex, self._clock.now())
        if self._launches.is_closed(job.installation_id) or not await self._store.put_new(TOLD, key, told):
            return
        if not (await self._has_its_turn(job) and await self._written(job, write)):
            # Another job of the commit may be told of instead.
            await self._store.take(TOLD, key)

    async def _has_its_turn(self, job: JobEvent) -> bool:
        if self._waiting >= _MOST_WAITING:
            return False
        self._waiting += 1
        try:
            return await self._share.wait(job.installation_id, _NOTICE_PATIENCE_S) is None
        finally:
            self._waiting -= 1

    async def _written(self, job: JobEvent, write: Callable[[], Awaitable[None]]) -> bool:
        try:
            await write()
        except GitHubError as error:
            self._launches.heed(job.installation_id, error)
            _log.info("check_run_not_written", job=job.job_id, reason=str(error))
            return False
        return True

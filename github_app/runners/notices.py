"""Telling the authors of workflows, within a small share of GitHub's write limit."""

import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError, StoreError
from github_app.model import JobEvent
from github_app.runners.lanes import PERIOD_S, WRITE
from github_app.runners.write_limit import Paid, WriteBudget
from github_app.store import TOLD, ModalDictStore
from github_app.store.notes import NoticeWritten

# Notices have a lane of their own: whoever can queue jobs that are refused can cause as many as he likes, and launches
# and removals must not wait for them.
# Two in about a minute.
NOTICE_POINTS = 2 * WRITE
NOTICES = "notices/"
# A notice waits for some minutes at most, and only so many do.
_PATIENCE_S = 5 * PERIOD_S
_MOST_WAITING = 20

_log = structlog.get_logger(__name__)


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
        self._share = WriteBudget(store, clock, lanes=1, points=NOTICE_POINTS, prefix=NOTICES)
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
            return isinstance(await self._share.wait(job.installation_id, _PATIENCE_S), Paid)
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

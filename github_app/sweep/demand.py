"""Demand as GitHub tells it, within a small share of its rate limit: which jobs are queued, whoever told us or not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Allowance, JobEvent, JobRecord
from github_app.store import ALLOWANCES, ModalDictStore
from github_app.sweep.report import SweepReport
from github_app.wire import Repository

# A tenth of the 5,000 calls an hour that an installation has: 60 at once, and 7.3 a minute after that.
_BURST = 60.0
_PER_MINUTE = 7.3
# A job that nothing was heard of for so long is asked after by itself.
SILENT_FOR_S = 120.0

_log = structlog.get_logger(__name__)
Apply = Callable[[JobEvent], Awaitable[bool]]


class Jobs(Protocol):
    """What is needed of GitHub."""

    def quota_left(self, installation_id: int) -> float:
        """The share of the hourly limit that is left."""
        ...

    async def repositories(self, installation_id: int) -> list[Repository]:
        """The repositories of an installation."""
        ...

    async def job(self, known: JobEvent) -> JobEvent | None:
        """One job, as it is now."""
        ...

    async def open_runs(self, repository: Repository, installation_id: int) -> list[int]:
        """The runs that may hold a queued job; costs two calls."""
        ...

    def jobs_of(self, run_id: int, repository: Repository, installation_id: int) -> AsyncIterator[JobEvent]:
        """The jobs of one run; costs a call for each hundred."""
        ...


class ReadBudget:
    """What the sweep may still read from GitHub for one installation; kept in the store between sweeps."""

    def __init__(self, store: ModalDictStore, installation_id: int, quota_left: float, clock: Clock) -> None:
        self._store = store
        self._quota_left = quota_left
        self._key = str(installation_id)
        self._clock = clock
        self._left = 0.0
        self.position = 0

    async def open(self) -> None:
        """Add what has come in since the last sweep: less as GitHub's quota falls, nothing under a tenth of it."""
        now = self._clock.now()
        known = await self._store.get(ALLOWANCES, self._key)
        self._left = _BURST if known is None else min(_BURST, known.left + (now - known.at) / 60 * self._per_minute)
        self.position = known.position if known else 0

    @property
    def _per_minute(self) -> float:
        if self._quota_left < 0.1:
            return 0.0
        return _PER_MINUTE if self._quota_left > 0.5 else _PER_MINUTE / 3

    async def close(self) -> None:
        """Keep what is left, and where the next sweep goes on."""
        await self._store.put(ALLOWANCES, self._key, Allowance(self._left, self._clock.now(), self.position))

    def spend(self, calls: int = 1) -> bool:
        """Spend so many calls, if they are there."""
        if self._left < calls:
            return False
        self._left -= calls
        return True


class Demand:
    """Reads jobs from GitHub and applies what they say, as if a delivery had said it."""

    def __init__(self, *, jobs: Jobs, apply: Apply, clock: Clock) -> None:
        self._jobs = jobs
        self._apply = apply
        self._clock = clock

    def quota_left(self, installation_id: int) -> float:
        """The share of its hourly limit that an installation still has (0 to 1)."""
        return self._jobs.quota_left(installation_id)

    async def read(
        self,
        installation_id: int,
        records: Mapping[int, JobRecord],
        doubtful: Iterable[JobRecord],
        budget: ReadBudget,
        report: SweepReport,
    ) -> None:
        """Ask after doubtful jobs first, then read the open runs of repositories in turn, as far as `budget` goes.

        Raises:
            GitHubError, StoreError: someone did not answer.
        """
        for record in doubtful:
            if not budget.spend():
                return
            await self.ask(record.event, report)
        if not budget.spend():
            return
        repositories = await self._jobs.repositories(installation_id)
        active = {record.event.repository for record in records.values()}
        repositories.sort(key=lambda each: each.full_name not in active)
        await self._read_in_turn(repositories, installation_id, budget, report)

    async def _read_in_turn(
        self, repositories: list[Repository], installation_id: int, budget: ReadBudget, report: SweepReport
    ) -> None:
        """Begin where the last sweep ended, so that each repository has its turn."""
        count = len(repositories)
        for step in range(count):
            number = (budget.position + step) % count
            if not budget.spend(2):
                budget.position = number
                return
            repository = repositories[number]
            for run_id in await self._jobs.open_runs(repository, installation_id):
                if not budget.spend():
                    budget.position = number
                    return
                async for event in self._jobs.jobs_of(run_id, repository, installation_id):
                    await self._take(event, report)
        budget.position = 0

    async def ask(self, known: JobEvent, report: SweepReport) -> None:
        """Ask after one job. A 404 changes nothing: a job is gone when its run is, and then nobody waits for it."""
        try:
            event = await self._jobs.job(known)
        except GitHubError as error:
            if error.status != 404:
                raise
            _log.warning("job_not_found", job=known.job_id, repo=known.repository)
            return
        if event is not None:
            await self._take(event, report)

    async def _take(self, event: JobEvent, report: SweepReport) -> None:
        report.jobs_read += 1
        if not report.dry_run:
            report.jobs_corrected += await self._apply(event)


def doubtful(records: Mapping[int, JobRecord], ended: frozenset[str], now: float) -> list[JobRecord]:
    """Jobs whose record may be wrong: one whose runner has ended, and the longest silent ones; oldest first."""
    found = [
        record
        for record in records.values()
        if record.runner_name in ended or now - max(record.recorded_at, record.changed_at) > SILENT_FOR_S
    ]
    return sorted(found, key=lambda record: (record.runner_name not in ended, record.changed_at))

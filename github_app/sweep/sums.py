"""Sums over finished jobs, that outlive their records: a day, and all since the beginning.

A job is counted when the sweep forgets its runner, so nothing is written for it while it runs. Of what was counted
last the runners' names are kept beside the sums: a sweep that ends between the two writes costs nothing, and two that
overlap may lose what one of them has counted.
"""

import asyncio
import time

from github_app.clock import Clock
from github_app.jobs.accounts import queued_at, with_its_end, with_jobs, with_totals
from github_app.model import JobRecord, JobState, RunnerRecord
from github_app.store import HISTORY, RUNNERS, SUMS, TOTALS, ModalDictStore
from github_app.store.notes import DaySums, Totals

_DAY_S = 24 * 3600.0
KEPT_DAYS = 400
_TOTALS = "all"


class Accounts:
    """Counts jobs whose runners are forgotten, and keeps the sums from being forgotten."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._leaving: list[RunnerRecord] = []
        self._counted: list[JobRecord] = []

    def leave(self, runner: RunnerRecord) -> None:
        """Take note that a runner's record is to go."""
        self._leaving.append(runner)

    def take_counted(self) -> list[JobRecord]:
        """The jobs that were counted since this was asked last; more than once, where a sweep ended half-way."""
        counted, self._counted = self._counted, []
        return counted

    async def settle(self, *, dry_run: bool) -> None:
        """Count the jobs of the runners that go, and forget these.

        Raises:
            StoreError: the store did not answer; the next sweep counts them.
        """
        leaving, self._leaving = self._leaving, []
        if dry_run:
            return
        jobs_of = await asyncio.gather(*(self._job_of(runner) for runner in leaving))
        batch = [(runner.name, job) for runner, job in zip(leaving, jobs_of, strict=True) if job is not None]
        days: dict[str, list[tuple[str, JobRecord]]] = {}
        for name, job in batch:
            days.setdefault(_day(queued_at(job)), []).append((name, job))
        for day, jobs in sorted(days.items()):
            known = await self._store.get(SUMS, day) or DaySums()
            await self._store.put(SUMS, day, with_jobs(known, jobs))
        if batch:
            known_totals = await self._store.get(TOTALS, _TOTALS) or Totals()
            await self._store.put(TOTALS, _TOTALS, with_totals(known_totals, batch))
        self._counted += [job for _, job in batch]
        await asyncio.gather(*(self._store.take(RUNNERS, runner.name) for runner in leaving))
        await self._touch()

    async def _job_of(self, runner: RunnerRecord) -> JobRecord | None:
        if runner.runs_job is None:
            return None
        job = await self._store.get(HISTORY, str(runner.runs_job))
        named = job is not None and job.ran is not None and job.ran.runner == runner.name
        if job is None or not named or job.state is not JobState.DONE:
            return None
        known = with_its_end(job, runner, self._clock.now())
        if known != job:
            await self._store.put(HISTORY, str(runner.runs_job), known)
        return known

    async def _touch(self) -> None:
        """Read one day of the past: Modal forgets an entry seven days after it was last read or written."""
        minute = int(self._clock.now() // 60)
        days_ago = minute % (KEPT_DAYS + 30)
        day = _day(self._clock.now() - days_ago * _DAY_S)
        if await self._store.get(SUMS, day) is not None and days_ago > KEPT_DAYS:
            await self._store.take(SUMS, day)


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))

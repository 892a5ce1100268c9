"""What the records say, read no more often than every few seconds however many look, and cut to what one may see."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from github_app.clock import Clock
from github_app.dashboard.sight import Sight
from github_app.model import JobRecord, RunnerRecord
from github_app.routing.rules import Rules
from github_app.runners.capacity import IN_ALL, Caps
from github_app.runners.versions import RunnerVersion
from github_app.store import HISTORY, JOBS, SUMS, SWEEPS, ModalDictStore
from github_app.store.notes import DaySums, Swept
from github_app.views.jobs import JobLine, line_of
from github_app.views.status import Records, Status, read_records, status_of

T = TypeVar("T")
_NOW_FOR_S = 2.0
# Whole histories are large: one that is a little old is shown at once, while it is read anew.
_PAST_FOR_S, _PAST_SHOWN_FOR_S = 10.0, 120.0


@dataclass(frozen=True)
class Reading:
    """What is going on at a moment. `jobs` are those that are not over, with what is told of each, by id.

    `kept` are those that have failed, and whose sandboxes are kept for a look.
    """

    at: float
    records: Records
    status: Status
    jobs: Mapping[int, JobLine]
    kept: tuple[JobLine, ...]
    swept: Swept | None


@dataclass(frozen=True)
class Past:
    """What has been: jobs that are over, newest first, each with what is recorded of it; and sums by day of UTC."""

    jobs: tuple[tuple[JobLine, JobRecord], ...]
    sums: Mapping[str, DaySums]


class Readings:
    """Reads for everyone who looks."""

    def __init__(self, store: ModalDictStore, rules: Rules, caps: Caps, version: RunnerVersion, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._caps = caps
        self._version = version
        self._clock = clock
        self._now = _Kept(self._read_now, _NOW_FOR_S)
        self._past = _Kept(self._read_past, _PAST_FOR_S, _PAST_SHOWN_FOR_S)

    async def now(self, sight: Sight) -> Reading:
        """What is going on, as far as one may see it.

        Raises:
            StoreError: the store did not answer.
        """
        return _now_seen(await self._now.get(), sight)

    async def past(self, sight: Sight) -> Past:
        """What has been, as far as one may see it.

        Raises:
            StoreError: the store did not answer.
        """
        past = await self._past.get()
        return Past(
            tuple(each for each in past.jobs if sight.sees(each[0].repository)),
            {
                day: DaySums(tuple(row for row in sums.rows if sight.sees(row.repository)))
                for day, sums in past.sums.items()
            },
        )

    async def job(self, job_id: int, sight: Sight) -> JobRecord | None:
        """What is recorded of a job; None where one may not see it, as where there is none.

        Raises:
            StoreError: the store did not answer.
        """
        key = str(job_id)
        found = (await self._now.get()).records.jobs.get(key)
        # It may have come, or ended, in the last two seconds.
        found = found or await self._store.get(HISTORY, key) or await self._store.get(JOBS, key)
        return found if found is not None and sight.sees(found.event.repository) else None

    def forget(self) -> None:
        """Read anew the next time: something was changed here."""
        self._now.forget()

    async def _read_now(self) -> Reading:
        records, stopped, swept = await asyncio.gather(
            read_records(self._store), self._version.refused(), self._store.get(SWEEPS, "last")
        )
        now = self._clock.now()
        status = status_of(records, self._rules, stopped, now, self._caps)
        lines = {record.event.job_id: line_of(record, records.runners, now) for record in records.jobs.values()}
        return Reading(now, records, status, lines, await self._kept(records, now), swept)

    async def _kept(self, records: Records, now: float) -> tuple[JobLine, ...]:
        jobs = [r.runs_job for r in records.runners.values() if r.debug_until and r.ended_at is None]
        found = await asyncio.gather(*(self._store.get(HISTORY, str(job)) for job in jobs))
        return tuple(line_of(record, records.runners, now) for record in found if record is not None)

    async def _read_past(self) -> Past:
        history, sums = await asyncio.gather(self._store.all(HISTORY), self._store.all(SUMS))
        now = self._clock.now()
        jobs = [(line_of(record, {}, now), record) for record in history.values()]
        jobs.sort(key=lambda each: -(each[0].completed_at or each[0].queued_at or 0.0))
        return Past(tuple(jobs), sums)


def _now_seen(reading: Reading, sight: Sight) -> Reading:
    """Leave out whatever names what one may not see."""
    records, status = reading.records, reading.status
    runners = {name: each for name, each in records.runners.items() if _is_seen(each, reading, sight)}
    seen = replace(
        records,
        jobs={key: each for key, each in records.jobs.items() if sight.sees(each.event.repository)},
        runners=runners,
        refused={key: each for key, each in records.refused.items() if sight.sees(each.repository)},
        parked=records.parked if sight.owned else 0,
    )
    return Reading(
        reading.at,
        seen,
        Status(
            stopped=status.stopped,
            jobs=[job for job in status.jobs if sight.sees(job.repository)],
            runners=[runner for runner in status.runners if runner.name in runners],
            slots={group: taken for group, taken in status.slots.items() if _group_is_seen(group, sight)},
            refused=[each for each in status.refused if sight.sees(each.repository)],
            parked=seen.parked,
            warm=[each for each in status.warm if sight.owns(each.scope.partition("/")[0])],
        ),
        {number: line for number, line in reading.jobs.items() if sight.sees(line.repository)},
        tuple(line for line in reading.kept if sight.sees(line.repository)),
        reading.swept,
    )


def _is_seen(runner: RunnerRecord, reading: Reading, sight: Sight) -> bool:
    """A runner is seen with its job; one whose job is not known any more, by those who own the account."""
    job = reading.records.jobs.get(str(runner.runs_job or runner.started_for))
    if job is not None:
        return sight.sees(job.event.repository)
    return sight.owns(runner.place.scope.owner)


def _group_is_seen(group: str, sight: Sight) -> bool:
    """A cap is a repository's, a profile's, or that of all."""
    return group == IN_ALL or group.startswith("profile:") or sight.sees(group)


class _Kept(Generic[T]):
    """The last answer, for so many seconds, and for `shown_for_s` while the next is read: once for all who wait."""

    def __init__(self, read: Callable[[], Awaitable[T]], good_for_s: float, shown_for_s: float = 0.0) -> None:
        self._read = read
        self._good_for_s = good_for_s
        self._shown_for_s = shown_for_s
        self._found: tuple[float, T] | None = None
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        age = time.monotonic() - self._found[0] if self._found else float("inf")
        if self._found is not None and age < self._good_for_s:
            return self._found[1]
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_anew())
        if self._found is not None and age < self._shown_for_s:
            return self._found[1]
        return await asyncio.shield(self._reading)

    async def _read_anew(self) -> T:
        try:
            found = await self._read()
            self._found = (time.monotonic(), found)
            return found
        finally:
            self._reading = None

    def forget(self) -> None:
        self._found = None

"""What the records say, read no more often than every few seconds however many look, and cut to what one may see."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from github_app.clock import Clock
from github_app.counts import Counted, labels_of
from github_app.dashboard.keeping import Kept
from github_app.dashboard.sight import Sight
from github_app.errors import StoreError
from github_app.foreign_text import short
from github_app.model import JobRecord
from github_app.routing.rules import Rules
from github_app.runners.capacity import Caps
from github_app.runners.versions import RunnerVersion
from github_app.store import HISTORY, JOBS, SUMS, SWEEPS, TALLIES, Kind, ModalDictStore
from github_app.store.notes import DaySums, Swept
from github_app.store.tallies import in_all
from github_app.views.history import read_history
from github_app.views.jobs import JobLine, line_of
from github_app.views.status import NO_CAPS, Records, Status, read_records, status_of

_NOW_FOR_S = 2.0
# Whole histories are large, and nobody waits for what has ended.
_PAST_FOR_S = 10.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reading:
    """What is going on at a moment. `jobs` are those that are not over, with what is told of each, by id.

    `kept` are those that have failed, and whose sandboxes are kept for a look. `quota_left` is the smallest share of
    GitHub's hourly limit that an installation has left.
    """

    at: float
    records: Records
    status: Status
    jobs: Mapping[int, JobLine]
    kept: tuple[JobLine, ...]
    swept: Swept | None
    quota_left: float = 1.0
    caps: Caps = NO_CAPS
    # What sweeps have done since the beginning, by the names of a sweep's report.
    findings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """A job that is over, with what is searched and filtered by: names as they are shown, and all of them as text."""

    line: JobLine
    record: JobRecord
    text: str
    repository: str
    workflow: str


@dataclass(frozen=True)
class Past:
    """What has been: jobs that are over, newest first, and sums by day of UTC."""

    jobs: tuple[Ended, ...]
    sums: Mapping[str, DaySums]


def ended(record: JobRecord, now: float) -> Ended:
    """What is told of a job that is over."""
    line = line_of(record, {}, now)
    text = f"{line.name} {line.repository} {line.workflow or ''} {line.branch or ''} {line.id}".lower()
    return Ended(line, record, text, short(line.repository), short(line.workflow or ""))


class Readings:
    """Reads for everyone who looks."""

    def __init__(self, store: ModalDictStore, rules: Rules, caps: Caps, version: RunnerVersion, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._caps = caps
        self._version = version
        self._clock = clock
        self._now = Kept(self._read_now, _NOW_FOR_S)
        self._past = Kept(self._read_past, _PAST_FOR_S, shows_old=True)

    async def now(self) -> Reading:
        """What is going on, all of it.

        Raises:
            StoreError: the store did not answer.
        """
        return await self._now.get()

    async def past(self, sight: Sight) -> Past:
        """What has been, as far as one may see it.

        Raises:
            StoreError: the store did not answer.
        """
        past = await self._past.get()
        return Past(
            tuple(each for each in past.jobs if sight.sees(each.line.repository)),
            {
                day: DaySums(tuple(row for row in sums.rows if sight.sees(row.repository)))
                for day, sums in past.sums.items()
            },
        )

    async def job(self, job_id: int, sight: Sight) -> JobRecord | None:
        """What is recorded of a job; None where one may not see it, as where there is none, after the same time.

        Raises:
            StoreError: the store did not answer.
        """
        key = str(job_id)
        active = (await self._now.get()).records.jobs.get(key)
        if active is not None and sight.sees(active.event.repository):
            return active
        # It may have come, or ended, in the last two seconds.
        found = await asyncio.gather(self._get(HISTORY, key), self._get(JOBS, key))
        return next((each for each in found if each is not None and sight.sees(each.event.repository)), None)

    async def _get(self, kind: Kind[JobRecord], key: str) -> JobRecord | None:
        """One record; one that cannot be read is told of in the log, and counts as none."""
        try:
            return await self._store.get(kind, key)
        except StoreError as error:
            if error.retryable:
                raise
            _log.error("record_unreadable", reason=str(error))
            return None

    def forget(self) -> None:
        """Read anew the next time: something was changed here."""
        self._now.forget()

    async def _read_now(self) -> Reading:
        records, stopped, swept, tallies = await asyncio.gather(
            read_records(self._store),
            self._version.refused(),
            self._store.get(SWEEPS, "last"),
            self._store.all(TALLIES),
        )
        now = self._clock.now()
        status = status_of(records, self._rules, stopped, now, self._caps)
        lines = {record.event.job_id: line_of(record, records.runners, now) for record in records.jobs.values()}
        tally = in_all(tallies, now)
        left = min((quota.left for quota in tally.quotas.values()), default=1.0)
        counted = ((labels_of(key), number) for key, number in tally.sums.items())
        findings = {labels[1]: number for labels, number in counted if labels[0] == Counted.FINDINGS}
        kept = await self._kept(records, now)
        return Reading(now, records, status, lines, kept, swept, left, self._caps, findings)

    async def _kept(self, records: Records, now: float) -> tuple[JobLine, ...]:
        jobs = [r.runs_job for r in records.runners.values() if r.debug_until and r.ended_at is None]
        found = await asyncio.gather(*(self._get(HISTORY, str(job)) for job in jobs))
        return tuple(line_of(record, records.runners, now) for record in found if record is not None)

    async def _read_past(self) -> Past:
        now = self._clock.now()
        history, sums = await asyncio.gather(read_history(self._store, now), self._store.all(SUMS))
        # Deliveries are taken by the same loop, and a large history takes a while.
        return await asyncio.to_thread(_past_of, history.values(), sums, now)


def _past_of(records: Iterable[JobRecord], sums: Mapping[str, DaySums], now: float) -> Past:
    jobs = [ended(record, now) for record in records]
    jobs.sort(key=lambda each: -(each.line.completed_at or each.line.queued_at or 0.0))
    return Past(tuple(jobs), sums)

"""Demand that GitHub cannot satisfy: when to start no more runners for a job, why, and when to go on.

A job that reads `queued` need not be one that GitHub gives to a runner: its run may be over, and its runner group may
not admit it. Every runner for it costs money and comes to nothing.
"""

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Halt, JobEvent, Place, RunFacts
from github_app.routing.units import as_money, as_time
from github_app.runners.balance import Start, holds
from github_app.runners.claims import Claims
from github_app.runners.notices import SafeNotices
from github_app.runners.second_looks import SECOND_LOOK_S, Suspicions
from github_app.runners.write_limit import WriteBudget
from github_app.store import HALTS, JOBS, ModalDictStore

# So many runners were online for their whole deadline, and the job was given to none.
MOST_UNUSED = 5
# GitHub ends a job that has been queued for longer (docs: "Actions limits").
LONGEST_QUEUED_S = 24 * 3600.0
# GitHub ends a job after a day in the queue, and the halt began some hours into it.
LOOK_AGAIN_S = 3600.0
_RUN_GOOD_FOR_S = 30.0
# In a burst GitHub gives many a job's runner to another that has the same labels, which is no reason to ask.
_PASSED_BY_IN_PEACE = 3
_DOUBT_GOOD_FOR_S = 900.0
_PATIENCE_S = 5.0
_RUN_IS_OVER = "run"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Doubt:
    """An attempt that must not be made: until `again` (Unix time), or until something changes (None)."""

    reason: str
    again: float | None = None


class RunLookup(Protocol):
    """Asks GitHub after runs."""

    async def run_of(self, job: JobEvent) -> RunFacts:
        """What only the record of a job's run tells."""
        ...


class GroupBarriers(Protocol):
    """Asks GitHub about runner groups."""

    async def barriers(self, place: Place, group: int | None, job: JobEvent, path: str | None) -> list[str]:
        """What keeps a group's runners from a job, in sentences."""
        ...


class Halts:
    """Stops launches for jobs that no runner will be given, and lifts that when something has changed."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        runs: RunLookup,
        groups: GroupBarriers,
        notices: SafeNotices,
        claims: Claims,
        suspicions: Suspicions,
        budget: WriteBudget,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runs = runs
        self._groups = groups
        self._notices = notices
        self._claims = claims
        self._suspicions = suspicions
        self._budget = budget
        self._clock = clock
        self._open_runs: dict[int, tuple[float, RunFacts]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def examine(self, start: Start) -> Doubt | None:
        """Say why an attempt must not be made, if so; asks for the run of a job of which something came to nothing.

        Raises:
            StoreError: the store did not answer.
        """
        job, now = start.demand.job, self._clock.now()
        if job.queued_since and now - job.queued_since > LONGEST_QUEUED_S:
            why = "it has been queued for more than the 24 hours after which GitHub itself ends a job"
            return await self._halt(start, f"{why}; cancel it and run it again")
        if start.attempt == 1 or (start.passed_by and start.attempt <= _PASSED_BY_IN_PEACE):
            return None
        run = await self._run(job.event)
        if run is None or run.over is None:
            return None
        # GitHub's API lags behind a re-run: one reading proves nothing, two apart in time do.
        if not await self._suspicions.confirmed(f"run/{job.event.run_id}", good_for=_DOUBT_GOOD_FOR_S):
            return Doubt(f"its run reads as over at GitHub ({run.over}); it is read again", now + SECOND_LOOK_S + 1)
        why = f"its run is over at GitHub ({run.over}), although the job still reads as queued"
        return await self._halt(start, f"{why}: run the workflow again if it is wanted", seen=_RUN_IS_OVER)

    async def unused(self, start: Start, deadline_s: float) -> None:
        """Take note that one more runner was not given the job; after five of them it is halted.

        Raises:
            StoreError: the store did not answer.
        """
        if start.unused < MOST_UNUSED:
            return
        job, group = start.demand.job.event, start.demand.shape.runner_group
        barriers = await self._barriers(job, group)
        why = "; ".join(barriers or []) or (
            "why cannot be seen from here: the job may name a runner group that these runners are not in "
            "(`runs-on: group:`), or GitHub holds it back; cancel it and run it again"
        )
        runners = f"{start.unused} runners were online for {as_time(int(deadline_s))} each"
        await self._halt(start, f"{runners}, and GitHub gave it to none: {why}", seen=_seen(job, barriers))

    async def review(self, queued: Collection[int], *, dry_run: bool) -> None:
        """Ask from time to time whether what halts a job has changed; forget the halts of jobs that are over.

        `queued` are the jobs that were just read as queued, in runs that are not over.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        for key, halt in (await self._store.all(HALTS)).items():
            job = await self._store.get(JOBS, key)
            if dry_run:
                continue
            if job is None or not holds(halt, job):
                await self._store.take(HALTS, key)
            elif halt.seen == _RUN_IS_OVER:
                if job.event.job_id in queued:
                    await self._lift(job.event, "its run is open at GitHub")
            elif now - halt.looked_at > LOOK_AGAIN_S:
                await self._look_again(key, halt, job.event)

    async def _look_again(self, key: str, halt: Halt, job: JobEvent) -> None:
        barriers = await self._barriers(job, halt.runner_group) if halt.seen else None
        if barriers is not None and _seen(job, barriers) != halt.seen:
            await self._lift(job, "what kept its runners from it has changed")
        else:
            await self._store.put(HALTS, key, msgspec.structs.replace(halt, looked_at=self._clock.now()))

    async def _lift(self, job: JobEvent, why: str) -> None:
        _log.info("job_halt_lifted", job=job.job_id, reason=why)
        await self._claims.lift(job.job_id)

    async def _halt(self, start: Start, why: str, *, seen: str = "") -> Doubt:
        """Record that no more runners are started for a job, and tell of it."""
        job, now = start.demand.job.event, self._clock.now()
        cost = f" Its runners have cost about {as_money(start.cost_usd)} so far." if start.cost_usd else ""
        again = f"`modal-runner retry {job.job_id}` tries again"
        reason = f"No more runners are started for this job: {why}.{cost} {again}."
        group = start.demand.shape.runner_group
        await self._store.put(HALTS, str(job.job_id), Halt(now, reason, group, seen, looked_at=now))
        _log.error("job_halted", job=job.job_id, repo=job.repository, reason=reason, cost_usd=round(start.cost_usd, 2))
        # Telling may have to wait for GitHub's write limit, and launches stand behind this.
        telling = asyncio.create_task(self._notices.halted(job, reason))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        return Doubt(reason)

    async def _run(self, job: JobEvent) -> RunFacts | None:
        """The run's record, for all of its jobs; None where GitHub cannot say, or takes its time."""
        now = self._clock.now()
        at, known = self._open_runs.get(job.run_id, (float("-inf"), None))
        if known is not None and now - at < _RUN_GOOD_FOR_S:
            return known
        self._budget.read(job.installation_id)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                known = await self._runs.run_of(job)
        except (GitHubError, TimeoutError) as error:
            _log.warning("run_unreadable", job=job.job_id, reason=str(error))
            return None
        self._open_runs = {run: each for run, each in self._open_runs.items() if now - each[0] < _RUN_GOOD_FOR_S}
        if known.over is None:
            self._open_runs[job.run_id] = (now, known)
        return known

    async def _barriers(self, job: JobEvent, group: int | None) -> list[str] | None:
        """What keeps the job from its runners; None where GitHub cannot say."""
        run = await self._run(job)
        try:
            return await self._groups.barriers(job.place, group, job, run.path if run and run.path else None)
        except GitHubError as error:
            _log.warning("runner_group_unreadable", job=job.job_id, reason=str(error))
            return None


def _seen(job: JobEvent, barriers: list[str] | None) -> str:
    return json.dumps({"barriers": barriers, "private": job.private, "labels": job.labels, "at": str(job.scope)})

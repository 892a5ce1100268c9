"""Demand that GitHub cannot satisfy: when to start no more runners for a job, why, and when to go on.

A job that reads `queued` need not be one that GitHub gives to a runner: its run may be over, and its runner group may
not admit it. Every runner for it costs money and comes to nothing.
"""

import json
from typing import Protocol

import msgspec
import structlog

from github_app import lifecycle
from github_app.balance import Start, holds
from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Halt, JobEvent, JobRecord, Place, RunFacts
from github_app.store import HALTS, JOBS, ModalDictStore
from github_app.units import as_money, as_time

# So many runners were online for their whole deadline, and the job was given to none.
MOST_UNUSED = 5
# GitHub ends a job that has been queued for longer (docs: "Actions limits").
LONGEST_QUEUED_S = 24 * 3600.0
_LOOK_AGAIN_S = 24 * 3600.0
_RUN_GOOD_FOR_S = 30.0

_log = structlog.get_logger(__name__)


class Runs(Protocol):
    """What is needed of GitHub about runs."""

    async def run_of(self, job: JobEvent) -> RunFacts:
        """What only the record of a job's run tells."""
        ...


class Groups(Protocol):
    """What is needed of GitHub about runner groups."""

    async def barriers(self, place: Place, group: int | None, job: JobEvent, path: str) -> list[str]:
        """What keeps a group's runners from a job, in sentences."""
        ...


class Notices(Protocol):
    """How the author of a workflow is told."""

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell why a job is not served."""


class Halts:
    """Stops launches for jobs that no runner will be given, and lifts that when something has changed."""

    def __init__(self, *, store: ModalDictStore, runs: Runs, groups: Groups, notices: Notices, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._groups = groups
        self._notices = notices
        self._clock = clock
        self._known_runs: dict[int, tuple[float, RunFacts]] = {}

    async def examine(self, start: Start) -> str | None:
        """Say why an attempt must not be made, if so; asks for the run before a job's second attempt.

        Raises:
            StoreError: the store did not answer.
        """
        job, now = start.demand.job, self._clock.now()
        if job.queued_since and now - job.queued_since > LONGEST_QUEUED_S:
            why = "it has been queued for more than the 24 hours after which GitHub itself ends a job"
            return await self._halt(start, f"{why}; cancel it and run it again")
        if start.attempt == 1:
            return None
        run = await self._run(job.event)
        if run is not None and run.over is not None:
            why = f"its run is over at GitHub ({run.over}), although the job still reads as queued"
            return await self._halt(start, f"{why}: there is nothing to cancel; run the workflow again if it is wanted")
        return None

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
        said = (
            f"{start.unused} runners were online for {as_time(int(deadline_s))} each, and GitHub gave it to none: {why}"
        )
        await self._halt(start, said, seen=_seen(job, barriers))

    async def review(self, *, dry_run: bool) -> None:
        """Ask once a day whether what halts a job has changed; forget the halts of jobs that are over.

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
            elif now - halt.looked_at > _LOOK_AGAIN_S:
                await self._look_again(key, halt, job)

    async def _look_again(self, key: str, halt: Halt, job: JobRecord) -> None:
        now = self._clock.now()
        barriers = await self._barriers(job.event, halt.runner_group) if halt.seen else None
        if barriers is None or _seen(job.event, barriers) == halt.seen:
            await self._store.put(HALTS, key, msgspec.structs.replace(halt, looked_at=now))
            return
        _log.info("job_halt_lifted", job=job.event.job_id, reason="what kept its runners from it has changed")
        await self._store.put(JOBS, key, lifecycle.urged(job, now))

    async def _halt(self, start: Start, why: str, *, seen: str = "") -> str:
        """Record that no more runners are started for a job, and tell of it."""
        job, now = start.demand.job.event, self._clock.now()
        cost = f" Its runners have cost about {as_money(start.cost_usd)} so far." if start.cost_usd else ""
        reason = (
            f"No more runners are started for this job: {why}.{cost} `modal-runner retry {job.job_id}` tries again."
        )
        group = start.demand.shape.runner_group
        await self._store.put(HALTS, str(job.job_id), Halt(now, reason, group, seen, looked_at=now))
        _log.error("job_halted", job=job.job_id, repo=job.repository, reason=reason, cost_usd=round(start.cost_usd, 2))
        await self._notices.refused(job, reason)
        return reason

    async def _run(self, job: JobEvent) -> RunFacts | None:
        """The run's record, for all of its jobs; None where GitHub cannot say."""
        now = self._clock.now()
        at, known = self._known_runs.get(job.run_id, (float("-inf"), None))
        if known is not None and now - at < _RUN_GOOD_FOR_S:
            return known
        try:
            known = await self._runs.run_of(job)
        except GitHubError as error:
            _log.warning("run_unreadable", job=job.job_id, reason=str(error))
            return None
        self._known_runs = {run: each for run, each in self._known_runs.items() if now - each[0] < _RUN_GOOD_FOR_S}
        self._known_runs[job.run_id] = (now, known)
        return known

    async def _barriers(self, job: JobEvent, group: int | None) -> list[str] | None:
        """What keeps the job from its runners; None where GitHub cannot say."""
        run = await self._run(job)
        try:
            return await self._groups.barriers(job.place, group, job, run.path if run else "")
        except GitHubError as error:
            _log.warning("runner_group_unreadable", job=job.job_id, reason=str(error))
            return None


def _seen(job: JobEvent, barriers: list[str] | None) -> str:
    return json.dumps({"barriers": barriers, "private": job.private, "labels": job.labels, "at": str(job.scope)})

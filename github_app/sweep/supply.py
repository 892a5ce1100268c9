"""The runners that we have records of, compared with what GitHub and Modal say of them.

An absence counts only when two readings apart in time agree on it, or when there is proof: a sandbox's exit code.
"""

import math
from collections.abc import Awaitable, Callable

import structlog

from github_app.clock import Clock
from github_app.model import (
    Claim,
    Hold,
    JobRecord,
    JobState,
    RunnerRecord,
    RunnerState,
    SandboxStatus,
    Waited,
)
from github_app.routing.catalog import usd_per_minute
from github_app.routing.warm import is_seat
from github_app.runners.balance import Demand, Start
from github_app.runners.claims import Claims
from github_app.runners.debugging import debug_until
from github_app.runners.ending import Endings, SandboxTermination
from github_app.runners.halts import Halts
from github_app.runners.records import absent_twice, change_runner, finish_runner, leave_runner
from github_app.runners.settling import Settling
from github_app.runners.versions import EXIT_CODE, RunnerVersion
from github_app.store import HISTORY, JOBS, RUNNERS, ModalDictStore
from github_app.sweep.finished import FinishedRunners
from github_app.sweep.found import RAN_A_JOB, Found
from github_app.sweep.report import SweepReport
from github_app.sweep.waiting import WaitingRunners

ONLINE_DEADLINE_S = 300.0
PICKUP_DEADLINE_S = 300.0
# A runner that ran a job that is none of ours has not died; but somebody pays for each that takes its place.
_LONGEST_AFTER_STRANGE_S = 300.0
# Of so many runners a sweep asks GitHub what they are busy with.
_MOST_TAKEN = 20

_log = structlog.get_logger(__name__)


class Supply:
    """Repairs the records of runners, and ends what nobody stands behind."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        sandboxes: SandboxTermination,
        endings: Endings,
        settling: Settling,
        version: RunnerVersion,
        claims: Claims,
        halts: Halts,
        finished: FinishedRunners,
        ask_job: Callable[[int], Awaitable[JobRecord | None]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._endings = endings
        self._settling = settling
        self._version = version
        self._claims = claims
        self._halts = halts
        self._finished = finished
        self._ask_job = ask_job
        self._clock = clock
        self._waiting = WaitingRunners(claims=claims, version=version, clock=clock)

    async def check_runner(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Bring one record up to what GitHub and Modal say."""
        report.runners_checked += 1
        if runner.vanished_since is not None and runner.sandbox_id in found.running and not report.dry_run:
            await change_runner(self._store, runner.name, vanished_since=None)
        if runner.state is RunnerState.FINISHED:
            await self._finished.check(runner, found, report)
        elif runner.sandbox_id is None:
            await self._check_unborn(runner, found, report)
        elif runner.sandbox_id not in found.running:
            await self._check_absent(runner, found, report)
        elif runner.idle:
            await self._check_idle(runner, found, report)
        elif self._waiting.is_overtime(runner, found) and not report.dry_run:
            _log.warning("job_timed_out", runner=runner.name, job=runner.runs_job, timeout_s=runner.shape.timeout_s)
            await self._sandboxes.terminate(runner.sandbox_id)
        elif runner.runs_job is None:
            await self._check_strange(runner, found, report)
        elif _was_left(runner, found):
            report.orphans_ended += await self._end(runner, report)
        elif runner.runs_job not in found.jobs and not report.dry_run:
            await self._check_left(runner, found, report)

    async def _check_left(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """A runner whose job is over, by an event that did not name it, or is known to nobody any more."""
        job = await self._store.get(HISTORY, str(runner.runs_job))
        if job is not None and job.state is JobState.DONE:
            now = self._clock.now()
            kept = debug_until(runner, job.event.labels, job.conclusion, now)
            await leave_runner(self._store, runner.name, now, debug_until=kept)
        elif await self._store.get(JOBS, str(runner.runs_job)) is None:
            # Gone from GitHub, which may pass, and from there no event of its end may come.
            await self._check_strange(runner, found, report)

    async def _check_unborn(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Follow the trace of a launch that crashed between GitHub's answer and Modal's."""
        # Asked now: since everything was read, GitHub may have taken its time.
        if await self._claims.lives(runner.name):
            return
        sandbox_id = await self._sandboxes.find(runner.name)
        if report.dry_run:
            return
        if sandbox_id is not None:
            report.sandboxes_adopted += 1
            await change_runner(
                self._store, runner.name, RunnerState.STARTED, sandbox_id=sandbox_id, vanished_since=None
            )
        elif runner.state is RunnerState.STARTING:
            report.orphans_ended += await self._end(runner, report)
        elif await self._settling.has_vanished(runner):
            # It took a job before its sandbox was recorded, and that sandbox is gone.
            await self._tell_death(runner, "its sandbox is gone", report)
            await finish_runner(self._store, runner, self._clock.now())

    async def _check_absent(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """A sandbox that is not listed may have ended; its exit code proves it."""
        status = None if report.dry_run else await self._settling.ended(runner)
        if status is None:
            return
        idle = runner.idle
        if idle and is_seat(runner.started_for):
            await self._waiting.ended(runner, status, found)
        elif idle:
            # Its events may have been lost, and it has done its job.
            job = await self._ask_job(runner.started_for)
            current = await self._store.get(RUNNERS, runner.name)
            idle = current is not None and current.idle
            if idle and job is not None and job.state is JobState.QUEUED:
                await self._died(runner, job, status, found, report)
        elif runner.runs_job is not None and runner.runs_job in found.jobs:
            await self._tell_death(runner, f"it ended with {status.exit_code}", report)
        await finish_runner(self._store, runner, self._clock.now())

    async def _tell_death(self, runner: RunnerRecord, how: str, report: SweepReport) -> None:
        """Count a runner that died during its job, unless its job has ended and only its event is late."""
        job = await self._ask_job(runner.runs_job or 0)
        if job is None or job.state is not JobState.RUNNING:
            return
        report.died_during_job += 1
        report.deaths.append(f"{runner.name} during job {runner.runs_job}: {how}")
        _log.error("runner_died_during_job", runner=runner.name, job=runner.runs_job, reason=how)

    async def _is_missing(self, runner: RunnerRecord) -> bool:
        """Tell whether this is the second time, later than the first, that GitHub does not list a runner."""
        return await absent_twice(self._store, runner, "missing_since", self._clock.now())

    async def _died(
        self, runner: RunnerRecord, job: JobRecord, status: SandboxStatus, found: Found, report: SweepReport
    ) -> None:
        if RAN_A_JOB.search(status.output):
            # A short one, between two sweeps, that is likely none of ours.
            report.runners_taken += 1
            reason = f"its runner {runner.name} ran another job, perhaps of a repository where the App is not installed"
            await self._hold(runner, job, Hold.RUNNER_DIED, reason, found, longest_s=_LONGEST_AFTER_STRANGE_S)
            return
        report.sandboxes_died += 1
        if status.exit_code == EXIT_CODE:
            await self._version.refuse(runner.name)
        reason = f"sandbox {runner.sandbox_id} ended with {status.exit_code} before a job: {status.output[-300:]}"
        await self._hold(runner, job, Hold.RUNNER_DIED, reason, found)

    async def _check_idle(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Hold an idle runner to its deadlines; the grace for a job counts from when it was seen online."""
        now = self._clock.now()
        listed = found.github.get(runner.name)
        if runner.place not in found.places:
            return
        was_online = is_seat(runner.started_for) and runner.online_since is not None
        if listed is None or (was_online and listed.status.status == "offline" and not listed.status.busy):
            await self._check_ghost(runner, found, report)
            return
        if runner.missing_since is not None and not report.dry_run:
            await change_runner(self._store, runner.name, missing_since=None)
        if listed.status.busy:
            await self._check_taken(runner, report)
        elif listed.status.status == "online" and runner.online_since is None:
            if not report.dry_run:
                await change_runner(self._store, runner.name, online_since=now)
        elif was_online:
            # It waits, for as long as it may.
            return
        elif runner.online_since is None and now - runner.started_at > ONLINE_DEADLINE_S:
            await self._overdue(runner, Hold.NEVER_ONLINE, "its runner never came online", found, report)
        elif runner.online_since is not None and now - runner.online_since > PICKUP_DEADLINE_S:
            await self._overdue(runner, Hold.NOT_PICKED_UP, _stuck(runner), found, report)

    async def _check_taken(self, runner: RunnerRecord, report: SweepReport) -> None:
        """A runner that is busy, and nobody has told with what.

        It may be a job that is none of ours, of a repository where the App is not installed: GitHub gives a job to any
        runner that has its labels. Then the job that it was started for needs another.
        """
        if report.dry_run or report.runners_taken >= _MOST_TAKEN:
            return
        report.runners_taken += 1
        if not is_seat(runner.started_for):
            await self._ask_job(runner.started_for)
        current = await self._store.get(RUNNERS, runner.name)
        if current is not None and current.idle:
            _log.warning("runner_taken", runner=runner.name, job=runner.started_for)
            await change_runner(self._store, runner.name, RunnerState.BUSY)

    async def _check_strange(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """A runner that was busy with a job of which nothing is known: it is there for one, and ends with it."""
        if report.dry_run or runner.place not in found.places:
            return
        listed = found.github.get(runner.name)
        if listed is None:
            await self._check_ghost(runner, found, report)
        elif not listed.status.busy:
            report.orphans_ended += await self._end(runner, report)

    async def _check_ghost(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """A runner that GitHub does not list, twice and apart in time, whose sandbox idles, is a ghost.

        So is one that waited online, and is not.
        """
        if not report.dry_run and await self._is_missing(runner):
            if is_seat(runner.started_for) and runner.idle:
                await self._waiting.put_off(runner, "GitHub does not list it any more, or as offline", found)
            report.orphans_ended += await self._end(await self._heard(runner), report)

    async def _heard(self, runner: RunnerRecord) -> RunnerRecord:
        """The record of a runner after GitHub was asked for its job, which may have failed without our being told."""
        if not runner.shape.debug_s or is_seat(runner.started_for):
            return runner
        await self._ask_job(runner.runs_job or runner.started_for)
        return await self._store.get(RUNNERS, runner.name) or runner

    async def _overdue(self, runner: RunnerRecord, hold: Hold, reason: str, found: Found, report: SweepReport) -> None:
        if is_seat(runner.started_for):
            if not report.dry_run:
                await self._waiting.put_off(runner, reason, found)
            report.runners_ended += await self._end(runner, report)
            return
        job = None if report.dry_run else await self._ask_job(runner.started_for)
        if job is not None and job.state is JobState.QUEUED:
            # Before the end: from then on a round may start the next attempt.
            await self._hold(runner, job, hold, reason, found)
        report.runners_ended += await self._end(runner, report)

    async def _hold(
        self,
        runner: RunnerRecord,
        job: JobRecord,
        hold: Hold,
        reason: str,
        found: Found,
        *,
        longest_s: float = math.inf,
    ) -> None:
        """Let the job wait before its next attempt, longer each time, and reckon what it has cost."""
        attempt = int(runner.name.rsplit("-", 1)[1])
        claim = found.claims.get(f"{job.event.job_id}-{attempt}") or Claim("", 0.0)
        cost_usd = usd_per_minute(runner.shape) * (self._clock.now() - runner.started_at) / 60
        start = Start(
            Demand(job, runner.shape),
            attempt,
            claim.failures,
            claim.last_hold,
            claim.unused + (hold is Hold.NOT_PICKED_UP),
            claim.cost_usd + cost_usd,
            (*claim.waited, Waited(hold.value, runner.started_at, self._clock.now())),
        )
        await self._claims.put_off(start, hold, reason, longest_s=longest_s)
        if hold is Hold.NOT_PICKED_UP:
            await self._halts.unused(start, PICKUP_DEADLINE_S)

    async def _end(self, runner: RunnerRecord, report: SweepReport) -> bool:
        return True if report.dry_run else await self._endings.end(runner)


def _was_left(runner: RunnerRecord, found: Found) -> bool:
    """Tell whether the job that a runner was said to run is back in GitHub's queue."""
    job = found.jobs.get(runner.runs_job or 0)
    return job is not None and job.state is JobState.QUEUED


def _stuck(runner: RunnerRecord) -> str:
    return (
        f"runner {runner.name} was online and GitHub did not give it the job: it may name another runner group "
        "(`runs-on: group:`), or GitHub holds it back"
    )

"""Runners as GitHub, Modal and our records know them, compared; whatever only one of them knows is ended safely.

An absence counts only when two readings apart in time agree on it, or when there is proof: a sandbox's exit code.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from github_app.balance import CLAIM_IS_STALE_S, Demand, Start
from github_app.claims import Claims
from github_app.clock import Clock
from github_app.ending import Ending, Runners, Sandboxes, end_safely
from github_app.launch import Launcher
from github_app.model import (
    RUNNER_NAME,
    Claim,
    Hold,
    JobRecord,
    JobState,
    Place,
    RunnerRecord,
    RunnerState,
    RunnerStatus,
    SandboxStatus,
    Shape,
    Suspect,
    Witness,
)
from github_app.records import change_runner, finish_runner
from github_app.store import HISTORY, RUNNERS, SUSPECTS, ModalDictStore
from github_app.sweep.report import SweepReport

ONLINE_DEADLINE_S = 300.0
PICKUP_DEADLINE_S = 300.0
# Apart enough for a wrong answer of GitHub's to have passed.
SECOND_LOOK_S = 45.0
# Another deployment's runner may be offline for as long as it waits for a GPU: 21 minutes.
FOREIGN_LOOK_S = 1800.0
# A sandbox ends by itself after its job; one that has not by now hangs.
LINGERS_S = 120.0
# actions/runner ends with 7 when GitHub refuses its version.
VERSION_REFUSED = 7

_log = structlog.get_logger(__name__)


class AllSandboxes(Sandboxes, Protocol):
    """What is needed of Modal."""

    async def find(self, name: str) -> str | None:
        """Look a running sandbox up by name."""
        ...

    async def runner_of(self, sandbox_id: str) -> str | None:
        """The runner's name in a sandbox's tags."""
        ...

    async def status(self, sandbox_id: str) -> SandboxStatus:
        """Whether it has ended, and how."""
        ...


@dataclass(frozen=True)
class Listed:
    """A runner in GitHub's list, with what is needed to speak of it there."""

    status: RunnerStatus
    record: RunnerRecord


@dataclass(frozen=True)
class Found:
    """What everyone says. `github` is keyed by runner name and holds only the places in `places`, read just now."""

    jobs: Mapping[int, JobRecord]
    claims: Mapping[str, Claim]
    runners: Mapping[str, RunnerRecord]
    running: frozenset[str]
    github: Mapping[str, Listed]
    places: frozenset[Place]


class Supply:
    """Repairs the records of runners, and ends what nobody stands behind."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        runners: Runners,
        sandboxes: AllSandboxes,
        launcher: Launcher,
        claims: Claims,
        ask_job: Callable[[int], Awaitable[JobRecord | None]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._runners = runners
        self._sandboxes = sandboxes
        self._launcher = launcher
        self._claims = claims
        self._ask_job = ask_job
        self._clock = clock

    async def check_runner(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Bring one record up to what GitHub and Modal say."""
        report.runners_checked += 1
        if runner.state is RunnerState.FINISHED:
            await self._check_finished(runner, found, report)
        elif runner.sandbox_id is None:
            await self._check_unborn(runner, found, report)
        elif runner.sandbox_id not in found.running:
            await self._check_absent(runner, found, report)
        elif runner.idle:
            await self._check_idle(runner, found, report)

    async def _check_finished(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Forget a finished runner once its sandbox is gone; end a sandbox that lingers."""
        ended_for = self._clock.now() - (runner.finished_at or 0.0)
        if runner.sandbox_id in found.running:
            if ended_for > LINGERS_S and await self._end(runner, report):
                report.orphans_ended += 1
            return
        if ended_for > CLAIM_IS_STALE_S:
            report.records_removed += 1
            if not report.dry_run:
                await self._store.take(RUNNERS, runner.name)

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
            await change_runner(self._store, runner.name, RunnerState.STARTED, sandbox_id=sandbox_id)
        elif runner.state is RunnerState.STARTING and await self._end(runner, report):
            report.orphans_ended += 1

    async def _check_absent(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """A sandbox that is not listed may have ended; its exit code proves it."""
        status = await self._sandboxes.status(runner.sandbox_id or "")
        if status.exit_code is None or report.dry_run:
            return
        idle = runner.idle
        if idle:
            # Its events may have been lost, and it has done its job.
            job = await self._ask_job(runner.started_for)
            current = await self._store.get(RUNNERS, runner.name)
            idle = current is not None and current.idle
            if idle and job is not None and job.state is JobState.QUEUED:
                await self._died(runner, job, status, found, report)
        elif found.jobs.get(runner.runs_job or 0) is not None:
            report.died_during_job += 1
            _log.error("runner_died_during_job", runner=runner.name, job=runner.runs_job, exit_code=status.exit_code)
        await finish_runner(self._store, runner, self._clock.now())

    async def _died(
        self, runner: RunnerRecord, job: JobRecord, status: SandboxStatus, found: Found, report: SweepReport
    ) -> None:
        report.sandboxes_died += 1
        if status.exit_code == VERSION_REFUSED:
            self._launcher.stopped_because = "GitHub refuses the version of actions/runner in the image; redeploy"
            _log.critical("runner_version_refused", runner=runner.name, cure="set RUNNER_VERSION and redeploy")
        reason = f"sandbox {runner.sandbox_id} ended with {status.exit_code} before a job: {status.output[-300:]}"
        await self._hold(runner, job, Hold.RUNNER_DIED, reason, found)

    async def _check_idle(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Hold an idle runner to its deadlines; the grace for a job counts from when it was seen online."""
        now = self._clock.now()
        listed = found.github.get(runner.name)
        if runner.place not in found.places:
            return
        if listed is None:
            await self._check_ghost(runner, report)
            return
        if runner.missing_since is not None and not report.dry_run:
            await change_runner(self._store, runner.name, missing_since=None)
        if listed.status.status == "online" and runner.online_since is None:
            if not report.dry_run:
                await change_runner(self._store, runner.name, online_since=now)
        elif runner.online_since is None and now - runner.started_at > ONLINE_DEADLINE_S:
            await self._overdue(runner, Hold.NEVER_ONLINE, "its runner never came online", found, report)
        elif runner.online_since is not None and now - runner.online_since > PICKUP_DEADLINE_S:
            await self._overdue(runner, Hold.NOT_PICKED_UP, _stuck(runner), found, report)

    async def _check_ghost(self, runner: RunnerRecord, report: SweepReport) -> None:
        """A runner that GitHub does not list, twice and apart in time, whose sandbox idles, is a ghost."""
        now = self._clock.now()
        if runner.missing_since is None:
            if not report.dry_run:
                await change_runner(self._store, runner.name, missing_since=now)
        elif now - runner.missing_since > SECOND_LOOK_S and await self._end(runner, report):
            report.orphans_ended += 1

    async def _overdue(self, runner: RunnerRecord, hold: Hold, reason: str, found: Found, report: SweepReport) -> None:
        job = None if report.dry_run else await self._ask_job(runner.started_for)
        if await self._end(runner, report):
            report.runners_ended += 1
            if job is not None and job.state is JobState.QUEUED:
                await self._hold(runner, job, hold, reason, found)

    async def _hold(self, runner: RunnerRecord, job: JobRecord, hold: Hold, reason: str, found: Found) -> None:
        """Let the job wait before its next attempt, longer each time."""
        attempt = int(runner.name.rsplit("-", 1)[1])
        claim = found.claims.get(f"{job.event.job_id}-{attempt}")
        start = Start(
            Demand(job, runner.shape), attempt, claim.failures if claim else 0, claim.last_hold if claim else None
        )
        await self._claims.put_off(start, hold, reason)

    async def check_sandbox(self, sandbox_id: str, found: Found, report: SweepReport) -> None:
        """Look at a running sandbox that no record names."""
        name = await self._sandboxes.runner_of(sandbox_id)
        if name is None or not RUNNER_NAME.fullmatch(name):
            return
        record = found.runners.get(name)
        if record is not None and record.sandbox_id is None:
            # Its launch is under way, or crashed: then the record leads to it.
            return
        if not await self._suspected(f"sandbox/{sandbox_id}", report):
            return
        listed = found.github.get(name)
        if listed is not None:
            ended = await self._end(_with_sandbox(listed.record, sandbox_id), report)
        else:
            ended = await self._end_unlisted(sandbox_id, report)
        report.orphans_ended += ended

    async def _end_unlisted(self, sandbox_id: str, report: SweepReport) -> bool:
        if report.dry_run or await self._sandboxes.witness(sandbox_id) is not Witness.IDLE:
            return False
        await self._sandboxes.terminate(sandbox_id)
        return True

    async def check_listed(self, listed: Listed, found: Found, report: SweepReport) -> None:
        """Look at a runner of ours at GitHub that no record names, or only one of its end."""
        name = listed.status.name
        record = found.runners.get(name)
        claim = found.claims.get(name.removeprefix("modal-"))
        if record is not None and record.state is not RunnerState.FINISHED:
            return
        if await self._claims.lives(name):
            return
        ours = record is not None or claim is not None or await self._is_our_job(listed.record.started_for, found)
        if not ours and (listed.status.status == "online" or listed.status.busy):
            # Another deployment's, whose runners' names have the same form.
            return
        age = SECOND_LOOK_S if ours else FOREIGN_LOOK_S
        if not await self._suspected(f"runner/{name}/{listed.status.id}", report, age):
            return
        sandbox_id = await self._sandboxes.find(name)
        report.orphans_ended += await self._end(_with_sandbox(listed.record, sandbox_id), report)

    async def _is_our_job(self, job_id: int, found: Found) -> bool:
        return job_id in found.jobs or await self._store.get(HISTORY, str(job_id)) is not None

    async def _suspected(self, key: str, report: SweepReport, age: float = SECOND_LOOK_S) -> bool:
        """Tell whether this is the second look, later than the first."""
        suspect = await self._store.get(SUSPECTS, key)
        if suspect is None:
            if not report.dry_run:
                await self._store.put(SUSPECTS, key, Suspect(self._clock.now()))
            return False
        return self._clock.now() - suspect.first_seen > age

    async def _end(self, runner: RunnerRecord, report: SweepReport) -> bool:
        if report.dry_run:
            return True
        ending = await end_safely(runner, runners=self._runners, sandboxes=self._sandboxes, sleep=self._clock.sleep)
        if ending is Ending.ENDED:
            await finish_runner(self._store, runner, self._clock.now())
        return ending is Ending.ENDED


def record_of(place: Place, status: RunnerStatus) -> RunnerRecord:
    """A record for a runner that has none, to speak of it at GitHub."""
    found = RUNNER_NAME.fullmatch(status.name)
    return RunnerRecord(
        name=status.name,
        started_for=int(found["job_id"]) if found else 0,
        place=place,
        labels=(),
        shape=Shape((0, 0), (0, 0), 0),
        github_id=status.id,
        started_at=0.0,
    )


def _with_sandbox(runner: RunnerRecord, sandbox_id: str | None) -> RunnerRecord:
    return msgspec.structs.replace(runner, sandbox_id=sandbox_id)


def _stuck(runner: RunnerRecord) -> str:
    return (
        f"runner {runner.name} was online and GitHub did not give it the job; if this repeats, the job is stuck at "
        "GitHub: cancel it and run it again"
    )

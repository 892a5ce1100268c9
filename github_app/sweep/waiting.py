"""Runners that wait for jobs, as the sweep finds them: when a seat is filled again, and whose job takes too long."""

from github_app.clock import Clock
from github_app.model import Claim, Hold, JobRecord, JobState, RunnerRecord, SandboxStatus
from github_app.routing.catalog import usd_per_minute
from github_app.routing.warm import is_seat, vacant
from github_app.runners.balance import Demand, Start
from github_app.runners.claims import Claims
from github_app.runners.versions import EXIT_CODE, RunnerVersion
from github_app.sweep.found import RAN_A_JOB, Found

# A runner that waited for so long was worth its start.
_WAITED_LONG_S = 3600.0


class WaitingRunners:
    """Judges runners that have a seat, and no job."""

    def __init__(self, *, claims: Claims, version: RunnerVersion, clock: Clock) -> None:
        self._claims = claims
        self._version = version
        self._clock = clock

    def is_overtime(self, runner: RunnerRecord, found: Found) -> bool:
        """Tell whether a job runs longer than its time, on a runner whose sandbox lives for that and for its waiting.

        Everywhere else it is Modal that ends the sandbox then.
        """
        job = found.jobs.get(runner.runs_job or 0)
        if job is None or job.state is not JobState.RUNNING or job.runner_name != runner.name:
            return False
        if not is_seat(runner.started_for):
            return False
        return self._clock.now() - max(job.recorded_at, job.changed_at) > runner.shape.timeout_s

    async def ended(self, runner: RunnerRecord, status: SandboxStatus, found: Found) -> None:
        """Take note that a runner has ended which waited for a job, as far as is known.

        Raises:
            StoreError: the store did not answer.
        """
        if status.exit_code == EXIT_CODE:
            await self._version.refuse(runner.name)
        if not RAN_A_JOB.search(status.output):
            await self.put_off(runner, f"it ended with {status.exit_code}", found)

    async def put_off(self, runner: RunnerRecord, how: str, found: Found) -> None:
        """Let a seat whose runner got no job stay empty for a while, longer each time that this happens soon.

        GitHub may remove runners from JIT configs that idle for some minutes (actions/runner#4726).

        Raises:
            StoreError: the store did not answer.
        """
        waited_s = self._clock.now() - runner.started_at
        seat_id, attempt = runner.started_for, int(runner.name.rsplit("-", 1)[1])
        claim = found.claims.get(f"{seat_id}-{attempt}") or Claim("", 0.0)
        job = JobRecord(vacant(runner), JobState.QUEUED, runner.started_at)
        in_a_row = waited_s < _WAITED_LONG_S
        start = Start(
            Demand(job, runner.shape),
            attempt,
            claim.failures if in_a_row else 0,
            (claim.hold or claim.last_hold) if in_a_row else None,
            cost_usd=usd_per_minute(runner.shape) * waited_s / 60,
        )
        reason = f"runner {runner.name} waited {waited_s / 60:.0f} minutes for a job, and {how}"
        await self._claims.put_off(start, Hold.WAITED_IN_VAIN, reason)

"""Questions to GitHub after single jobs: nothing is heard of one, it has lost its runner, or it may be over."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from github_app.errors import GitHubError
from github_app.model import RUNNER_NAME, Action, JobEvent, JobRecord, JobState, RunnerRecord, RunnerState
from github_app.runners.second_looks import Suspicions
from github_app.runners.vouching import JobLookup
from github_app.sweep.report import SweepReport

# A queued job that nothing was heard of for so long is asked after by itself: its cancellation may have been lost.
_QUEUED_SILENT_S = 120.0
# A running job is busy; one that is silent for so long may have ended without our being told.
_RUNNING_SILENT_S = 3600.0

_log = structlog.get_logger(__name__)
Apply = Callable[[JobEvent], Awaitable[bool]]
Missing = Callable[[int], Awaitable[bool]]


class JobQuestions:
    """Asks GitHub after jobs, and applies what it says as if a delivery had said it."""

    def __init__(self, *, jobs: JobLookup, apply: Apply, missing: Missing, suspicions: Suspicions) -> None:
        self._jobs = jobs
        self._apply = apply
        self._missing = missing
        self._suspicions = suspicions
        # Jobs that are asked after in this sweep.
        self.doubted: frozenset[int] = frozenset()

    async def ask(self, record: JobRecord, report: SweepReport) -> None:
        """Ask after one job. It is gone when GitHub does not know it twice, apart in time.

        Raises:
            GitHubError: GitHub refused or did not answer.
            StoreError: the store did not answer.
        """
        known = record.event
        try:
            event = await self._jobs.job(known)
        except GitHubError as error:
            if error.status != 404:
                raise
            _log.warning("job_not_found", job=known.job_id, repo=known.repository)
            suspicion = _of_job(known.job_id)
            if await self._suspicions.confirmed(suspicion, dry_run=report.dry_run, sighted_at=record.changed_at):
                await self.is_gone(record, "GitHub does not know it", report)
            return
        await self._suspicions.drop(_of_job(known.job_id), surely=True)
        if event is not None:
            await self.take(event, report)

    async def is_over(self, known: JobEvent, runner_id: int) -> bool | None:
        """Ask whether a job has ended on this runner; None when GitHub does not know it, for the second time in a row.

        Raises:
            GitHubError: GitHub refused or did not answer.
            StoreError: the store did not answer.
        """
        suspicion = f"over/{known.job_id}"
        try:
            event = await self._jobs.job(known)
        except GitHubError as error:
            if error.status != 404:
                raise
            return None if await self._suspicions.confirmed(suspicion) else False
        await self._suspicions.drop(suspicion, surely=True)
        return event is not None and event.action is Action.COMPLETED and event.runner_id in {None, runner_id}

    async def is_gone(self, record: JobRecord, why: str, report: SweepReport) -> None:
        """Wait no longer for a job that GitHub did not know twice, apart in time; should it come back, it is served.

        Raises:
            StoreError: the store did not answer.
        """
        if report.dry_run or await self._missing(record.event.job_id):
            report.gone.append(f"job {record.event.job_id} of {record.event.repository}: {why}")

    async def take(self, event: JobEvent, report: SweepReport) -> None:
        """Apply what GitHub says of a job.

        Raises:
            StoreError: the store did not answer.
        """
        report.jobs_read += 1
        await self._suspicions.drop(_of_job(event.job_id), surely=event.job_id in self.doubted)
        if not report.dry_run:
            report.jobs_corrected += await self._apply(event)


def _of_job(job_id: int) -> str:
    return f"job/{job_id}"


def doubtful(records: Iterable[JobRecord], runners: Mapping[str, RunnerRecord], now: float) -> list[JobRecord]:
    """Jobs whose record may be wrong: queued or running in silence for long, or on a runner of ours that is gone."""
    found = []
    for record in records:
        silent_s = now - max(record.recorded_at, record.changed_at)
        limit = _QUEUED_SILENT_S if record.state is JobState.QUEUED else _RUNNING_SILENT_S
        if silent_s > limit or lost_its_runner(record, runners):
            found.append(record)
    return found


def lost_its_runner(record: JobRecord, runners: Mapping[str, RunnerRecord]) -> bool:
    """Tell whether a job is said to run on a runner of ours that has ended."""
    name = record.runner_name or ""
    if record.state is not JobState.RUNNING or not RUNNER_NAME.fullmatch(name):
        return False
    runner = runners.get(name)
    return runner is None or runner.state is RunnerState.FINISHED

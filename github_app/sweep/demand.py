"""Demand as GitHub tells it, within a small share of its rate limit: which jobs are queued, whoever told us or not."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec
import structlog

from github_app.errors import GitHubError
from github_app.github.jobs import Meter
from github_app.model import RUNNER_NAME, Action, JobEvent, JobRecord, JobState, RunnerRecord, RunnerState
from github_app.sweep.budget import ReadBudget, Spent
from github_app.sweep.report import SweepReport
from github_app.sweep.suspicions import Suspicions
from github_app.wire import Repository

# A queued job that nothing was heard of for so long is asked after by itself: its cancellation may have been lost.
_QUEUED_SILENT_S = 120.0
# A running job is busy; one that is silent for so long may have ended without our being told.
_RUNNING_SILENT_S = 3600.0
# After so many failures in a row GitHub is taken to be down for this installation, until the next sweep.
_FAILURES_IN_A_ROW = 3

_log = structlog.get_logger(__name__)
Apply = Callable[[JobEvent], Awaitable[bool]]


class Jobs(Protocol):
    """What is needed of GitHub."""

    async def repositories(self, installation_id: int, meter: Meter) -> list[Repository]:
        """The repositories of an installation."""
        ...

    async def job(self, known: JobEvent) -> JobEvent | None:
        """One job, as it is now."""
        ...

    async def open_runs(self, repository: Repository, installation_id: int, meter: Meter) -> list[int]:
        """The runs that may hold a queued job, oldest first."""
        ...

    async def jobs_of(self, run_id: int, repository: Repository, installation_id: int, meter: Meter) -> list[JobEvent]:
        """The jobs of one run."""
        ...


class Demand:
    """Reads jobs from GitHub and applies what they say, as if a delivery had said it."""

    def __init__(self, *, jobs: Jobs, apply: Apply, suspicions: Suspicions) -> None:
        self._jobs = jobs
        self._apply = apply
        self._suspicions = suspicions
        self._failures = 0

    async def read(
        self,
        installation_id: int,
        doubtful: Iterable[JobRecord],
        seen: Collection[str],
        budget: ReadBudget,
        report: SweepReport,
    ) -> None:
        """Ask after doubtful jobs with half of what may be read, and with the rest read repositories in turn.

        `seen` names (in lower case) the repositories that had jobs of ours lately: they come first.

        Raises:
            GitHubError: the list of repositories cannot be read, or GitHub fails again and again.
            StoreError: the store did not answer.
        """
        try:
            await self._ask_doubtful(doubtful, budget, report)
            repositories = {
                each.full_name.lower(): each for each in await self._jobs.repositories(installation_id, budget)
            }
            for name in _in_turn([name for name in repositories if name in seen], budget.turn.seen):
                await self._read_repository(repositories[name], installation_id, budget, report)
                budget.turn = msgspec.structs.replace(budget.turn, seen=name)
            for name in _in_turn([name for name in repositories if name not in seen], budget.turn.other):
                await self._read_repository(repositories[name], installation_id, budget, report)
                budget.turn = msgspec.structs.replace(budget.turn, other=name)
        except Spent:
            _log.info("read_budget_spent", installation=installation_id)

    async def _ask_doubtful(self, doubtful: Iterable[JobRecord], budget: ReadBudget, report: SweepReport) -> None:
        by_id = {record.event.job_id: record for record in doubtful}
        for job_id in _in_turn(list(by_id), budget.turn.job)[: budget.half]:
            budget.spend()
            await self._guarded(f"job {job_id}", self.ask(by_id[job_id].event, report), report)
            budget.turn = msgspec.structs.replace(budget.turn, job=job_id)

    async def _read_repository(
        self, repository: Repository, installation_id: int, budget: ReadBudget, report: SweepReport
    ) -> None:
        await self._guarded(
            f"jobs of {repository.full_name}", self._read_runs(repository, installation_id, budget, report), report
        )

    async def _read_runs(
        self, repository: Repository, installation_id: int, budget: ReadBudget, report: SweepReport
    ) -> None:
        """Read the open runs, those first that the last sweep did not come to."""
        name = repository.full_name.lower()
        last = budget.turn.run if budget.turn.unfinished == name else 0
        try:
            for run_id in _in_turn(await self._jobs.open_runs(repository, installation_id, budget), last):
                for event in await self._jobs.jobs_of(run_id, repository, installation_id, budget):
                    await self._take(event, report)
                last = run_id
        except Spent:
            budget.turn = msgspec.structs.replace(budget.turn, unfinished=name, run=last)
            raise

    async def _guarded(self, what: str, work: Awaitable[None], report: SweepReport) -> None:
        """Go on after what concerns one repository or job; give up when it looks like all of GitHub."""
        try:
            await work
        except GitHubError as error:
            report.problems.append(f"{what}: {error}")
            _log.warning("demand_unreadable", what=what, reason=str(error))
            self._failures = self._failures + 1 if error.retryable else 0
            if error.retry_after or self._failures >= _FAILURES_IN_A_ROW:
                self._failures = 0
                raise
        else:
            self._failures = 0

    async def ask(self, known: JobEvent, report: SweepReport) -> None:
        """Ask after one job. It is gone when GitHub does not know it twice, apart in time.

        Raises:
            GitHubError: GitHub refused or did not answer.
            StoreError: the store did not answer.
        """
        suspicion = f"job/{known.job_id}"
        try:
            event = await self._jobs.job(known)
        except GitHubError as error:
            if error.status != 404:
                raise
            _log.warning("job_not_found", job=known.job_id, repo=known.repository)
            if await self._suspicions.confirmed(suspicion, dry_run=report.dry_run):
                gone = msgspec.structs.replace(known, action=Action.COMPLETED, runner_name=None, conclusion="gone")
                await self._take(gone, report)
            return
        await self._suspicions.drop(suspicion)
        if event is not None:
            await self._take(event, report)

    async def _take(self, event: JobEvent, report: SweepReport) -> None:
        report.jobs_read += 1
        if not report.dry_run:
            report.jobs_corrected += await self._apply(event)


Key = TypeVar("Key", int, str)


def _in_turn(keys: Iterable[Key], last: Key) -> list[Key]:
    """Bring keys into an order that begins after `last`, so that each has its turn."""
    ordered = sorted(keys)
    return [key for key in ordered if key > last] + [key for key in ordered if key <= last]


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

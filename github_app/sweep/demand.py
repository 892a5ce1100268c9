"""Demand as GitHub tells it, within a small share of its rate limit: which jobs are queued, whoever told us or not."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec
import structlog

from github_app.errors import GitHubError
from github_app.github.jobs import Meter
from github_app.github.wire import Repository
from github_app.model import RUNNER_NAME, Action, JobEvent, JobRecord, JobState, RunFacts, RunnerRecord, RunnerState
from github_app.runners.second_looks import Suspicions
from github_app.runners.vouching import JobLookup
from github_app.sweep.read_budget import ReadBudget, Spent
from github_app.sweep.report import SweepReport

# A queued job that nothing was heard of for so long is asked after by itself: its cancellation may have been lost.
_QUEUED_SILENT_S = 120.0
# A running job is busy; one that is silent for so long may have ended without our being told.
_RUNNING_SILENT_S = 3600.0
# After so many failures in a row GitHub is taken to be down for this installation, until the next sweep.
_FAILURES_IN_A_ROW = 3

_log = structlog.get_logger(__name__)
Apply = Callable[[JobEvent], Awaitable[bool]]
Missing = Callable[[int], Awaitable[bool]]
# Given an installation and its repositories as they are listed now.
Refresh = Callable[[int, list[Repository]], Awaitable[None]]
# Given an installation and the name of a repository that it does not reach any more.
Forget = Callable[[int, str], Awaitable[None]]


class JobListing(JobLookup, Protocol):
    """Reads what GitHub has queued."""

    async def repositories(self, installation_id: int, page: int, meter: Meter) -> tuple[list[Repository], bool]:
        """A page of the repositories of an installation, and whether there are more."""
        ...

    async def open_runs(
        self, repository: Repository, installation_id: int, page: int, meter: Meter
    ) -> tuple[dict[int, RunFacts], bool]:
        """A page of the runs that may hold a queued job, and whether there are more."""
        ...

    async def jobs_of(self, run_id: int, repository: Repository, installation_id: int, meter: Meter) -> list[JobEvent]:
        """The jobs of one run."""
        ...


class QueueReader:
    """Reads jobs from GitHub and applies what they say, as if a delivery had said it."""

    def __init__(
        self,
        *,
        jobs: JobListing,
        apply: Apply,
        missing: Missing,
        refresh: Refresh,
        forget: Forget,
        suspicions: Suspicions,
    ) -> None:
        self._jobs = jobs
        self._apply = apply
        self._missing = missing
        self._refresh = refresh
        self._forget = forget
        self._suspicions = suspicions
        self._failures = 0
        self._doubted: frozenset[int] = frozenset()
        # Jobs that were read as queued, of runs that are open, since this was emptied last.
        self.queued: set[int] = set()

    async def read(
        self,
        installation_id: int,
        doubtful: Iterable[JobRecord],
        seen: Mapping[str, Repository],
        budget: ReadBudget,
        report: SweepReport,
    ) -> None:
        """Ask after doubtful jobs with half of what may be read, and with the rest read repositories in turn.

        `seen`, by name in lower case, had jobs of ours lately and come first; then a page of all of them.

        Raises:
            GitHubError: the list of repositories cannot be read, or GitHub fails again and again.
            StoreError: the store did not answer.
        """
        try:
            await self._ask_doubtful(doubtful, budget, report)
            for name in _in_turn(seen, budget.position.seen):
                await self._read_repository(seen[name], installation_id, budget, report)
                budget.position = msgspec.structs.replace(budget.position, seen=name)
            page = budget.position.repositories
            listed, more = await self._jobs.repositories(installation_id, page, budget)
            await self._refresh(installation_id, listed)
            others = {each.full_name.lower(): each for each in listed if each.full_name.lower() not in seen}
            for name in [name for name in sorted(others) if name > budget.position.other]:
                await self._read_repository(others[name], installation_id, budget, report)
                budget.position = msgspec.structs.replace(budget.position, other=name)
            budget.position = msgspec.structs.replace(budget.position, repositories=page + 1 if more else 1, other="")
        except Spent:
            _log.info("read_budget_spent", installation=installation_id)

    async def _ask_doubtful(self, doubtful: Iterable[JobRecord], budget: ReadBudget, report: SweepReport) -> None:
        by_id = {record.event.job_id: record for record in doubtful}
        self._doubted = frozenset(by_id)
        for job_id in _in_turn(list(by_id), budget.position.job)[: budget.half]:
            budget.spend()
            await self._guarded(f"job {job_id}", self.ask(by_id[job_id], report), report)
            budget.position = msgspec.structs.replace(budget.position, job=job_id)

    async def _read_repository(
        self, repository: Repository, installation_id: int, budget: ReadBudget, report: SweepReport
    ) -> None:
        await self._guarded(
            f"jobs of {repository.full_name}", self._read_runs(repository, installation_id, budget, report), report
        )

    async def _open_runs(
        self, repository: Repository, installation_id: int, page: int, budget: ReadBudget, report: SweepReport
    ) -> tuple[dict[int, RunFacts], bool]:
        """A page of open runs. A repository that answers 404 twice was deleted, or is listed where it is now."""
        suspicion = f"repository/{installation_id}/{repository.id}"
        try:
            found = await self._jobs.open_runs(repository, installation_id, page, budget)
        except GitHubError as error:
            is_gone = error.status == 404 and await self._suspicions.confirmed(suspicion, dry_run=report.dry_run)
            if is_gone and not report.dry_run:
                await self._forget(installation_id, repository.full_name)
            raise
        await self._suspicions.drop(suspicion)
        return found

    async def _read_runs(
        self, repository: Repository, installation_id: int, budget: ReadBudget, report: SweepReport
    ) -> None:
        """Read the open runs, page by page, from where the last sweep's budget ended."""
        name = repository.full_name.lower()
        resumed = budget.position.unfinished == name
        page, last = (budget.position.runs, budget.position.run) if resumed else (1, 0)
        try:
            more = True
            while more:
                runs, more = await self._open_runs(repository, installation_id, page, budget, report)
                for run_id in [run_id for run_id in sorted(runs) if run_id > last]:
                    for event in await self._jobs.jobs_of(run_id, repository, installation_id, budget):
                        if event.action is Action.QUEUED:
                            self.queued.add(event.job_id)
                        await self._take(msgspec.structs.replace(event, run=runs[run_id]), report)
                    last = run_id
                page, last = page + 1, 0
        except Spent:
            budget.position = msgspec.structs.replace(budget.position, unfinished=name, runs=page, run=last)
            raise
        if resumed:
            budget.position = msgspec.structs.replace(budget.position, unfinished="")

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
            await self._take(event, report)

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

    async def _take(self, event: JobEvent, report: SweepReport) -> None:
        report.jobs_read += 1
        await self._suspicions.drop(_of_job(event.job_id), surely=event.job_id in self._doubted)
        if not report.dry_run:
            report.jobs_corrected += await self._apply(event)


def _of_job(job_id: int) -> str:
    return f"job/{job_id}"


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

"""Demand as GitHub tells it, within a small share of its rate limit: which jobs are queued, whoever told us or not."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeVar

import msgspec
import structlog

from github_app.errors import GitHubError
from github_app.github.jobs import Meter
from github_app.github.wire import Repository
from github_app.model import Action, JobEvent, JobRecord, RunFacts
from github_app.runners.second_looks import Suspicions
from github_app.store.notes import Cut
from github_app.sweep.questions import JobQuestions
from github_app.sweep.read_budget import ReadBudget, Spent
from github_app.sweep.report import SweepReport

# After so many failures in a row GitHub is taken to be down for this installation, until the next sweep.
_FAILURES_IN_A_ROW = 3
_MOST_CUTS = 100

_log = structlog.get_logger(__name__)
T = TypeVar("T")
Key = TypeVar("Key", int, str)
# Given an installation and its repositories as they are listed now.
Refresh = Callable[[int, list[Repository]], Awaitable[None]]
# Given an installation and the name of a repository that it does not reach any more.
Forget = Callable[[int, str], Awaitable[None]]


class _Turn(IntEnum):
    """What a sweep is sure to get a step further with, however little it may read."""

    JOBS = 0
    SEEN = 1
    OTHERS = 2


@dataclass(frozen=True)
class _Errand:
    installation_id: int
    budget: ReadBudget
    report: SweepReport


class JobListing(Protocol):
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
    """Reads the jobs of open runs, and applies what they say, as if a delivery had said it."""

    def __init__(
        self,
        *,
        jobs: JobListing,
        questions: JobQuestions,
        refresh: Refresh,
        forget: Forget,
        suspicions: Suspicions,
    ) -> None:
        self._jobs = jobs
        self._questions = questions
        self._refresh = refresh
        self._forget = forget
        self._suspicions = suspicions
        self._failures = 0
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

        `seen`, by name in lower case, had jobs of ours lately. They and a page of all the others go first by turns,
        and whose turn it is gets a step further however little is left: else the ones would leave the others nothing.

        Raises:
            GitHubError: the list of repositories cannot be read, or GitHub fails again and again.
            StoreError: the store did not answer.
        """
        errand = _Errand(installation_id, budget, report)
        turn, is_spent = budget.position.turn, budget.is_spent
        try:
            # Where launches leave nothing to read with, there is a step all the same.
            with contextlib.suppress(Spent):
                await self._ask_doubtful(doubtful, max(budget.half, turn == _Turn.JOBS), errand)
            budget.begin_step()
            if turn == _Turn.OTHERS:
                await self._read_others(seen, errand)
                await self._read_seen(seen, errand)
            else:
                await self._read_seen(seen, errand)
                await self._read_others(seen, errand)
        except Spent:
            _log.info("read_budget_spent", installation=installation_id)
        finally:
            if not is_spent:
                budget.position = msgspec.structs.replace(budget.position, turn=(turn + 1) % len(_Turn))

    async def _read_seen(self, seen: Mapping[str, Repository], errand: _Errand) -> None:
        budget = errand.budget
        for name in _in_turn(seen, budget.position.seen):
            await self._read_repository(seen[name], "seen", errand)

    async def _read_others(self, seen: Mapping[str, Repository], errand: _Errand) -> None:
        budget = errand.budget
        page = budget.position.repositories
        listed, more = await self._jobs.repositories(errand.installation_id, page, budget)
        await self._refresh(errand.installation_id, listed)
        others = {each.full_name.lower(): each for each in listed if each.full_name.lower() not in seen}
        for name in [name for name in sorted(others) if name > budget.position.other]:
            await self._read_repository(others[name], "other", errand)
        budget.position = msgspec.structs.replace(budget.position, repositories=page + 1 if more else 1, other="")

    async def _ask_doubtful(self, doubtful: Iterable[JobRecord], most: int, errand: _Errand) -> None:
        budget, report = errand.budget, errand.report
        by_id = {record.event.job_id: record for record in doubtful}
        self._questions.doubted = frozenset(by_id)
        for job_id in _in_turn(list(by_id), budget.position.job)[:most]:
            await budget.spend()
            await self._guarded(f"job {job_id}", self._questions.ask(by_id[job_id], report), report)
            budget.position = msgspec.structs.replace(budget.position, job=job_id)

    async def _open_runs(self, repository: Repository, page: int, errand: _Errand) -> tuple[dict[int, RunFacts], bool]:
        """A page of open runs. A repository that answers 404 twice was deleted, or is listed where it is now."""
        installation_id, report = errand.installation_id, errand.report
        suspicion = f"repository/{installation_id}/{repository.id}"
        try:
            found = await self._jobs.open_runs(repository, installation_id, page, errand.budget)
        except GitHubError as error:
            is_gone = error.status == 404 and await self._suspicions.confirmed(suspicion, dry_run=report.dry_run)
            if is_gone and not report.dry_run:
                await self._forget(installation_id, repository.full_name)
            raise
        await self._suspicions.drop(suspicion)
        return found

    async def _read_repository(self, repository: Repository, of: str, errand: _Errand) -> None:
        """Read the open runs, page by page, from where the budget ended when this repository had its last turn.

        A turn is over with the last run, or when the budget ends after at least one; `of` says which repositories'.
        """
        name, budget = repository.full_name.lower(), errand.budget
        began, others = budget.position.cuts.get(name, Cut()), _without(budget.position.cuts, name)
        page, last, more = began.page, began.run, True
        over = {of: name}
        try:
            while more:
                work = self._open_runs(repository, page, errand)
                runs, more = await self._guarded(f"runs of {repository.full_name}", work, errand.report) or ({}, False)
                # What begins meanwhile is left to the next turn: read in the other order, there might be no end.
                for run_id in sorted((each for each in runs if last is None or each < last), reverse=True):
                    run = self._read_run(run_id, runs[run_id], repository, errand)
                    await self._guarded(f"jobs of run {run_id} of {repository.full_name}", run, errand.report)
                    last = run_id
                    budget.end_step()
                page, last = page + 1, None
        except Spent:
            cut = Cut(page, last)
            others[name], over = cut, over if cut != began else {}
            raise
        finally:
            budget.position = msgspec.structs.replace(budget.position, cuts=others, **over)
        budget.end_step()

    async def _read_run(self, run_id: int, facts: RunFacts, repository: Repository, errand: _Errand) -> None:
        for event in await self._jobs.jobs_of(run_id, repository, errand.installation_id, errand.budget):
            if event.action is Action.QUEUED:
                self.queued.add(event.job_id)
            await self._questions.take(msgspec.structs.replace(event, run=facts), errand.report)

    async def _guarded(self, what: str, work: Awaitable[T], report: SweepReport) -> T | None:
        """Go on after what concerns one repository, run or job; give up when it looks like all of GitHub."""
        try:
            done = await work
        except GitHubError as error:
            report.problems.append(f"{what}: {error}")
            _log.warning("demand_unreadable", what=what, reason=str(error))
            self._failures = self._failures + 1 if error.retryable else 0
            if error.retry_after or self._failures >= _FAILURES_IN_A_ROW:
                self._failures = 0
                raise
            return None
        self._failures = 0
        return done


def _without(cuts: Mapping[str, Cut], name: str) -> dict[str, Cut]:
    """The latest cuts but this one; a repository that was renamed leaves its own behind."""
    kept = [(key, cut) for key, cut in cuts.items() if key != name]
    return dict(kept[-_MOST_CUTS:])


def _in_turn(keys: Iterable[Key], last: Key) -> list[Key]:
    """Bring keys into an order that begins after `last`, so that each has its turn."""
    ordered = sorted(keys)
    return [key for key in ordered if key > last] + [key for key in ordered if key <= last]

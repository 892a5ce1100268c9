"""Demand as GitHub tells it: repositories, their runs, the jobs of these."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from githubkit import GitHub, Response

from github_app.errors import GitHubError
from github_app.github.connection import ConditionalCall, Connection, T
from github_app.github.tokens import permissions
from github_app.github.wire import Job, Repository, job_event, unix
from github_app.model import Action, JobEvent, RunFacts

# One token for all that the sweep reads.
_READ = permissions({"actions": "read", "metadata": "read"})
_PAGE = 100
# No list that is read here may go on for ever, whatever a server makes of `page`.
_MOST_PAGES = 100
# A run is looked at while one of its jobs may be queued.
OPEN_RUNS = ("queued", "in_progress")


class Meter(Protocol):
    """What pays for the calls. `spend` raises when nothing is left; `refund` takes one back, for an answer 304."""

    async def spend(self) -> None:
        """Pay for one call."""

    def refund(self) -> None:
        """Take one payment back."""


class Unmetered:
    """Pays for nothing: what a person asks for by hand."""

    async def spend(self) -> None:
        """Nothing."""

    def refund(self) -> None:
        """Nothing."""


class _Repositories(msgspec.Struct):
    repositories: list[Repository]


class _Named(msgspec.Struct):
    full_name: str
    id: int = 0


class _Run(msgspec.Struct):
    id: int
    event: str = ""
    head_repository: _Named | None = None
    repository: _Named | None = None
    path: str = ""
    status: str | None = None
    conclusion: str | None = None

    def facts(self, repository: str) -> RunFacts:
        """What counts of it; the fork of a pull request may be gone."""
        head, own = self.head_repository, self.repository
        if head is None:
            from_fork = self.event.startswith("pull_request")
        elif own is not None and own.id and head.id:
            # A repository that was renamed has two names, and one id.
            from_fork = head.id != own.id
        else:
            from_fork = head.full_name.lower() != repository.lower()
        over = (self.conclusion or self.status) if self.status == "completed" else None
        return RunFacts(self.event, from_fork, self.path, over)


class _Runs(msgspec.Struct):
    workflow_runs: list[_Run]


class _Jobs(msgspec.Struct):
    jobs: list[Job]


_ACTIONS = {"queued": Action.QUEUED, "in_progress": Action.IN_PROGRESS, "completed": Action.COMPLETED}


class Jobs:
    """Reads jobs, one repository at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def quota_left(self, installation_id: int) -> float:
        """The share of its hourly limit that an installation still has (0 to 1)."""
        return self._connection.quota_left(installation_id)

    async def repositories(self, installation_id: int, page: int, meter: Meter) -> tuple[list[Repository], bool]:
        """A page of the repositories that an installation reaches, and whether there are more; costs a call.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """

        async def call(github: GitHub[Any], headers: dict[str, str]) -> Response[Any, Any]:
            return await github.rest.apps.async_list_repos_accessible_to_installation(
                per_page=_PAGE, page=page, headers=headers
            )

        found = await self._read(
            "list of repositories",
            call,
            _Repositories,
            installation_id=installation_id,
            key=f"repositories/{page}",
            meter=meter,
        )
        return found.repositories, len(found.repositories) == _PAGE

    async def job(self, known: JobEvent) -> JobEvent | None:
        """What GitHub says of a job now, as an event; None for a status that changes nothing.

        Raises:
            GitHubError: 404 when it is unknown; one such answer proves nothing.
        """
        job = await self._record(known.repository, known.job_id, known.installation_id)
        action = _ACTIONS.get(job.status)
        if action is None:
            return None
        return msgspec.structs.replace(
            known,
            action=action,
            labels=job.labels or known.labels,
            runner_name=job.runner_name or None,
            runner_id=job.runner_id or None,
            conclusion=job.conclusion,
            started_at=None if action is Action.QUEUED else unix(job.started_at),
            completed_at=unix(job.completed_at),
        )

    async def waits(self, known: JobEvent) -> bool:
        """Tell whether a job waits for an approval of its environment, or for another gate, and is in no queue.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        job = await self._record(known.repository, known.job_id, known.installation_id)
        return job.status == "waiting"

    async def job_in(self, repository: Repository, installation_id: int, job_id: int) -> JobEvent | None:
        """A job that no delivery has told of, as an event; None for a status that is none of ours to act on.

        Raises:
            GitHubError: 404 when it is unknown.
        """
        job = await self._record(repository.full_name, job_id, installation_id)
        action = _ACTIONS.get(job.status)
        return None if action is None else job_event(action, job, repository, installation_id)

    async def _record(self, repository: str, job_id: int, installation_id: int) -> Job:
        owner, repo = repository.split("/")
        return await self._connection.as_installation(
            "job",
            lambda github: github.rest.actions.async_get_job_for_workflow_run(owner, repo, job_id),
            Job,
            installation_id=installation_id,
            permissions=_READ,
        )

    async def run_of(self, job: JobEvent) -> RunFacts:
        """What only the record of a job's run tells; costs a call.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        owner, repo = job.repository.split("/")
        run = await self._connection.as_installation(
            "run",
            lambda github: github.rest.actions.async_get_workflow_run(owner, repo, job.run_id),
            _Run,
            installation_id=job.installation_id,
            permissions=_READ,
        )
        return run.facts(job.repository)

    async def open_runs(
        self, repository: Repository, installation_id: int, page: int, meter: Meter
    ) -> tuple[dict[int, RunFacts], bool]:
        """A page of the runs that may hold a queued job, by id, and whether there are more; costs two calls.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        owner, repo = repository.full_name.split("/")
        seen: dict[int, RunFacts] = {}
        more = False
        for status in OPEN_RUNS:

            async def runs(github: GitHub[Any], headers: dict[str, str], status: Any = status) -> Response[Any, Any]:
                return await github.rest.actions.async_list_workflow_runs_for_repo(
                    owner, repo, status=status, per_page=_PAGE, page=page, headers=headers
                )

            key = f"{repository.full_name}/{status}/{page}"
            found = await self._read("list of runs", runs, _Runs, installation_id=installation_id, key=key, meter=meter)
            seen |= {run.id: run.facts(repository.full_name) for run in found.workflow_runs}
            more = more or len(found.workflow_runs) == _PAGE
        return seen, more

    async def jobs_of(self, run_id: int, repository: Repository, installation_id: int, meter: Meter) -> list[JobEvent]:
        """The jobs of a run's last attempt, as events; costs a call for each hundred.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        owner, repo = repository.full_name.split("/")
        events: list[JobEvent] = []

        async def read(page: int) -> int:
            async def jobs(github: GitHub[Any], headers: dict[str, str]) -> Response[Any, Any]:
                return await github.rest.actions.async_list_jobs_for_workflow_run(
                    owner, repo, run_id, per_page=_PAGE, page=page, headers=headers
                )

            found = await self._read(
                "jobs of a run",
                jobs,
                _Jobs,
                installation_id=installation_id,
                key=f"run/{run_id}/{page}",
                meter=meter,
            )
            events.extend(
                job_event(action, job, repository, installation_id)
                for job in found.jobs
                if (action := _ACTIONS.get(job.status))
            )
            return len(found.jobs)

        try:
            await _pages(read)
        except (ValueError, OverflowError) as error:
            raise GitHubError(f"jobs of a run: an answer that makes no sense ({error})", retryable=False) from None
        return events

    async def _read(
        self, name: str, call: ConditionalCall, answer: type[T], *, installation_id: int, key: str, meter: Meter
    ) -> T:
        await meter.spend()
        found, changed = await self._connection.read_if_changed(
            name, call, answer, installation_id=installation_id, permissions=_READ, key=key
        )
        if not changed:
            meter.refund()
        return found


async def _pages(read: Callable[[int], Awaitable[int]]) -> None:
    """Read page after page until one is not full."""
    for page in range(1, _MOST_PAGES + 1):
        if await read(page) < _PAGE:
            return

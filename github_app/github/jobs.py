"""Demand as GitHub tells it: repositories, their runs, the jobs of these."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from githubkit import GitHub, Response

from github_app.github.connection import Connection
from github_app.github.tokens import permissions
from github_app.model import Action, JobEvent
from github_app.wire import Job, Repository, job_event

# One token for all that the sweep reads.
_READ = permissions({"actions": "read", "metadata": "read"})
_PAGE = 100
# A run is looked at while one of its jobs may be queued.
OPEN_RUNS = ("queued", "in_progress")


class _Repositories(msgspec.Struct):
    repositories: list[Repository]


class _Run(msgspec.Struct):
    id: int


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

    async def repositories(self, installation_id: int) -> list[Repository]:
        """The repositories that an installation reaches.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found: list[Repository] = []
        while True:
            page = len(found) // _PAGE + 1

            async def call(github: GitHub[Any], page: int = page) -> Response[Any, Any]:
                return await github.rest.apps.async_list_repos_accessible_to_installation(per_page=_PAGE, page=page)

            batch = await self._connection.as_installation(
                "list of repositories", call, _Repositories, installation_id=installation_id, permissions=_READ
            )
            found += batch.repositories
            if len(batch.repositories) < _PAGE:
                return found

    async def job(self, known: JobEvent) -> JobEvent | None:
        """What GitHub says of a job now, as an event; None for a status that changes nothing.

        Raises:
            GitHubError: 404 when it is unknown; one such answer proves nothing.
        """
        owner, repo = known.repository.split("/")
        job = await self._connection.as_installation(
            "job",
            lambda github: github.rest.actions.async_get_job_for_workflow_run(owner, repo, known.job_id),
            Job,
            installation_id=known.installation_id,
            permissions=_READ,
        )
        action = _ACTIONS.get(job.status)
        if action is None:
            return None
        return msgspec.structs.replace(
            known, action=action, runner_name=job.runner_name or None, conclusion=job.conclusion
        )

    async def open_runs(self, repository: Repository, installation_id: int) -> list[int]:
        """The runs of a repository that may hold a queued job; costs two calls.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        owner, repo = repository.full_name.split("/")
        seen: dict[int, None] = {}
        for status in OPEN_RUNS:

            async def runs(github: GitHub[Any], headers: dict[str, str], status: Any = status) -> Response[Any, Any]:
                return await github.rest.actions.async_list_workflow_runs_for_repo(
                    owner, repo, status=status, per_page=_PAGE, headers=headers
                )

            found = await self._connection.read_if_changed(
                "list of runs",
                runs,
                _Runs,
                installation_id=installation_id,
                permissions=_READ,
                key=f"{repository.full_name}/{status}",
            )
            seen |= dict.fromkeys(run.id for run in found.workflow_runs)
        return list(seen)

    async def jobs_of(self, run_id: int, repository: Repository, installation_id: int) -> AsyncIterator[JobEvent]:
        """The jobs of a run's last attempt, as events; costs a call for each hundred.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        owner, repo = repository.full_name.split("/")
        page = 0
        while True:
            page += 1

            async def jobs(github: GitHub[Any], headers: dict[str, str], page: int = page) -> Response[Any, Any]:
                return await github.rest.actions.async_list_jobs_for_workflow_run(
                    owner, repo, run_id, per_page=_PAGE, page=page, headers=headers
                )

            found = await self._connection.read_if_changed(
                "jobs of a run",
                jobs,
                _Jobs,
                installation_id=installation_id,
                permissions=_READ,
                key=f"{run_id}/{page}",
            )
            for job in found.jobs:
                if action := _ACTIONS.get(job.status):
                    yield job_event(action, job, repository, installation_id)
            if len(found.jobs) < _PAGE:
                return

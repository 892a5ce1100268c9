"""Jobs and repositories in GitHub's JSON, the same in deliveries and in the REST API, cut to what is used."""

from datetime import datetime
from typing import Annotated

import msgspec

from github_app.model import FIRST_SEAT, Action, JobEvent, Scope

# Names become parts of URLs, which githubkit does not escape: so neither `..` nor a line's end.
Name = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9._-]+\Z")]
FullName = Annotated[
    str, msgspec.Meta(pattern=r"^(?!\.{1,2}/)[A-Za-z0-9._-]+/(?!\.{1,2}\Z)[A-Za-z0-9._-]+\Z", max_length=200)
]
# What is above is a seat of ours and no job of GitHub's (routing/warm.py): nobody outside may name one.
Id = Annotated[int, msgspec.Meta(ge=1, lt=FIRST_SEAT)]


class Job(msgspec.Struct):
    """A workflow job. `status` is read from the REST API alone: in a delivery the action says more."""

    id: Id
    run_id: Id
    labels: tuple[str, ...]
    status: str = ""
    name: str = ""
    run_attempt: int = 1
    conclusion: str | None = None
    created_at: datetime | None = None
    # In some of GitHub's descriptions these are any text; nothing but reports hangs on them.
    started_at: object = None
    completed_at: object = None
    runner_name: str | None = None
    runner_id: int | None = None
    workflow_name: str | None = None
    head_branch: str | None = None
    head_sha: str | None = None


class Owner(msgspec.Struct):
    """The account that a repository belongs to."""

    login: Name
    type: str = "User"


class Repository(msgspec.Struct):
    """A repository."""

    id: Id
    name: Name
    full_name: FullName
    owner: Owner
    private: bool
    forks_count: int = 0
    default_branch: str | None = None


def job_event(
    action: Action, job: Job, repository: Repository, installation_id: int, *, of_organization: bool = False
) -> JobEvent:
    """Say in our words what happened to a job.

    Raises:
        ValueError, OverflowError: its time has no Unix time.
    """
    personal = repository.owner.type == "User" and not of_organization
    return JobEvent(
        action=action,
        job_id=job.id,
        run_id=job.run_id,
        run_attempt=job.run_attempt,
        job_name=job.name,
        labels=job.labels,
        repository=repository.full_name,
        repository_id=repository.id,
        private=repository.private,
        scope=Scope(repository.owner.login, repository.name if personal else None),
        installation_id=installation_id,
        queued_at=job.created_at.timestamp() if job.created_at else None,
        started_at=None if action is Action.QUEUED else unix(job.started_at),
        completed_at=unix(job.completed_at),
        runner_name=job.runner_name or None,
        runner_id=job.runner_id or None,
        conclusion=job.conclusion,
        workflow=job.workflow_name,
        branch=job.head_branch,
        sha=job.head_sha,
        default_branch=repository.default_branch,
        forked=repository.forks_count > 0,
    )


def unix(written: object) -> float | None:
    """A time of GitHub's in Unix seconds; what is no time, or has none, like the year 1, is none."""
    try:
        at = datetime.fromisoformat(written).timestamp() if isinstance(written, str) else 0.0
    except (ValueError, OverflowError, OSError):
        return None
    return at if at > 0 else None


def renewed_place(event: JobEvent, repository: Repository) -> JobEvent:
    """The same job in its repository as it is now: of another name or owner, public or private."""
    scope = Scope(repository.owner.login, repository.name if event.scope.repo else None)
    return msgspec.structs.replace(event, repository=repository.full_name, private=repository.private, scope=scope)


def repository_of(event: JobEvent) -> Repository:
    """The repository of a job that we know."""
    owner, name = event.repository.split("/")
    kind = "User" if event.scope.repo else "Organization"
    return Repository(
        event.repository_id,
        name,
        event.repository,
        Owner(owner, kind),
        event.private,
        default_branch=event.default_branch,
    )

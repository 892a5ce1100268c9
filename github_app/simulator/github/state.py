"""What the simulated GitHub knows: accounts, repositories, Apps, runners, runs, jobs, deliveries."""

import asyncio
import itertools
import math
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from github_app.simulator.github.commit import Commit
from github_app.simulator.workflow import JobInstance, Run


@dataclass(eq=False)
class Account:
    """An organisation or a user."""

    id: int
    login: str
    kind: str = "Organization"
    # Whether the person at the browser may register and install Apps here.
    owned: bool = True


@dataclass(eq=False)
class Repository:
    """A repository and the files of its one commit."""

    id: int
    owner: Account
    name: str
    private: bool = True
    files: Mapping[str, bytes] = field(default_factory=dict)
    commit: Commit = field(default_factory=Commit)
    forks: int = 0

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"


@dataclass(eq=False)
class App:
    """A GitHub App as its manifest made it."""

    id: int
    owner: Account
    name: str
    slug: str
    client_id: str
    public_key: RSAPublicKey
    webhook_secret: str
    hook_url: str
    permissions: dict[str, str]
    events: list[str]
    external_url: str
    created_at: float
    client_secrets: list[str] = field(default_factory=list)
    callback_urls: list[str] = field(default_factory=list)
    request_oauth_on_install: bool = False


@dataclass(eq=False)
class Installation:
    """An App on an account, with all of its repositories or with chosen ones (`selected`)."""

    id: int
    app: App
    account: Account
    created_at: float
    suspended_at: float | None = None
    # What its owner has agreed to; None: all that the App asks for.
    granted: dict[str, str] | None = None
    selected: list[Repository] | None = None

    def reaches(self, repository: Repository) -> bool:
        """Whether the App may see a repository, and is told what happens there."""
        return repository.owner is self.account and (self.selected is None or repository in self.selected)

    @property
    def permissions(self) -> dict[str, str]:
        """What its tokens may have."""
        return self.app.permissions if self.granted is None else self.granted


@dataclass(eq=False)
class InstallationToken:
    """A token of one hour. `permissions` may be fewer than the installation's, `repositories` not all (None)."""

    installation: Installation
    permissions: dict[str, str]
    expires_at: float
    repositories: list[Repository] | None = None


@dataclass(eq=False)
class RunnerGroup:
    """A runner group of an organisation."""

    id: int
    name: str
    default: bool
    # GitHub's default too (docs: "Managing access to self-hosted runners using groups").
    allows_public_repositories: bool = False
    # The repositories that it admits; None: all of the organisation.
    selected: "list[Repository] | None" = None
    # The workflow files that it admits, as `owner/repo/path@ref`; None: all.
    workflows: "list[str] | None" = None


@dataclass(eq=False)
class Runner:
    """A just-in-time runner; `home` is the organisation or the repository that it belongs to."""

    id: int
    name: str
    labels: tuple[str, ...]
    home: Account | Repository
    group: RunnerGroup
    secret: str
    conduct: str | None = None
    online: bool = False
    # It waits for a job at this moment, and can be given one.
    waiting: bool = False
    job: "Job | None" = None
    # What the API tells, which may lag behind `job`.
    busy: bool = False
    # Its Runner.Worker is there.
    works: bool = False
    created_at: float = 0.0
    heard_at: float = 0.0
    removed_at: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class WorkflowRun:
    """One run of a workflow file."""

    id: int
    number: int
    repository: Repository
    plan: Run
    context: Mapping[str, object]
    path: str
    name: str
    sha: str
    created_at: float
    attempt: int = 1
    status: str = "queued"
    conclusion: str | None = None
    updated_at: float = 0.0
    jobs: "list[Job]" = field(default_factory=list)
    # Seconds that each job takes, by its name, where nothing is to be run for real.
    lengths: Mapping[str, float] | None = None
    event: str = "push"
    head_branch: str = "main"
    # Why it was cancelled before it began.
    note: str | None = None
    # Where its code comes from, when that is a fork.
    fork: Repository | None = None
    # Names of the jobs whose environment waits for a person's approval.
    gated: frozenset[str] = frozenset()

    def status_at(self, moment: float) -> str:
        """Its status then; it was created before."""
        return "in_progress" if self.status == "completed" and self.updated_at > moment else self.status


@dataclass(eq=False)
class CheckRun:
    """A check run on a commit."""

    id: int
    app: App
    repository: Repository
    sha: str
    name: str
    status: str
    conclusion: str | None
    title: str
    summary: str
    external_id: str


@dataclass(eq=False)
class Job:
    """One job of a run."""

    id: int
    run: WorkflowRun
    instance: JobInstance
    created_at: float
    # Of the run, when it was queued.
    attempt: int = 1
    status: str = "queued"
    conclusion: str | None = None
    started_at: float | None = None
    completed_at: float | None = None
    runner: Runner | None = None
    cancel_asked: bool = False
    log: list[str] = field(default_factory=list)

    def status_at(self, moment: float) -> str:
        """Its status then; it was created before."""
        if self.completed_at is not None and self.completed_at <= moment:
            return "completed"
        if self.started_at is not None and self.started_at <= moment:
            return "in_progress"
        return "waiting" if self.status == "waiting" else "queued"


@dataclass(eq=False)
class Delivery:
    """One try to hand a webhook over. Redeliveries are deliveries of their own with the same GUID."""

    id: int
    guid: str
    app: App
    installation: Installation | None
    event: str
    payload: dict[str, Any]
    repository_id: int | None
    delivered_at: float
    redelivery: bool = False
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    request_headers: dict[str, str] = field(default_factory=dict)
    response: str = ""


class World:
    """Everything, found by id or name. Ids are unique over all kinds, as on GitHub nothing may rely on their order."""

    def __init__(self) -> None:
        self._ids: Iterator[int] = itertools.count(1_000_001)
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[str, Repository] = {}
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, InstallationToken] = {}
        self.groups: dict[str, list[RunnerGroup]] = {}
        self.runners: dict[int, Runner] = {}
        # Those that are deregistered too: one that was while it worked still ends its job.
        self.all_runners: dict[int, Runner] = {}
        self.runs: dict[int, WorkflowRun] = {}
        self.jobs: dict[int, Job] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.check_runs: dict[int, CheckRun] = {}

    def new_id(self) -> int:
        """Return an id that nothing else has."""
        return next(self._ids)

    def add_account(self, login: str, kind: str = "Organization") -> Account:
        """Create an organisation (with its default runner group) or a user."""
        account = self.accounts[login.lower()] = Account(self.new_id(), login, kind)
        self.groups[login.lower()] = [RunnerGroup(1, "Default", default=True)]
        return account

    def add_repository(self, owner: Account, name: str, *, private: bool = True) -> Repository:
        """Create a repository."""
        repository = Repository(self.new_id(), owner, name, private)
        self.repositories[repository.full_name.lower()] = repository
        return repository

    def move_repository(self, repository: Repository, owner: Account, name: str) -> None:
        """Rename a repository, or transfer it. Its old name leads nowhere here."""
        del self.repositories[repository.full_name.lower()]
        repository.owner, repository.name = owner, name
        self.repositories[repository.full_name.lower()] = repository

    def add_runner(self, name: str, labels: tuple[str, ...], home: Account | Repository, group: RunnerGroup) -> Runner:
        """Register a runner that has not connected yet."""
        runner = Runner(self.new_id(), name, labels, home, group, secrets.token_urlsafe(32))
        self.runners[runner.id] = self.all_runners[runner.id] = runner
        return runner

    def runners_of(self, home: Account | Repository) -> list[Runner]:
        """The runners that are registered at one organisation or repository."""
        return [runner for runner in self.runners.values() if runner.home is home]

    def runners_at(self, home: Account | Repository, moment: float) -> list[Runner]:
        """Those that were registered there at a moment."""
        return [
            runner
            for runner in self.all_runners.values()
            if runner.home is home and runner.created_at <= moment < (runner.removed_at or math.inf)
        ]

    def installations_for(self, repository: Repository) -> list[Installation]:
        """The installations that are told what happens in a repository."""
        return [i for i in self.installations.values() if i.reaches(repository) and i.suspended_at is None]

"""GitHub in a simulation: accounts, the App on them, pushes, what people do to jobs, repositories, installations."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from github_app.github.manifest import load_manifest
from github_app.simulate.deployment import ORIGIN, WEBHOOK_SECRET, app_key
from github_app.simulate.loop import SeededLoop
from github_app.simulate.outcome import Outcomes
from github_app.simulate.plan import ANOTHER, KINDS_OF_ACCOUNTS, REPOSITORIES, STRANGE, Plan, PlannedJob, PlannedRun
from github_app.simulate.wire import WireToApp
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import App, Installation, Job, Repository

_PATH = ".github/workflows/simulated.yml"
_LEASE_S = 600.0
# GitHub was seen to remove runners that idled for two to six minutes.
_IDLES_S = 120.0


class GitHubSide:
    """The site with what is on it, by the plan."""

    def __init__(
        self, plan: Plan, loop: SeededLoop, outcomes: Outcomes, wire: WireToApp, tell: Callable[[str, str], None]
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._outcomes = outcomes
        self._tell = tell
        self.site = Site("http://github.invalid", lambda: ORIGIN + loop.time(), _real_time, deliver_by=wire)
        self._app = self._registered()
        # By the names in the plan, which a repository may have lost since.
        self._repositories: dict[str, Repository] = {}
        self._installations: dict[str, Installation] = {}
        # What people are still going to do.
        self._intentions = 0
        self.site.webhooks.targets = [f"http://web{number}/webhook" for number in range(plan.containers)]
        self.site.inject(outcomes)
        self.site.deletes_by_flag = outcomes.wants("github-deletes-busy")
        outcomes.tokens = self.site.world.tokens
        outcomes.sends = self._sends

    def install(self) -> None:
        """Make the accounts, and install the App on each."""
        for login in self._plan.accounts:
            self._add_account(login)

    def _registered(self) -> App:
        manifest = load_manifest()
        app = App(
            id=1,
            owner=self.site.world.add_account("octo-admin", "User"),
            name="simulated",
            slug="simulated",
            client_id="Iv23lisimulated",
            public_key=app_key().public_key(),
            webhook_secret=WEBHOOK_SECRET,
            hook_url="http://web0/webhook",
            # The last is what the App asks for on personal accounts.
            permissions={"metadata": "read", **manifest["default_permissions"], "administration": "write"},
            events=list(manifest["default_events"]),
            external_url="http://web0",
            created_at=self.site.clock(),
        )
        self.site.world.apps[app.id] = app
        return app

    def _add_account(self, login: str) -> None:
        world = self.site.world
        owner = world.add_account(login, KINDS_OF_ACCOUNTS[login])
        names = [name for name in REPOSITORIES if name.startswith(f"{login}/")]
        self._repositories |= {name: world.add_repository(owner, name.partition("/")[2]) for name in names}
        installation = self._installations[login] = self.site.install(self._app, owner)
        if STRANGE in names:
            installation.selected = [self._repositories[name] for name in names if name != STRANGE]

    @property
    def is_to_come(self) -> bool:
        """Whether people or late deliveries will still bring something."""
        return self._intentions > 0 or self.site.webhooks.under_way > 0

    def jobs(self) -> list[Job]:
        """The jobs that are ours to run, of all attempts."""
        strange = self._repositories.get(STRANGE)
        return [job for job in self.site.jobs() if job.run.repository is not strange]

    async def keep_leases(self) -> None:
        """GitHub's own housekeeping, and what lags from now on."""
        while True:
            await asyncio.sleep(10)
            self.site.actions.busy_lag_s = self._outcomes.redraw_busy_lag()
            self.site.lists_lag_s = self._outcomes.redraw_lists_lag()
            self.site.actions.end_leases(_LEASE_S)
            for runner in list(self.site.world.runners.values()):
                idles = runner.waiting and runner.job is None and self.site.clock() - runner.created_at > _IDLES_S
                if idles and self._outcomes.removes_idle():
                    self._tell("github", f"removes {runner.name}, which idles")
                    self.site.actions.remove_runner(runner)

    async def push_all(self) -> None:
        """Push what is planned, each at its time."""
        for run in self._plan.runs:
            await asyncio.sleep(max(0.0, run.at - self._loop.time()))
            self._push(run)

    def _push(self, run: PlannedRun) -> None:
        lengths = {job.name: job.seconds for job in run.jobs}
        gated = frozenset(job.name for job in run.jobs if job.approve_after is not None)
        repository = self._repositories[run.repository]
        pushed = self.site.actions.push(repository, {_PATH: run.workflow}, _PATH, lengths, gated)
        planned = {job.name: job for job in run.jobs}
        for job in pushed.jobs:
            self._plan_job(job, planned[job.instance.name])
        if run.cancel_after is not None:
            self._later(run.cancel_after, f"run {pushed.id} is cancelled", self.site.actions.cancel_run, pushed)

    def _plan_job(self, job: Job, planned: PlannedJob) -> None:
        name = planned.name
        if planned.cancel_after is not None:
            self._later(planned.cancel_after, f"{name} is cancelled", self._cancel, job)
        if planned.approve_after is not None:
            self._later(planned.approve_after, f"{name} is approved", self.site.actions.approve, job)
        if planned.rerun_after is not None:
            self._later(planned.seconds + planned.rerun_after, f"{name} is run again", self._rerun, job)

    def _later(self, seconds: float, what: str, act: Callable[[Any], None], subject: object) -> None:
        self._intentions += 1

        def happen() -> None:
            self._intentions -= 1
            self._tell("github", f"by a person: {what}")
            act(subject)

        self._loop.call_later(seconds, happen)

    def _rerun(self, job: Job) -> None:
        again = self.site.actions.rerun(job)
        if again is not None:
            self.site.actions.approve(again)

    def _cancel(self, job: Job) -> None:
        if job.status != "completed":
            self.site.actions.cancel(job)

    def suspend(self, login: str, seconds: float) -> None:
        """Suspend an installation for some seconds."""
        installation = self._installations[login]
        installation.suspended_at = self.site.clock()
        self._tell("github", f"the installation on {login} is suspended for {seconds:.0f} s")

        def back() -> None:
            installation.suspended_at = None
            self._tell("github", f"the installation on {login} is back")

        self._loop.call_later(seconds, back)

    def rename(self, planned_name: str) -> None:
        """Rename a repository."""
        repository = self._repositories[planned_name]
        self._move(repository, repository.owner.login, f"{repository.name}-renamed")

    def transfer(self, planned_name: str) -> None:
        """Transfer a repository to another organisation, where the App is installed too."""
        repository = self._repositories[planned_name]
        self._move(repository, ANOTHER, repository.name)

    def _move(self, repository: Repository, login: str, name: str) -> None:
        self._tell("github", f"{repository.full_name} becomes {login}/{name}")
        self.site.world.move_repository(repository, self.site.world.accounts[login], name)

    def _sends(self, delivery: Any) -> None:
        job = delivery.payload.get("workflow_job", {})
        if job:
            self._tell("github", f"{delivery.payload['action']} {job['name']} {job['id']} {job['runner_name'] or ''}")


def _real_time() -> float:
    """JWTs are dated by githubkit, which asks the machine; nothing of them is in the history."""
    return datetime.now(UTC).timestamp()

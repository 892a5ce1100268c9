"""What is known of one job: our records, its sandbox at Modal, and GitHub where the App's credentials are at hand."""

from dataclasses import dataclass, replace

from github_app.compose import Parts
from github_app.errors import GitHubError, SandboxError
from github_app.github import RunnerGroups
from github_app.github.jobs import Jobs
from github_app.model import (
    Action,
    JobEvent,
    JobRecord,
    JobState,
    RunnerRecord,
    RunnerState,
    RunnerStatus,
    SandboxStatus,
)
from github_app.operations.lookup import job_at_github
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.runners.balance import Demand, Wait, failed_before, fits, plan
from github_app.runners.capacity import Caps
from github_app.runners.versions import RunnerVersion
from github_app.sandboxes import ModalSandboxes
from github_app.store import CLAIMS, HALTS, HISTORY, JOBS, REFUSALS, RUNNERS, SLOTS, SWEEPS, ModalDictStore
from github_app.store.notes import Refusal
from github_app.views.sweeping import late
from github_app.views.waits import waits_of

_LINES = 20


@dataclass(frozen=True)
class AtGitHub:
    """What GitHub says: of the job, of its runner (None: not listed), and of what keeps the group's runners from it."""

    event: JobEvent | None = None
    # It is in no queue, for it waits for an approval.
    gated: bool = False
    listed: RunnerStatus | None = None
    barriers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that the answer is made from. Times are Unix seconds. `failed` is why the last attempt that did, did.

    `github` is None where it was not asked or did not answer; `github_says` is why.
    """

    job_id: int
    now: float
    record: JobRecord | None = None
    refusal: Refusal | None = None
    wait: Wait | None = None
    # What it waits for in any other case, like a cap.
    waits_for: str | None = None
    failed: str | None = None
    stopped: str | None = None
    swept_at: float | None = None
    sweep_late: str | None = None
    runner: RunnerRecord | None = None
    sandbox: SandboxStatus | None = None
    printed: str = ""
    modal_says: str | None = None
    github: AtGitHub | None = None
    github_says: str | None = None

    @property
    def event(self) -> JobEvent | None:
        """The job as it was announced, else as GitHub has it."""
        if self.record is not None:
            return self.record.event
        return self.github.event if self.github else None


async def gather(
    job_id: int,
    repository: str | None,
    *,
    store: ModalDictStore,
    sandboxes: ModalSandboxes,
    rules: Rules,
    version: RunnerVersion,
    caps: Caps,
    parts: Parts | None,
    without: str | None,
    now: float,
    sweeps_every_s: float | None = 60.0,
) -> Facts:
    """Ask everyone. `repository` is known from the job's page; without `parts` GitHub is not asked, as `without` says.
    `sweeps_every_s`: how often a sweep is due; None: that is not known.

    Raises:
        StoreError: the records cannot be read.
    """
    facts = await _recorded(job_id, store, rules, version=version, caps=caps, now=now)
    last, deployed = await store.get(SWEEPS, "last"), await store.get(SWEEPS, "deployed")
    is_late = late(last.at if last else None, deployed.at if deployed else None, now, sweeps_every_s)
    facts = replace(facts, swept_at=last.at if last else None, sweep_late=is_late)
    if facts.runner is not None:
        facts = await _in_sandbox(facts, facts.runner, sandboxes)
    if parts is None:
        return replace(facts, github_says=without)
    try:
        github = await _at_github(facts, repository, parts)
        return replace(facts, github=github, github_says=None if github else "its repository is not known")
    except GitHubError as error:
        return replace(facts, github_says=str(error))


async def _recorded(
    job_id: int, store: ModalDictStore, rules: Rules, *, version: RunnerVersion, caps: Caps, now: float
) -> Facts:
    jobs, runners = await store.all(JOBS), await store.all(RUNNERS)
    record = jobs.get(str(job_id)) or await store.get(HISTORY, str(job_id))
    routed = [(job, route(job.event, rules)) for job in jobs.values()]
    demands = [Demand(job, found.shape) for job, found in routed if isinstance(found, Admit)]
    claims = await store.all(CLAIMS)
    planned = plan(demands, runners, claims, await store.all(HALTS), now)
    slots = await store.all(SLOTS)
    waits = waits_of(demands, planned, runners=runners, claims=claims, slots=slots, caps=caps, now=now)
    return Facts(
        job_id,
        now,
        record=record,
        refusal=await store.get(REFUSALS, str(job_id)),
        wait=next((wait for wait in planned.waits if wait.demand.job_id == job_id), None),
        waits_for=waits.get(job_id, (None, None))[0],
        failed=failed_before(claims, job_id),
        stopped=await version.refused(),
        runner=_runner_of(record, next((d for d in demands if d.job_id == job_id), None), list(runners.values())),
    )


def _runner_of(record: JobRecord | None, demand: Demand | None, runners: list[RunnerRecord]) -> RunnerRecord | None:
    """The runner that has the job, else the newest that was made for it, else an idle one that fits."""
    if record is None:
        return None
    named = next((each for each in runners if each.name == record.runner_name), None)
    if named is not None or record.state is not JobState.QUEUED:
        return named
    own = [each for each in runners if each.started_for == record.event.job_id]
    if own:
        return max(own, key=lambda each: (each.state is not RunnerState.FINISHED, each.started_at))
    return next((each for each in runners if demand is not None and each.idle and fits(each, demand)), None)


async def _in_sandbox(facts: Facts, runner: RunnerRecord, sandboxes: ModalSandboxes) -> Facts:
    try:
        sandbox_id = runner.sandbox_id or await sandboxes.find(runner.name)
        if sandbox_id is None:
            return facts
        status = await sandboxes.status(sandbox_id)
        printed = status.output or await sandboxes.output(runner.name, sandbox_id, _LINES) or ""
    except SandboxError as error:
        return replace(facts, modal_says=str(error))
    return replace(facts, sandbox=status, printed=printed)


async def _at_github(facts: Facts, repository: str | None, parts: Parts) -> AtGitHub | None:
    """What GitHub says; None where it is not known in which repository to ask."""
    if facts.record is not None:
        known, jobs = facts.record.event, Jobs(parts.connection)
        try:
            event = await jobs.job(known)
            if event is None and await jobs.waits(known):
                return AtGitHub(gated=True)
        except GitHubError as error:
            if error.status != 404:
                raise
            event = None
    elif repository is not None:
        event = await job_at_github(parts, repository, facts.job_id)
        known = event or facts.event  # type: ignore[assignment]  # None ends it below
    else:
        return None
    if known is None or facts.runner is None or known.action is Action.COMPLETED:
        return AtGitHub(event)
    listed = await parts.runners.named(facts.runner.place, facts.runner.name)
    shape = facts.runner.shape
    path = known.run.path if known.run and known.run.path else None
    barriers = await RunnerGroups(parts.connection).barriers(known.place, shape.runner_group, known, path)
    return AtGitHub(event, listed=listed[-1] if listed else None, barriers=tuple(barriers))

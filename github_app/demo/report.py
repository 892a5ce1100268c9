"""What the demo says of each job, and whether all is well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from github_app.demo.world import World
from github_app.routing import labels
from github_app.simulator.github.state import Job
from github_app.simulator.modal import SandboxView

OUR_LABEL = "modal"
# Held by an environment, or by another of its concurrency group.
_HELD = frozenset({"waiting", "pending"})


class JobReport(msgspec.Struct, frozen=True):
    """One job of ours. A skipped job has neither runner nor sandbox.

    `reason`: why it was refused, or why no runner can serve it. `log` is that of a job that failed or was cancelled.
    """

    name: str
    labels: tuple[str, ...]
    conclusion: str | None
    runner_name: str | None
    sandbox_id: str | None
    queued_to_running_ms: int | None
    duration_ms: int | None
    workflow: str = ""
    reason: str | None = None
    log: tuple[str, ...] | None = None


class OtherJob(msgspec.Struct, frozen=True):
    """A job that nobody runs here, and why: no runner has its labels, or this machine has not what it needs."""

    workflow: str
    name: str
    labels: tuple[str, ...]
    reason: str


class Report(msgspec.Struct, frozen=True):
    """The whole demo; the fields are what `--json` prints.

    `failed` counts jobs of ours that ran and failed, `refused` those that were refused or that no runner can take, each
    with its reason, `waiting` those that are held for an approval or by their concurrency group; none of them is lost.
    `others` are jobs that are not ours and that nobody runs, `notes` what of the commit is not run.
    """

    jobs: tuple[JobReport, ...]
    ignored: int
    lost: int
    leaked_sandboxes: int
    leaked_runners: int
    github_calls: int
    modal_calls: int
    failed: int = 0
    refused: int = 0
    waiting: int = 0
    others: tuple[OtherJob, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Everything that should have run ran, and nothing is left."""
        return not (self.lost or self.refused or self.leaked_sandboxes or self.leaked_runners)

    def as_json(self) -> str:
        """One object."""
        return msgspec.json.encode(self).decode()


def is_ours(job: Job, ours: tuple[str, ...] = (OUR_LABEL,)) -> bool:
    """Tell whether a job asks for us."""
    return not isinstance(labels.parse(job.instance.labels, ours), labels.NotOurs)


def is_hosted(job: Job) -> bool:
    """Tell whether GitHub's own Linux runners would take the job."""
    asked = job.instance.labels
    return bool(asked) and job.instance.group is None and all(label.startswith("ubuntu-") for label in asked)


def workflow_of(job: Job) -> str:
    """What a person calls its workflow: the name, or the file's where it has none."""
    return job.run.name.rpartition("/")[2] if job.run.name == job.run.path else job.run.name


@dataclass(frozen=True)
class Reasons:
    """Why jobs do not run, by their ids: those that are refused, and those that no runner here can take."""

    refused: Mapping[int, str]
    unserved: Mapping[int, str]

    def of(self, job: Job) -> str | None:
        """The reason for a job, if there is one."""
        return self.refused.get(job.id) or self.unserved.get(job.id)


def reasons_now(world: World) -> Reasons:
    """What is known at this moment."""
    refused = _refused(world)
    return Reasons(refused, {job: reason for job, reason in _unserved(world).items() if job not in refused})


def _refused(world: World) -> dict[int, str]:
    """By the app, as it answered to their deliveries, or before a runner was asked."""
    found = {}
    for delivery in list(world.github.world.deliveries.values()):
        if delivery.event == "workflow_job" and '"refused"' in delivery.response:
            found[int(delivery.payload["workflow_job"]["id"])] = str(json.loads(delivery.response)["reason"])
    for job in world.github.jobs():
        if job.instance.refused:
            found[job.id] = str(job.instance.error)
    return found


def _unserved(world: World) -> dict[int, str]:
    found = {}
    for job in world.github.jobs():
        group, asked = job.instance.group, job.instance.labels
        if job.status != "queued":
            continue
        groups = [each.name for each in world.github.world.groups[job.run.repository.owner.login.lower()]]
        if group is not None and group not in groups:
            found[job.id] = f"there is no runner group {group!r} here; there is {', '.join(groups)}"
        elif not is_ours(job, world.labels) and not is_hosted(job):
            wanted = f"the labels {', '.join(asked)}" if asked else f"the group {group!r} and no label of ours"
            found[job.id] = f"no runner here serves {wanted}"
    return found


def sandboxes_by_name(world: World) -> dict[str, SandboxView]:
    """Every sandbox under its name, which is its runner's."""
    return {view.name: view for view in world.modal.sandboxes() if view.name}


def report_job(job: Job, sandboxes: dict[str, SandboxView], reasons: Reasons) -> JobReport:
    """Describe one job by what GitHub and Modal know of it."""
    ran = job.conclusion != "skipped" and job.started_at is not None
    sandbox = sandboxes.get(job.runner.name) if job.runner else None
    return JobReport(
        name=job.instance.name,
        labels=job.instance.labels,
        conclusion=job.conclusion,
        runner_name=job.runner.name if job.runner else None,
        sandbox_id=sandbox.id if sandbox else None,
        queued_to_running_ms=_ms(job.created_at, job.started_at) if ran else None,
        duration_ms=_ms(job.started_at, job.completed_at) if ran else None,
        workflow=workflow_of(job),
        reason=reasons.of(job),
        log=tuple(job.log) if job.conclusion in {"failure", "cancelled"} else None,
    )


def report(world: World, reasons: Reasons, notes: tuple[str, ...] = ()) -> Report:
    """Describe everything, by what GitHub and Modal know."""
    jobs = world.github.jobs()
    ours = [job for job in jobs if is_ours(job, world.labels)]
    by_name = sandboxes_by_name(world)
    others = [(job, reason) for job in jobs if job not in ours and (reason := reasons.of(job))]
    return Report(
        jobs=tuple(report_job(job, by_name, reasons) for job in ours),
        ignored=len(jobs) - len(ours),
        lost=sum(job.status not in {"completed", *_HELD} and reasons.of(job) is None for job in ours),
        leaked_sandboxes=sum(view.running for view in world.modal.sandboxes()),
        leaked_runners=sum(runner.name.startswith("modal-") for runner in world.github.world.runners.values()),
        github_calls=sum(world.github.calls.values()),
        modal_calls=sum(world.modal.calls.values()),
        failed=sum(job.conclusion == "failure" and job.id not in reasons.refused for job in ours),
        refused=sum(reasons.of(job) is not None for job in ours),
        waiting=sum(job.status in _HELD for job in ours),
        others=tuple(OtherJob(workflow_of(j), j.instance.name, j.instance.labels, reason) for j, reason in others),
        notes=notes,
    )


def _ms(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else round((end - start) * 1000)

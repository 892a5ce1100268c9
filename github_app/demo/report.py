"""What the demo says of each job, and whether all is well."""

import json

import msgspec

from github_app.demo.world import World
from github_app.routing import labels
from github_app.simulator.github.state import Job
from github_app.simulator.modal import SandboxView

OUR_LABEL = "modal"


class JobReport(msgspec.Struct, frozen=True):
    """One job of ours. A skipped job has neither runner nor sandbox."""

    name: str
    labels: tuple[str, ...]
    conclusion: str | None
    runner_name: str | None
    sandbox_id: str | None
    queued_to_running_ms: int | None
    duration_ms: int | None


class Report(msgspec.Struct, frozen=True):
    """The whole demo; the fields are what `--json` prints."""

    jobs: tuple[JobReport, ...]
    ignored: int
    lost: int
    leaked_sandboxes: int
    leaked_runners: int
    github_calls: int
    modal_calls: int

    @property
    def well(self) -> bool:
        """Everything that should have run ran, and nothing is left."""
        return not (self.lost or self.leaked_sandboxes or self.leaked_runners)

    def as_json(self) -> str:
        """One object."""
        return msgspec.json.encode(self).decode()


def is_ours(job: Job) -> bool:
    """Tell whether a job asks for us."""
    return not isinstance(labels.parse(job.instance.labels, (OUR_LABEL,)), labels.NotOurs)


def refusals(world: World) -> dict[int, str]:
    """What the app answered to the deliveries of jobs that it does not serve, by job."""
    found = {}
    for delivery in list(world.github.world.deliveries.values()):
        if delivery.event == "workflow_job" and '"refused"' in delivery.response:
            found[int(delivery.payload["workflow_job"]["id"])] = str(json.loads(delivery.response)["reason"])
    return found


def sandboxes_by_name(world: World) -> dict[str, SandboxView]:
    """Every sandbox under its name, which is its runner's."""
    return {view.name: view for view in world.modal.sandboxes() if view.name}


def report_job(job: Job, sandboxes: dict[str, SandboxView]) -> JobReport:
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
    )


def report(world: World) -> Report:
    """Describe everything, by what GitHub and Modal know."""
    jobs = world.github.jobs()
    ours = [job for job in jobs if is_ours(job)]
    by_name = sandboxes_by_name(world)
    return Report(
        jobs=tuple(report_job(job, by_name) for job in ours),
        ignored=len(jobs) - len(ours),
        lost=sum(job.status != "completed" for job in ours),
        leaked_sandboxes=sum(view.running for view in world.modal.sandboxes()),
        leaked_runners=sum(runner.name.startswith("modal-") for runner in world.github.world.runners.values()),
        github_calls=sum(world.github.calls.values()),
        modal_calls=sum(world.modal.calls.values()),
    )


def _ms(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else round((end - start) * 1000)

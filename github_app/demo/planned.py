"""The jobs of a workflow's file, as far as the file alone tells: what `explain --workflow` asks about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from github_app.errors import InputError
from github_app.simulator.workflow import WorkflowError, load
from github_app.simulator.workflow.expressions import Scope
from github_app.simulator.workflow.model import DEFAULT_TIMEOUT_MINUTES, Job
from github_app.simulator.workflow.planning import plan

_STATUS = {"success": True, "always": True, "failure": False, "cancelled": False}


@dataclass(frozen=True)
class Planned:
    """One job, or one combination of its matrix. `undecided`: only its run tells its labels, and why.

    `timeout_minutes` is the job's own, where its file says one.
    """

    name: str
    labels: tuple[str, ...]
    group: str | None
    undecided: str | None
    timeout_minutes: float | None = None
    # It has services: or container:.
    needs_docker: bool = False


def jobs_of(path: Path, github: Mapping[str, Any]) -> tuple[list[Planned], tuple[str, ...]]:
    """Every job of a file in a run with this `github` context, and what GitHub would not take of it.

    Raises:
        InputError: it cannot be read, or is no workflow (file, line, reason).
    """
    try:
        workflow = load(path.read_text("utf-8", "replace"), str(path))
    except OSError as error:
        raise InputError(f"--workflow {path}: {error.strerror}") from None
    except WorkflowError as error:
        raise InputError(str(error)) from None
    inputs = workflow.dispatch or (workflow.callee.inputs if workflow.callee else {})
    given = {name: each.default for name, each in inputs.items()}
    told = {**github, "event": {**github.get("event", {}), "inputs": given}}
    contexts = {"github": told, "vars": {}, "inputs": given}
    unknown = tuple(name for name, each in inputs.items() if each.default is None)
    found = [each for job in workflow.jobs.values() for each in _planned(job, contexts, unknown)]
    return found, workflow.warnings


def _planned(job: Job, contexts: Mapping[str, Any], unknown: tuple[str, ...]) -> list[Planned]:
    if not job.steps:
        # Its jobs are those of another file.
        why = f"its jobs are those of {job.call.path}: explain that file" if job.call else "; ".join(job.refusals)
        return [Planned(job.name or job.id, (), None, why)]
    asked_for = [name for name in unknown if f"inputs.{name}" in str(job.runs_on)]
    if asked_for:
        return [Planned(job.name or job.id, (), None, f"decided when it runs: by the input {asked_for[0]!r}")]
    needs = {need: {"result": "success", "outputs": {}} for need in job.needs}
    # Whether it runs at all is not asked here: what it would get is.
    asked = replace(job, condition="always()", refusals=(), docker_refusals=())
    made = plan(asked, Scope({**contexts, "needs": needs}, _STATUS))
    return [
        Planned(
            each.name,
            each.labels,
            each.group,
            each.error and _undecided(job, each.error),
            None if job.timeout_minutes == DEFAULT_TIMEOUT_MINUTES else each.timeout_minutes,
            bool(job.services or job.container),
        )
        for each in made.instances
    ]


def _undecided(job: Job, error: str) -> str:
    if "needs." in str(job.runs_on):
        return f"decided when it runs: by what {', '.join(job.needs) or 'another job'} puts out"
    return f"decided when it runs: {error}"

"""What one job becomes once its needs are finished: skipped, broken, or one instance for each combination."""

from collections.abc import Mapping
from dataclasses import dataclass

from github_app.simulator.workflow.expressions import Scope, evaluate, parse_condition, resolve
from github_app.simulator.workflow.matrix import Combination, combinations, display_name
from github_app.simulator.workflow.model import Concurrency, Group, Job, JobInstance
from github_app.simulator.workflow.values import ExpressionError, to_number, to_text, truthy


@dataclass(frozen=True)
class Plan:
    """The instances of a job and the rules that bind them together."""

    instances: tuple[JobInstance, ...]
    fail_fast: bool = True
    max_parallel: int | None = None


# How many of a group may wait with `queue: max`:
# https://github.blog/changelog/2026-05-07-github-actions-concurrency-groups-now-allow-larger-queues
_LONG_QUEUE = 100


def plan(job: Job, scope: Scope, *, docker: bool = False) -> Plan:
    """Decide a job. `scope` holds github, needs, vars and inputs; `docker`: whether containers can be run here."""
    try:
        if not wanted(job, scope):
            return Plan((_decided(job, scope, skipped=True),))
        if refusals := job.refusals if docker or not job.docker_refusals else job.docker_refusals:
            return Plan((_decided(job, scope, error="\n".join(refusals), refused=True),))
        return _expand(job, scope)
    except ExpressionError as error:
        return Plan((_decided(job, scope, error=str(error)),))


def _decided(
    job: Job, scope: Scope, *, skipped: bool = False, error: str | None = None, refused: bool = False
) -> JobInstance:
    """A job that will not run, with the labels by which one can tell whose it would have been."""
    try:
        labels, group = labels_of(resolve(job.runs_on, scope))
    except ExpressionError:
        labels, group = (), None
    name = job.name or job.id
    return JobInstance(job.id, job.id, name, labels, group, skipped=skipped, error=error, refused=refused)


def wanted(job: Job, scope: Scope) -> bool:
    """Whether the job's `if` holds."""
    return truthy(evaluate(parse_condition(job.condition), scope))


def _expand(job: Job, scope: Scope) -> Plan:
    fail_fast = truthy(resolve(job.fail_fast, scope))
    max_parallel = _max_parallel(job, scope)
    made: list[Combination] = [{}] if job.matrix is None else combinations(resolve(job.matrix, scope))
    instances = []
    for index, combination in enumerate(made):
        strategy = {
            "fail-fast": fail_fast,
            "job-index": index,
            "job-total": len(made),
            "max-parallel": max_parallel or len(made),
        }
        within = Scope({**scope.contexts, "matrix": combination or None, "strategy": strategy})
        key = job.id if job.matrix is None else f"{job.id}:{index}"
        instances.append(_instance(job, key, combination, within))
    return Plan(tuple(instances), fail_fast, max_parallel)


def _max_parallel(job: Job, scope: Scope) -> int | None:
    if job.max_parallel is None:
        return None
    value = to_number(resolve(job.max_parallel, scope))
    if not 1 <= value < 1e9:
        raise ExpressionError("'max-parallel' must be a number from 1 up")
    return int(value)


def _instance(job: Job, key: str, combination: Combination, scope: Scope) -> JobInstance:
    # A job that calls a workflow has no runner of its own.
    labels, group = ((), None) if job.call else labels_of(resolve(job.runs_on, scope))
    timeout = to_number(resolve(job.timeout_minutes, scope))
    if not timeout > 0:
        raise ExpressionError("'timeout-minutes' must be a number above 0")
    return JobInstance(
        key=key,
        job_id=job.id,
        name=_name(job, combination, scope),
        labels=labels,
        group=group,
        matrix=combination,
        continue_on_error=truthy(resolve(job.continue_on_error, scope)),
        timeout_minutes=timeout,
        environment=to_text(resolve(job.environment, scope)) or None,
        concurrency=group_of(job.concurrency, scope),
    )


def group_of(concurrency: Concurrency | None, scope: Scope) -> Group | None:
    """The group that a `concurrency` names, if it does."""
    if concurrency is None or not (name := to_text(resolve(concurrency.group, scope))):
        return None
    cancel = truthy(resolve(concurrency.cancel_in_progress, scope))
    return Group(name, cancel, _LONG_QUEUE if concurrency.queue == "max" else 1)


def _name(job: Job, combination: Combination, scope: Scope) -> str:
    # GitHub adds the combination to a name that does not choose its own words by an expression.
    if job.name is not None and "${{" in job.name:
        return to_text(resolve(job.name, scope))
    return display_name(job.name or job.id, combination)


def labels_of(runs_on: object) -> tuple[tuple[str, ...], str | None]:
    """The labels and the runner group of an evaluated `runs-on`."""
    group = None
    if isinstance(runs_on, Mapping):
        group = to_text(runs_on.get("group")) or None
        runs_on = runs_on.get("labels", [])
    labels = [runs_on] if isinstance(runs_on, str) else runs_on
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise ExpressionError("'runs-on' does not evaluate to labels")
    if not labels and group is None:
        raise ExpressionError("'runs-on' evaluates to no label")
    return tuple(labels), group

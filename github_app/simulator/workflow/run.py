"""A workflow run as a state machine: told what finished, it says what starts. No I/O and no clock."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from github_app.simulator.workflow.expressions import Scope
from github_app.simulator.workflow.model import Job, JobInstance, Result, Workflow
from github_app.simulator.workflow.planning import Plan, plan, wanted
from github_app.simulator.workflow.standalone import standalone
from github_app.simulator.workflow.values import ExpressionError


@dataclass
class _Instance:
    instance: JobInstance
    result: Result | None = None
    emitted: bool = False
    told_to_cancel: bool = False

    @property
    def counts_as(self) -> Result | None:
        """Its result as the run and the jobs that need it see it.

        A failed job with continue-on-error is a success to both: github.com/actions/toolkit/issues/581.
        """
        return "success" if self.result == "failure" and self.instance.continue_on_error else self.result

    @property
    def running(self) -> bool:
        return self.emitted and self.result is None


@dataclass
class _Planned:
    plan: Plan
    instances: list[_Instance]
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def result(self) -> Result | None:
        return _sum(each.counts_as for each in self.instances)

    @property
    def failing_fast(self) -> bool:
        return self.plan.fail_fast and any(each.counts_as == "failure" for each in self.instances)

    @property
    def room(self) -> bool:
        limit = self.plan.max_parallel
        return limit is None or sum(each.running for each in self.instances) < limit


def _sum(results: Iterator[Result | None]) -> Result | None:
    seen = set(results)
    if None in seen:
        return None
    worst: tuple[Result, ...] = ("failure", "cancelled", "success")
    return next((result for result in worst if result in seen), "skipped")


class Run:
    """One run of a workflow."""

    def __init__(self, workflow: Workflow, github: Mapping[str, Any]) -> None:
        self._workflow = workflow
        self._github = github
        self._planned: dict[str, _Planned] = {}
        self._by_key: dict[str, _Instance] = {}
        self._cancelled = False

    def ready(self) -> list[JobInstance]:
        """The instances that have become decidable since the last call."""
        while waiting := [job for job in self._workflow.jobs.values() if self._decidable(job)]:
            for job in waiting:
                self._plan(job)
        return [each for job in self._planned.values() for each in self._emit(job)]

    def finish(self, key: str, result: Result, outputs: Mapping[str, str]) -> None:
        """An instance has ended."""
        each = self._by_key[key]
        if not each.running:
            raise ValueError(f"{key} is not running")
        each.result = result
        job = self._planned[each.instance.job_id]
        # Of a matrix's instances the last one to set an output wins; an empty one does not count.
        job.outputs |= {name: value for name, value in outputs.items() if value or name not in job.outputs}

    def reopen(self, key: str) -> None:
        """An instance that has ended runs once more; what needed it is left as it is."""
        each = self._by_key[key]
        each.result, each.told_to_cancel, self._cancelled = None, False, False

    def to_cancel(self) -> list[str]:
        """Keys of the running instances that must end now; each is told once."""
        told = [each for job_id, job in self._planned.items() if self._stopping(job_id, job) for each in job.instances]
        told = [each for each in told if each.running and not each.told_to_cancel]
        for each in told:
            each.told_to_cancel = True
        return [each.instance.key for each in told]

    def cancel(self) -> None:
        """Cancel the whole run: only jobs whose `if` still holds, like always(), go on or start."""
        self._cancelled = self._cancelled or not self.done

    @property
    def done(self) -> bool:
        """Whether every job has a result."""
        return all(self._result(job_id) for job_id in self._workflow.jobs)

    @property
    def conclusion(self) -> Result | None:
        """The run's result, once it is done."""
        if not self.done:
            return None
        return "cancelled" if self._cancelled else _sum(job.result for job in self._planned.values())

    def standalone(self, key: str) -> str:
        """A workflow file that runs just this instance."""
        instance = self._by_key[key].instance
        job = self._workflow.jobs[instance.job_id]
        planned = self._planned[job.id]
        strategy = {
            "fail-fast": planned.plan.fail_fast,
            "max-parallel": planned.plan.max_parallel or len(planned.instances),
        }
        return standalone(
            self._workflow,
            job,
            combination=instance.matrix,
            strategy=strategy,
            needs=self._needs(job),
            event_name=str(self._github.get("event_name") or "push"),
        )

    def _decidable(self, job: Job) -> bool:
        return job.id not in self._planned and all(self._result(need) for need in job.needs)

    def _result(self, job_id: str) -> Result | None:
        return self._planned[job_id].result if job_id in self._planned else None

    def _plan(self, job: Job) -> None:
        made = plan(job, self._scope(job))
        instances = [_Instance(each, result=_decided(each)) for each in made.instances]
        self._planned[job.id] = _Planned(made, instances)
        self._by_key |= {each.instance.key: each for each in instances}

    def _emit(self, job: _Planned) -> Iterator[JobInstance]:
        stopping = self._stopping(job.instances[0].instance.job_id, job)
        for each in job.instances:
            if each.emitted:
                continue
            if each.result is None and stopping:
                each.instance = replace(each.instance, skipped=True, cancelled=True)
                each.result = "cancelled"
            if each.result is not None or job.room:
                each.emitted = True
                yield each.instance

    def _stopping(self, job_id: str, job: _Planned) -> bool:
        return job.failing_fast or (self._cancelled and not self._outlives_cancel(self._workflow.jobs[job_id]))

    def _outlives_cancel(self, job: Job) -> bool:
        try:
            return wanted(job, self._scope(job))
        except ExpressionError:
            return False

    def _scope(self, job: Job) -> Scope:
        event = self._github.get("event")
        inputs = event.get("inputs") if isinstance(event, Mapping) else None
        contexts = {"github": self._github, "needs": self._needs(job), "vars": {}, "inputs": inputs or {}}
        return Scope(contexts, self._status(job))

    def _status(self, job: Job) -> Mapping[str, bool]:
        # GitHub looks at all jobs before this one, not only at those it names: github.com/actions/runner/issues/2205.
        results = {self._result(before) for before in self._ancestors(job)}
        return {
            "always": True,
            "cancelled": self._cancelled,
            "failure": "failure" in results and not self._cancelled,
            "success": results <= {"success"} and not self._cancelled,
        }

    def _ancestors(self, job: Job) -> set[str]:
        found: set[str] = set()
        waiting = [*job.needs]
        while waiting:
            need = waiting.pop()
            if need not in found:
                found.add(need)
                waiting += self._workflow.jobs[need].needs
        return found

    def _needs(self, job: Job) -> dict[str, Any]:
        return {
            need: {"result": self._planned[need].result, "outputs": self._planned[need].outputs} for need in job.needs
        }


def _decided(instance: JobInstance) -> Result | None:
    if instance.skipped:
        return "skipped"
    return "failure" if instance.error is not None else None

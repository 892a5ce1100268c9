"""A workflow run as a state machine: told what finished, it says what starts. No I/O and no clock.

A job that calls a workflow is a run of its own within this one; its jobs are called `caller / job` and have keys
`caller/job`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from github_app.simulator.workflow.calling import CallRefusedError, Given, called, inputs_of
from github_app.simulator.workflow.expressions import Scope, resolve
from github_app.simulator.workflow.model import Group, Job, JobInstance, Result, Workflow
from github_app.simulator.workflow.planning import group_of, plan, wanted
from github_app.simulator.workflow.progress import PlannedJob, Progress, decided, worst_of
from github_app.simulator.workflow.rewriting import Known
from github_app.simulator.workflow.standalone import standalone
from github_app.simulator.workflow.values import ExpressionError, to_text


class Run:
    """One run of a workflow."""

    def __init__(self, workflow: Workflow, github: Mapping[str, Any], given: Given | None = None) -> None:
        """Without `given` nothing is: no secrets, no variables, and the inputs are those of the event."""
        self._workflow = workflow
        self._github = github
        self._planned: dict[str, PlannedJob] = {}
        self._by_key: dict[str, Progress] = {}
        self._cancelled = False
        given = given or Given()
        self._given = given if given.level > 1 else replace(given, inputs=self._event_inputs(given))

    def ready(self) -> list[JobInstance]:
        """The instances that have become decidable since the last call."""
        found: list[JobInstance] = []
        while True:
            while waiting := [job for job in self._workflow.jobs.values() if self._decidable(job)]:
                for job in waiting:
                    self._plan(job)
            made = [each for job in list(self._planned.values()) for each in self._emit(job)]
            found += made
            # A called workflow may be over at once, with all of its jobs skipped.
            if not self._settle_calls() and not made:
                return found

    def finish(self, key: str, result: Result, outputs: Mapping[str, str]) -> None:
        """An instance has ended."""
        each, rest = self._at(key)
        if each.inner is not None:
            each.inner.finish(rest, result, outputs)
            self._settle_calls()
            return
        if not each.running:
            raise ValueError(f"{key} is not running")
        each.result = result
        self._planned[each.instance.job_id].take_outputs(outputs)

    def reopen(self, key: str) -> None:
        """An instance that has ended runs once more; what needed it is left as it is."""
        each, rest = self._at(key)
        if each.inner is not None:
            each.inner.reopen(rest)
        each.result, each.told_to_cancel, self._cancelled = None, False, False

    def to_cancel(self) -> list[str]:
        """Keys of the running instances that must end now; each is told once."""
        told: list[str] = []
        for job_id, job in self._planned.items():
            stopping = self._stopping(job_id, job)
            for each in job.instances:
                if each.inner is not None:
                    if stopping:
                        each.inner.cancel()
                    told += [f"{each.instance.key}/{key}" for key in each.inner.to_cancel()]
                elif stopping and each.running and not each.told_to_cancel:
                    each.told_to_cancel = True
                    told.append(each.instance.key)
        return told

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
        return "cancelled" if self._cancelled else worst_of(job.result for job in self._planned.values())

    @property
    def concurrency(self) -> Group | None:
        """The group of the whole run.

        Raises:
            ExpressionError: it cannot be evaluated.
        """
        return group_of(self._workflow.concurrency, Scope(self._contexts()))

    def given_to(self, key: str) -> Given:
        """What the workflow of an instance was given."""
        each, rest = self._at(key)
        return each.inner.given_to(rest) if each.inner is not None else self._given

    def standalone(self, key: str) -> str:
        """A workflow file that runs just this instance."""
        each, rest = self._at(key)
        if each.inner is not None:
            return each.inner.standalone(rest)
        job = self._workflow.jobs[each.instance.job_id]
        planned = self._planned[job.id]
        total = len(planned.instances)
        strategy = {
            "fail-fast": planned.plan.fail_fast,
            "job-index": planned.instances.index(each),
            "job-total": total,
            "max-parallel": planned.plan.max_parallel or total,
        }
        # A called workflow's jobs see the name of the one that an event has started.
        named = replace(self._workflow, name=str(self._github.get("workflow") or self._workflow.name))
        return standalone(
            named,
            job,
            combination=each.instance.matrix,
            needs=self._needs(job),
            known=Known(self._given.inputs, strategy, self._given.token, self._github),
            event_name=str(self._github.get("event_name") or "push"),
        )

    def _at(self, key: str) -> tuple[Progress, str]:
        """The instance of this run that a key leads to, and the key's rest within what it calls."""
        own, _, rest = key.partition("/")
        return self._by_key[own], rest

    def _decidable(self, job: Job) -> bool:
        return job.id not in self._planned and all(self._result(need) for need in job.needs)

    def _result(self, job_id: str) -> Result | None:
        return self._planned[job_id].result if job_id in self._planned else None

    def _plan(self, job: Job) -> None:
        made = plan(job, self._scope(job), docker=self._given.docker)
        instances = [Progress(each, result=decided(each)) for each in made.instances]
        self._planned[job.id] = PlannedJob(made, instances)
        self._by_key |= {each.instance.key: each for each in instances}

    def _emit(self, job: PlannedJob) -> Iterator[JobInstance]:
        stopping = self._stopping(job.instances[0].instance.job_id, job)
        for each in job.instances:
            if each.inner is not None:
                yield from self._inner_ready(each)
            if each.emitted:
                continue
            if each.result is None and stopping:
                each.instance = replace(each.instance, skipped=True, cancelled=True)
                each.result = "cancelled"
            if each.result is None and job.room and self._begin_call(each):
                yield from self._inner_ready(each)
            elif each.result is not None or job.room:
                each.emitted = True
                yield each.instance

    def _begin_call(self, each: Progress) -> bool:
        """Begin the run of a called workflow; False where nothing is called, or cannot be: then it is decided."""
        job = self._workflow.jobs[each.instance.job_id]
        if job.call is None:
            return False
        scope = self._scope(job)
        try:
            within = Scope({**scope.contexts, "matrix": each.instance.matrix or None, "strategy": {}})
            workflow, given = called(job.call, within, self._given)
        except ExpressionError as error:
            refused = isinstance(error, CallRefusedError)
            each.instance = replace(each.instance, error=f"{self._workflow.path}: {error}", refused=refused)
            each.result = "failure"
            return False
        each.inner, each.emitted = Run(workflow, self._github, given), True
        return True

    def _inner_ready(self, each: Progress) -> Iterator[JobInstance]:
        assert each.inner is not None  # noqa: S101 - the callers know
        outer = each.instance
        for inner in each.inner.ready():
            yield replace(inner, key=f"{outer.key}/{inner.key}", name=f"{outer.name} / {inner.name}")

    def _settle_calls(self) -> bool:
        """Give each job whose called workflow is over its result and outputs; whether there was one."""
        over = [each for each in self._by_key.values() if each.inner and each.result is None and each.inner.done]
        for each in over:
            assert each.inner is not None  # noqa: S101 - they were chosen for it
            each.result = each.inner.conclusion
            self._planned[each.instance.job_id].take_outputs(each.inner.outputs())
        return bool(over)

    def outputs(self) -> Mapping[str, str]:
        """The outputs that `on.workflow_call` maps; one that cannot be evaluated is empty."""
        if self._workflow.callee is None:
            return {}
        jobs = {job_id: {"result": job.result, "outputs": job.outputs} for job_id, job in self._planned.items()}
        scope = Scope({**self._contexts(), "jobs": jobs})
        found = {}
        for name, value in self._workflow.callee.outputs.items():
            try:
                found[name] = to_text(resolve(value, scope))
            except ExpressionError:
                found[name] = ""
        return found

    def _stopping(self, job_id: str, job: PlannedJob) -> bool:
        return job.failing_fast or (self._cancelled and not self._outlives_cancel(self._workflow.jobs[job_id]))

    def _outlives_cancel(self, job: Job) -> bool:
        try:
            return wanted(job, self._scope(job))
        except ExpressionError:
            return False

    def _event_inputs(self, given: Given) -> Mapping[str, Any]:
        """The inputs of a manual run, in their types."""
        event = self._github.get("event")
        offered = event.get("inputs") if isinstance(event, Mapping) else None
        scope = Scope({"github": self._github, "vars": given.variables, "inputs": {}})
        return {**(offered or {}), **inputs_of(self._workflow.dispatch, offered or {}, scope)}

    def _contexts(self) -> dict[str, Any]:
        return {"github": self._github, "vars": self._given.variables, "inputs": self._given.inputs}

    def _scope(self, job: Job) -> Scope:
        return Scope({**self._contexts(), "needs": self._needs(job)}, self._status(job))

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

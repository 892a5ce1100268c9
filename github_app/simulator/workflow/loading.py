"""A workflow file, read and checked: everything we do not know is refused with its line."""

from collections.abc import Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from github_app.simulator.workflow import document
from github_app.simulator.workflow.checks import NO_SECRETS, Checks, has_expression
from github_app.simulator.workflow.document import Node
from github_app.simulator.workflow.matrix import MatrixError, combinations
from github_app.simulator.workflow.model import Job, Workflow

# Which contexts GitHub offers where:
# https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#context-availability
_RUN = frozenset({"github", "vars", "inputs"})
_JOB = _RUN | {"needs"}
_INSTANCE = _JOB | {"strategy", "matrix"}
_STEP = _INSTANCE | {"env", "job", "runner", "steps"}

_WORKFLOW_KEYS = frozenset({"name", "run-name", "on", "env", "defaults", "permissions", "concurrency", "jobs"})
_JOB_KEYS = frozenset(
    {"name", "needs", "if", "runs-on", "env", "defaults", "outputs", "strategy"}
    | {"continue-on-error", "timeout-minutes", "permissions", "steps"}
)
_STEP_KEYS = frozenset(
    {"id", "name", "if", "run", "shell", "env", "working-directory", "continue-on-error"}
    | {"timeout-minutes", "uses", "with"}
)
_REFUSED_IN_JOB = {
    "services": "service containers need Docker, which the simulated runner does not have",
    "container": "job containers need Docker, which the simulated runner does not have",
    "environment": "the simulated GitHub has no deployment environments",
    "concurrency": "the simulated GitHub knows concurrency groups of whole runs only",
    "uses": "the simulated GitHub does not call reusable workflows",
    "with": "the simulated GitHub does not call reusable workflows",
    "secrets": NO_SECRETS,
}


def load(text: str, path: str) -> Workflow:
    """The workflow in a file's text, or a `WorkflowError` that names the line."""
    warnings: list[str] = []
    root = document.read(text, path, warnings)
    return replace(_Loader(path).workflow(root), warnings=tuple(warnings))


class _Loader(Checks):
    def workflow(self, root: Node) -> Workflow:
        fields = self.fields(root, "the workflow", _WORKFLOW_KEYS)
        for key in ("on", "jobs"):
            if key not in fields:
                raise self.error(root.line, f"the workflow has no {key!r}")
        for key in ("run-name", "concurrency"):
            self.expressions(fields.get(key), _RUN)
        return Workflow(
            name=self.text(fields["name"], "name") if "name" in fields else self.path,
            path=self.path,
            events=self._events(fields["on"]),
            env=self.scalars(fields.get("env"), "env", _RUN),
            defaults=self._defaults(fields.get("defaults"), frozenset()),
            jobs=self._jobs(fields["jobs"]),
        )

    def _events(self, node: Node) -> Mapping[str, Any]:
        match node.plain():
            case str() as event:
                return {event: None}
            case list() as events if events and all(isinstance(event, str) for event in events):
                return dict.fromkeys(events)
            case dict() as events if events:
                return events
        raise self.error(node.line, "'on' must be an event, a list of events or a mapping of events")

    def _jobs(self, node: Node) -> Mapping[str, Job]:
        nodes = self.mapping(node, "'jobs'")
        if not nodes:
            raise self.error(node.line, "the workflow has no jobs")
        jobs = {job_id: self._job(job_id, item) for job_id, item in nodes.items()}
        for job in jobs.values():
            for need in job.needs:
                if need not in jobs:
                    line = nodes[job.id].key_line
                    raise self.error(line, f"the job {job.id!r} needs {need!r}, which is no job here")
        try:
            TopologicalSorter({job.id: job.needs for job in jobs.values()}).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            line = nodes[circle[0]].key_line
            raise self.error(line, f"jobs need each other in a circle: {' -> '.join(reversed(circle))}") from error
        return jobs

    def _job(self, job_id: str, node: Node) -> Job:
        self.identifier(job_id, node.key_line)
        fields = self.fields(node, f"the job {job_id!r}", _JOB_KEYS, _REFUSED_IN_JOB)
        for key in ("runs-on", "steps"):
            if key not in fields:
                raise self.error(node.key_line, f"the job {job_id!r} has no {key!r}")
        return Job(
            id=job_id,
            name=self._name(fields.get("name")),
            needs=self._needs(fields.get("needs")),
            condition=self.condition(fields.get("if"), _JOB),
            runs_on=self._runs_on(fields["runs-on"]),
            env=self.scalars(fields.get("env"), "env", _INSTANCE),
            defaults=self._defaults(fields.get("defaults"), _INSTANCE | {"env"}),
            outputs=self._outputs(fields.get("outputs")),
            steps=self._steps(fields["steps"]),
            continue_on_error=self.flag(
                fields.get("continue-on-error"), "continue-on-error", _INSTANCE, otherwise=False
            ),
            **self._timeout(fields.get("timeout-minutes")),
            **self._strategy(fields.get("strategy")),
        )

    def _name(self, node: Node | None) -> str | None:
        self.expressions(node, _INSTANCE)
        return None if node is None else self.text(node, "name")

    def _timeout(self, node: Node | None) -> dict[str, Any]:
        return {} if node is None else {"timeout_minutes": self.number(node, "timeout-minutes", _INSTANCE)}

    def _needs(self, node: Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        match node.plain():
            case str() as need:
                return (need,)
            case list() as needs if all(isinstance(need, str) for need in needs):
                return tuple(dict.fromkeys(needs))
        raise self.error(node.line, "'needs' must be a job id or a list of job ids")

    def _runs_on(self, node: Node) -> object:
        self.expressions(node, _INSTANCE)
        if isinstance(node.value, dict):
            fields = self.fields(node, "'runs-on'", frozenset({"group", "labels"}))
            if "group" in fields:
                self.text(fields["group"], "group")
            if "labels" in fields:
                self._labels(fields["labels"])
            if not fields:
                raise self.error(node.line, "'runs-on' names neither a group nor labels")
        else:
            self._labels(node)
        return node.plain()

    def _labels(self, node: Node) -> None:
        labels = node.value if isinstance(node.value, list) else [node]
        if not labels or not all(isinstance(label.value, str) and label.value for label in labels):
            raise self.error(node.line, "'runs-on' must be a label, a list of labels, or a mapping of group and labels")

    def _outputs(self, node: Node | None) -> Mapping[str, Any]:
        if node is not None:
            for name, item in self.mapping(node, "'outputs'").items():
                self.identifier(name, item.key_line)
        return self.scalars(node, "outputs", _STEP)

    def _strategy(self, node: Node | None) -> dict[str, Any]:
        if node is None:
            return {}
        fields = self.fields(node, "'strategy'", frozenset({"matrix", "fail-fast", "max-parallel"}))
        made: dict[str, Any] = {"fail_fast": self.flag(fields.get("fail-fast"), "fail-fast", _JOB, otherwise=True)}
        if "matrix" in fields:
            made["matrix"] = self._matrix(fields["matrix"])
        if "max-parallel" in fields:
            made["max_parallel"] = self.number(fields["max-parallel"], "max-parallel", _JOB)
        return made

    def _matrix(self, node: Node) -> object:
        self.expressions(node, _JOB)
        matrix = node.plain()
        if not has_expression(matrix):
            try:
                combinations(matrix)
            except MatrixError as error:
                raise self.error(node.key_line, str(error)) from error
        elif isinstance(node.value, dict):
            for key, item in node.value.items():
                if not isinstance(item.value, list) and not has_expression(item.value):
                    raise self.error(item.key_line, f"the matrix's {key!r} must be a list or an expression")
        return matrix

    def _steps(self, node: Node) -> tuple[Mapping[str, Any], ...]:
        if not isinstance(node.value, list) or not node.value:
            raise self.error(node.key_line, "'steps' must be a list with at least one step")
        steps: dict[str, Mapping[str, Any]] = {}
        for index, item in enumerate(node.value):
            step = self._step(item)
            name = step.get("id", str(index))  # An id never starts with a digit.
            if name in steps:
                raise self.error(item.line, f"the step id {name!r} stands here twice")
            steps[name] = step
        return tuple(steps.values())

    def _step(self, node: Node) -> Mapping[str, Any]:
        fields = self.fields(node, "a step", _STEP_KEYS)
        self._step_kind(fields, node.line)
        for key, item in fields.items():
            if key in ("id", "name", "run", "shell", "working-directory", "uses"):
                self.text(item, key)
            if key in ("env", "with"):
                self.scalars(item, key, _STEP)
            if key != "if":
                self.expressions(item, _STEP)
        if "id" in fields:
            self.identifier(self.text(fields["id"], "id"), fields["id"].line)
        self.condition(fields.get("if"), _STEP)
        self.flag(fields.get("continue-on-error"), "continue-on-error", _STEP, otherwise=False)
        self._step_timeout(fields.get("timeout-minutes"))
        return {key: item.plain() for key, item in fields.items()}

    def _step_kind(self, fields: Mapping[str, Node], line: int) -> None:
        if ("run" in fields) == ("uses" in fields):
            raise self.error(line, "a step must have either 'run' or 'uses'")
        kind, foreign = ("run", {"with"}) if "run" in fields else ("uses", {"shell", "working-directory"})
        for key in fields.keys() & foreign:
            raise self.error(fields[key].key_line, f"{key!r} does not go with {kind!r}")
        if kind == "uses" and has_expression(fields["uses"].value):
            raise self.error(fields["uses"].line, "'uses' must not hold an expression")

    def _step_timeout(self, node: Node | None) -> None:
        if node is None:
            return
        minutes = self.number(node, "timeout-minutes", _STEP)
        if isinstance(minutes, float):
            raise self.error(node.line, "a step's 'timeout-minutes' must be whole: act counts no parts of a minute")

    def _defaults(self, node: Node | None, contexts: frozenset[str]) -> Mapping[str, Any]:
        fields = {} if node is None else self.fields(node, "'defaults'", frozenset({"run"}))
        if "run" not in fields:
            return {}
        self.fields(fields["run"], "'run'", frozenset({"shell", "working-directory"}))
        return {"run": self.scalars(fields["run"], "run", contexts)}

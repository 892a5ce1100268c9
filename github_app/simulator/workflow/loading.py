"""A workflow file, read and checked: everything we do not know is refused with its line."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from github_app.simulator.workflow import document
from github_app.simulator.workflow.document import Node
from github_app.simulator.workflow.job_loading import JobLoader
from github_app.simulator.workflow.model import Callee, Input, Job, Workflow, WorkflowError
from github_app.simulator.workflow.places import CALLED_OUTPUT, RUN, WORKFLOW_ENV

_WORKFLOW_KEYS = frozenset({"name", "run-name", "on", "env", "defaults", "permissions", "concurrency", "jobs"})
_INPUT_KEYS = frozenset({"description", "type", "default", "required", "options", "deprecationMessage"})
_INPUT_TYPES = frozenset({"string", "number", "boolean", "choice", "environment"})


def load(text: str, path: str) -> Workflow:
    """The workflow in a file's text. What GitHub would run and this machine cannot is a refusal of its job.

    Raises:
        WorkflowError: GitHub would refuse the file too; all that is wrong with it, each with its line.
    """
    warnings: list[str] = []
    root = document.read(text, path, warnings)
    return replace(_Loader(path).workflow(root), warnings=tuple(warnings))


def library(workflow: Workflow, files: Mapping[str, bytes]) -> Mapping[str, Workflow | WorkflowError]:
    """The workflows of the same commit that one calls, and those that they call; what cannot be read, as its error."""
    found: dict[str, Workflow | WorkflowError] = {}
    waiting = [workflow]
    while waiting:
        for path in {job.call.path for job in waiting.pop().jobs.values() if job.call} - found.keys():
            if path not in files:
                continue
            try:
                found[path] = called = load(files[path].decode("utf-8", "replace"), path)
            except WorkflowError as error:
                found[path] = error
            else:
                waiting.append(called)
    return found


class _Loader(JobLoader):
    def workflow(self, root: Node) -> Workflow:
        fields = self.fields(root, "the workflow", _WORKFLOW_KEYS)
        for key in ("on", "jobs"):
            if key not in fields:
                self.raise_noted()
                raise self.error(root.line, f"the workflow has no {key!r}")
        read: dict[str, Any] = {}
        readers: dict[str, Callable[[], Any]] = {
            "name": lambda: self.text(fields["name"], "name") if "name" in fields else self.path,
            "events": lambda: self._events(fields["on"]),
            "env": lambda: self.scalars(fields.get("env"), "env", WORKFLOW_ENV),
            "defaults": lambda: self.defaults(fields.get("defaults"), frozenset()),
            "jobs": lambda: self._jobs(fields["jobs"]),
            "concurrency": lambda: self.concurrency(fields.get("concurrency"), RUN),
            "dispatch": lambda: self._inputs(_within(fields["on"], "workflow_dispatch", "inputs")),
            "callee": lambda: self._callee(fields["on"]),
            "run-name": lambda: self.expressions(fields.get("run-name"), RUN),
            "permissions": lambda: self.permissions(fields.get("permissions")),
        }
        for key, reader in readers.items():
            with self.noted():
                read[key] = reader()
        self.raise_noted()
        return Workflow(path=self.path, **{key: read[key] for key in read if key not in ("run-name", "permissions")})

    def _events(self, node: Node) -> Mapping[str, Any]:
        match node.plain():
            case str() as event:
                return {event: None}
            case list() as events if events and all(isinstance(event, str) for event in events):
                return dict.fromkeys(events)
            case dict() as events if events:
                return events
        raise self.error(node.line, "'on' must be an event, a list of events or a mapping of events")

    def _callee(self, node: Node) -> Callee | None:
        if "workflow_call" not in self._events(node):
            return None
        secrets = _within(node, "workflow_call", "secrets")
        outputs = _within(node, "workflow_call", "outputs")
        entries = {} if outputs is None or outputs.value is None else self.mapping(outputs, "'outputs'")
        for item in entries.values():
            self.expressions(item, CALLED_OUTPUT)
        values = {name: _within(item, "value") for name, item in entries.items()}
        return Callee(
            inputs=self._inputs(_within(node, "workflow_call", "inputs")),
            secrets={name: _says_required(item) for name, item in _entries(secrets).items()},
            outputs={name: value.plain() if value else "" for name, value in values.items()},
        )

    def _inputs(self, node: Node | None) -> Mapping[str, Input]:
        return {name: self._input(name, item) for name, item in _entries(node).items()}

    def _input(self, name: str, node: Node) -> Input:
        fields = {} if node.value is None else self.fields(node, f"the input {name!r}", _INPUT_KEYS)
        kind = self.text(fields["type"], "type") if "type" in fields else "string"
        if kind not in _INPUT_TYPES:
            raise self.error(fields["type"].line, f"an input's 'type' must be one of {', '.join(sorted(_INPUT_TYPES))}")
        self.expressions(fields.get("default"), RUN)
        default = fields["default"].plain() if "default" in fields else None
        return Input(kind, default, _says_required(node))

    def _jobs(self, node: Node) -> Mapping[str, Job]:
        nodes = self.mapping(node, "'jobs'")
        if not nodes:
            raise self.error(node.line, "the workflow has no jobs")
        jobs: dict[str, Job] = {}
        for job_id, item in nodes.items():
            with self.noted():
                jobs[job_id] = self.job(job_id, item)
        for job in jobs.values():
            for need in job.needs:
                if need not in nodes:
                    line = nodes[job.id].key_line
                    with self.noted():
                        raise self.error(line, f"the job {job.id!r} needs {need!r}, which is no job here")
        self._order(jobs, nodes)
        return jobs

    def _order(self, jobs: Mapping[str, Job], nodes: Mapping[str, Node]) -> None:
        try:
            TopologicalSorter({job.id: job.needs for job in jobs.values()}).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            line = nodes[circle[0]].key_line
            raise self.error(line, f"jobs need each other in a circle: {' -> '.join(reversed(circle))}") from error


def _within(node: Node, *keys: str) -> Node | None:
    """The node below these keys, if it is there."""
    for key in keys:
        if not isinstance(node.value, dict) or key not in node.value:
            return None
        node = node.value[key]
    return node


def _entries(node: Node | None) -> Mapping[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _says_required(node: Node) -> bool:
    required = _within(node, "required")
    return required is not None and required.value is True

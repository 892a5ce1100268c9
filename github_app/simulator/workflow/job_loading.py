"""The jobs of a workflow, read and checked."""

from collections.abc import Mapping
from typing import Any, Literal

from github_app.simulator.workflow.checks import has_expression
from github_app.simulator.workflow.document import Node
from github_app.simulator.workflow.matrix import MatrixError, combinations
from github_app.simulator.workflow.model import Call, Concurrency, Job
from github_app.simulator.workflow.places import INSTANCE, JOB, STEP, WITH_SECRETS
from github_app.simulator.workflow.step_loading import StepLoader

_EVERY_JOB = frozenset({"name", "needs", "if", "strategy", "concurrency", "permissions"})
_STEPS_JOB = _EVERY_JOB | {
    *("runs-on", "env", "defaults", "outputs", "continue-on-error", "timeout-minutes", "steps"),
    *("environment", "container", "services", "snapshot"),
}
_CALLING_JOB = _EVERY_JOB | {"uses", "with", "secrets"}
_FOLDER = ".github/workflows/"
# A workflow of the same commit: https://github.blog/changelog/2026-07-30-reference-same-repository-actions-with-self-repository-syntax/
_SAME_REPOSITORY = ("./", "$/")


class JobLoader(StepLoader):
    """Reads jobs."""

    def job(self, job_id: str, node: Node) -> Job:
        """One entry of `jobs`."""
        self.identifier(job_id, node.key_line)
        calls = isinstance(node.value, dict) and "uses" in node.value
        fields = self.fields(node, f"the job {job_id!r}", _CALLING_JOB if calls else _STEPS_JOB)
        common: dict[str, Any] = {
            "id": job_id,
            "name": self._name(fields.get("name")),
            "needs": self._needs(fields.get("needs")),
            "condition": self.condition(fields.get("if"), JOB),
            "concurrency": self.concurrency(fields.get("concurrency"), INSTANCE),
            **self._strategy(fields.get("strategy")),
        }
        self.permissions(fields.get("permissions"))
        return self._calling_job(fields, common) if calls else self._steps_job(fields, common, node.key_line)

    def _steps_job(self, fields: Mapping[str, Node], common: Mapping[str, Any], line: int) -> Job:
        for key in ("runs-on", "steps"):
            if key not in fields:
                raise self.error(line, f"the job {common['id']!r} has no {key!r}")
        steps: tuple[Mapping[str, Any], ...] = ()
        with self.noted():
            steps = self.steps(fields["steps"])
        return Job(
            **common,
            runs_on=self._runs_on(fields["runs-on"]),
            env=self.scalars(fields.get("env"), "env", WITH_SECRETS),
            defaults=self.defaults(fields.get("defaults"), INSTANCE | {"env"}),
            outputs=self._outputs(fields.get("outputs")),
            steps=steps,
            continue_on_error=self.flag(
                fields.get("continue-on-error"), "continue-on-error", INSTANCE, otherwise=False
            ),
            environment=self._environment(fields.get("environment")),
            **self._timeout(fields.get("timeout-minutes")),
            **self._containers(fields),
        )

    def _calling_job(self, fields: Mapping[str, Node], common: Mapping[str, Any]) -> Job:
        node = fields["uses"]
        path = self.text(node, "uses")
        inputs = self.scalars(fields.get("with"), "with", INSTANCE)
        secrets = self._secrets(fields.get("secrets"))
        if not path.startswith(_SAME_REPOSITORY):
            reason = f"{self.path}:{node.line}: {path} is a workflow of another repository, which is not here"
            return Job(**common, refusals=(reason,))
        if "@" in path or not path[2:].startswith(_FOLDER) or "/" in path[2:].removeprefix(_FOLDER):
            raise self.error(node.line, f"'uses' must name a file of {_FOLDER}, without a ref: {path}")
        return Job(**common, call=Call(path[2:], inputs, secrets))

    def _secrets(self, node: Node | None) -> Mapping[str, Any] | Literal["inherit"]:
        if node is not None and node.value == "inherit":
            return "inherit"
        return self.scalars(node, "secrets", WITH_SECRETS)

    def concurrency(self, node: Node | None, contexts: frozenset[str]) -> Concurrency | None:
        """A `concurrency`, of a job or of a workflow."""
        if node is None:
            return None
        self.expressions(node, contexts)
        if not isinstance(node.value, dict):
            return Concurrency(self.text(node, "concurrency"))
        fields = self.fields(node, "'concurrency'", frozenset({"group", "cancel-in-progress", "queue"}))
        if "group" not in fields:
            raise self.error(node.line, "'concurrency' has no 'group'")
        queue = self.text(fields["queue"], "queue") if "queue" in fields else "single"
        cancel = self.flag(fields.get("cancel-in-progress"), "cancel-in-progress", contexts, otherwise=False)
        if queue not in ("single", "max") or (queue == "max" and cancel is True):
            raise self.error(fields["queue"].line, "'queue' must be single, or max without cancel-in-progress")
        return Concurrency(self.text(fields["group"], "group"), cancel, queue)

    def permissions(self, node: Node | None) -> None:
        """A `permissions`: one word for all, or a level for each; the simulated GitHub grants what is asked for."""
        if node is None or node.value in ("read-all", "write-all"):
            return
        for item in self.mapping(node, "'permissions'").values():
            if item.value not in ("read", "write", "none"):
                raise self.error(item.line, "a permission must be read, write or none")

    def defaults(self, node: Node | None, contexts: frozenset[str]) -> Mapping[str, Any]:
        """A `defaults`, of a job or of a workflow."""
        fields = {} if node is None else self.fields(node, "'defaults'", frozenset({"run"}))
        if "run" not in fields:
            return {}
        self.fields(fields["run"], "'run'", frozenset({"shell", "working-directory"}))
        return {"run": self.scalars(fields["run"], "run", contexts)}

    def _name(self, node: Node | None) -> str | None:
        self.expressions(node, INSTANCE)
        return None if node is None else self.text(node, "name")

    def _timeout(self, node: Node | None) -> dict[str, Any]:
        return {} if node is None else {"timeout_minutes": self.number(node, "timeout-minutes", INSTANCE)}

    def _needs(self, node: Node | None) -> tuple[str, ...]:
        if node is None:
            return ()
        match node.plain():
            case str() as need:
                return (need,)
            case list() as needs if all(isinstance(need, str) for need in needs):
                return tuple(dict.fromkeys(needs))
        raise self.error(node.line, "'needs' must be a job id or a list of job ids")

    def _environment(self, node: Node | None) -> str | None:
        if node is None:
            return None
        self.expressions(node, STEP)
        if not isinstance(node.value, dict):
            return self.text(node, "environment")
        fields = self.fields(node, "'environment'", frozenset({"name", "url", "deployment"}))
        if "name" not in fields:
            raise self.error(node.line, "'environment' has no 'name'")
        return self.text(fields["name"], "name")

    def _containers(self, fields: Mapping[str, Node]) -> dict[str, Any]:
        found = {key: fields[key] for key in ("container", "services") if key in fields}
        for node in found.values():
            self.expressions(node, STEP)
        refusals = [
            f"{self.path}:{node.key_line}: {key!r} needs Docker, which is not here" for key, node in found.items()
        ]
        made: dict[str, Any] = {key: node.plain() for key, node in found.items()}
        if list(found) == ["services"]:
            # act starts service containers beside a job container only.
            reason = "'services' needs a 'container' beside it here, for the steps run without one"
            made["refusals"] = (f"{self.path}:{found['services'].key_line}: {reason}",)
        return {**made, "docker_refusals": tuple(refusals)}

    def _runs_on(self, node: Node) -> object:
        self.expressions(node, INSTANCE)
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
        return self.scalars(node, "outputs", STEP)

    def _strategy(self, node: Node | None) -> dict[str, Any]:
        if node is None:
            return {}
        fields = self.fields(node, "'strategy'", frozenset({"matrix", "fail-fast", "max-parallel"}))
        made: dict[str, Any] = {"fail_fast": self.flag(fields.get("fail-fast"), "fail-fast", JOB, otherwise=True)}
        if "matrix" in fields:
            made["matrix"] = self._matrix(fields["matrix"])
        if "max-parallel" in fields:
            made["max_parallel"] = self.number(fields["max-parallel"], "max-parallel", JOB)
        return made

    def _matrix(self, node: Node) -> object:
        self.expressions(node, JOB)
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

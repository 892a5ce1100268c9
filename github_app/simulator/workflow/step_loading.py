"""The steps of a job, read and checked."""

import math
from collections.abc import Mapping
from typing import Any

from github_app.simulator.workflow.checks import Checks, has_expression
from github_app.simulator.workflow.document import Node
from github_app.simulator.workflow.places import STEP, STEP_IF

_STEP_KEYS = frozenset(
    {"id", "name", "if", "run", "shell", "env", "working-directory", "continue-on-error"}
    | {"timeout-minutes", "uses", "with"}
)


class StepLoader(Checks):
    """Reads steps."""

    def steps(self, node: Node) -> tuple[Mapping[str, Any], ...]:
        """A job's `steps`; what is wrong in one is noted, and the others are read."""
        if not isinstance(node.value, list) or not node.value:
            raise self.error(node.key_line, "'steps' must be a list with at least one step")
        steps: dict[str, Mapping[str, Any]] = {}
        for index, item in enumerate(node.value):
            with self.noted():
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
                self.scalars(item, key, STEP)
            if key != "if":
                self.expressions(item, STEP)
        if "id" in fields:
            self.identifier(self.text(fields["id"], "id"), fields["id"].line)
        self.condition(fields.get("if"), STEP_IF)
        self.flag(fields.get("continue-on-error"), "continue-on-error", STEP, otherwise=False)
        step = {key: item.plain() for key, item in fields.items()}
        if "timeout-minutes" in fields:
            minutes = self.number(fields["timeout-minutes"], "timeout-minutes", STEP)
            # act counts no parts of a minute.
            step["timeout-minutes"] = minutes if isinstance(minutes, str) else math.ceil(minutes)
        return step

    def _step_kind(self, fields: Mapping[str, Node], line: int) -> None:
        if ("run" in fields) == ("uses" in fields):
            raise self.error(line, "a step must have either 'run' or 'uses'")
        kind, foreign = ("run", {"with"}) if "run" in fields else ("uses", {"shell", "working-directory"})
        for key in fields.keys() & foreign:
            raise self.error(fields[key].key_line, f"{key!r} does not go with {kind!r}")
        if kind == "uses" and has_expression(fields["uses"].value):
            raise self.error(fields["uses"].line, "'uses' must not hold an expression")

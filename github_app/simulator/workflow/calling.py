"""What a run is given from outside, and what a job hands to the workflow that it calls.

https://docs.github.com/en/actions/reference/workflows-and-actions/reusing-workflow-configurations
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from github_app.simulator.workflow.expressions import Scope, resolve
from github_app.simulator.workflow.model import Call, Callee, Input, Workflow, WorkflowError
from github_app.simulator.workflow.rewriting import DUMMY_TOKEN
from github_app.simulator.workflow.values import ExpressionError, to_number, to_text

# GitHub's: the workflow that an event starts, and nine levels of called ones below it.
MAX_LEVELS = 10
TOKEN = "GITHUB_TOKEN"  # noqa: S105 - its name


@dataclass(frozen=True)
class Given:
    """What a run has beside its file.

    `library`: the other workflow files of the commit by their path, or what is wrong with them. `docker`: whether
    containers can be run here. `level`: 1 for a run that an event started, one more for each call.
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    library: Mapping[str, Workflow | WorkflowError] = field(default_factory=dict)
    docker: bool = False
    level: int = 1

    @property
    def token(self) -> str:
        """The job's token: a dummy, unless a secret of that name is given."""
        return self.secrets.get(TOKEN, DUMMY_TOKEN)


class CallRefusedError(ExpressionError):
    """A call that cannot be made; GitHub refuses the caller's file for most of them."""


def called(call: Call, scope: Scope, given: Given) -> tuple[Workflow, Given]:
    """The workflow that is called, and what it is given.

    Raises:
        CallRefusedError: it is not there, is broken, or takes other inputs and secrets.
    """
    workflow = given.library.get(call.path)
    if workflow is None:
        raise CallRefusedError(f"{call.path} is not in this repository")
    if isinstance(workflow, WorkflowError):
        raise CallRefusedError(f"it calls a workflow that is broken: {workflow}")
    if workflow.callee is None:
        raise CallRefusedError(f"{call.path} cannot be called: it has no `on: workflow_call`")
    if given.level >= MAX_LEVELS:
        raise CallRefusedError(f"workflows may call each other at most {MAX_LEVELS} levels deep")
    return workflow, replace(
        given,
        inputs=_inputs(call, workflow.callee, scope),
        secrets=_secrets(call, workflow.callee, scope, given),
        level=given.level + 1,
    )


def _inputs(call: Call, callee: Callee, scope: Scope) -> Mapping[str, Any]:
    offered = {name: resolve(value, scope) for name, value in call.inputs.items()}
    for name in offered:
        if name not in callee.inputs:
            raise CallRefusedError(f"{call.path} has no input {name!r}")
    for name, declared in callee.inputs.items():
        if declared.required and name not in offered:
            raise CallRefusedError(f"{call.path} requires the input {name!r}")
    return inputs_of(callee.inputs, offered, scope)


def inputs_of(declared: Mapping[str, Input], offered: Mapping[str, Any], scope: Scope) -> Mapping[str, Any]:
    """The value of each declared input, in its type: what is offered, else its default, else the type's empty value."""
    return {
        name: _typed(name, each, offered.get(name, resolve(each.default, scope))) for name, each in declared.items()
    }


def _typed(name: str, declared: Input, value: object) -> Any:
    match declared.type:
        case "boolean":
            if value not in (True, False, None, "", "true", "false"):
                raise CallRefusedError(f"the input {name!r} must be true or false")
            return value in (True, "true")
        case "number":
            number = to_number(value)
            if math.isnan(number):
                raise CallRefusedError(f"the input {name!r} must be a number")
            return int(number) if number.is_integer() else number
    if isinstance(value, Mapping | list):
        raise CallRefusedError(f"the input {name!r} must be text")
    return to_text(value)


def _secrets(call: Call, callee: Callee, scope: Scope, given: Given) -> Mapping[str, str]:
    if call.secrets == "inherit":
        return given.secrets
    within = Scope({**scope.contexts, "secrets": {TOKEN: given.token, **given.secrets}})
    handed = {name.upper(): to_text(resolve(value, within)) for name, value in call.secrets.items()}
    known = {name.upper(): required for name, required in callee.secrets.items()}
    for name in handed:
        if name not in known:
            raise CallRefusedError(f"{call.path} has no secret {name!r}")
    for name, required in known.items():
        if required and name not in handed:
            raise CallRefusedError(f"{call.path} requires the secret {name!r}")
    # The token is given to every workflow, and never named by a caller.
    return {**handed, TOKEN: given.token}

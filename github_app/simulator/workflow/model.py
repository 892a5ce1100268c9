"""The workflow as data: what a file says, and what one planned job is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Result = Literal["success", "failure", "cancelled", "skipped"]

DEFAULT_TIMEOUT_MINUTES = 360.0


class WorkflowError(Exception):
    """A workflow file that GitHub, or this simulator, does not accept; `more`: what else is wrong in it."""

    def __init__(self, path: str, line: int, reason: str, more: "Sequence[WorkflowError]" = ()) -> None:
        super().__init__("\n".join([f"{path}:{line}: {reason}", *map(str, more)]))
        self.path = path
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Concurrency:
    """A `concurrency` as it is written; `queue` is `single` or `max`."""

    group: str
    cancel_in_progress: Any = False
    queue: str = "single"


@dataclass(frozen=True)
class Group:
    """An evaluated `concurrency`: at most one of its group runs at a time; `most` of it may wait."""

    name: str
    cancel_in_progress: bool = False
    most: int = 1


@dataclass(frozen=True)
class Call:
    """A job's `uses`: the path of a workflow of the same commit, and what it is given.

    `secrets` is a mapping as it is written, or `inherit`.
    """

    path: str
    inputs: Mapping[str, Any]
    secrets: Mapping[str, Any] | Literal["inherit"]


@dataclass(frozen=True)
class Input:
    """An input of `workflow_call` or `workflow_dispatch`."""

    type: str = "string"
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Callee:
    """What `on.workflow_call` says; outputs as they are written. `secrets`: each name, and whether it is required."""

    inputs: Mapping[str, Input] = field(default_factory=dict)
    secrets: Mapping[str, bool] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One entry of `jobs`, checked; what may hold an expression is kept as it was written.

    It has steps, or calls another workflow. `refusals`: why it cannot run here, each with file and line;
    `docker_refusals`: the same where no Docker is.
    """

    id: str
    name: str | None
    needs: tuple[str, ...]
    condition: str
    runs_on: Any = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Mapping[str, Any], ...] = ()
    matrix: Any = None
    fail_fast: Any = True
    max_parallel: Any = None
    continue_on_error: Any = False
    timeout_minutes: Any = DEFAULT_TIMEOUT_MINUTES
    environment: str | None = None
    concurrency: Concurrency | None = None
    container: Any = None
    services: Mapping[str, Any] = field(default_factory=dict)
    call: Call | None = None
    refusals: tuple[str, ...] = ()
    docker_refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workflow:
    """A checked workflow file. `events` maps each event of `on` to its settings."""

    name: str
    path: str
    events: Mapping[str, Any]
    env: Mapping[str, Any]
    defaults: Mapping[str, Any]
    jobs: Mapping[str, Job]
    concurrency: Concurrency | None = None
    dispatch: Mapping[str, Input] = field(default_factory=dict)
    callee: Callee | None = None
    # What runs here and would not at GitHub, with file and line.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobInstance:
    """One job of a run: to be queued, or already decided.

    Decided ones are `skipped` (with `cancelled` as well when a cancellation came before the job was queued)
    or carry an `error`, and count as finished. `refused`: the error is a refusal, of what GitHub would have run.
    """

    key: str
    job_id: str
    name: str
    labels: tuple[str, ...] = ()
    group: str | None = None
    skipped: bool = False
    matrix: Mapping[str, Any] = field(default_factory=dict)
    continue_on_error: bool = False
    timeout_minutes: float = DEFAULT_TIMEOUT_MINUTES
    error: str | None = None
    refused: bool = False
    cancelled: bool = False
    environment: str | None = None
    concurrency: Group | None = None

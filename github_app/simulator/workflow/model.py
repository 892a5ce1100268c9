"""The workflow as data: what a file says, and what one planned job is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Result = Literal["success", "failure", "cancelled", "skipped"]

DEFAULT_TIMEOUT_MINUTES = 360.0


class WorkflowError(Exception):
    """A workflow file that GitHub, or this simulator, does not accept."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Job:
    """One entry of `jobs`, checked; what may hold an expression is kept as it was written."""

    id: str
    name: str | None
    needs: tuple[str, ...]
    condition: str
    runs_on: Any
    env: Mapping[str, Any]
    defaults: Mapping[str, Any]
    outputs: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    matrix: Any = None
    fail_fast: Any = True
    max_parallel: Any = None
    continue_on_error: Any = False
    timeout_minutes: Any = DEFAULT_TIMEOUT_MINUTES


@dataclass(frozen=True)
class Workflow:
    """A checked workflow file. `events` maps each event of `on` to its settings."""

    name: str
    path: str
    events: Mapping[str, Any]
    env: Mapping[str, Any]
    defaults: Mapping[str, Any]
    jobs: Mapping[str, Job]
    # What runs here and would not at GitHub, with file and line.
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobInstance:
    """One job of a run: to be queued, or already decided.

    Decided ones are `skipped` (with `cancelled` as well when a cancellation came before the job was queued)
    or carry an `error`, and count as finished.
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
    cancelled: bool = False

"""How far a job of a run is: its instances, their results and its outputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from github_app.simulator.workflow.model import JobInstance, Result
from github_app.simulator.workflow.planning import Plan

if TYPE_CHECKING:
    from github_app.simulator.workflow.run import Run


@dataclass
class Progress:
    """One instance of a job."""

    instance: JobInstance
    result: Result | None = None
    emitted: bool = False
    told_to_cancel: bool = False
    # What the job calls, once it has begun.
    inner: "Run | None" = None

    @property
    def counts_as(self) -> Result | None:
        """Its result as the run and the jobs that need it see it.

        A failed job with continue-on-error is a success to both: github.com/actions/toolkit/issues/581.
        """
        return "success" if self.result == "failure" and self.instance.continue_on_error else self.result

    @property
    def running(self) -> bool:
        """Queued or at work."""
        return self.emitted and self.result is None


@dataclass
class PlannedJob:
    """A job that is decided."""

    plan: Plan
    instances: list[Progress]
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def result(self) -> Result | None:
        """The result of all instances together, once each has one."""
        return worst_of(each.counts_as for each in self.instances)

    @property
    def failing_fast(self) -> bool:
        """Whether one failure ends the others."""
        return self.plan.fail_fast and any(each.counts_as == "failure" for each in self.instances)

    @property
    def room(self) -> bool:
        """Whether one more may run beside those that do."""
        limit = self.plan.max_parallel
        return limit is None or sum(each.running for each in self.instances) < limit

    def take_outputs(self, outputs: Mapping[str, str]) -> None:
        """Of a matrix's instances the last one to set an output wins; an empty one does not count."""
        self.outputs |= {name: value for name, value in outputs.items() if value or name not in self.outputs}


def worst_of(results: Iterator[Result | None]) -> Result | None:
    """One result for several: the worst, once each has one."""
    seen = set(results)
    if None in seen:
        return None
    worst: tuple[Result, ...] = ("failure", "cancelled", "success")
    return next((result for result in worst if result in seen), "skipped")


def decided(instance: JobInstance) -> Result | None:
    """The result of an instance that is never queued."""
    if instance.skipped:
        return "skipped"
    return "failure" if instance.error is not None else None

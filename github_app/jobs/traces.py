"""A job that is over as a trace: a span for the whole, and one for each part of its way. Pure."""

import hashlib
from dataclasses import dataclass

from github_app.foreign_text import visible
from github_app.jobs.accounts import FAILURES, queued_at
from github_app.model import JobRecord
from github_app.routing.units import as_machine

# Longer names are cut: collectors cut, or refuse, what is long.
_LONGEST = 200


@dataclass(frozen=True)
class Span:
    """A part of a job's way, in Unix seconds. The ids come from the job's, so that a repetition is the same span."""

    name: str
    id: int
    begin: float
    end: float


@dataclass(frozen=True)
class Trace:
    """A job: the span of the whole, those of its parts in their order, and what is said of it."""

    id: int
    whole: Span
    parts: tuple[Span, ...]
    attributes: dict[str, str | int]
    failed: bool


def trace_of(record: JobRecord) -> Trace:
    """The trace of a job that is over."""
    job, begin = record.event.job_id, queued_at(record)
    parts: list[Span] = []
    for name, end in _ends(record):
        # Clocks of GitHub and of containers differ: a part that would end before it began takes no time.
        since = parts[-1].end if parts else begin
        parts.append(Span(name, _id(job, name, 8), since, max(since, end)))
    whole = Span("job", _id(job, "job", 8), begin, parts[-1].end if parts else begin)
    return Trace(_id(job, "trace", 16), whole, tuple(parts), _attributes(record), record.conclusion in FAILURES)


def _ends(record: JobRecord) -> list[tuple[str, float]]:
    """When each part ended, as far as it is known; a job on another's runner has no parts before its run."""
    ran = record.ran
    ends: list[tuple[str, float | None]] = [("wait", record.started_at)]
    if ran is not None and ran.started_for == record.event.job_id and ran.created_at is not None:
        ends = [
            ("delivery", record.recorded_at),
            ("ours", ran.jit_at),
            ("modal", ran.created_at),
            ("runner", record.started_at),
        ]
    return [(name, end) for name, end in [*ends, ("run", record.completed_at)] if end is not None]


def _attributes(record: JobRecord) -> dict[str, str | int]:
    """What is said of a job; names are OpenTelemetry's where it has one (Semantic conventions for CICD and VCS)."""
    event, ran = record.event, record.ran
    told = {
        "vcs.repository.name": event.repository,
        "vcs.ref.head.name": event.branch,
        "vcs.ref.head.revision": event.sha,
        "cicd.pipeline.name": event.workflow,
        "cicd.pipeline.run.id": str(event.run_id),
        "cicd.pipeline.task.name": event.job_name,
        "cicd.pipeline.task.run.id": str(event.job_id),
        "cicd.pipeline.task.run.result": record.conclusion,
        "cicd.worker.name": ran.runner if ran else None,
        "modal_runner.machine": as_machine(ran.gpu, ran.vcpu, ran.memory_mib, ran.region) if ran else None,
        "modal_runner.profile": ran.profile if ran else None,
        "modal_runner.sandbox": ran.sandbox_id if ran else None,
    }
    shown: dict[str, str | int] = {name: visible(value)[:_LONGEST] for name, value in told.items() if value}
    return shown | {"modal_runner.attempt": event.run_attempt}


def _id(job: int, what: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{job}/{what}".encode()).digest()[:size])

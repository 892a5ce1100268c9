"""What a sweep has read, before it compares."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from github_app.model import RUNNER_NAME, Claim, JobRecord, Place, RunnerRecord, RunnerStatus, Shape

# What actions/runner prints of a job, in its last lines.
RAN_A_JOB = re.compile(r"\bRunning job: |\bJob .* completed with result: ")


@dataclass(frozen=True)
class Listed:
    """A runner in GitHub's list, with what is needed to speak of it there."""

    status: RunnerStatus
    record: RunnerRecord


@dataclass(frozen=True)
class Found:
    """What everyone says. `github` is keyed by `key_of` and holds only the places in `places`, read just now.

    `everywhere`: every place that may have runners of ours could be read.
    """

    jobs: Mapping[int, JobRecord]
    claims: Mapping[str, Claim]
    runners: Mapping[str, RunnerRecord]
    running: frozenset[str]
    github: Mapping[str, Listed]
    places: frozenset[Place]
    everywhere: bool


def key_of(status: RunnerStatus, record: RunnerRecord | None) -> str:
    """A runner's name, where it is the recorded one of that name or there is none: anyone may name a runner as ours."""
    return status.name if record is None or record.github_id == status.id else f"{status.name}, {status.id}"


def record_of(place: Place, status: RunnerStatus) -> RunnerRecord:
    """A record for a runner that has none, to speak of it at GitHub."""
    found = RUNNER_NAME.fullmatch(status.name)
    return RunnerRecord(
        name=status.name,
        started_for=int(found["job_id"]) if found else 0,
        place=place,
        labels=(),
        shape=Shape((0, 0), (0, 0), 0),
        github_id=status.id,
        started_at=0.0,
    )

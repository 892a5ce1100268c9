"""Events and records with everything that a test does not care about filled in."""

from typing import Any

import msgspec

from github_app.model import Action, JobEvent, JobRecord, JobState, Place, RunnerRecord, Scope, Shape
from github_app.settings.variables import RoutingSettings

SHAPE = Shape(cpu=(1.0, 2.0), memory_mib=(512, 1024), timeout_s=600)
ORGANIZATION = Scope("octo-org")
PERSONAL = Scope("octocat", "tools")
PLACE = Place(ORGANIZATION, installation_id=44)
PERSONAL_PLACE = Place(PERSONAL, installation_id=44, repository_id=33)

_EVENT = JobEvent(
    action=Action.QUEUED,
    job_id=11,
    run_id=22,
    run_attempt=1,
    job_name="build",
    labels=("self-hosted", "modal"),
    repository="octo-org/app",
    repository_id=33,
    private=True,
    scope=ORGANIZATION,
    installation_id=44,
)
_RUNNER = RunnerRecord(
    name="modal-11-1",
    started_for=11,
    place=PLACE,
    labels=("self-hosted", "modal"),
    shape=SHAPE,
    github_id=7,
    started_at=0.0,
    sandbox_id="sb-1",
)


def event(**changes: Any) -> JobEvent:
    """A job's event."""
    return msgspec.structs.replace(_EVENT, **changes)


def job(
    state: JobState = JobState.QUEUED, recorded_at: float = 0.0, changed_at: float = 0.0, **changes: Any
) -> JobRecord:
    """A job's record."""
    return JobRecord(event(**changes), state, recorded_at, changed_at)


def runner(**changes: Any) -> RunnerRecord:
    """A runner's record."""
    return msgspec.structs.replace(_RUNNER, **changes)


def routing_settings(**given: Any) -> RoutingSettings:
    """The settings that decide about jobs, whatever this machine's environment says."""
    return RoutingSettings.model_construct(**{**dict(RoutingSettings.model_construct()), **given})

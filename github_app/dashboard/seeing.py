"""What is going on, cut to what one may see: whatever names anything else is left out, or unnamed. Pure."""

import re
from dataclasses import replace

import msgspec

from github_app.dashboard.reading import Reading
from github_app.dashboard.sight import Sight
from github_app.model import RUNNER_NAME, RunnerRecord
from github_app.runners.capacity import IN_ALL
from github_app.views.status import JobStatus, Status

_NAMES = re.compile(RUNNER_NAME.pattern)


def seen(reading: Reading, sight: Sight) -> Reading:
    """Cut it. Who sees no repository at all sees nothing, not even how things are."""
    records, status = reading.records, reading.status
    runners = {name: each for name, each in records.runners.items() if _is_seen(each, reading, sight)}
    some = sight.sees_any
    cut = replace(
        records,
        jobs={key: each for key, each in records.jobs.items() if sight.sees(each.event.repository)},
        runners=runners,
        refused={key: each for key, each in records.refused.items() if sight.sees(each.repository)},
        parked=records.parked if sight.owned else 0,
    )
    return replace(
        reading,
        records=cut,
        status=Status(
            stopped=status.stopped if some else None,
            jobs=[_unnamed(job, runners) for job in status.jobs if sight.sees(job.repository)],
            runners=[runner for runner in status.runners if runner.name in runners],
            slots={group: taken for group, taken in status.slots.items() if _group_is_seen(group, sight)},
            refused=[each for each in status.refused if sight.sees(each.repository)],
            parked=cut.parked,
            warm=[each for each in status.warm if sight.owns(each.scope.partition("/")[0])],
        ),
        jobs={number: line for number, line in reading.jobs.items() if sight.sees(line.repository)},
        kept=tuple(line for line in reading.kept if sight.sees(line.repository)),
    )


def _unnamed(job: JobStatus, runners: dict[str, RunnerRecord]) -> JobStatus:
    """A job may wait for the runner of another, whose number is in its name."""
    if job.waits_for is None:
        return job
    own = {job.runner or "", *runners}
    told = _NAMES.sub(lambda found: found[0] if found[0] in own else "of another job", job.waits_for)
    return msgspec.structs.replace(job, waits_for=told)


def _is_seen(runner: RunnerRecord, reading: Reading, sight: Sight) -> bool:
    """A runner is seen with its job; one whose job is not known any more, by those who own the account."""
    job = reading.records.jobs.get(str(runner.runs_job or runner.started_for))
    if job is not None:
        return sight.sees(job.event.repository)
    return sight.owns(runner.place.scope.owner)


def _group_is_seen(group: str, sight: Sight) -> bool:
    """A cap is a repository's, a profile's, or that of all, which whoever waits for it may know."""
    if group == IN_ALL or group.startswith("profile:"):
        return sight.sees_any
    return sight.sees(group)

"""Demand against supply: which queued jobs lack a runner, and which idle runners nobody needs. Pure.

GitHub gives a queued job to any runner that has its labels, so whose runner was taken by whom does not matter:
what counts are the totals for each kind of machine. One surplus cannot breed another, and a job whose runner was
taken gets the taker's own, if that one fits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from github_app.model import JobRecord, JobState, RunnerRecord, Shape


@dataclass(frozen=True)
class Demand:
    """A queued job and the machine that it is to get."""

    job: JobRecord
    shape: Shape


@dataclass(frozen=True)
class Balance:
    """What is missing, oldest first, and what is too much."""

    missing: tuple[Demand, ...]
    surplus: tuple[RunnerRecord, ...]


def fits(runner: RunnerRecord, demand: Demand) -> bool:
    """Tell whether a runner is as good as one of the job's own: same scope, same machine, all labels."""
    job = demand.job.event
    has = {label.lower() for label in runner.labels}
    return (
        runner.scope == job.scope and runner.shape == demand.shape and all(label.lower() in has for label in job.labels)
    )


def balance(demands: Iterable[Demand], runners: Iterable[RunnerRecord]) -> Balance:
    """Match each queued job with an idle runner: its own first, then any that fits."""
    waiting = sorted(
        (d for d in demands if d.job.state is JobState.QUEUED), key=lambda d: (d.job.recorded_at, d.job.event.job_id)
    )
    idle = {runner.name: runner for runner in runners if runner.idle}
    own = {runner.started_for: runner for runner in idle.values()}
    rest = []
    for demand in waiting:
        runner = own.get(demand.job.event.job_id)
        if runner is not None and fits(runner, demand):
            del idle[runner.name]
        else:
            rest.append(demand)
    missing = []
    for demand in rest:
        runner = next((r for r in idle.values() if fits(r, demand)), None)
        if runner is None:
            missing.append(demand)
        else:
            del idle[runner.name]
    return Balance(tuple(missing), tuple(idle.values()))

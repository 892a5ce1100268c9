"""Jobs one by one, those that are over too, with where their time went and what they cost. Read from the records."""

from collections.abc import Iterable, Mapping

import msgspec

from github_app.jobs.accounts import phases, queued_at, usd, with_its_end
from github_app.model import JobRecord, JobState, Ran, RunnerRecord, Shape
from github_app.routing.catalog import github_usd, requested, usd_per_minute
from github_app.routing.globs import matches
from github_app.routing.units import as_machine
from github_app.store import JOBS, RUNNERS, ModalDictStore
from github_app.views.history import read_history


class JobLine(msgspec.Struct, frozen=True):
    """One job. The fields are what `modal-runner jobs --json` prints; times are Unix seconds, None is not known.

    `waited_s` is from GitHub's queue to a runner, `ran_s` from there to the end, or until now. `phases` are seconds
    since it was queued. `usd` is an estimate: what the machine costs at least, from its sandbox's creation on;
    `kept_until`: its sandbox is there until then, for it has failed and asked for that.
    `github_usd` what its minutes would cost on a runner of GitHub's own, where there is one as large.
    """

    id: int
    repository: str
    workflow: str | None
    name: str
    state: str
    conclusion: str | None
    labels: tuple[str, ...]
    queued_at: float | None
    started_at: float | None
    completed_at: float | None
    waited_s: float | None
    ran_s: float | None
    machine: str | None
    runner: str | None
    sandbox: str | None
    usd: float | None
    phases: dict[str, float]
    github_usd: float | None = None
    kept_until: float | None = None
    run: int = 0
    attempt: int = 1
    branch: str | None = None


async def read_jobs(store: ModalDictStore, now: float) -> list[JobLine]:
    """Every job that is known, newest first; one that is over is forgotten after seven days.

    Raises:
        StoreError: the store did not answer.
    """
    active, over, runners = await store.all(JOBS), await read_history(store, now), await store.all(RUNNERS)
    lines = [line_of(record, runners, now) for record in (over | active).values()]
    return sorted(lines, key=lambda line: -(line.queued_at or line.started_at or 0.0))


def line_of(record: JobRecord, runners: Mapping[str, RunnerRecord], now: float) -> JobLine:
    """Describe one job; of one that runs its runner's record says on what."""
    event, ran = record.event, record.ran
    runner = runners.get(record.runner_name or "")
    queued = queued_at(record)
    until = record.completed_at or (None if record.state.over else now)
    begun = record.started_at if record.state is not JobState.QUEUED else None
    waits_until = begun or (now if record.state is JobState.QUEUED else None)
    return JobLine(
        id=event.job_id,
        repository=event.repository,
        workflow=event.workflow,
        name=event.job_name,
        state=record.state.value,
        conclusion=record.conclusion,
        labels=event.labels,
        queued_at=queued,
        started_at=begun,
        completed_at=record.completed_at,
        waited_s=_between(queued, waits_until),
        ran_s=_between(begun, until),
        machine=_machine(ran, runner),
        runner=ran.runner if ran else record.runner_name,
        sandbox=ran.sandbox_id if ran else runner.sandbox_id if runner else None,
        usd=_usd(with_its_end(record, runner, now), runner, begun, until),
        phases=phases(record),
        github_usd=_github_usd(ran, runner, _between(begun, until)),
        kept_until=runner.debug_until if runner and runner.ended_at is None else None,
        run=event.run_id,
        attempt=event.run_attempt,
        branch=event.branch,
    )


def wanted(
    lines: Iterable[JobLine], *, state: str | None = None, repository: str | None = None, since: float = 0.0
) -> list[JobLine]:
    """Those in a state (or with a conclusion), of repositories that a glob matches, queued since a Unix time."""
    return [
        line
        for line in lines
        if (state is None or state in {line.state, line.conclusion})
        and (repository is None or matches(line.repository.lower(), repository.lower()))
        and (line.queued_at or 0.0) >= since
    ]


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 3)


def _usd(record: JobRecord, runner: RunnerRecord | None, begun: float | None, until: float | None) -> float | None:
    if record.state.over or begun is None or until is None:
        return usd(record)
    if runner is None:
        return None
    # Of one that has died no more is billed, though GitHub holds the job for running.
    billed_until = until if runner.ended_at is None else min(until, runner.ended_at)
    return round(usd_per_minute(runner.shape) * max(0.0, billed_until - (runner.created_at or begun)) / 60, 6)


def _github_usd(ran: Ran | None, runner: RunnerRecord | None, ran_s: float | None) -> float | None:
    if ran_s is None:
        return None
    if ran is not None:
        return github_usd(ran_s, ran.vcpu, ran.memory_mib, ran.gpu)
    return None if runner is None else github_usd(ran_s, *requested(runner.shape))


def _machine(ran: Ran | None, runner: RunnerRecord | None) -> str | None:
    if ran is not None:
        return as_machine(ran.gpu, ran.vcpu, ran.memory_mib, ran.region)
    if runner is None:
        return None
    return machine_of(runner.shape)


def machine_of(shape: Shape) -> str:
    """A machine in words, by what is requested of it."""
    vcpu, memory_mib, gpu = requested(shape)
    return as_machine(gpu, vcpu, memory_mib, shape.region)

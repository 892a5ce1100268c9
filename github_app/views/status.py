"""What is going on, for an operator at night: read from the records alone."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from github_app.lifecycle import GATED
from github_app.model import Claim, Halt, JobRecord, JobState, RunnerRecord, Slot
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.routing.warm import Seat, seats_of, usd_a_month
from github_app.runners.balance import Demand, plan
from github_app.runners.capacity import Caps
from github_app.runners.versions import RunnerVersion
from github_app.store import (
    CLAIMS,
    HALTS,
    JOBS,
    PARKED,
    PLACES,
    REFUSALS,
    RUNNERS,
    SLOTS,
    SWEEPS,
    ModalDictStore,
)
from github_app.store.notes import Refusal
from github_app.views.history import read_history
from github_app.views.sweeping import late
from github_app.views.waits import APPROVAL, Waits, gone, waits_of

NO_CAPS = Caps()


class JobStatus(msgspec.Struct, frozen=True):
    """One job. `since` and `until` are Unix seconds; `waits_for` says why it has no runner yet."""

    id: int
    repository: str
    name: str
    state: str
    labels: tuple[str, ...]
    since: float
    runner: str | None = None
    waits_for: str | None = None
    until: float | None = None


class RunnerStatus(msgspec.Struct, frozen=True):
    """One runner, and what it runs. `kept_until`: its job has failed, and its sandbox is kept for a look until then."""

    name: str
    state: str
    since: float
    job: int | None
    sandbox: str | None
    gpu: str | None
    kept_until: float | None = None


class RefusalStatus(msgspec.Struct, frozen=True):
    """A job that was refused, and what its author was told."""

    job: int
    repository: str
    sentence: str


class WarmStatus(msgspec.Struct, frozen=True):
    """Runners that wait for jobs, by one place in the file: so many are to, and so many do.

    `waits_for` says why one that is missing is not there yet.
    """

    source: str
    scope: str
    labels: tuple[str, ...]
    wanted: int
    waiting: int
    usd_a_month: float
    waits_for: str | None = None


class Status(msgspec.Struct, frozen=True):
    """The fields are what `modal-runner status --json` prints. `slots`: how many of each cap are taken.

    `swept_at`: when the last sweep had ended (Unix time); `sweep_late` says that this is too long ago.
    """

    stopped: str | None
    jobs: list[JobStatus]
    runners: list[RunnerStatus]
    slots: dict[str, int]
    refused: list[RefusalStatus]
    parked: int
    warm: list[WarmStatus]
    swept_at: float | None = None
    sweep_late: str | None = None


@dataclass(frozen=True)
class Records:
    """What is going on, keyed as in the store."""

    jobs: Mapping[str, JobRecord]
    runners: Mapping[str, RunnerRecord]
    claims: Mapping[str, Claim]
    halts: Mapping[str, Halt]
    slots: Mapping[str, Slot]
    refused: Mapping[str, Refusal]
    parked: int
    places: Collection[str]


async def read_records(store: ModalDictStore) -> Records:
    """Read them, all at once.

    Raises:
        StoreError: the store did not answer.
    """
    jobs, runners, claims, halts = await asyncio.gather(
        store.all(JOBS), store.all(RUNNERS), store.all(CLAIMS), store.all(HALTS)
    )
    slots, refused, parked, places = await asyncio.gather(
        store.all(SLOTS), store.all(REFUSALS), store.all(PARKED), store.all(PLACES)
    )
    return Records(jobs, runners, claims, halts, slots, refused, len(parked), places.keys())


async def read_gated(store: ModalDictStore, now: float) -> list[JobRecord]:
    """Read which jobs wait for an approval: nothing is done for them, so they are kept with those that are over.

    Raises:
        StoreError: the store did not answer.
    """
    return [
        job
        for job in (await read_history(store, now)).values()
        if job.conclusion == GATED and job.state is JobState.GONE
    ]


async def read_status(
    store: ModalDictStore,
    rules: Rules,
    version: RunnerVersion,
    now: float,
    caps: Caps = NO_CAPS,
    *,
    gated: Iterable[JobRecord] | None = None,
    sweeps_every_s: float | None = None,
) -> Status:
    """Read the records, and say what they mean; `gated` are the jobs that wait for an approval, if they were read.

    `sweeps_every_s`: how often a sweep is due; None: that is not known.

    Raises:
        StoreError: the store did not answer.
    """
    if gated is None:
        gated = await read_gated(store, now)
    last, deployed = await store.get(SWEEPS, "last"), await store.get(SWEEPS, "deployed")
    swept_at = last.at if last else None
    found = status_of(await read_records(store), rules, await version.refused(), now, caps, gated=gated)
    is_late = late(swept_at, deployed.at if deployed else None, now, sweeps_every_s)
    return msgspec.structs.replace(found, swept_at=swept_at, sweep_late=is_late)


def status_of(
    records: Records,
    rules: Rules,
    stopped: str | None,
    now: float,
    caps: Caps = NO_CAPS,
    *,
    gated: Iterable[JobRecord] = (),
) -> Status:
    """Say what the records mean; `stopped` is why no runner is started at all."""
    runners, claims, jobs = records.runners, records.claims, records.jobs
    routed = [(job, route(job.event, rules)) for job in jobs.values()]
    demands = [Demand(job, found.shape) for job, found in routed if isinstance(found, Admit)]
    planned = plan(demands, runners, claims, records.halts, now)
    waits = waits_of(demands, planned, runners=runners, claims=claims, slots=records.slots, caps=caps, now=now)
    slots = Counter(key.rpartition("/")[0] for key in records.slots)
    # One that was approved a moment ago is queued.
    listed = [*jobs.values(), *(job for job in gated if str(job.event.job_id) not in jobs)]
    return Status(
        stopped=stopped,
        jobs=[_job(job, waits, runners) for job in sorted(listed, key=lambda job: job.recorded_at)],
        runners=[_runner(each) for each in sorted(runners.values(), key=lambda each: each.started_at)],
        slots=dict(sorted(slots.items())),
        refused=[
            RefusalStatus(int(job), each.repository, each.sentence)
            for job, each in sorted(records.refused.items(), key=lambda item: -item[1].at)
        ],
        parked=records.parked,
        warm=_warm(rules, runners, claims, records.places, now),
    )


def _warm(
    rules: Rules, runners: Mapping[str, RunnerRecord], claims: Mapping[str, Claim], places: Collection[str], now: float
) -> list[WarmStatus]:
    grouped: dict[tuple[str, str], list[Seat]] = {}
    for seat in seats_of(rules):
        grouped.setdefault((seat.source, seat.scope), []).append(seat)
    reasons = {
        int(key.split("-")[0]): claim.reason
        for key, claim in claims.items()
        if claim.reason and (claim.not_before or 0.0) > now
    }
    found = []
    for (source, scope), seats in grouped.items():
        ids = {seat.id for seat in seats}
        reason = next(
            (reasons[each] for each in ids if each in reasons), "its launch is under way, or a cap is reached"
        )
        if not {scope.lower(), seats[0].owner.lower()} & {*places}:
            reason = f"no sweep has found the App installed on {seats[0].owner}"
        wanted = sum(seat.is_open(now) for seat in seats)
        waiting = sum(runner.idle and runner.started_for in ids for runner in runners.values())
        found.append(
            WarmStatus(
                source,
                scope,
                seats[0].labels,
                wanted=wanted,
                waiting=waiting,
                usd_a_month=round(sum(usd_a_month(seat, rules) for seat in seats), 2),
                waits_for=reason if waiting < wanted else None,
            )
        )
    return found


def _job(job: JobRecord, waits: Waits, runners: Mapping[str, RunnerRecord]) -> JobStatus:
    event = job.event
    reason, until = waits.get(event.job_id, (None, None)) if job.state is JobState.QUEUED else (None, None)
    is_gated = job.conclusion == GATED
    reason = APPROVAL if is_gated else reason or gone(job, runners)
    return JobStatus(
        id=event.job_id,
        repository=event.repository,
        name=event.job_name,
        state=GATED if is_gated else job.state.value,
        labels=event.labels,
        since=max(job.recorded_at, job.changed_at),
        runner=job.runner_name,
        waits_for=reason,
        until=until,
    )


def _runner(runner: RunnerRecord) -> RunnerStatus:
    gpu = str(runner.shape.gpu) if runner.shape.gpu else None
    kept_until = runner.debug_until if runner.ended_at is None else None
    return RunnerStatus(
        runner.name, runner.state.value, runner.started_at, runner.runs_job, runner.sandbox_id, gpu, kept_until
    )

"""Where a job's time went, and about what it cost. Pure."""

from collections.abc import Iterable

import msgspec

from github_app.model import JobRecord, RunnerRecord
from github_app.routing.catalog import github_usd
from github_app.routing.units import as_machine
from github_app.store.notes import Buckets, DaySums, SumRow, Totals

_HOUR_S = 3600.0
# GitHub's clock and ours are less apart.
_CLOCKS_APART_S = 60.0
FAILURES = frozenset({"failure", "timed_out"})
# Upper ends in seconds of what a start takes; above the last one is one bucket more.
BOUNDS_S = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0)


def queued_at(record: JobRecord) -> float:
    """When GitHub queued a job, by its clock; else when we heard of it."""
    return record.event.queued_at or record.recorded_at


def phases(record: JobRecord) -> dict[str, float]:
    """When what came, in seconds since the job was queued, by the clocks of GitHub and of our containers."""
    ran = record.ran
    at: dict[str, float | None] = {
        "received": record.recorded_at,
        "jit_issued": ran.jit_at if ran else None,
        "sandbox_created": ran.created_at if ran else None,
        "in_progress": record.started_at,
        "completed": record.completed_at,
    }
    return {name: round(each - queued_at(record), 3) for name, each in at.items() if each is not None}


def shares(record: JobRecord) -> dict[str, float]:
    """How long each had a part in a job's start, in seconds: GitHub's delivery, us, Modal, the runner, and all of it.

    A job on a runner that was made for another has no parts of its own: then only the whole is told.
    """
    at, ran = phases(record), record.ran
    if "in_progress" not in at:
        return {}
    found = {"all": at["in_progress"]}
    if ran is not None and ran.started_for == record.event.job_id and "sandbox_created" in at:
        found |= {
            "delivery": at["received"],
            "ours": at["jit_issued"] - at["received"],
            "modal": at["sandbox_created"] - at["jit_issued"],
            "runner": at["in_progress"] - at["sandbox_created"],
        }
    return {name: max(0.0, each) for name, each in found.items()}


def ran_s(record: JobRecord) -> float:
    """How long a job that is over ran, in seconds."""
    if record.started_at is None or record.completed_at is None:
        return 0.0
    return max(0.0, record.completed_at - record.started_at)


def usd(record: JobRecord) -> float | None:
    """About what a job that is over has cost: its machine's least price, from its sandbox's creation on.

    To the job's end, or to that of its sandbox where this was kept, or had died before.
    """
    ran = record.ran
    end = (ran.ended_at if ran else None) or record.completed_at
    if ran is None or end is None or record.started_at is None:
        return None
    return round(ran.usd_per_hour * max(0.0, end - (ran.created_at or record.started_at)) / _HOUR_S, 6)


def with_its_end(record: JobRecord, runner: RunnerRecord | None, now: float) -> JobRecord:
    """The record of a job that is over, with the end of its sandbox where this is not the job's: it is kept (its end so
    far: now), or was, or it had died and GitHub held the job for running on.
    """
    ran = record.ran
    if runner is None or ran is None or runner.name != ran.runner:
        return record
    died = (runner.ended_at or now) < (record.completed_at or 0.0) - _CLOCKS_APART_S
    if runner.debug_until is None and not died:
        return record
    return msgspec.structs.replace(record, ran=msgspec.structs.replace(ran, ended_at=runner.ended_at or now))


def usd_at_github(record: JobRecord) -> float | None:
    """What a job that is over would have cost on a runner of GitHub's own, where there is one as large."""
    ran = record.ran
    if ran is None or record.started_at is None or record.completed_at is None:
        return None
    return github_usd(ran_s(record), ran.vcpu, ran.memory_mib, ran.gpu)


def with_jobs(sums: DaySums, batch: Iterable[tuple[str, JobRecord]]) -> DaySums:
    """A day's sums with more jobs, each under its runner's name; those that were in the batch before are not new."""
    rows = {(row.repository, row.workflow, row.machine): row for row in sums.rows}
    counted = []
    for runner, record in batch:
        counted.append(runner)
        if runner not in sums.counted:
            key = (record.event.repository, record.event.workflow or "", _machine(record))
            rows[key] = _added(rows.get(key) or SumRow(*key), record)
    return DaySums(tuple(rows[key] for key in sorted(rows)), tuple(counted))


def with_totals(totals: Totals, batch: Iterable[tuple[str, JobRecord]]) -> Totals:
    """What was counted since the beginning, with more jobs; as with a day's sums."""
    jobs, seconds, starts = dict(totals.jobs), totals.seconds, dict(totals.starts)
    cost, counted = totals.usd, []
    for runner, record in batch:
        counted.append(runner)
        if runner in totals.counted:
            continue
        conclusion = record.conclusion or "unknown"
        jobs[conclusion] = jobs.get(conclusion, 0) + 1
        seconds += ran_s(record)
        cost += usd(record) or 0.0
        for part, each in shares(record).items():
            starts[part] = _observed(starts.get(part) or Buckets(), each)
    return Totals(jobs, round(seconds, 3), round(cost, 6), starts, tuple(counted))


def _added(row: SumRow, record: JobRecord) -> SumRow:
    start, there = shares(record).get("all"), usd_at_github(record)
    return msgspec.structs.replace(
        row,
        jobs=row.jobs + 1,
        failures=row.failures + (record.conclusion in FAILURES),
        seconds=round(row.seconds + ran_s(record), 3),
        usd=round(row.usd + (usd(record) or 0.0), 6),
        github_usd=row.github_usd if there is None else round((row.github_usd or 0.0) + there, 6),
        starts=row.starts if start is None else _observed(row.starts, start),
    )


def _observed(buckets: Buckets, seconds: float) -> Buckets:
    counts = list(buckets.counts or (0,) * (len(BOUNDS_S) + 1))
    counts[next((n for n, bound in enumerate(BOUNDS_S) if seconds <= bound), len(BOUNDS_S))] += 1
    return Buckets(tuple(counts), round(buckets.sum_s + seconds, 3))


def _machine(record: JobRecord) -> str:
    ran = record.ran
    return as_machine(ran.gpu, ran.vcpu, ran.memory_mib, ran.region) if ran else ""

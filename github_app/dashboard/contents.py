"""What stands on each page, from what one may see. Pure."""

import calendar
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from github_app.dashboard import charts
from github_app.dashboard.reading import Past, Reading
from github_app.foreign_text import short
from github_app.jobs.accounts import BOUNDS_S, shares
from github_app.model import JobRecord, RunnerRecord
from github_app.routing.catalog import usd_per_minute
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.routing.units import as_span
from github_app.store.notes import Buckets, DaySums
from github_app.views.cost import Cost, summed_days
from github_app.views.jobs import JobLine
from github_app.views.status import JobStatus
from github_app.views.timeline import Part, timeline

PAGE = 50
_DAY_S = 86400.0
# A sweep comes every minute; a long one takes some.
_SWEPT_WITHIN_S = 300.0
PARTS = ("delivery", "ours", "modal", "runner")
PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Row:
    """A job that is not over: what `status` tells of it, what `jobs` does, and the runner it has or is to get."""

    job: JobStatus
    line: JobLine
    runner: RunnerRecord | None


@dataclass(frozen=True)
class Now:
    """What is going on. `idle` are runners that no job here has."""

    waiting: Sequence[Row]
    starting: Sequence[Row]
    running: Sequence[Row]
    idle: Sequence[RunnerRecord]
    usd_per_hour: float


def now_of(reading: Reading) -> Now:
    """Sort jobs by how far they are."""
    runners = reading.records.runners
    own = {runner.started_for: runner for runner in runners.values() if runner.idle}
    waiting: list[Row] = []
    starting: list[Row] = []
    running: list[Row] = []
    for job in reading.status.jobs:
        line = reading.jobs[job.id]
        if job.state == "running":
            running.append(Row(job, line, runners.get(job.runner or "")))
        elif job.state == "queued":
            runner = own.get(job.id)
            (starting if runner else waiting).append(Row(job, line, runner))
    given = {row.job.id for row in starting}
    idle = [r for r in runners.values() if r.idle and r.started_for not in given]
    rates = [row.line.usd / row.line.ran_s * 3600 for row in running if row.line.usd and row.line.ran_s]
    return Now(waiting, starting, running, sorted(idle, key=lambda r: r.started_at), sum(rates))


@dataclass(frozen=True)
class Notice:
    """A line of the state of things: `ok`, `look` (someone should) or `wrong`; what it is, and what to do."""

    state: str
    name: str
    told: str
    cure: str = ""


def health_of(reading: Reading, *, is_owner: bool) -> list[Notice]:
    """What the records say of how things are; `modal-runner doctor` asks GitHub and Modal as well."""
    found = [_launching(reading), _swept(reading)]
    halted = [job for job in reading.status.jobs if str(job.id) in reading.records.halts]
    if halted:
        names = ", ".join(f"{job.repository}#{job.id}" for job in halted[:3])
        found.append(Notice("look", "jobs", f"{len(halted)} can be given to no runner: {names}", "look at each job"))
    found += [
        Notice("look", "warm runners", f"{each.source}: {each.waiting} of {each.wanted} wait; {each.waits_for}")
        for each in reading.status.warm
        if each.waits_for
    ]
    if is_owner and reading.status.parked:
        told = f"{reading.status.parked} deliveries of GitHub made no sense"
        found.append(Notice("look", "deliveries", told, "`modal-runner logs` says why; is this version too old?"))
    return found


def _launching(reading: Reading) -> Notice:
    if reading.status.stopped:
        return Notice("wrong", "launching", reading.status.stopped)
    return Notice("ok", "launching", "runners are started")


def _swept(reading: Reading) -> Notice:
    swept, cure = reading.swept, "`modal-runner doctor` says why"
    if swept is None:
        return Notice("look", "sweep", "none has come to its end yet", "one comes every minute")
    ago = as_span(reading.at - swept.at)
    if reading.at - swept.at > _SWEPT_WITHIN_S:
        return Notice("wrong", "sweep", f"the last one ended {ago} ago", cure)
    if swept.problems:
        return Notice("look", "sweep", f"the last one, {ago} ago, had {swept.problems} parts that failed", cure)
    return Notice("ok", "sweep", f"the last one ended {ago} ago")


@dataclass(frozen=True)
class Wanted:
    """What to show of the history: all of it, in words of a URL's query."""

    text: str = ""
    repository: str = ""
    workflow: str = ""
    machine: str = ""
    conclusion: str = ""
    days: float = 7.0
    page: int = 1

    def has(self, line: JobLine, now: float) -> bool:
        """Tell whether a job is wanted."""
        named = f"{line.name} {line.repository} {line.workflow or ''} {line.branch or ''} {line.id}".lower()
        return (
            all(word in named for word in self.text.lower().split())
            and self.repository in {"", short(line.repository)}
            and self.workflow in {"", short(line.workflow or "")}
            and self.machine in {"", line.machine or ""}
            and self.conclusion in {"", line.conclusion or ""}
            and (line.completed_at or line.queued_at or now) >= now - self.days * _DAY_S
        )


@dataclass(frozen=True)
class History:
    """A page of jobs that are over, how many there are in all, and what the filters offer."""

    lines: Sequence[JobLine]
    total: int
    pages: int
    repositories: Sequence[str]
    workflows: Sequence[str]
    machines: Sequence[str]
    conclusions: Sequence[str]


def history_of(past: Past, wanted: Wanted, now: float) -> History:
    """The page that is wanted."""
    lines = [line for line, _ in past.jobs]
    found = [line for line in lines if wanted.has(line, now)]
    first = (wanted.page - 1) * PAGE

    def offered(what: Callable[[JobLine], str | None]) -> list[str]:
        return sorted({short(each) for line in lines if (each := what(line))})

    return History(
        found[first : first + PAGE],
        len(found),
        max(1, -(-len(found) // PAGE)),
        offered(lambda line: line.repository),
        offered(lambda line: line.workflow),
        offered(lambda line: line.machine),
        offered(lambda line: line.conclusion),
    )


@dataclass(frozen=True)
class OneJob:
    """All that is known of a job. `route` is where its labels led by the rules of today; `reason`, why it waits."""

    line: JobLine
    record: JobRecord
    parts: Sequence[Part]
    whole_s: float
    reason: str | None
    until: float | None
    route: str | None
    profile: str | None
    usd_per_hour: float | None
    runner: RunnerRecord | None


def job_of(record: JobRecord, line: JobLine, reading: Reading, rules: Rules) -> OneJob:
    """Tell of one job."""
    number = record.event.job_id
    runners = reading.records.runners
    runner = runners.get(record.runner_name or "") or next(
        (r for r in runners.values() if r.started_for == number and r.idle), None
    )
    status = next((job for job in reading.status.jobs if job.id == number), None)
    parts = timeline(record, runner, reading.at)
    routed = route(record.event, rules)
    admitted = routed if isinstance(routed, Admit) else None
    return OneJob(
        line=line,
        record=record,
        parts=parts,
        whole_s=max((part.ends for part in parts), default=0.0),
        reason=status.waits_for if status else None,
        until=status.until if status else None,
        route=admitted.route if admitted else None,
        profile=record.ran.profile if record.ran else admitted.profile if admitted else None,
        usd_per_hour=_rate(record, admitted),
        runner=runner,
    )


def _rate(record: JobRecord, admitted: Admit | None) -> float | None:
    if record.ran is not None:
        return record.ran.usd_per_hour
    return usd_per_minute(admitted.shape) * 60 if admitted else None


@dataclass(frozen=True)
class Latency:
    """How long starts took: percentiles in all and by part, of single jobs; and by day, of the sums' buckets."""

    jobs: int
    all: Mapping[float, float]
    parts: Mapping[str, Mapping[float, float]]
    machines: Sequence[tuple[str, int, Mapping[float, float]]]
    by_day: charts.Chart | None


def latency_of(past: Past, days: int, now: float) -> Latency:
    """Starts of the last days: of single jobs as long as they are known (seven days), of the sums beyond."""
    of_jobs = [(line, shares(r)) for line, r in past.jobs if (line.queued_at or 0.0) >= now - days * _DAY_S]
    starts = [(line, each) for line, each in of_jobs if "all" in each]
    parts = {name: [each[name] for _, each in starts if name in each] for name in PARTS}
    machines: dict[str, list[float]] = {}
    for line, each in starts:
        machines.setdefault(line.machine or "(not known)", []).append(each["all"])
    labels = _days(days, now)
    merged = [_merged(past.sums.get(day)) for day in labels]
    series = {f"p{q * 100:g}": [quantile(buckets, q) for buckets in merged] for q in PERCENTILES}
    has_any = any(value is not None for each in series.values() for value in each)
    return Latency(
        len(starts),
        percentiles([each["all"] for _, each in starts]),
        {name: percentiles(each) for name, each in parts.items() if each},
        sorted((name, len(each), percentiles(each)) for name, each in machines.items()),
        charts.lines([day[5:] for day in labels], series, "s") if has_any else None,
    )


def percentiles(values: Sequence[float]) -> dict[float, float]:
    """The nearest-rank percentiles; empty without values."""
    ordered = sorted(values)
    return {q: ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in PERCENTILES} if ordered else {}


def quantile(buckets: Buckets, share: float) -> float | None:
    """About where a share of what was counted lies below: the upper end of its bucket. None: nothing was counted."""
    total = sum(buckets.counts)
    so_far = 0
    for bound, count in zip((*BOUNDS_S, BOUNDS_S[-1]), buckets.counts, strict=False):
        so_far += count
        if total and so_far >= total * share:
            return bound
    return None


def _merged(sums: DaySums | None) -> Buckets:
    rows = [row.starts.counts for row in (sums.rows if sums else ()) if row.starts.counts]
    return Buckets(tuple(map(sum, zip(*rows, strict=True)))) if rows else Buckets()


@dataclass(frozen=True)
class Spend:
    """What jobs have cost: in sums, by day, and what the month comes to if it goes on like this."""

    cost: Cost
    by_day: charts.Chart
    month_so_far: float
    month_projected: float


def spend_of(past: Past, by: str, days: int, now: float) -> Spend:
    """Sum what was counted: jobs that are over."""
    labels = _days(days, now)
    daily = {day: sum(row.usd for row in sums.rows) for day, sums in past.sums.items()}
    today = time.gmtime(now)
    month = time.strftime("%Y-%m", today)
    so_far = sum(usd for day, usd in daily.items() if day.startswith(month))
    length = (_next_month(today) - _first(today)) / _DAY_S
    gone = max((now - _first(today)) / _DAY_S, 1 / 24)
    return Spend(
        summed_days(past.sums, by, now - (days - 1) * _DAY_S),
        charts.bars([day[5:] for day in labels], [daily.get(day, 0.0) for day in labels], "$"),
        so_far,
        so_far / gone * length,
    )


def _days(days: int, now: float) -> list[str]:
    return [time.strftime("%Y-%m-%d", time.gmtime(now - back * _DAY_S)) for back in range(days - 1, -1, -1)]


def _first(when: time.struct_time) -> float:
    return float(calendar.timegm((when.tm_year, when.tm_mon, 1, 0, 0, 0)))


def _next_month(when: time.struct_time) -> float:
    return float(calendar.timegm((when.tm_year + when.tm_mon // 12, when.tm_mon % 12 + 1, 1, 0, 0, 0)))

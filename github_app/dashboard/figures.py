"""How long starts take, and what jobs cost: over many jobs, as far as one may see them. Pure."""

import calendar
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from github_app.dashboard import charts
from github_app.dashboard.reading import Past
from github_app.jobs.accounts import BOUNDS_S, shares
from github_app.store.notes import Buckets, DaySums
from github_app.views.cost import Cost, summed_days

_DAY_S = 86400.0
_A_YEAR = 365
PARTS = ("delivery", "ours", "modal", "runner")
PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Latency:
    """How long starts took: percentiles in all and by part, of single jobs; and by day, of the sums' buckets."""

    jobs: int
    all: Mapping[float, float]
    parts: Mapping[str, Mapping[float, float]]
    machines: Sequence[tuple[str, int, Mapping[float, float]]]
    by_day: charts.Chart | None
    days: Sequence[tuple[str, tuple[float | None, ...]]]


def latency_of(past: Past, days: int, now: float) -> Latency:
    """Starts of the last days: of single jobs as long as they are known (seven days), of the sums beyond."""
    since = now - days * _DAY_S
    of_jobs = [(each.line, shares(each.record)) for each in past.jobs if (each.line.queued_at or 0.0) >= since]
    starts = [(line, each) for line, each in of_jobs if "all" in each]
    parts = {name: [each[name] for _, each in starts if name in each] for name in PARTS}
    machines: dict[str, list[float]] = {}
    for line, each in starts:
        machines.setdefault(line.machine or "(not known)", []).append(each["all"])
    labels = _days(days, now)
    merged = [_merged(past.sums.get(day)) for day in labels]
    series = {f"p{q * 100:g}": [quantile(buckets, q) for buckets in merged] for q in PERCENTILES}
    days_told = list(zip(labels, zip(*series.values(), strict=True), strict=True))
    told = [each for each in days_told if any(value is not None for value in each[1])]
    return Latency(
        len(starts),
        percentiles([each["all"] for _, each in starts]),
        {name: percentiles(each) for name, each in parts.items() if each},
        sorted((name, len(each), percentiles(each)) for name, each in machines.items()),
        charts.lines(_short_days(labels), series, "s") if told else None,
        told,
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
        charts.bars(_short_days(labels), [daily.get(day, 0.0) for day in labels], "$"),
        so_far,
        so_far / gone * length,
    )


def _days(days: int, now: float) -> list[str]:
    return [time.strftime("%Y-%m-%d", time.gmtime(now - back * _DAY_S)) for back in range(days - 1, -1, -1)]


def _short_days(days: Sequence[str]) -> list[str]:
    """Day and month, where the year is plain from the rest."""
    return [day[5:] if len(days) <= _A_YEAR else day for day in days]


def _first(when: time.struct_time) -> float:
    return float(calendar.timegm((when.tm_year, when.tm_mon, 1, 0, 0, 0)))


def _next_month(when: time.struct_time) -> float:
    return float(calendar.timegm((when.tm_year + when.tm_mon // 12, when.tm_mon % 12 + 1, 1, 0, 0, 0)))

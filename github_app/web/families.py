"""Every metric, of what the records say. Pure.

No label holds a repository's, a job's or a person's name: the number of series is bounded by what there is of states
and reasons, and where authors or accounts make the values (shapes, installations), the first of them are told.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from github_app.counts import Counted, labels_of
from github_app.jobs.accounts import BOUNDS_S, queued_at
from github_app.model import Claim, Halt, Hold, JobRecord, JobState, RunnerRecord
from github_app.runners.capacity import IN_ALL
from github_app.store.notes import Quota, Swept, Tally, Totals
from github_app.views.jobs import machine_of
from github_app.views.status import Records

_DAY_S = 24 * 3600.0
# Labels of a job make its shape. Beyond so many, those that are had most, the others are one.
_MOST_SHAPES = 50
# Of more, those that have the least left.
_MOST_INSTALLATIONS = 100
# Docs: "Workflow jobs", `conclusion`; and what is counted of a job that has none.
_CONCLUSIONS = frozenset(
    {"success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required", "stale"}
    | {"startup_failure", "unknown"}
)
_OTHER = "other"

# What processes count: what it says, and its labels.
COUNTED: Mapping[Counted, tuple[str, tuple[str, ...]]] = {
    Counted.DELIVERIES: ("Deliveries, by what became of them and the answer's status.", ("outcome", "http_status")),
    Counted.GITHUB_REQUESTS: ("Requests to GitHub, by route and class of the answer's status.", ("route", "status")),
    Counted.LAUNCHES: ("Launches of runners, by what became of them.", ("outcome",)),
    Counted.RETRIES: ("Attempts at a runner that came to nothing, by reason.", ("reason",)),
    Counted.REFUSALS: ("Jobs that were refused, by code.", ("code",)),
    Counted.FINDINGS: ("What sweeps have found and done.", ("finding",)),
}
# What is told before it has happened: of a series that begins with a one, Prometheus sees no increase.
_BEFOREHAND: Mapping[Counted, tuple[tuple[str, ...], ...]] = {
    Counted.DELIVERIES: (("accepted", "202"), ("rejected", "401"), ("failed", "503")),
    Counted.LAUNCHES: (("started",), ("put-off",), ("failed",)),
    Counted.RETRIES: tuple((hold.value,) for hold in Hold),
}


@dataclass(frozen=True)
class Seen:
    """What the metrics are made from."""

    records: Records
    totals: Totals
    tally: Tally
    swept: Swept | None
    stopped: str | None


def families(seen: Seen, now: float) -> Iterator[Metric]:
    """Every metric, of what was read."""
    states = Counter(job.state.value for job in seen.records.jobs.values())
    yield _gauge("jobs", "Jobs that are not over, by state.", "state", states)
    yield from _waiting(seen, now)
    yield _runners(seen.records.runners.values())
    yield _gauge("sandboxes", "Sandboxes that run, by shape.", "shape", _shapes(seen.records.runners.values()))
    yield _gauge("slots_taken", "Slots of caps that are taken.", "cap", Counter(map(cap_of, seen.records.slots)))
    codes = Counter(each.code for each in seen.records.refused.values())
    yield _gauge("jobs_refused", "Jobs that were refused lately, by code.", "code", codes)
    yield _gauge("deliveries_parked", "Deliveries that made no sense.", None, {"": seen.records.parked})
    yield _gauge("stopped", "1 while no runner is started at all.", None, {"": int(seen.stopped is not None)})
    left = "The share of GitHub's hourly limit that an installation has left (0 to 1)."
    yield _gauge("github_quota_left_ratio", left, "installation", _quotas(seen.tally.quotas))
    if seen.swept is not None:
        yield from _of_the_last_sweep(seen.swept, now)
    yield from _counted(seen.tally)
    yield from _totals(seen.totals)


def waits(
    jobs: Iterable[JobRecord],
    claims: Mapping[str, Claim],
    halts: Mapping[str, Halt],
    runners: Mapping[str, RunnerRecord],
    now: float,
) -> Iterator[tuple[JobRecord, str]]:
    """Each queued job, and what it waits for: `halted`, the reason of its last failure, `runner`, or `launch`."""
    held: dict[int, Hold] = {}
    for key, claim in claims.items():
        if claim.hold is not None and (claim.not_before or 0.0) > now:
            held[int(key.split("-")[0])] = claim.hold
    served = {runner.started_for for runner in runners.values() if runner.idle}
    for job in jobs:
        number = job.event.job_id
        if job.state is not JobState.QUEUED:
            continue
        if str(number) in halts:
            yield job, "halted"
        elif number in held:
            yield job, held[number].value
        else:
            yield job, "runner" if number in served else "launch"


def _waiting(seen: Seen, now: float) -> Iterator[Metric]:
    found = list(waits(seen.records.jobs.values(), seen.records.claims, seen.records.halts, seen.records.runners, now))
    longest: dict[str, float] = {}
    for job, reason in found:
        longest[reason] = max(longest.get(reason, 0.0), now - queued_at(job))
    counted = Counter(reason for _, reason in found)
    yield _gauge("jobs_waiting", "Queued jobs, by what they wait for.", "reason", counted)
    yield _gauge("longest_wait_seconds", "How long the oldest of these waits.", "reason", longest)


def _gauge(name: str, what: str, label: str | None, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"modal_runner_{name}", what, labels=[label] if label else None)
    for key, value in sorted(values.items()):
        family.add_metric([key] if label else [], value)
    return family


def _runners(runners: Iterable[RunnerRecord]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("modal_runner_runners", "Runners that are recorded.", labels=["state", "gpu"])
    counted = Counter((r.state.value, str(r.shape.gpu) if r.shape.gpu else "none") for r in runners)
    for (state, gpu), value in sorted(counted.items()):
        family.add_metric([state, gpu], value)
    return family


def _shapes(runners: Iterable[RunnerRecord]) -> Mapping[str, int]:
    counted = Counter(machine_of(each.shape) for each in runners if each.sandbox_id and each.ended_at is None)
    most = dict(counted.most_common(_MOST_SHAPES))
    beyond = counted.total() - sum(most.values())
    return most | ({_OTHER: beyond} if beyond else {})


def _quotas(quotas: Mapping[str, Quota]) -> Mapping[str, float]:
    return dict(sorted(((key, each.left) for key, each in quotas.items()), key=lambda it: it[1])[:_MOST_INSTALLATIONS])


def cap_of(key: str) -> str:
    """The cap of a slot; those of repositories are one, for their number has no bound."""
    group = key.rpartition("/")[0]
    if group == IN_ALL:
        return "all"
    return group if group.startswith("profile:") else "repositories"


def _of_the_last_sweep(swept: Swept, now: float) -> Iterator[Metric]:
    yield _gauge("last_sweep_timestamp_seconds", "When the last sweep ended.", None, {"": swept.at})
    yield _gauge("last_sweep_problems", "Parts of the last sweep that failed.", None, {"": swept.problems})
    if swept.taken is not None and swept.taken.until is not None:
        days = (swept.taken.until - now) / _DAY_S
        what = "Days for which GitHub still takes the version of actions/runner, at least."
        yield _gauge("runner_version_days_left", what, None, {"": days})


def _counted(tally: Tally) -> Iterator[Metric]:
    for counted, (what, names) in COUNTED.items():
        values = dict.fromkeys(_BEFOREHAND.get(counted, ()), 0)
        for key, value in tally.sums.items():
            name, *labels = labels_of(key)
            # Another version of the app may count by other labels.
            if name == counted.value and len(labels) == len(names):
                values[tuple(labels)] = value
        family = CounterMetricFamily(f"modal_runner_{counted.value}", what, labels=names)
        for each, value in sorted(values.items()):
            family.add_metric(each, value)
        yield family


def _totals(totals: Totals) -> Iterator[Metric]:
    jobs = CounterMetricFamily("modal_runner_jobs_finished", "Jobs that ran and are over.", labels=["conclusion"])
    known: Counter[str] = Counter()
    for conclusion, count in totals.jobs.items():
        known[conclusion if conclusion in _CONCLUSIONS else _OTHER] += count
    for conclusion, count in sorted(known.items()):
        jobs.add_metric([conclusion], count)
    yield jobs
    yield CounterMetricFamily("modal_runner_job_seconds", "Seconds that jobs ran.", value=totals.seconds)
    yield CounterMetricFamily("modal_runner_cost_dollars", "An estimate of what jobs have cost.", value=totals.usd)
    what = "From GitHub's queue to the job's begin: all, and the parts of delivery, us, Modal and the runner."
    starts = HistogramMetricFamily("modal_runner_start_seconds", what, labels=["part"])
    for part, each in sorted(totals.starts.items()):
        so_far, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), each.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        starts.add_metric([part], buckets, each.sum_s)
    yield starts

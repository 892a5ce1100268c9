"""`/metrics`, for Prometheus: what the records say when it asks, so that every container says the same, also a new one.

Sources: prometheus.io, "Metric and label naming", "Exposition formats". No label holds a repository's, a job's or a
person's name, so that the number of series is bounded by what there is of machines, states and reasons.
"""

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from github_app.clock import Clock
from github_app.errors import StoreError
from github_app.jobs.accounts import BOUNDS_S
from github_app.model import Claim, Halt, Hold, JobRecord, JobState, RunnerRecord, Slot
from github_app.runners.capacity import IN_ALL
from github_app.runners.versions import RunnerVersion
from github_app.store import (
    CLAIMS,
    HALTS,
    JOBS,
    PARKED,
    REFUSALS,
    RUNNERS,
    SLOTS,
    SWEEPS,
    TOTALS,
    ModalDictStore,
)
from github_app.store.notes import Refusal, Swept, Totals

# However often it is asked for, the records are read no more often than this.
_GOOD_FOR_S = 5.0


class Metrics:
    """Answers Prometheus, where a token is set; without one there is no such page."""

    def __init__(self, store: ModalDictStore, version: RunnerVersion, token: SecretStr | None, clock: Clock) -> None:
        self._store = store
        self._version = version
        self._token = token.get_secret_value() if token else ""
        self._clock = clock
        self._reading = asyncio.Lock()
        self._read: tuple[float, list[Metric]] = (float("-inf"), [])

    async def answer(self, request: Request) -> Response:
        """Serve one scrape: 404 without a token in the settings, 401 without it in the request."""
        if not self._token:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        given = request.headers.get("authorization", "")
        # Bytes: a header may hold what is not ASCII.
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            challenge = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("METRICS_TOKEN is wanted", HTTPStatus.UNAUTHORIZED, challenge)
        try:
            found = await self._families()
        except StoreError as error:
            return PlainTextResponse(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
        registry = CollectorRegistry()
        registry.register(_Found(found))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)

    async def _families(self) -> list[Metric]:
        async with self._reading:
            at, found = self._read
            if time.monotonic() - at > _GOOD_FOR_S:
                found = await self._collected()
                self._read = (time.monotonic(), found)
            return found

    async def _collected(self) -> list[Metric]:
        store = self._store
        jobs, claims, halts, runners = await asyncio.gather(
            store.all(JOBS), store.all(CLAIMS), store.all(HALTS), store.all(RUNNERS)
        )
        slots, refused, parked = await asyncio.gather(store.all(SLOTS), store.all(REFUSALS), store.all(PARKED))
        totals, swept, stopped = await asyncio.gather(
            store.get(TOTALS, "all"), store.get(SWEEPS, "last"), self._version.refused()
        )
        seen = Records(jobs, claims, halts, runners, slots, refused, len(parked), totals or Totals(), swept, stopped)
        return list(families(seen, self._clock.now()))


@dataclass(frozen=True)
class Records:
    """What the metrics are made from, keyed as in the store."""

    jobs: Mapping[str, JobRecord]
    claims: Mapping[str, Claim]
    halts: Mapping[str, Halt]
    runners: Mapping[str, RunnerRecord]
    slots: Mapping[str, Slot]
    refused: Mapping[str, Refusal]
    parked: int
    totals: Totals
    swept: Swept | None
    stopped: str | None


def families(seen: Records, now: float) -> Iterator[Metric]:
    """Every metric, of what was read."""
    states = Counter(job.state.value for job in seen.jobs.values())
    yield _gauge("jobs", "Jobs that are not over, by state.", "state", states)
    waiting = Counter(waits(seen.jobs.values(), seen.claims, seen.halts, seen.runners, now))
    yield _gauge("jobs_waiting", "Queued jobs, by what they wait for.", "reason", waiting)
    yield _runners(seen.runners.values())
    yield _gauge("slots_taken", "Slots of caps that are taken.", "cap", Counter(map(cap_of, seen.slots)))
    codes = Counter(each.code for each in seen.refused.values())
    yield _gauge("jobs_refused", "Jobs that were refused lately, by code.", "code", codes)
    yield _gauge("deliveries_parked", "Deliveries that made no sense.", None, {"": seen.parked})
    yield _gauge("stopped", "1 while no runner is started at all.", None, {"": int(seen.stopped is not None)})
    if seen.swept is not None:
        yield _gauge("last_sweep_timestamp_seconds", "When the last sweep ended.", None, {"": seen.swept.at})
        yield _gauge("last_sweep_problems", "Parts of the last sweep that failed.", None, {"": seen.swept.problems})
    yield from _totals(seen.totals)


class _Found(Collector):
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def waits(
    jobs: Iterable[JobRecord],
    claims: Mapping[str, Claim],
    halts: Mapping[str, Halt],
    runners: Mapping[str, RunnerRecord],
    now: float,
) -> Iterator[str]:
    """What each queued job waits for: `halted`, the reason of its last failure, `runner`, or `launch`."""
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
            yield "halted"
        elif number in held:
            yield held[number].value
        else:
            yield "runner" if number in served else "launch"


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


def cap_of(key: str) -> str:
    """The cap of a slot; those of repositories are one, for their number has no bound."""
    group = key.rpartition("/")[0]
    if group == IN_ALL:
        return "all"
    return group if group.startswith("profile:") else "repositories"


def _totals(totals: Totals) -> Iterator[Metric]:
    jobs = CounterMetricFamily("modal_runner_jobs_finished", "Jobs that ran and are over.", labels=["conclusion"])
    for conclusion, count in sorted(totals.jobs.items()):
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

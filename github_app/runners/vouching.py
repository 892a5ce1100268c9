"""Before a dear machine is started, GitHub is asked for its job: whoever has the webhook's secret can forge events.

What the sweep or the intake has just read from GitHub needs no question. Answers of GitHub's that it knows no such job
have a budget; once that is spent, a dear machine is started only for what the sweep has read.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol, TypeVar

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Action, JobEvent, Shape
from github_app.routing.catalog import usd_per_minute
from github_app.runners.balance import Start
from github_app.runners.halts import Doubt
from github_app.runners.write_limit import WriteBudget
from github_app.store import ModalDictStore
from github_app.store.token_bucket import SharedBucket

# For so long GitHub's word of a job is good, and its word against it.
_GOOD_FOR_S = 120.0
_DENIED_S = 30.0
_TRY_AGAIN_S = 15.0
# Other launches stand behind a question.
_PATIENCE_S = 5.0
_MOST_KNOWN = 5000
# Jobs in an hour that GitHub does not know.
_UNKNOWN = (50.0, 50.0 / 3600)

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class JobLookup(Protocol):
    """Asks GitHub after jobs."""

    async def job(self, known: JobEvent) -> JobEvent | None:
        """One job as it is now, with the labels that it has; None when nothing is to be done for it now."""
        ...


class Vouchers:
    """Which jobs GitHub has vouched for, of late."""

    def __init__(
        self,
        jobs: JobLookup,
        ask_above_usd_per_hour: float | None,
        *,
        store: ModalDictStore,
        budget: WriteBudget,
        clock: Clock,
    ) -> None:
        """None asks for every job with a GPU."""
        self._jobs = jobs
        self._budget = budget
        self._ask_above = ask_above_usd_per_hour
        self._clock = clock
        self._vouched: OrderedDict[int, tuple[float, frozenset[str]]] = OrderedDict()
        self._denied: OrderedDict[int, tuple[float, str]] = OrderedDict()
        # Questions that are under way.
        self._asking = 0
        self._unknown = SharedBucket(store, "unknown-jobs", *_UNKNOWN, clock)

    def note(self, event: JobEvent) -> None:
        """Take what was just read from GitHub for its word."""
        if event.action is Action.QUEUED:
            _keep(self._vouched, event.job_id, (self._clock.now() + _GOOD_FOR_S, _labels(event)))

    async def doubt(self, start: Start) -> Doubt | None:
        """Say why a machine must not be started yet, if so.

        Raises:
            StoreError: the store did not answer.
        """
        event, now = start.demand.job.event, self._clock.now()
        if self.is_certain(start):
            return None
        until, why = self._denied.get(event.job_id, (0.0, ""))
        if now < until:
            return Doubt(why, until)
        # Those that are being asked about may all turn out unknown.
        if await self._unknown.left() - self._asking < 1:
            return Doubt("too many jobs were announced that GitHub does not know; it waits for the sweep", now + 60)
        self._asking += 1
        try:
            return await self._ask(event)
        finally:
            self._asking -= 1

    def is_certain(self, start: Start) -> bool:
        """Tell whether nothing need be asked about its job: its machine is cheap, or GitHub has just vouched for it."""
        return not self._is_dear(start.demand.shape) or self._is_vouched(start.demand.job.event, self._clock.now())

    async def _ask(self, event: JobEvent) -> Doubt | None:
        now = self._clock.now()
        self._budget.read(event.installation_id)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                current = await self._jobs.job(event)
        except TimeoutError:
            return Doubt("GitHub did not answer whether it knows the job", now + _TRY_AGAIN_S)
        except GitHubError as error:
            if error.status != 404:
                return Doubt(str(error), now + max(_TRY_AGAIN_S, error.retry_after or 0.0))
            return await self._deny(event, "GitHub does not find the job")
        if current is None or current.action is not Action.QUEUED:
            return Doubt("GitHub says that the job is not queued", now + _TRY_AGAIN_S)
        self.note(current)
        if self._is_vouched(event, now):
            return None
        return await self._deny(event, "GitHub says that the job has other labels")

    def _is_dear(self, shape: Shape) -> bool:
        if self._ask_above is None:
            return shape.gpu is not None
        return usd_per_minute(shape) * 60 > self._ask_above

    def _is_vouched(self, event: JobEvent, now: float) -> bool:
        until, labels = self._vouched.get(event.job_id, (0.0, frozenset()))
        return now < until and labels == _labels(event)

    async def _deny(self, event: JobEvent, why: str) -> Doubt:
        await self._unknown.take()
        until, why = self._clock.now() + _DENIED_S, f"{why}, and its machine is dear; it is asked again"
        _keep(self._denied, event.job_id, (until, why))
        _log.warning("job_not_vouched_for", job=event.job_id, repo=event.repository, reason=why)
        return Doubt(why, until)


def _keep(known: OrderedDict[int, T], job_id: int, value: T) -> None:
    known[job_id] = value
    while len(known) > _MOST_KNOWN:
        known.popitem(last=False)


def _labels(event: JobEvent) -> frozenset[str]:
    return frozenset(label.lower() for label in event.labels)

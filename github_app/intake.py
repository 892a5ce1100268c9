"""Which deliveries were dealt with, and what may be asked of GitHub because of an old one. Anyone can send a recorded
delivery again: GitHub signs the body, and neither the GUID nor the event's name.

So a delivery is known by its body, which a redelivery repeats; and questions that old deliveries cause have a budget of
their own. What it does not pay for is left to the sweep, which reads GitHub's queue anyway.
"""

import asyncio
from collections import OrderedDict
from math import inf
from typing import Protocol

import structlog

from github_app.buckets import Bucket
from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Action, JobEvent
from github_app.notes import Parked
from github_app.store import DELIVERIES, PARKED, Delivered, ModalDictStore
from github_app.vouching import Vouchers

# A `queued` that is older starts nothing before GitHub was asked.
OLD_S = 600.0
# So many deliveries that make no sense are kept for the sweep's report; the others are told by the log alone.
MOST_PARKED = 100
# As many jobs as GitHub hands over again after an outage, and a twentieth of an installation's calls an hour.
_ALL = (100.0, 250.0 / 3600)
# A first question, one after an error, and one an hour.
_EACH = (2.0, 1.0 / 3600)
_MOST_JOBS = 2000

_log = structlog.get_logger(__name__)


class Left(Exception):  # noqa: N818 - a decision, not an error
    """An old delivery says nothing now; the sweep finds its job, if there is one."""


class Jobs(Protocol):
    """What GitHub says of a job now."""

    async def job(self, known: JobEvent) -> JobEvent | None:
        """Ask after one job; None when nothing is to be done for it now."""
        ...


class Questions:
    """The budget of this process: for one job, and for all old deliveries together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = Bucket(*_ALL, clock.now())
        self._each: OrderedDict[int, Bucket] = OrderedDict()

    def spend(self, job_id: int) -> bool:
        """Pay for one question about a job; False when it must not be asked."""
        now = self._clock.now()
        own = self._each.get(job_id) or Bucket(*_EACH, now)
        if not (own.holds_one(now) and self._all.holds_one(now)):
            return False
        own.take()
        self._all.take()
        self._each[job_id] = own
        while len(self._each) > _MOST_JOBS:
            self._each.popitem(last=False)
        return True


class Intake:
    """Knows deliveries again, and brings old ones up to date."""

    def __init__(
        self, *, store: ModalDictStore, jobs: Jobs, vouchers: Vouchers, patience_s: float, clock: Clock
    ) -> None:
        """GitHub waits for our answer while it is asked: at most `patience_s`."""
        self._store = store
        self._jobs = jobs
        self._vouchers = vouchers
        self._patience_s = patience_s
        self._clock = clock
        self._questions = Questions(clock)
        self._parking = asyncio.Lock()

    async def knows(self, digest: str) -> bool:
        """Tell whether what a delivery with this body says was recorded.

        Raises:
            StoreError: the store did not answer.
        """
        return await self._store.get(DELIVERIES, digest) is not None

    async def remember(self, digest: str) -> None:
        """Record that it was.

        Raises:
            StoreError: the store did not answer; the delivery is handled once more, which does no harm.
        """
        await self._store.put(DELIVERIES, digest, Delivered(self._clock.now()))

    def may_ask(self, job_id: int) -> bool:
        """Pay for a question that an old delivery causes; False when it is left to the sweep."""
        return self._questions.spend(job_id)

    def is_old(self, event: JobEvent) -> bool:
        """Tell whether a `queued` is long past: its job may be over, and it starts nothing by itself."""
        return event.action is Action.QUEUED and self._clock.now() - (event.queued_at or inf) >= OLD_S

    async def current(self, event: JobEvent) -> JobEvent:
        """What GitHub says now of the job of an old delivery.

        Raises:
            Left: nothing, or it must not be asked.
            GitHubError: it did not answer; its redelivery is handled as the first.
        """
        if not self.may_ask(event.job_id):
            raise Left("too much was asked because of old deliveries; the sweep reads the queue")
        try:
            async with asyncio.timeout(self._patience_s):
                current = await self._jobs.job(event)
        except TimeoutError as error:
            raise GitHubError("job: GitHub did not answer in time", retryable=True) from error
        except GitHubError as error:
            if error.status != 404:
                raise
            raise Left("an old delivery of a job that GitHub does not find; the sweep reads the queue") from error
        if current is None:
            raise Left("an old delivery of a job that is not queued now")
        self._vouchers.note(current)
        return current

    async def park(self, guid: str, digest: str, reason: str) -> None:
        """Take note of a delivery that makes no sense, so that the sweep reports it, once for each body.

        Raises:
            StoreError: the store did not answer.
        """
        async with self._parking:
            parked = await self._store.all(PARKED)
            if digest in parked:
                return
            if len(parked) >= MOST_PARKED:
                _log.warning("delivery_not_parked", reason=f"{len(parked)} are parked already")
                return
            await self._store.put(PARKED, digest, Parked(reason, self._clock.now(), guid))

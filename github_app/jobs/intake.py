"""Which deliveries were dealt with, and what may be asked of GitHub because of an old one. Anyone can send a recorded
delivery again: GitHub signs the body, and neither the GUID nor the event's name.

So a delivery that starts something is known by its body, which a redelivery repeats: by the record of its job, or noted
here where it is left to the sweep. All others lead to what is there already. And questions that old deliveries cause
have a budget of their own. What it does not pay for is left to the sweep, which reads GitHub's queue anyway.
"""

import asyncio
import hashlib
from collections import OrderedDict
from math import inf
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Action, JobEvent
from github_app.runners.vouching import JobLookup, Vouchers
from github_app.store import DELIVERIES, PARKED, Delivered, ModalDictStore
from github_app.store.notes import Parked
from github_app.store.token_bucket import Bucket, SharedBucket

# A `queued` that is older starts nothing before GitHub was asked.
OLD_S = 600.0
# So many deliveries that make no sense are kept for the sweep's report; the others are told by the log alone.
MOST_PARKED = 100
# As many jobs as GitHub hands over again after an outage, and a twentieth of an installation's calls an hour.
_ALL = (100.0, 250.0 / 3600)
# A first question, one after an error, and one every ten minutes.
_EACH = (2.0, 1.0 / 600)
_MOST_JOBS = 2000
_SPENT = "too much was asked because of old deliveries; the sweep reads the queue"

_log = structlog.get_logger(__name__)


def digest_of(body: bytes) -> str:
    """What a delivery is known by."""
    return hashlib.sha256(body).hexdigest()


class LeftToSweep(Exception):  # noqa: N818 - a decision, not an error
    """A delivery says nothing now; the sweep finds its job, if there is one. `surely`: to send it again is no news."""

    def __init__(self, reason: str, *, surely: bool = False) -> None:
        super().__init__(reason)
        self.surely = surely


class Questions:
    """The budget: for one job in this process, and for all old deliveries together."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._clock = clock
        self._all = SharedBucket(store, "old-deliveries", *_ALL, clock)
        self._each: OrderedDict[int, Bucket] = OrderedDict()

    async def spend(self, number: int) -> bool:
        """Pay for one question about a job or run; False when it must not be asked.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        own = self._each.setdefault(number, Bucket(*_EACH, now))
        while len(self._each) > _MOST_JOBS:
            self._each.popitem(last=False)
        return own.take(now) and await self._all.take()


class QueueLookup(JobLookup, Protocol):
    """The same, and whether a job is in a queue at all."""

    async def waits(self, known: JobEvent) -> bool:
        """Tell whether it waits for an approval."""
        ...


class Intake:
    """Knows deliveries again, and brings old ones up to date."""

    def __init__(
        self, *, store: ModalDictStore, jobs: QueueLookup, vouchers: Vouchers, patience_s: float, clock: Clock
    ) -> None:
        """GitHub waits for our answer while it is asked: at most `patience_s`."""
        self._store = store
        self._jobs = jobs
        self._vouchers = vouchers
        self._patience_s = patience_s
        self._clock = clock
        self._questions = Questions(store, clock)
        self._parking = asyncio.Lock()
        # Bodies that this process knows to be parked.
        self._parked: OrderedDict[str, None] = OrderedDict()

    async def knows(self, digest: str) -> bool:
        """Tell whether a delivery with this body was left to the sweep.

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

    async def pay_for_run(self, event: JobEvent) -> None:
        """Pay for a question about an event's run, where the event may be an old one.

        Raises:
            LeftToSweep: it must not be asked.
            StoreError: the store did not answer.
        """
        if self._is_long_past(event) and not await self._questions.spend(event.run_id):
            raise LeftToSweep(_SPENT)

    def is_old(self, event: JobEvent) -> bool:
        """Tell whether a `queued` is long past: its job may be over, and it starts nothing by itself."""
        return event.action is Action.QUEUED and self._is_long_past(event)

    def _is_long_past(self, event: JobEvent) -> bool:
        return self._clock.now() - (event.queued_at or inf) >= OLD_S

    async def current(self, event: JobEvent) -> JobEvent:
        """What GitHub says now of the job of an old delivery.

        Raises:
            LeftToSweep: nothing, or it must not be asked.
            GitHubError, StoreError: someone did not answer; its redelivery is handled as the first.
        """
        if not await self._questions.spend(event.job_id):
            raise LeftToSweep(_SPENT)
        try:
            async with asyncio.timeout(self._patience_s):
                current = await self._jobs.job(event)
        except TimeoutError as error:
            raise GitHubError("job: GitHub did not answer in time", retryable=True) from error
        except GitHubError as error:
            if error.status != 404:
                raise
            reason = "an old delivery of a job that GitHub does not find; the sweep reads the queue"
            raise LeftToSweep(reason, surely=True) from error
        if current is None:
            raise LeftToSweep("an old delivery of a job that is not queued now", surely=True)
        self._vouchers.note(current)
        return current

    async def is_gated(self, event: JobEvent) -> bool:
        """Tell whether GitHub says that a job waits behind an environment's gate; False where it must not be asked.

        Raises:
            GitHubError, StoreError: someone did not answer.
        """
        return await self._questions.spend(event.job_id) and await self._jobs.waits(event)

    async def park(self, guid: str, digest: str, reason: str) -> None:
        """Take note of a delivery that makes no sense, so that the sweep reports it, once for each body.

        Raises:
            StoreError: the store did not answer.
        """
        if digest in self._parked:
            return
        if await self._store.get(PARKED, digest) is None:
            async with self._parking:
                parked = len(await self._store.all(PARKED))
                if parked < MOST_PARKED:
                    await self._store.put(PARKED, digest, Parked(reason, self._clock.now(), guid))
                else:
                    _log.warning("delivery_not_parked", reason=f"{parked} are parked already")
        self._parked[digest] = None
        while len(self._parked) > _MOST_JOBS:
            self._parked.popitem(last=False)

"""Claims: the right to make one attempt at a job's launch, and the record of why an attempt came to nothing.

A claim is put once (put-if-absent) and renewed while its launch lives; why an attempt came to nothing overwrites it.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import structlog

from github_app.clock import Clock
from github_app.counts import Counted, Counts
from github_app.errors import StoreError
from github_app.model import Claim, Hold
from github_app.runners import retry
from github_app.runners.balance import CLAIM_IS_STALE_S, Start
from github_app.store import CLAIMS, HALTS, ModalDictStore

RENEW_EVERY_S = 10.0
# A claim is dropped after a minute where no job and no runner stands behind it; a pop may take half a minute to arrive.
_SURELY_OURS_S = 15.0

_log = structlog.get_logger(__name__)


@dataclass
class Lease:
    """When a claim was last renewed, and the longest time that it was not."""

    renewed_at: float
    longest_gap: float = 0.0


class Claims:
    """Takes, renews and gives up claims."""

    def __init__(self, store: ModalDictStore, clock: Clock, counts: Counts | None = None) -> None:
        self._store = store
        self._clock = clock
        self.counts = counts or Counts()

    async def take(self, start: Start) -> bool:
        """Claim an attempt; of many who try, one gets it."""
        return await self._store.put_new(CLAIMS, start.key, self._fresh(start))

    async def drop(self, start: Start, since: float) -> None:
        """Give back a claim that was taken after `since` (Unix time) and nothing was done with.

        An older one may have been dropped by the sweep, and be another's by now: it is left to grow stale.
        """
        if self._clock.now() - since < _SURELY_OURS_S:
            await self._store.take(CLAIMS, start.key)

    async def lives(self, runner: str) -> bool:
        """Tell whether the launch of a runner of this name is under way, by its claim as it is at this moment.

        Raises:
            StoreError: the store did not answer.
        """
        claim = await self._store.get(CLAIMS, runner.removeprefix("modal-"))
        return claim is not None and claim.hold is None and claim.renewed_at > self._clock.now() - CLAIM_IS_STALE_S

    async def lift(self, job_id: int) -> None:
        """Take back what keeps a job from its next attempt: its halt, and how long the last attempt is waited out.

        Raises:
            StoreError: the store did not answer; repeating is safe.
        """
        await self._store.take(HALTS, str(job_id))
        own = {key: claim for key, claim in (await self._store.all(CLAIMS)).items() if key.split("-")[0] == str(job_id)}
        if not own:
            return
        key = max(own, key=lambda each: int(each.split("-")[1]))
        if own[key].not_before is not None:
            await self._store.put(CLAIMS, key, msgspec.structs.replace(own[key], failures=0, unused=0, not_before=0.0))

    async def put_off(
        self, start: Start, hold: Hold, reason: str, seconds: float | None = None, *, longest_s: float = math.inf
    ) -> float:
        """Record why an attempt came to nothing; return the Unix time at which the next may be made."""
        # In a row means of one kind: an outage of Modal's says nothing about a 404 of GitHub's.
        failures = start.failures + 1 if hold is start.hold else 1
        wait = min(longest_s, retry.delay(hold, failures)) if seconds is None else seconds
        now = self._clock.now()
        claim = Claim(
            uuid.uuid4().hex,
            now,
            failures,
            hold,
            reason,
            now + wait,
            unused=start.unused,
            cost_usd=start.cost_usd,
            waited=start.waited,
        )
        await self._store.put(CLAIMS, start.key, claim)
        self.counts.add(Counted.RETRIES, hold.value)
        held = _log.error if wait >= retry.HOUR_S else _log.warning
        held("launch_put_off", job=start.demand.job_id, hold=hold.value, reason=reason, again_in_s=round(wait, 1))
        return now + wait

    @contextlib.asynccontextmanager
    async def renewing(self, start: Start, since: float) -> AsyncIterator[Lease]:
        """Keep a claim fresh that was taken after `since` (Unix time): a long wait for a GPU is then no crash."""
        lease = Lease(since)
        # A put that is cut off may still arrive, and would overwrite why the attempt came to nothing.
        putting = asyncio.Lock()

        async def renew() -> None:
            while True:
                await self._clock.sleep(RENEW_EVERY_S)
                async with putting:
                    await self._renew(start, lease)

        renewal = asyncio.create_task(renew())
        try:
            yield lease
        finally:
            async with putting:
                renewal.cancel()

    def _fresh(self, start: Start) -> Claim:
        return Claim(
            uuid.uuid4().hex,
            self._clock.now(),
            start.failures,
            last_hold=start.hold,
            unused=start.unused,
            cost_usd=start.cost_usd,
            waited=start.waited,
        )

    async def _renew(self, start: Start, lease: Lease) -> None:
        claim = self._fresh(start)
        try:
            await self._store.put(CLAIMS, start.key, claim)
        except StoreError as error:
            _log.warning("claim_not_renewed", job=start.demand.job_id, reason=str(error))
            return
        lease.longest_gap = max(lease.longest_gap, self._clock.now() - lease.renewed_at)
        lease.renewed_at = claim.renewed_at

    async def superseded(self, start: Start, lease: Lease) -> bool:
        """Tell whether the next attempt has begun, which it may only once this one did not renew its claim in time.

        From the record on, this attempt's runner counts as supply, and nothing else is started.
        """
        gap = max(lease.longest_gap, self._clock.now() - lease.renewed_at)
        if gap < CLAIM_IS_STALE_S:
            return False
        return await self._store.get(CLAIMS, f"{start.demand.job_id}-{start.attempt + 1}") is not None

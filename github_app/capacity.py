"""What a launch needs before it may start: slots of the caps, and a share of GitHub's write limit.

Both are keys taken by put-if-absent: semaphores that need no counter and no lock, and hold across containers.
"""

import asyncio
import uuid
from dataclasses import dataclass

from github_app.clock import Clock
from github_app.model import Chunk, Slot
from github_app.store import BUDGET, SLOTS, ModalDictStore

# GitHub allows an installation 900 points a minute, and a write costs five (docs: "Rate limits for the REST API"):
# 180 writes, here in lanes. A lane's writes are made within ten seconds of taking it, and it is free again 70 seconds
# after, so that no minute, wherever it begins, sees more than LANES x WRITES.
LANES = 12
WRITES = 15
GOOD_FOR_S = 10.0
PERIOD_S = 70.0


@dataclass(frozen=True)
class Caps:
    """How many runners may be there at once; None is no cap."""

    per_repository: int | None = None
    in_all: int | None = None

    def __bool__(self) -> bool:
        return self.per_repository is not None or self.in_all is not None


class Slots:
    """The caps. A repository's slots are `<owner/repo>/<n>`, those of all are `*/<n>`."""

    def __init__(self, store: ModalDictStore, caps: Caps, clock: Clock) -> None:
        self._store = store
        self.caps = caps
        self._clock = clock

    async def take(self, repository: str, runner: str) -> tuple[str, ...] | None:
        """Take a slot under each cap for `runner`; None, and none taken, when one cap is reached.

        Raises:
            StoreError: the store did not answer; a slot that was taken is released by age.
        """
        if not self.caps:
            return ()
        taken = {key async for key, _ in self._store.items(SLOTS)}
        keys: list[str] = []
        for group, cap in ((repository.lower(), self.caps.per_repository), ("*", self.caps.in_all)):
            if cap is None:
                continue
            key = await self._take_one(group, cap, taken, runner)
            if key is None:
                for earlier in keys:
                    await self._store.take(SLOTS, earlier)
                return None
            keys.append(key)
        return tuple(keys)

    async def _take_one(self, group: str, cap: int, taken: set[str], runner: str) -> str | None:
        slot = Slot(uuid.uuid4().hex, runner, self._clock.now())
        for number in range(1, cap + 1):
            key = f"{group}/{number}"
            if key not in taken and await self._store.put_new(SLOTS, key, slot):
                return key
        return None


class WriteBudget:
    """GitHub's write limit for each installation, shared by all processes lane by lane."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._left: dict[int, tuple[int, float]] = {}
        self._closed: dict[int, float] = {}
        self._taking = asyncio.Lock()

    async def spend(self, installation_id: int) -> float | None:
        """Spend one write: None when it may be made now, else the Unix time at which to ask again.

        Raises:
            StoreError: the store did not answer.
        """
        async with self._taking:
            now = self._clock.now()
            if self._closed.get(installation_id, 0.0) > now:
                return self._closed[installation_id]
            left, good_until = self._left.get(installation_id, (0, 0.0))
            if left == 0 or good_until <= now:
                reopens = await self._take_lane(installation_id)
                if reopens is not None:
                    self._closed[installation_id] = reopens
                    return reopens
                left, good_until = WRITES, now + GOOD_FOR_S
            self._left[installation_id] = (left - 1, good_until)
            return None

    def close(self, installation_id: int, until: float) -> None:
        """Stop spending until GitHub's limit is over, after it has told us so."""
        self._closed[installation_id] = max(until, self._closed.get(installation_id, 0.0))

    async def _take_lane(self, installation_id: int) -> float | None:
        """Take a free lane, or return the time at which one may be free."""
        now = self._clock.now()
        period = int(now // PERIOD_S)
        reopens = (period + 1) * PERIOD_S
        for lane in range(LANES):
            last = await self._store.get(BUDGET, f"{installation_id}/{period - 1}/{lane}")
            if last is not None and last.taken_at + PERIOD_S > now:
                reopens = min(reopens, last.taken_at + PERIOD_S)
                continue
            chunk = Chunk(uuid.uuid4().hex, now)
            if await self._store.put_new(BUDGET, f"{installation_id}/{period}/{lane}", chunk):
                return None
        # Never "now": a clock that stands between two periods must not make a caller spin.
        return max(reopens, now + 1.0)

"""The caps on how many runners there may be at once.

A cap of N is N keys taken by put-if-absent: a semaphore that needs no counter and no lock, and holds across containers.
"""

import uuid
from dataclasses import dataclass

from github_app.clock import Clock
from github_app.model import Slot
from github_app.store import SLOTS, ModalDictStore

IN_ALL = "*"


@dataclass(frozen=True)
class Caps:
    """How many runners may be there at once; None is no cap."""

    per_repository: int | None = None
    in_all: int | None = None

    def __bool__(self) -> bool:
        return self.per_repository is not None or self.in_all is not None


@dataclass(frozen=True)
class Full:
    """A cap is reached: that of a repository (`owner/repo`), or that of all (IN_ALL)."""

    group: str


class Slots:
    """The caps. A repository's slots are `<owner/repo>/<n>`, those of all are `*/<n>`."""

    def __init__(self, store: ModalDictStore, caps: Caps, clock: Clock) -> None:
        self._store = store
        self._caps = caps
        self._clock = clock

    async def take(self, repository: str, runner: str) -> tuple[str, ...] | Full:
        """Take a slot under each cap for `runner`; none is taken when one cap is reached.

        Raises:
            StoreError: the store did not answer; a slot that was taken is released by age.
        """
        if not self._caps:
            return ()
        taken = set(await self._store.all(SLOTS))
        keys: list[str] = []
        for group, cap in ((repository.lower(), self._caps.per_repository), (IN_ALL, self._caps.in_all)):
            if cap is None:
                continue
            key = await self._take_one(group, cap, taken, runner)
            if key is None:
                for earlier in keys:
                    await self._store.take(SLOTS, earlier)
                return Full(group)
            keys.append(key)
        return tuple(keys)

    async def _take_one(self, group: str, cap: int, taken: set[str], runner: str) -> str | None:
        # A cap that was lowered leaves slots with greater numbers, which count until they are given back.
        if sum(key.rpartition("/")[0] == group for key in taken) >= cap:
            return None
        slot = Slot(uuid.uuid4().hex, runner, self._clock.now())
        for number in range(1, cap + 1):
            key = f"{group}/{number}"
            if key not in taken and await self._store.put_new(SLOTS, key, slot):
                return key
        return None

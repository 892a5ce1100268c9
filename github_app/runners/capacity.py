"""The caps on how many runners there may be at once.

A cap of N is N keys taken by put-if-absent: a semaphore that needs no counter and no lock, and holds across containers.
"""

import asyncio
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from github_app.clock import Clock
from github_app.model import Slot
from github_app.store import RELEASES, SLOTS, ModalDictStore
from github_app.store.notes import Release

IN_ALL = "*"
# A slot without a runner is an orphan's after a minute, and nobody but who took it gives it back before. A pop may take
# half a minute to arrive, and clocks are apart by some seconds.
_SURELY_OURS_S = 15.0
# Where a cap was lowered, containers of before the redeploy still take slots above it, for about a minute: as long as a
# process is young it reads again which are taken, early enough that a launch need not wait for that.
_READ_GOOD_FOR_S = 20.0
_READ_AGAIN_AFTER_S = 10.0
_YOUNG_FOR_S = 300.0
# No try takes so long.
_OWNERS_KEPT_S = 300.0
# One may be wrong for a launch that crosses.
_GUESSES = 2


@dataclass(frozen=True)
class Caps:
    """How many runners may be there at once; None is no cap."""

    per_repository: int | None = None
    in_all: int | None = None
    per_profile: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.per_repository is not None or self.in_all is not None or bool(self.per_profile)

    def over(self, repository: str, profile: str | None) -> list[tuple[str, int]]:
        """The caps that a runner comes under: (group, most)."""
        found = [
            (repository.lower(), self.per_repository),
            (f"profile:{profile}", self.per_profile.get(profile or "")),
            (IN_ALL, self.in_all),
        ]
        return [(group, most) for group, most in found if most is not None]


@dataclass(frozen=True)
class Taken:
    """The slots that a launch has, and the owner that they have in common."""

    keys: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class Full:
    """A cap is reached: that of a repository (`owner/repo`), of a profile (`profile:<name>`), or of all (IN_ALL)."""

    group: str


def of_group(group: str) -> tuple[str, str]:
    """Whose cap that is, and the setting that it comes from."""
    if group == IN_ALL:
        return "all runners", "MAX_CONCURRENT"
    if group.startswith("profile:"):
        name = group.removeprefix("profile:")
        return f"profile {name}", f"[profiles.{name}] max_concurrent"
    return group, "MAX_CONCURRENT_PER_REPO"


class Slots:
    """The caps. A repository's slots are `<owner/repo>/<n>`, a profile's `profile:<name>/<n>`, those of all `*/<n>`."""

    def __init__(self, store: ModalDictStore, caps: Caps, clock: Clock) -> None:
        self._store = store
        self._caps = caps
        self._clock = clock
        # What was taken when all were read, or has been since, and what this process has taken when.
        self._taken: set[str] = set()
        self._own: dict[str, float] = {}
        # By which owners this process takes slots, since when; and what was read last as taken by others.
        self._owners: dict[str, float] = {}
        self._foreign: frozenset[str] = frozenset()
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        # When a reading began that a reached cap was the cause of, and that reading.
        self._last_reading: tuple[float, asyncio.Task[None] | None] = (-math.inf, None)
        self._young_until = clock.now() + _YOUNG_FOR_S

    async def take(self, repository: str, runner: str, profile: str | None = None) -> Taken | Full:
        """Take a slot under each cap for `runner`, all at once; none is taken when one cap is reached.

        Which are free is guessed by what was read before, and put-if-absent says whether that was right.

        Raises:
            StoreError: the store did not answer; a slot that was taken is released by age.
        """
        caps, began = self._caps.over(repository, profile), self._clock.now()
        if not caps:
            return Taken()
        reading = self._read_if_old()
        slot = Slot(uuid.uuid4().hex, runner, began)
        self._owners = {owner: at for owner, at in self._owners.items() if began - at < _OWNERS_KEPT_S}
        self._owners[slot.owner] = began
        found = await asyncio.gather(*(self._take_one(group, cap, slot, reading, began) for group, cap in caps))
        taken = Taken(tuple(key for key in found if key is not None), slot.owner)
        if len(taken.keys) == len(caps):
            return taken
        await self.give_back(taken, runner, began)
        return Full(next(group for (group, _), key in zip(caps, found, strict=True) if key is None))

    def _read_if_old(self) -> "asyncio.Task[None] | None":
        """The reading that a launch has to wait for, if any."""
        age = self._clock.now() - self._read_at
        if age <= _READ_AGAIN_AFTER_S or (self._read_at > 0 and self._clock.now() > self._young_until):
            return None
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            # Whoever waits for it hears of its failure; perhaps nobody does.
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._reading if age > _READ_GOOD_FOR_S else None

    async def give_back(self, slots: Taken, runner: str, since: float) -> None:
        """Give back slots that were taken after `since` (Unix time) and nothing was started with.

        Raises:
            StoreError: the store did not answer; they are released by age.
        """
        if self._clock.now() - since < _SURELY_OURS_S:
            for key in slots.keys:
                await self._store.take(SLOTS, key)
        else:
            await release_slots(self._store, slots.keys, runner, self._clock.now())
        self.given_back(slots.keys)

    def given_back(self, keys: Iterable[str]) -> None:
        """Take note of slots that are free again, so that the next guess is a good one."""
        for key in keys:
            self._taken.discard(key)
            self._own.pop(key, None)

    async def _take_one(
        self, group: str, cap: int, slot: Slot, reading: "asyncio.Task[None] | None", began: float
    ) -> str | None:
        """`reading` is under way where what is known is old."""
        key = await self._try(group, cap, slot, most=_GUESSES)
        if reading is not None:
            await asyncio.shield(reading)
            # What this process tries just now is judged each by itself; what it tries in vain is another's.
            others = self._taken - (self._own.keys() - self._foreign) - {key}
            if key is not None and _number(key) not in free_numbers(group, cap, others):
                # The cap was lowered, and more are taken above it.
                await self._store.take(SLOTS, key)
                self.given_back([key])
                key = None
        elif key is None:
            await self._read_since(began)
        # That a cap is reached is said of what was read now.
        return key or await self._try(group, cap, slot)

    async def _try(self, group: str, cap: int, slot: Slot, most: float = math.inf) -> str | None:
        while most > 0 and (number := next(free_numbers(group, cap, self._taken), None)) is not None:
            key = f"{group}/{number}"
            # Before the answer, so that the next launch tries another one.
            self._taken.add(key)
            self._own[key] = self._clock.now()
            if await self._store.put_new(SLOTS, key, slot):
                return key
            # Another process has it: it is taken, and not by what is tried here.
            self._own.pop(key, None)
            most -= 1
        return None

    async def _read_since(self, moment: float) -> None:
        """Read what is taken, or wait for another's reading that began no earlier: many find a cap reached at once."""
        at, reading = self._last_reading
        if reading is None or at < moment:
            reading = asyncio.create_task(self._read())
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._last_reading = (self._clock.now(), reading)
        await asyncio.shield(reading)

    async def _read(self) -> None:
        began = self._clock.now()
        found = await self._store.all(SLOTS)
        read = set(found)
        self._foreign = frozenset(key for key, slot in found.items() if slot.owner not in self._owners)
        # What was taken meanwhile may not have been read.
        self._own = {key: at for key, at in self._own.items() if at >= began}
        self._taken, self._read_at = read | self._own.keys(), began


def _number(key: str) -> int:
    return int(key.rpartition("/")[2])


def free_numbers(group: str, cap: int, taken: Iterable[str]) -> Iterator[int]:
    """The numbers of a group that may be taken, lowest first.

    A cap that was lowered leaves slots with greater numbers, which count until they are given back. So number n may be
    taken only while n and those above it make no more than the cap: many may read the same and take at once, and what
    was read may be old, for slots above a cap go and do not come, but for one that its runner had lost.
    """
    held = {_number(key) for key in taken if key.rpartition("/")[0] == group}
    above = len(held)
    for number in range(1, cap + 1):
        if number in held:
            above -= 1
        elif number + above <= cap:
            yield number
        else:
            # Both grow with the number, or stay.
            return


async def release_slots(
    store: ModalDictStore, slots: tuple[str, ...], runner: str, now: float, *, owner: str = ""
) -> None:
    """Give back the slots that `runner` holds, as their `owner` where that is known.

    A pop cannot be told whose slot it is to take, and between a look and a pop a slot may be given back by another and
    be taken anew. So the right to give it back is taken first, by put-if-absent: nobody else gives this one back.
    """
    for key in slots:
        by = owner or await _owner_of(store, key, runner)
        if by and await store.put_new(RELEASES, f"{by} {key}", Release(uuid.uuid4().hex, now)):
            await store.take(SLOTS, key)


async def _owner_of(store: ModalDictStore, key: str, runner: str) -> str | None:
    slot = await store.get(SLOTS, key)
    return slot.owner if slot is not None and slot.runner == runner else None

"""What a launch needs before it starts: its claim, a slot under each cap, a share of GitHub's write limit."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from github_app.clock import Clock
from github_app.model import RunnerRecord
from github_app.routing.warm import is_seat
from github_app.runners.balance import Start
from github_app.runners.capacity import Full, Slots, Taken, of_group, release_slots
from github_app.runners.claims import Claims
from github_app.runners.halts import Halts
from github_app.runners.versions import RunnerVersion
from github_app.runners.vouching import Vouchers
from github_app.runners.write_limit import Paid, WriteBudget
from github_app.store import ModalDictStore

# A GPU create may block for 21 minutes and holds an input of the web function open; the others wait as records.
GPU_CREATES_AT_ONCE = 4
# After what cannot be foreseen: when to look again.
_SOON_S = 10.0

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Admitted:
    """A launch that has its claim, its slots, and the right to one write."""

    start: Start
    slots: Taken
    paid: Paid
    # Unix time before which nothing of it was taken.
    since: float


@dataclass(frozen=True)
class Postponed:
    """A launch that has to wait, without a claim: until `again` (Unix time), or until a slot under `full` is free.

    `limited`: GitHub's write limit turns away every launch of the installation. `halted`: until something changes.
    `failed`: it could not be found out.
    """

    reason: str
    again: float | None = None
    full: Full | None = None
    limited: bool = False
    halted: bool = False
    failed: bool = False

    @property
    def contended(self) -> bool:
        """Whether it waits for what others take, and those that waited first come first."""
        return self.limited or self.full is not None


UNDER_WAY = Postponed("its launch is under way elsewhere")


class Admissions:
    """Admits launches, one after the other or many at once."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        claims: Claims,
        slots: Slots,
        budget: WriteBudget,
        version: RunnerVersion,
        halts: Halts,
        vouchers: Vouchers,
        clock: Clock,
    ) -> None:
        self._store = store
        self._halts = halts
        self._vouchers = vouchers
        self._claims = claims
        self._slots = slots
        self._budget = budget
        self._version = version
        self._clock = clock
        self._gpu_creates: Counter[str] = Counter()
        # Types of GPU for which a launch was turned away since the last creation of that type was over.
        self._gpu_awaited: set[str] = set()

    async def admit(self, start: Start) -> "Admitted | Postponed":
        """Take what a launch needs: its slots, a share of the write budget, its claim. Nothing is started yet.

        Raises:
            StoreError: the store did not answer; what was taken is released by age.
        """
        return await self._counted(start, self._admit)

    async def admit_at_once(self, start: Start) -> "Admitted | Postponed | None":
        """The same of a first attempt, within one trip to the store; None where GitHub has to be asked before.

        Raises:
            StoreError: the store did not answer; what was taken is released by age.
        """
        if not self._vouchers.is_certain(start):
            return None
        return await self._counted(start, self._take_at_once)

    async def _counted(
        self, start: Start, admit: Callable[[Start], Awaitable["Admitted | Postponed"]]
    ) -> "Admitted | Postponed":
        gpu = _gpu_type(start)
        # A job need not wait until those have their GPUs that nobody waits for.
        most = GPU_CREATES_AT_ONCE - is_seat(start.demand.job_id)
        if gpu and self._gpu_creates[gpu] >= most:
            self._gpu_awaited.add(gpu)
            return Postponed("other creations of this GPU type are under way", self._clock.now() + _SOON_S)
        # Counted from here on to the end of `run`, with no wait in between.
        self._gpu_creates[gpu] += 1
        admitted: Admitted | Postponed | None = None
        try:
            admitted = await admit(start)
        finally:
            if not isinstance(admitted, Admitted):
                self._gpu_creates[gpu] -= 1
        return admitted

    async def withdraw(self, admitted: "Admitted") -> None:
        """Give back what a launch was admitted with that does not begin.

        Raises:
            StoreError: the store did not answer; what was taken is released by age.
        """
        self._gpu_creates[_gpu_type(admitted.start)] -= 1
        admitted.paid.give_back()
        await self._give_back(admitted.start, admitted.slots, claimed=True, since=admitted.since)

    async def _admit(self, start: Start) -> "Admitted | Postponed":
        """Find out first what stops a launch, and wait a little for the write limit."""
        if (postponed := await self._postponed(start)) is not None:
            return postponed
        paid = await self._budget.wait(start.demand.job.event.installation_id)
        if isinstance(paid, float):
            return _limited(paid)
        return await self._take(start, refused=_known(None), write=_known(paid))

    async def _postponed(self, start: Start) -> Postponed | None:
        """What stops a launch before anything is taken for it."""
        if (refused := await self._version.refused()) is not None:
            _log.error("launches_stopped", job=start.demand.job_id, reason=refused)
            return Postponed(refused)
        if is_seat(start.demand.job_id):
            # What nobody but the administrator has asked for, GitHub knows nothing of.
            return None
        doubt = await self._vouchers.doubt(start) or await self._halts.examine(start)
        return None if doubt is None else Postponed(doubt.reason, doubt.again, halted=doubt.again is None)

    async def _take_at_once(self, start: Start) -> "Admitted | Postponed":
        write = self._budget.spend(start.demand.job.event.installation_id)
        return await self._take(start, refused=self._version.refused(), write=write)

    async def _take(
        self,
        start: Start,
        *,
        refused: Coroutine[Any, Any, str | None],
        write: Coroutine[Any, Any, Paid | float],
    ) -> "Admitted | Postponed":
        """Take the claim and the slots, while it is found out whether the version is refused and a write to be had.

        Where one is not to be had, none is kept.
        """
        job, since = start.demand.job.event, self._clock.now()
        version, paid = asyncio.create_task(refused), asyncio.create_task(write)
        slots = asyncio.create_task(self._slots.take(job.repository, start.runner, start.demand.shape.profile))
        claim = asyncio.create_task(self._claims.take(start))
        tasks: tuple[asyncio.Task[Any], ...] = (version, slots, paid, claim)
        await asyncio.gather(*tasks, return_exceptions=True)
        failed = next((error for error in (task.exception() for task in tasks) if error is not None), None)
        if failed is None:
            taken = _taken(start, since, version.result(), slots.result(), paid.result(), claimed=claim.result())
            if isinstance(taken, Admitted):
                return taken
        if paid.exception() is None and isinstance(right := paid.result(), Paid):
            right.give_back()
        held = slots.result() if slots.exception() is None else None
        claimed = claim.exception() is None and claim.result()
        await self._give_back(start, held if isinstance(held, Taken) else Taken(), claimed=claimed, since=since)
        if failed is not None:
            raise failed
        return taken

    def is_awaited(self, start: Start) -> bool:
        """Tell, once, whether other launches were turned away because of this one, which is over."""
        gpu = _gpu_type(start)
        awaited = gpu in self._gpu_awaited
        self._gpu_awaited.discard(gpu)
        return awaited

    def settled(self, runner: RunnerRecord) -> None:
        """Take note that a runner's slots are free again."""
        self._slots.given_back(runner.slots)

    async def _give_back(self, start: Start, slots: Taken, *, claimed: bool, since: float) -> None:
        await self._slots.give_back(slots, start.runner, since)
        if claimed:
            await self._claims.drop(start, since)

    def over(self, start: Start) -> None:
        """Take note that a launch that was admitted is over."""
        self._gpu_creates[_gpu_type(start)] -= 1

    async def free_slots(self, admitted: Admitted) -> None:
        """Give back the slots of a launch whose runner is known to have ended.

        Raises:
            StoreError: the store did not answer; they are released by age.
        """
        slots = admitted.slots
        await release_slots(self._store, slots.keys, admitted.start.runner, self._clock.now(), owner=slots.owner)
        self._slots.given_back(slots.keys)


async def _known(value: T) -> T:
    """What was found out before, in the place of a question."""
    return value


def _gpu_type(start: Start) -> str:
    gpu = start.demand.shape.gpu
    return gpu.type if gpu else ""


def _taken(
    start: Start,
    since: float,
    refused: str | None,
    slots: Taken | Full,
    paid: Paid | float,
    *,
    claimed: bool,
) -> Admitted | Postponed:
    """What becomes of a launch by what it could take."""
    if refused is not None:
        _log.error("launches_stopped", job=start.demand.job_id, reason=refused)
        return Postponed(refused)
    if isinstance(slots, Full):
        return _full(slots)
    if isinstance(paid, float):
        return _limited(paid)
    return Admitted(start, slots, paid, since) if claimed else UNDER_WAY


def _full(slots: Full) -> Postponed:
    whose, setting = of_group(slots.group)
    return Postponed(f"the cap of {whose} is reached ({setting})", full=slots)


def _limited(again: float) -> Postponed:
    return Postponed("GitHub's write limit is reached", again, limited=True)

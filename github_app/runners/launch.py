"""Starting a runner for a job: slots and budget, the claim, the JIT config, the record, the sandbox.

Names are idempotency keys: the runner's name is unique at GitHub and among Modal's running sandboxes, so whatever is
repeated after whatever failure cannot start two runners under one name.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError, ModalRunnerError, SandboxError, SandboxNameTaken, StoreError
from github_app.model import (
    Hold,
    JobEvent,
    RunnerRecord,
    SandboxSpec,
)
from github_app.runners.balance import CLAIM_IS_STALE_S, Start
from github_app.runners.capacity import IN_ALL, Full, Slots, Taken, release_slots
from github_app.runners.claims import Claims, Lease
from github_app.runners.ending import Endings, PacedDeregistration, SandboxLookup
from github_app.runners.halts import Halts
from github_app.runners.jit import JitRequests, PutOff
from github_app.runners.newborns import Newborns
from github_app.runners.records import finish_runner
from github_app.runners.versions import RunnerVersion
from github_app.runners.vouching import Vouchers
from github_app.runners.write_limit import WriteBudget
from github_app.store import RUNNERS, ModalDictStore

# A GPU create may block for 21 minutes and holds an input of the web function open; the others wait as records.
GPU_CREATES_AT_ONCE = 4
# After what cannot be foreseen: when to look again.
_SOON_S = 10.0

_log = structlog.get_logger(__name__)


class SandboxCreation(SandboxLookup, Protocol):
    """Creates sandboxes at Modal."""

    async def create(self, spec: SandboxSpec) -> str:
        """Start a sandbox and return its id."""
        ...


@dataclass(frozen=True)
class Admitted:
    """A launch that has its claim and its slots."""

    start: Start
    slots: Taken
    # Unix time before which nothing of it was taken.
    since: float


@dataclass(frozen=True)
class Postponed:
    """A launch that has to wait, without a claim: until `again` (Unix time), or until a slot under `full` is free.

    `limited`: GitHub's write limit turns away every launch of the installation. `halted`: until something changes.
    """

    reason: str
    again: float | None = None
    full: Full | None = None
    limited: bool = False
    halted: bool = False

    @property
    def contended(self) -> bool:
        """Whether it waits for what others take, and those that waited first come first."""
        return self.limited or self.full is not None


class Launcher:
    """Starts runners."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        jit: JitRequests,
        sandboxes: SandboxCreation,
        deregistration: PacedDeregistration,
        endings: Endings,
        claims: Claims,
        slots: Slots,
        budget: WriteBudget,
        version: RunnerVersion,
        halts: Halts,
        vouchers: Vouchers,
        newborns: Newborns,
        clock: Clock,
    ) -> None:
        self._store = store
        self._newborns = newborns
        self._halts = halts
        self._vouchers = vouchers
        self._jit = jit
        self._deregistration = deregistration
        self._endings = endings
        self._sandboxes = sandboxes
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
        if gpu and self._gpu_creates[gpu] >= GPU_CREATES_AT_ONCE:
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
        self._budget.give_back(admitted.start.demand.job.event.installation_id)
        await self._give_back(admitted.start, admitted.slots, claimed=True, since=admitted.since)

    async def _admit(self, start: Start) -> "Admitted | Postponed":
        """Find out first what stops a launch, and wait a little for the write limit."""
        if (postponed := await self._postponed(start)) is not None:
            return postponed
        if (again := await self._budget.wait(start.demand.job.event.installation_id)) is not None:
            return _limited(again)
        return await self._take(start, refused=_nothing(), write=_nothing())

    async def _postponed(self, start: Start) -> Postponed | None:
        """What stops a launch before anything is taken for it."""
        if (refused := await self._version.refused()) is not None:
            _log.error("launches_stopped", job=start.demand.job_id, reason=refused)
            return Postponed(refused)
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
        write: Coroutine[Any, Any, float | None],
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
        if paid.exception() is None and paid.result() is None:
            self._budget.give_back(job.installation_id)
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

    async def run(self, admitted: "Admitted", recorded: Awaitable[bool] | None = None) -> float | None:
        """Start the runner; return the Unix time at which to look again when it did not come to be.

        `recorded` tells whether its job could be, where that is under way. Never raises: what failed is recorded and
        logged.
        """
        start, began = admitted.start, self._clock.now()
        name = start.runner
        try:
            async with self._claims.renewing(start, admitted.since) as lease:
                runner = await self._start(admitted, name, lease, recorded)
        except PutOff as off:
            return await self._put_off(admitted, off)
        except Exception as error:  # what is not foreseen must not take other launches with it
            _log.exception("launch_failed", job=start.demand.job_id, reason=str(error), error=type(error).__name__)
            return self._clock.now() + CLAIM_IS_STALE_S
        finally:
            self._gpu_creates[_gpu_type(start)] -= 1
        took = round(self._clock.now() - began, 3)
        _log.info("runner_started", runner=runner.name, sandbox=runner.sandbox_id, duration_s=took)
        return None

    async def _put_off(self, admitted: "Admitted", off: PutOff) -> float | None:
        start, slots = admitted.start, admitted.slots
        try:
            if off.ended:
                await release_slots(self._store, slots.keys, start.runner, self._clock.now(), owner=slots.owner)
                self._slots.given_back(slots.keys)
            if off.ended and off.hold is Hold.NOT_RECORDED:
                # Its delivery comes again, and is to find nothing in its way.
                await self._claims.drop(start, admitted.since)
                return None
            return await self._claims.put_off(start, off.hold, off.reason, off.seconds)
        except StoreError as error:
            # The claim grows stale, and the slots are released by age.
            _log.error("launch_failed", job=start.demand.job_id, reason=f"{off.reason}; {error}")
            return self._clock.now() + CLAIM_IS_STALE_S

    async def _start(
        self, admitted: "Admitted", name: str, lease: Lease, recorded: Awaitable[bool] | None
    ) -> RunnerRecord:
        start = admitted.start
        job, shape = start.demand.job.event, start.demand.shape
        jit = await self._jit.request(start, name, paid_at=admitted.since)
        runner = RunnerRecord(
            name=name,
            started_for=job.job_id,
            place=job.place,
            labels=job.labels,
            shape=shape,
            github_id=jit.runner_id,
            started_at=self._clock.now(),
            slots=admitted.slots.keys,
            slots_owner=admitted.slots.owner,
        )
        if recorded is not None and not await recorded:
            ended = await self._give_up(runner)
            raise PutOff(Hold.NOT_RECORDED, "its job could not be recorded, and comes again", 0.0, ended=ended)
        # Before the sandbox is asked for: a crash from here on leaves a trace that the sweep follows.
        await self._store.put(RUNNERS, name, runner)
        if await self._claims.superseded(start, lease):
            ended = await self._give_up(runner)
            reason = "the launch was taken for crashed, and the next attempt has begun"
            raise PutOff(Hold.SUPERSEDED, reason, 0.0, ended=ended)
        spec = SandboxSpec(name, shape, _tags(job, name), jit.encoded, job.repository, job.private, job.labels)
        sandbox_id = await self._create(runner, spec)
        self._newborns.born(runner, sandbox_id)
        return msgspec.structs.replace(runner, sandbox_id=sandbox_id)

    async def _create(self, runner: RunnerRecord, spec: SandboxSpec) -> str:
        try:
            return await self._sandboxes.create(spec)
        except SandboxError as error:
            # An answer may have been lost, and its repetition found the name taken: by ours. A lookup that fails
            # leaves that open; then the record stays, and the sweep adopts the sandbox or ends the runner safely.
            if found := await self._created_after_all(spec.name, error):
                return found
            if isinstance(error, SandboxNameTaken):
                raise
            hold = Hold.MODAL_CAPACITY if error.retryable else Hold.MODAL_REFUSES
            raise PutOff(hold, str(error), ended=await self._take_back(runner, error)) from error

    async def _take_back(self, runner: RunnerRecord, error: SandboxError) -> bool:
        """End a runner whose sandbox was asked for: after an error that proves nothing it may still come to life."""
        if not error.retryable:
            return await self._give_up(runner)
        try:
            return await self._endings.end(runner)
        except ModalRunnerError as failure:
            _log.warning("runner_not_ended", runner=runner.name, reason=str(failure))
            return False

    async def _created_after_all(self, name: str, error: SandboxError) -> str | None:
        if not isinstance(error, SandboxNameTaken) and not error.retryable:
            return None
        return await self._sandboxes.find(name)

    async def _give_up(self, runner: RunnerRecord) -> bool:
        """Deregister a runner that has no sandbox, which GitHub would keep for a day; tell whether that worked."""
        try:
            await self._deregistration.pay(runner.place)
            await self._deregistration.remove(runner.place, runner.github_id)
            await finish_runner(self._store, runner, self._clock.now())
        except (GitHubError, StoreError) as error:
            # Its record stays, by which the sweep finds it.
            _log.warning("runner_not_removed", runner=runner.name, reason=str(error))
            return False
        return True


async def _nothing() -> None:
    """In the place of what was found out before."""


def _gpu_type(start: Start) -> str:
    gpu = start.demand.shape.gpu
    return gpu.type if gpu else ""


def _taken(
    start: Start,
    since: float,
    refused: str | None,
    slots: Taken | Full,
    again: float | None,
    *,
    claimed: bool,
) -> Admitted | Postponed:
    """What becomes of a launch by what it could take."""
    if refused is not None:
        _log.error("launches_stopped", job=start.demand.job_id, reason=refused)
        return Postponed(refused)
    if isinstance(slots, Full):
        return _full(slots)
    if again is not None:
        return _limited(again)
    return Admitted(start, slots, since) if claimed else _UNDER_WAY


_UNDER_WAY = Postponed("its launch is under way elsewhere")


def _full(slots: Full) -> Postponed:
    return Postponed(f"the concurrency cap of {_of(slots)} is reached", full=slots)


def _limited(again: float) -> Postponed:
    return Postponed("GitHub's write limit is reached", again, limited=True)


def _of(full: Full) -> str:
    return "all repositories" if full.group == IN_ALL else full.group


def _tags(job: JobEvent, name: str) -> dict[str, str]:
    """Tags to find a sandbox by: values of Modal's tags have at most 63 of `[A-Za-z0-9._-]`."""
    repository = re.sub(r"[^A-Za-z0-9._-]", ".", job.repository)[:63]
    return {"job": str(job.job_id), "repo": repository, "run": str(job.run_id), "runner": name}

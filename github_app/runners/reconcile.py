"""Bringing runners and jobs into balance: starts what is missing, ends what is too much."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.model import JobEvent, RunnerRecord, runner_name
from github_app.routing.warm import is_seat
from github_app.runners.admission_queue import MOST_STARTS, TRY_AGAIN_S, AdmissionQueue
from github_app.runners.admitting import Admissions, Admitted, Postponed
from github_app.runners.balance import (
    CLAIM_IS_STALE_S,
    YOUNG_FOR_S,
    Plan,
    Start,
    Wait,
    giving_way,
    is_young,
)
from github_app.runners.ending import Endings
from github_app.runners.launch import Launcher
from github_app.runners.newborns import Newborns
from github_app.runners.planning import Planner
from github_app.runners.seats import Seats
from github_app.runners.settling import Settling
from github_app.store import RUNNERS, ModalDictStore

# A runner that waits for jobs has ended by then, and its slots are free.
_GIVES_WAY_WITHIN_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Round:
    """What one round has started, which jobs wait and why, and whether the brake ended it. `rest` still goes on."""

    started: int
    waits: tuple[Wait, ...]
    braked: bool
    rest: asyncio.Task[None]


@dataclass
class Beginning:
    """A launch that begins before its job is recorded. `recorded` tells whether that came to be."""

    start: Start
    admission: asyncio.Task[Admitted | Postponed | None]
    recorded: asyncio.Future[bool]
    launched: bool = False


class Reconciler:
    """Works on the records alone; the sweep first brings these up to what GitHub and Modal say."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        admissions: Admissions,
        queue: AdmissionQueue,
        launcher: Launcher,
        endings: Endings,
        settling: Settling,
        newborns: Newborns,
        planner: Planner,
        seats: Seats,
        clock: Clock,
    ) -> None:
        self._store = store
        self._newborns = newborns
        self._admissions = admissions
        self._queue = queue
        self._launcher = launcher
        self._endings = endings
        self._settling = settling
        self._planner = planner
        self._seats = seats
        # Runners that waited for jobs and are ended for one that has to wait: for which slots, and when that was.
        self._giving_way: dict[str, tuple[str, float]] = {}
        self._clock = clock
        self._ending: set[str] = set()
        # Runners that nobody needs any more and whose launch is still under way.
        self._unwanted: set[str] = set()
        self._round = asyncio.Lock()
        self._asked_again = False
        self._wakes_at: float | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._rests: set[asyncio.Task[None]] = set()
        # Whether the last round has left jobs waiting for what others take, and whether one has come to wait since.
        self._left_waiting = True
        self._postponed = False

    @property
    def others_wait(self) -> bool:
        """Whether jobs may be waiting for what a new one would take, before it: so it is until a round finds none."""
        return self._left_waiting or self._postponed

    def may_be_served(self, event: JobEvent) -> bool:
        """Tell whether a runner may wait that a new job can have, so that none need be started for it."""
        return self._seats.serve(event)

    async def reconcile(self) -> None:
        """Start a runner for each queued job that has none; end each idle runner that no job needs. Never raises.

        Of many that ask while a round is under way, one makes the next round.
        """
        try:
            made = await self.round()
        except ModalRunnerError as error:
            _log.error("reconcile_failed", reason=str(error))
            self._wake_at(self._clock.now() + TRY_AGAIN_S)
            return
        if made is not None:
            await made.rest

    async def round(self, *, sweeping: bool = False) -> Round | None:
        """Make one round; None when another is about to.

        `sweeping`: whoever waits for jobs and has no seat any more is ended, too. Containers of before a redeploy know
        other seats, and are not asked.

        Raises:
            StoreError: the store did not answer; nothing was started that is not recorded.
        """
        if self._round.locked():
            if self._asked_again:
                return None
            self._asked_again = True
        async with self._round:
            self._asked_again = self._postponed = False
            found = await self._planner.plan()
            self._unwanted = {runner.name for runner in found.starting}
            surplus = [r for r in found.surplus if sweeping or not is_seat(r.started_for)]
            endings = [asyncio.create_task(self._end(runner)) for runner in surplus]
            launches: list[asyncio.Task[None]] = []
            waits = list(found.waits)
            contended = False
            fulls: list[str] = []
            try:
                # Each starts as soon as it is admitted: the next may have to wait for GitHub's write budget.
                async for admitted in self._queue.admit_all(found.starts):
                    if isinstance(admitted, Admitted):
                        launches.append(asyncio.create_task(self._run(admitted)))
                    else:
                        wait, why = admitted
                        waits.append(wait)
                        if wait.demand.is_seat:
                            continue
                        contended = contended or why.contended
                        fulls += [why.full.group] if why.full is not None else []
                endings += [asyncio.create_task(self._end(each)) for each in self._making_way(fulls, found.seated)]
            finally:
                # Also when the round fails half-way: what it has begun is seen through.
                rest = asyncio.create_task(self._finish(endings, launches))
                self._rests.add(rest)
                rest.add_done_callback(self._rests.discard)
        braked = len(launches) == MOST_STARTS
        self._left_waiting = braked or contended
        # One whose launch is under way may belong to a process that has crashed.
        now = self._clock.now()
        ends = [wait.until or now + CLAIM_IS_STALE_S for wait in waits if not wait.halted and _is_awaited(wait)]
        if braked:
            ends.append(self._clock.now() + TRY_AGAIN_S)
        if found.starting:
            ends.append(now + (YOUNG_FOR_S if any(is_young(r, now) for r in found.starting) else CLAIM_IS_STALE_S))
        if ends:
            self._wake_at(min(ends))
        return Round(len(launches), tuple(waits), braked, rest)

    def _making_way(self, fulls: list[str], seated: tuple[RunnerRecord, ...]) -> list[RunnerRecord]:
        """Whom to end for jobs that wait for a slot, beside those whose slots are about to be free."""
        now = self._clock.now()
        lately = {name: each for name, each in self._giving_way.items() if now - each[1] < _GIVES_WAY_WITHIN_S}
        going = giving_way(fulls, seated, {name: group for name, (group, _) in lately.items()})
        self._giving_way = lately | {runner.name: (group, now) for group, runner in going}
        for group, runner in going:
            _log.info("runner_gives_way", runner=runner.name, group=group)
        return [runner for _, runner in going]

    async def _finish(self, endings: list[asyncio.Task[bool]], launches: list[asyncio.Task[None]]) -> None:
        """Wait for what a round began. A launch may wait for a GPU for long; nothing waits for it."""
        if True in await asyncio.gather(*endings, return_exceptions=True):
            # What was ended may have been someone's after all, by an event that came meanwhile.
            await self.reconcile()
        await asyncio.gather(*launches, return_exceptions=True)

    async def plan(self) -> Plan:
        """Say what a round would do.

        Raises:
            StoreError: the store did not answer.
        """
        return await self._planner.plan()

    def begin(self, start: Start) -> Beginning:
        """Take what a launch needs, while its job is looked at and recorded. Then `launch`, or `withdraw`."""
        return Beginning(start, asyncio.create_task(self._admit_at_once(start)), asyncio.Future())

    def launch(self, beginning: Beginning) -> asyncio.Task[None]:
        """Start one runner now, or see to it that this is tried again. Nothing is started for a job without record."""
        beginning.launched = True
        launch = asyncio.create_task(self._launch(beginning))
        self._rests.add(launch)
        launch.add_done_callback(self._rests.discard)
        return launch

    def look_again(self) -> None:
        """Reconcile a little later: what could not be recorded now may be there all the same."""
        self._wake_at(self._clock.now() + TRY_AGAIN_S)

    async def withdraw(self, beginning: Beginning) -> None:
        """Give back what was taken for a launch that does not begin. Never raises.

        Others may have waited for it meanwhile, as the same job's second delivery.
        """
        try:
            admitted = await beginning.admission
            if isinstance(admitted, Admitted):
                self._wake_at(self._clock.now())
                await self._admissions.withdraw(admitted)
        except Exception as error:  # what is not foreseen must not take the place of the answer
            _log.warning("launch_not_withdrawn", reason=str(error), error=type(error).__name__)

    async def _admit_at_once(self, start: Start) -> Admitted | Postponed | None:
        try:
            return await self._admissions.admit_at_once(start)
        except ModalRunnerError as error:
            return self._queue.failed(start, error)

    async def _launch(self, beginning: Beginning) -> None:
        admitted = await beginning.admission
        if isinstance(admitted, Admitted):
            await self._run(admitted, beginning.recorded)
            return
        if not await beginning.recorded:
            # It may be all the same: the answer may have been lost.
            self.look_again()
            return
        admitted = admitted or await self._queue.admit(beginning.start)
        if isinstance(admitted, Admitted):
            await self._run(admitted)
            return
        self._postponed = self._postponed or admitted.contended
        if not admitted.halted:
            self._wake_at(admitted.again or self._clock.now() + CLAIM_IS_STALE_S)

    async def record_newborns(self) -> None:
        """Record what is known of sandboxes here alone, before the process ends. Never raises."""
        await self._newborns.record_all()

    async def settle(self, runner: RunnerRecord, *, left: bool, unbalanced: bool) -> None:
        """After a runner's job: balance when its slots are free, and before if need be. Never raises.

        `left`: that its job is over is recorded already.
        """

        async def settled() -> None:
            # Under a cap only a slot that is given back lets another start.
            if not await self._settling.settle(runner, left=left):
                return
            self._admissions.settled(runner)
            if self.others_wait:
                await self.reconcile()

        # A round sees its launches through, and one may wait for a GPU for long.
        await asyncio.gather(settled(), *([self.reconcile()] if unbalanced else []))

    async def _run(self, admitted: Admitted, recorded: Awaitable[bool] | None = None) -> None:
        again = await self._launcher.run(admitted, recorded)
        if again is not None:
            self._wake_at(again)
        if self._admissions.is_awaited(admitted.start):
            self._wake_at(self._clock.now())
        name = runner_name(admitted.start.demand.job_id, admitted.start.attempt)
        if name in self._unwanted:
            # Its job was over before it had started, and nothing that starts is ended.
            self._unwanted.discard(name)
            await self.reconcile()

    def _wake_at(self, moment: float) -> None:
        """Reconcile at `moment`: where the process lives on, this is sooner than the next event or sweep."""
        if self._wakes_at is None or moment < self._wakes_at:
            self._wakes_at = moment
            self._alarm = asyncio.create_task(self._wake(moment))

    async def _wake(self, moment: float) -> None:
        await self._clock.sleep(max(0.0, moment - self._clock.now()))
        if self._wakes_at == moment:
            self._wakes_at = None
            await self.reconcile()

    async def _end(self, surplus: RunnerRecord) -> bool:
        """End a runner, by what its record says now; tell whether it was ended."""
        if surplus.name in self._ending:
            return False
        self._ending.add(surplus.name)
        try:
            runner = await self._store.get(RUNNERS, surplus.name)
            if runner is None or not runner.idle:
                return False
            return await self._endings.end(self._newborns.known(runner))
        except ModalRunnerError as error:
            _log.warning("runner_not_ended", runner=surplus.name, reason=str(error))
            return False
        finally:
            self._ending.discard(surplus.name)


def _is_awaited(wait: Wait) -> bool:
    """Tell whether to look again before the next sweep: a seat with no time to wait for is left to that."""
    return wait.until is not None or not wait.demand.is_seat

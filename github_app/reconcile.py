"""Bringing runners and jobs into balance: starts what is missing, ends what is too much."""

import asyncio
from collections.abc import AsyncIterator

import structlog

from github_app import routing
from github_app.balance import Demand, Plan, Start, plan
from github_app.clock import Clock
from github_app.ending import Ending, Runners, Sandboxes, end_safely
from github_app.errors import ModalRunnerError
from github_app.launch import Admitted, Launcher, Turned
from github_app.model import RunnerRecord, runner_name
from github_app.records import finish_runner
from github_app.store import CLAIMS, JOBS, RUNNERS, ModalDictStore

# A reconciler must never be the outage: no round starts more than this, and reaching it is an alarm.
MOST_STARTS = 200

_log = structlog.get_logger(__name__)


class Reconciler:
    """Works on the records alone; the sweep first brings these up to what GitHub and Modal say."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        launcher: Launcher,
        runners: Runners,
        sandboxes: Sandboxes,
        rules: routing.Rules,
        clock: Clock,
    ) -> None:
        self._store = store
        self.launcher = launcher
        self._runners = runners
        self._sandboxes = sandboxes
        self._rules = rules
        self._clock = clock
        self._ending: set[str] = set()
        # Runners that nobody needs any more and whose launch is still under way.
        self._unwanted: set[str] = set()
        self._round = asyncio.Lock()
        self._asked_again = False
        self._wakes_at: float | None = None
        self._alarm: asyncio.Task[None] | None = None

    async def reconcile(self) -> None:
        """Start a runner for each queued job that has none; end each idle runner that no job needs. Never raises.

        Of many that ask while a round is under way, one makes the next round.
        """
        if self._round.locked():
            if self._asked_again:
                return
            self._asked_again = True
        try:
            async with self._round:
                self._asked_again = False
                found = await self.plan()
                endings = [asyncio.create_task(self._end(runner)) for runner in found.surplus]
                # Each starts as soon as it is admitted: the next may have to wait for GitHub's write budget.
                launches = [
                    asyncio.create_task(self._run(admitted)) async for admitted in self._admit_all(found.starts)
                ]
        except ModalRunnerError as error:
            _log.error("reconcile_failed", reason=str(error))
            return
        await asyncio.gather(*launches)
        if any(await asyncio.gather(*endings)):
            # What was ended may have been someone's after all, by an event that came meanwhile.
            await self.reconcile()

    async def plan(self) -> Plan:
        """Read the records and say what is missing, what waits, and what is too much.

        Raises:
            StoreError: the store did not answer.
        """
        # In the reverse of the order in which they are put: a runner is never seen without its claim and its job,
        # which would make it one too many.
        runners = {name: runner async for name, runner in self._store.items(RUNNERS)}
        claims = {key: claim async for key, claim in self._store.items(CLAIMS)}
        demands = []
        async for _, job in self._store.items(JOBS):
            routed = routing.route(job.event, self._rules)
            if isinstance(routed, routing.Admit):
                demands.append(Demand(job, routed.shape))
        found = plan(demands, runners, claims, self._clock.now())
        self._unwanted |= {runner.name for runner in found.starting}
        return found

    async def _admit_all(self, starts: tuple[Start, ...]) -> AsyncIterator[Admitted]:
        """Admit oldest first, one after the other, as far as caps, budgets and brake allow."""
        admitted = 0
        full: set[str] = set()
        paused: set[int] = set()
        for start in starts:
            job = start.demand.job.event
            if job.repository in full or job.installation_id in paused:
                continue
            if admitted == MOST_STARTS:
                _log.error("too_many_starts", wanted=len(starts), most=MOST_STARTS)
                return
            match await self._admit(start):
                case Admitted() as each:
                    admitted += 1
                    yield each
                case Turned(full=True):
                    full.add(job.repository)
                case Turned(again=float()):
                    paused.add(job.installation_id)

    async def launch(self, start: Start) -> None:
        """Start one runner now, or see to it that this is tried again."""
        admitted = await self._admit(start)
        if isinstance(admitted, Admitted):
            await self._run(admitted)

    async def _run(self, admitted: Admitted) -> None:
        await self.launcher.run(admitted)
        name = runner_name(admitted.start.demand.job_id, admitted.start.attempt)
        if name in self._unwanted:
            # Its job was over before it had started, and nothing that starts is ended.
            self._unwanted.discard(name)
            await self.reconcile()

    async def _admit(self, start: Start) -> Admitted | Turned:
        try:
            admitted = await self.launcher.admit(start)
        except ModalRunnerError as error:
            _log.error("launch_failed", job=start.demand.job_id, reason=str(error))
            return Turned(str(error))
        if isinstance(admitted, Turned):
            _log.info("launch_waits", job=start.demand.job_id, reason=admitted.reason)
            if admitted.again is not None and (self._wakes_at is None or admitted.again < self._wakes_at):
                self._wakes_at = admitted.again
                self._alarm = asyncio.create_task(self._wake(admitted.again))
        return admitted

    async def _wake(self, moment: float) -> None:
        """Reconcile at `moment`: where the process lives on, this is sooner than the next event or sweep."""
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
            ending = await end_safely(runner, runners=self._runners, sandboxes=self._sandboxes, sleep=self._clock.sleep)
            if ending is Ending.ENDED:
                await finish_runner(self._store, runner, self._clock.now())
        except ModalRunnerError as error:
            _log.warning("runner_not_ended", runner=surplus.name, reason=str(error))
            return False
        else:
            return ending is Ending.ENDED
        finally:
            self._ending.discard(surplus.name)

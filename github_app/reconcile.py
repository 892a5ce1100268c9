"""Bringing runners and jobs into balance: starts what is missing, ends what is too much."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from github_app import routing
from github_app.balance import Balance, Demand, balance
from github_app.ending import Ending, Runners, Sandboxes, end_safely
from github_app.errors import ModalRunnerError
from github_app.launch import Launcher
from github_app.model import RunnerRecord, RunnerState
from github_app.store import CLAIMS, JOBS, RUNNERS, ModalDictStore

# A launch that lives has put its runner's record by then.
CLAIM_IS_YOUNG_S = 30.0

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
        runner_label: str,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._runners = runners
        self._sandboxes = sandboxes
        self._label = runner_label
        self._clock = clock
        self._sleep = sleep

    async def reconcile(self) -> None:
        """Start a runner for each queued job that has none; end each idle runner that no job needs."""
        try:
            attempts, young = await self._attempts()
            found = await self._balance()
        except ModalRunnerError as error:
            _log.error("reconcile_failed", reason=str(error))
            return
        for demand in found.missing:
            _log.info("job_without_runner", job=demand.job.event.job_id, claimed=demand.job.event.job_id in young)
        await asyncio.gather(
            *(
                self._launcher.launch(d.job.event, d.shape, attempts.get(d.job.event.job_id, 0) + 1)
                for d in found.missing
                if d.job.event.job_id not in young
            ),
            *(self._end(runner) for runner in found.surplus),
        )

    async def _balance(self) -> Balance:
        demands = []
        async for _, job in self._store.items(JOBS):
            routed = routing.route(job.event, self._label)
            if isinstance(routed, routing.Admit):
                demands.append(Demand(job, routed.shape))
        return balance(demands, [runner async for _, runner in self._store.items(RUNNERS)])

    async def _attempts(self) -> tuple[dict[int, int], set[int]]:
        """The last attempt at each job, and the jobs whose launch may still be on its way to a record."""
        attempts: dict[int, int] = {}
        young: set[int] = set()
        runners = {name async for name, _ in self._store.items(RUNNERS)}
        async for key, claim in self._store.items(CLAIMS):
            job_id, attempt = (int(part) for part in key.split("-"))
            attempts[job_id] = max(attempt, attempts.get(job_id, 0))
            if f"modal-{key}" not in runners and claim.claimed_at > self._clock() - CLAIM_IS_YOUNG_S:
                young.add(job_id)
        return attempts, young

    async def _end(self, runner: RunnerRecord) -> None:
        try:
            ending = await end_safely(runner, runners=self._runners, sandboxes=self._sandboxes, sleep=self._sleep)
            if ending is Ending.ENDED:
                await self._store.put(RUNNERS, runner.name, msgspec.structs.replace(runner, state=RunnerState.FINISHED))
        except ModalRunnerError as error:
            _log.warning("runner_not_ended", runner=runner.name, reason=str(error))

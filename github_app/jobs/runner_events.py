"""What an event says of a runner: which job it has taken, or that its job is over."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import structlog

from github_app.clock import Clock
from github_app.errors import StoreError
from github_app.model import RUNNER_NAME, Action, JobEvent, Ran, RunnerRecord, RunnerState, runner_name
from github_app.routing.catalog import usd_per_minute
from github_app.runners.debugging import debug_until
from github_app.runners.newborns import Newborns
from github_app.runners.reconcile import Reconciler
from github_app.runners.records import change_known, leave_known
from github_app.store import RUNNERS, ModalDictStore

# So many jobs may have taken each other's runners before all records are read.
_LONGEST_CHAIN = 10

_log = structlog.get_logger(__name__)


class RunnerEvents:
    """Records it, and finds out whether a job is without a runner now, or a runner too many."""

    def __init__(self, *, store: ModalDictStore, newborns: Newborns, reconciler: Reconciler, clock: Clock) -> None:
        self._store = store
        self._newborns = newborns
        self._reconciler = reconciler
        self._clock = clock

    async def runner_of(self, event: JobEvent) -> RunnerRecord | None:
        """The record of the runner that an event names, if it is one of ours.

        Raises:
            StoreError: the store did not answer.
        """
        name = event.runner_name
        if event.action is Action.QUEUED or name is None or not RUNNER_NAME.fullmatch(name):
            return None
        return await self._store.get(RUNNERS, name)

    def ran(self, runner: RunnerRecord) -> Ran:
        """On what the job of a runner runs."""
        known, shape = self._newborns.known(runner), runner.shape
        return Ran(
            runner=known.name,
            started_for=known.started_for,
            sandbox_id=known.sandbox_id,
            vcpu=shape.cpu[0] * 2,
            memory_mib=shape.memory_mib[0],
            gpu=str(shape.gpu) if shape.gpu else None,
            region=shape.region,
            profile=shape.profile,
            usd_per_hour=round(usd_per_minute(shape) * 60, 4),
            jit_at=known.started_at,
            created_at=known.created_at,
            admitted_at=known.admitted_at,
            waited=known.waited,
        )

    async def note(self, event: JobEvent, runner: RunnerRecord | None, *, reading: bool = False) -> bool:
        """Record which job a runner has taken; tell whether that leaves a job without or a runner too many.

        GitHub gives a job any runner that fits, not the one that was started for it. Where the event was read from its
        API (`reading`), nobody waits for the sandbox's end.
        """
        name = event.runner_name
        if event.action is Action.QUEUED:
            return False
        if name is None or not RUNNER_NAME.fullmatch(name):
            # It ended before a runner took it, or another's runner did: its own is one too many.
            return True
        if runner is None:
            return event.job_id != _made_for(name)
        runs_another = event.action is Action.COMPLETED and runner.runs_job not in {None, event.job_id}
        if runs_another:
            # A runner runs one job. Whichever of the two is false, the sweep asks GitHub.
            _log.warning("runner_runs_another_job", runner=name, job=event.job_id, runs=runner.runs_job)
        if runs_another or runner.state is RunnerState.FINISHED:
            return False
        self._newborns.take(name)
        known = self._newborns.known(runner)
        noted: dict[str, Any] = {
            "runs_job": event.job_id,
            "sandbox_id": known.sandbox_id,
            "created_at": known.created_at,
        }
        if event.action is Action.COMPLETED:
            if reading or not _is_recorded_with_its_end(event, known):
                now = self._clock.now()
                kept = debug_until(runner, event.labels, event.conclusion, now)
                await leave_known(self._store, runner, now, debug_until=kept, **noted)
                if kept is not None:
                    _log.info("sandbox_kept", runner=name, job=event.job_id, duration_s=runner.shape.debug_s)
        else:
            await change_known(self._store, runner, RunnerState.BUSY, **noted)
        return event.job_id not in {runner.started_for, runner.runs_job}

    def afterwards(
        self, event: JobEvent, runner: RunnerRecord | None, *, unbalanced: bool
    ) -> Callable[[], Awaitable[None]] | None:
        """What is to run after the answer, if anything. It never raises."""
        if runner is not None and runner.slots and event.action is Action.COMPLETED:
            known = self._newborns.known(runner)
            left = not _is_recorded_with_its_end(event, known)
            return partial(self._reconciler.settle, known, left=left, unbalanced=unbalanced)
        return partial(self._balance, event, runner) if unbalanced else None

    async def _balance(self, event: JobEvent, runner: RunnerRecord | None) -> None:
        """Balance after an event, unless its job and another have but changed runners: nearly all are alike."""
        if runner is None or event.action is not Action.IN_PROGRESS or not await self._have_changed(event, runner):
            await self._reconciler.reconcile()

    async def _have_changed(self, event: JobEvent, taken: RunnerRecord) -> bool:
        """Tell whether a runner as good as the one that a job has taken waits instead: its own, or else that of the job
        that has taken its own, and so on.
        """
        job_id: int | None = event.job_id
        try:
            for _link in range(_LONGEST_CHAIN):
                own = await self._store.get(RUNNERS, runner_name(job_id or 0, 1))
                if own is None or (own.place, own.shape, own.labels) != (taken.place, taken.shape, taken.labels):
                    return False
                if own.idle or own.name == taken.name:
                    return True
                job_id = own.runs_job
        except StoreError as error:
            _log.info("balance_unknown", job=event.job_id, reason=str(error))
        return False


def _is_recorded_with_its_end(event: JobEvent, runner: RunnerRecord) -> bool:
    """Tell whether that a job is over is recorded of its runner some seconds later, with the end of its sandbox.

    So it is where that end is waited for, for the slots. Until then the runner is recorded as busy with a job that is
    over: as where the event was lost, and the sweep finds it by that.
    """
    if runner.shape.debug_s:
        # What keeps its sandbox has to be known at once.
        return False
    busy = runner.state is RunnerState.BUSY and runner.runs_job == event.job_id
    return event.action is Action.COMPLETED and busy and bool(runner.slots) and runner.sandbox_id is not None


def named(event: JobEvent, runner: RunnerRecord | None) -> JobEvent:
    """The event, with a runner's name that is ours only where the runner is: names can be chosen, ids are GitHub's."""
    if runner is None or event.runner_id in {None, runner.github_id}:
        return event
    return msgspec.structs.replace(event, runner_name=f"{event.runner_name} (another's, {event.runner_id})")


def _made_for(name: str) -> int:
    found = RUNNER_NAME.fullmatch(name)
    return int(found["job_id"]) if found else 0

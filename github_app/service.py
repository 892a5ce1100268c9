"""The imperative shell around the core: asks it what an event means, and carries that out.

What becomes of one event: known GUID? -> admitted? -> decide -> job's record -> GUID -> answer; then the launch.
Handling is idempotent, so the GUID is put last: a crash in between costs a repetition, never a job.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import msgspec
import structlog

from github_app import lifecycle, routing
from github_app.launch import Launcher
from github_app.model import RUNNER_NAME, Action, JobEvent, RunnerState
from github_app.reconcile import Reconciler
from github_app.store import DELIVERIES, JOBS, RUNNERS, Delivered, ModalDictStore

_log = structlog.get_logger(__name__)
_RUNNER_STATES = {Action.IN_PROGRESS: RunnerState.BUSY, Action.COMPLETED: RunnerState.FINISHED}


class Status(StrEnum):
    """What a delivery is answered."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    REFUSED = "refused"
    PONG = "pong"


@dataclass(frozen=True)
class Answer:
    """The answer to a delivery, and what is to run after it was sent."""

    status: Status
    reason: str | None = None
    afterwards: Callable[[], Awaitable[None]] | None = None


class Service:
    """Handles the events of every installation of the App."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        launcher: Launcher,
        reconciler: Reconciler,
        runner_label: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._reconciler = reconciler
        self._label = runner_label
        self._clock = clock

    async def handle(self, guid: str, event: JobEvent) -> Answer:
        """Record what `event` says.

        Raises:
            StoreError: nothing is lost; GitHub's redelivery of `guid` is handled as if it were the first.
        """
        routed = routing.route(event, self._label)
        if isinstance(routed, routing.Ignore) and not routing.took_our_runner(event):
            return Answer(Status.IGNORED, routed.reason)
        if await self._store.get(DELIVERIES, guid):
            return Answer(Status.DUPLICATE, "this delivery was handled before")
        if isinstance(routed, routing.Refuse):
            answer = self._refuse(event, routed)
        else:
            answer = await self._apply(event, routed)
        await self._store.put(DELIVERIES, guid, Delivered(self._clock()))
        return answer

    def _refuse(self, event: JobEvent, refusal: routing.Refuse) -> Answer:
        if event.action is Action.QUEUED:
            _log.warning("job_refused", code=refusal.code, reason=refusal.sentence, labels=event.labels)
        return Answer(Status.REFUSED, refusal.sentence)

    async def _apply(self, event: JobEvent, routed: routing.Ignore | routing.Admit) -> Answer:
        known = await self._store.get(JOBS, str(event.job_id))
        step = lifecycle.decide(known, event, self._clock())
        if isinstance(step, lifecycle.Nothing):
            return Answer(Status.ACCEPTED, step.reason)
        await self._store.put(JOBS, str(event.job_id), step.record)
        unbalanced = await self._note_runner(event)
        _log.info("job_" + event.action.value, runner=event.runner_name, conclusion=event.conclusion)
        if step.launch and isinstance(routed, routing.Admit):
            return Answer(Status.ACCEPTED, None, partial(self._launcher.launch, event, routed.shape))
        return Answer(Status.ACCEPTED, None, self._reconciler.reconcile if unbalanced else None)

    async def _note_runner(self, event: JobEvent) -> bool:
        """Record which job a runner has taken; tell whether that leaves a job without or a runner too many.

        GitHub gives a job any runner that fits, not the one that was started for it.
        """
        state = _RUNNER_STATES.get(event.action)
        if state is None:
            return False
        if not event.runner_name:
            return state is RunnerState.FINISHED
        if not RUNNER_NAME.fullmatch(event.runner_name):
            return True
        runner = await self._store.get(RUNNERS, event.runner_name)
        if runner is None or runner.state is RunnerState.FINISHED:
            return False
        after = msgspec.structs.replace(runner, state=state, runs_job=event.job_id)
        await self._store.put(RUNNERS, runner.name, after)
        return event.job_id not in {runner.started_for, runner.runs_job}

"""Jobs behind an environment's gate, which GitHub was seen to tell as queued before it tells them as waiting."""

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from github_app import lifecycle
from github_app.clock import Clock
from github_app.errors import GitHubError, StoreError
from github_app.jobs.intake import Intake
from github_app.model import Action, JobEvent, JobRecord, JobState
from github_app.runners.balance import YOUNG_FOR_S
from github_app.runners.reconcile import Reconciler
from github_app.store import HISTORY, JOBS, ModalDictStore

# Two deliveries of one job, sent one after the other.
_CROSS_WITHIN_S = 3.0

_log = structlog.get_logger(__name__)


class Gates:
    """Takes the runner of a job back that waits for an approval, and takes note of one that never had any."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        intake: Intake,
        reconciler: Reconciler,
        record: Callable[[JobRecord], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._intake = intake
        self._reconciler = reconciler
        self._record = record
        self._clock = clock

    async def look(self, event: JobEvent) -> None:
        """After a delivery that says `waiting`, which may be late: GitHub is asked. Never raises."""
        await self._clock.sleep(_CROSS_WITHIN_S)
        try:
            known = await self._store.get(JOBS, str(event.job_id))
            if known is None:
                await self._note(event)
                return
            held = await self._held(known)
            if held is None:
                return
            await self._record(lifecycle.gated(held, self._clock.now()))
        except (GitHubError, StoreError) as error:
            _log.info("gate_unknown", reason=str(error))
            return
        _log.info("job_gated")
        # Until then nobody knows whether the runner is one too many.
        await self._clock.sleep(YOUNG_FOR_S + 1.0)
        await self._reconciler.reconcile()

    async def _note(self, event: JobEvent) -> None:
        """Record a job that was never told as queued, so that people see it; what is recorded of it stays as it is."""
        key, now = str(event.job_id), self._clock.now()
        if await self._store.get(HISTORY, key) is None and await self._intake.is_gated(event):
            announced = msgspec.structs.replace(event, action=Action.QUEUED)
            record = lifecycle.gated(JobRecord(announced, JobState.QUEUED, now), now)
            if await self._store.put_new(HISTORY, key, record):
                _log.info("job_gated")

    async def _held(self, known: JobRecord) -> JobRecord | None:
        """The record of a job that is queued by what we know, and waits by what GitHub says."""
        if known.state is not JobState.QUEUED or not await self._intake.is_gated(known.event):
            return None
        current = await self._store.get(JOBS, str(known.event.job_id))
        # It may have been queued anew while GitHub was asked.
        same = current is not None and current.state is JobState.QUEUED and current.queued_since <= known.queued_since
        return current if same else None

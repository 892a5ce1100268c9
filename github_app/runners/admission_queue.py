"""The launches of one round, admitted oldest first, some at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import structlog

from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.model import JobState
from github_app.runners.admitting import UNDER_WAY, Admissions, Admitted, Postponed
from github_app.runners.balance import Start, Wait
from github_app.runners.capacity import IN_ALL
from github_app.store import CLAIMS, JOBS, ModalDictStore

# A reconciler must never be the outage: no round starts more than this, and reaching it is an alarm.
MOST_STARTS = 200
# One after the other they would wait for each other's trips to the store, and use a half of GitHub's write limit.
_AT_ONCE = 8
# After the store did not answer.
TRY_AGAIN_S = 15.0

_log = structlog.get_logger(__name__)


class AdmissionQueue:
    """Admits launches as far as caps, budgets and brake allow."""

    def __init__(self, *, store: ModalDictStore, admissions: Admissions, clock: Clock) -> None:
        self._store = store
        self._admissions = admissions
        self._clock = clock

    async def admit_all(self, starts: tuple[Start, ...]) -> AsyncIterator[Admitted | tuple[Wait, Postponed]]:
        """Begin in order, and tell of each as soon as it is admitted or has to wait. Never raises."""
        admitted = 0
        coming = deque(starts)
        under_way: dict[asyncio.Task[Admitted | Postponed | None], Start] = {}
        # By repository, IN_ALL, profile or installation: why nothing more of it starts in this round.
        postponed: dict[str | int, Postponed] = {}
        while coming or under_way:
            while coming and len(under_way) < _AT_ONCE and admitted + len(under_way) < MOST_STARTS:
                if coming[0].demand.is_seat and any(not each.demand.is_seat for each in under_way.values()):
                    # What a job has to be asked about takes longer than a seat, which would have the last slot then.
                    break
                start = coming.popleft()
                known = next((postponed[group] for group in _groups(start) if group in postponed), None)
                under_way[asyncio.create_task(self._admit_or_leave(start, known))] = start
            if not under_way:
                _log.error("too_many_starts", wanted=len(starts), most=MOST_STARTS)
                return
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in under_way if task.done()]:
                start = under_way.pop(task)
                match task.result():
                    case Admitted() as each:
                        admitted += 1
                        yield each
                    case Postponed() as why:
                        if why.full is not None:
                            postponed[why.full.group] = why
                        elif why.limited:
                            postponed[start.demand.job.event.installation_id] = why
                        elif why.failed:
                            # What comes after would fare alike, each after its own patience.
                            coming.clear()
                        yield Wait(start.demand, why.reason, why.again, halted=why.halted), why

    async def admit(self, start: Start) -> Admitted | Postponed:
        """Admit one. Never raises what is foreseen."""
        try:
            admitted = await self._admissions.admit(start)
        except ModalRunnerError as error:
            return self.failed(start, error)
        if isinstance(admitted, Postponed):
            _log.info("launch_waits", job=start.demand.job_id, reason=admitted.reason)
        return admitted

    def failed(self, start: Start, error: ModalRunnerError) -> Postponed:
        """Say when to try again what could not be admitted."""
        _log.error("launch_failed", job=start.demand.job_id, reason=str(error))
        return Postponed(str(error), self._clock.now() + TRY_AGAIN_S, failed=True)

    async def _admit_or_leave(self, start: Start, known: Postponed | None) -> Admitted | Postponed | None:
        if known is not None:
            return known
        try:
            # By the records as they are now: those before it in the round may have waited long. And two processes that
            # drain one queue come to the same jobs: what the other has claimed costs no write.
            claim, job = await asyncio.gather(
                self._store.get(CLAIMS, start.key), self._store.get(JOBS, str(start.demand.job_id))
            )
            if not start.demand.is_seat and (job is None or job.state is not JobState.QUEUED):
                return None
            return await self.admit(start) if claim is None else UNDER_WAY
        except ModalRunnerError as error:
            return self.failed(start, error)
        except Exception as error:  # what is not foreseen must not take the other launches with it
            _log.exception("launch_failed", job=start.demand.job_id, error=type(error).__name__)
            return Postponed(type(error).__name__, self._clock.now() + TRY_AGAIN_S, failed=True)


def _groups(start: Start) -> tuple[str | int, ...]:
    job = start.demand.job.event
    return (IN_ALL, job.repository.lower(), f"profile:{start.demand.shape.profile}", job.installation_id)

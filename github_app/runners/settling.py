"""After a runner's job: its slots are given back once its sandbox has ended too, for a job can outlive its runner."""

from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.model import UNKNOWN_TO_MODAL, RunnerRecord, SandboxStatus
from github_app.runners.records import absent_twice, finish_runner
from github_app.store import RUNNERS, ModalDictStore

# A sandbox ends a second or two after its job; what takes longer is left to the sweep.
_ENDS_WITHIN_S = 60.0
# Its job may have come and gone before its creation was answered.
_RECORDED_WITHIN_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)

_log = structlog.get_logger(__name__)


class SandboxEnds(Protocol):
    """Tells of the ends of sandboxes."""

    async def status(self, sandbox_id: str) -> SandboxStatus:
        """Whether it has ended, and how."""
        ...

    async def ends_within(self, sandbox_id: str, seconds: float) -> bool:
        """Wait for its end."""
        ...


class Settling:
    """Finds out that sandboxes have ended."""

    def __init__(self, store: ModalDictStore, sandboxes: SandboxEnds, clock: Clock) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._clock = clock

    async def ended(self, runner: RunnerRecord) -> SandboxStatus | None:
        """How a runner's sandbox has ended, by its exit code, or because Modal does not know it twice; None: it lives.

        Raises:
            SandboxError, StoreError: someone did not answer.
        """
        status = await self._sandboxes.status(runner.sandbox_id or "")
        if status.exit_code is None:
            return None
        if status.exit_code == UNKNOWN_TO_MODAL and not await self.has_vanished(runner):
            # That Modal does not know a sandbox is an absence, and no proof of an end, as an exit code is.
            return None
        return status

    async def has_vanished(self, runner: RunnerRecord) -> bool:
        """Tell whether this is the second time, later than the first, that Modal does not know a runner's sandbox."""
        return await absent_twice(self._store, runner, "vanished_since", self._clock.now())

    async def settle(self, left: RunnerRecord) -> bool:
        """Wait a little for the end of a sandbox whose job is over, and give its slots back. Never raises."""
        try:
            runner = left if left.sandbox_id is not None else await self._recorded(left.name)
            if runner is None or not await self._sandboxes.ends_within(runner.sandbox_id or "", _ENDS_WITHIN_S):
                return False
            await finish_runner(self._store, runner, self._clock.now())
        except ModalRunnerError as error:
            _log.warning("slots_not_given_back", runner=left.name, reason=str(error))
            return False
        return True

    async def _recorded(self, name: str) -> RunnerRecord | None:
        for seconds in _RECORDED_WITHIN_S:
            await self._clock.sleep(seconds)
            runner = await self._store.get(RUNNERS, name)
            if runner is None or runner.sandbox_id is not None:
                return runner
        return None

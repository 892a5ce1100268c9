"""After a runner's job: its slots are given back once its sandbox has ended too, for a job can outlive its runner."""

import asyncio
from typing import Protocol

import structlog

from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.model import UNKNOWN_TO_MODAL, RunnerRecord, SandboxStatus
from github_app.runners.records import absent_twice, end_known, finish_runner, leave_runner
from github_app.store import RUNNERS, ModalDictStore

# A sandbox ends a second or two after its job; what takes longer is left to the sweep.
_ENDS_WITHIN_S = 60.0
# So long a runner may be recorded as busy with a job that is over, to record that with the end of its sandbox.
_RECORDED_LATE_S = 5.0
# What was read of a runner is good for so long once its job is over: no other is recorded by its name before.
_READ_GOOD_FOR_S = 15.0
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

    async def settle(self, known: RunnerRecord, *, left: bool) -> bool:
        """Wait a little for the end of a sandbox whose job is over, and give its slots back. Never raises.

        `known` was just read; `left`: that its job is over is recorded already, else it is with its end.
        """
        ends: asyncio.Task[bool] | None = None
        left_at = self._clock.now()
        try:
            runner = known if known.sandbox_id is not None else await self._recorded(known.name)
            if runner is None:
                return False
            ends = asyncio.create_task(self._sandboxes.ends_within(runner.sandbox_id or "", _ENDS_WITHIN_S))
            if not left:
                if await self._soon(ends) and self._clock.now() - left_at < _READ_GOOD_FOR_S:
                    await end_known(self._store, known, left_at, self._clock.now())
                    return True
                await leave_runner(self._store, known.name, left_at)
            if not await ends:
                return False
            await finish_runner(self._store, runner, self._clock.now())
        except ModalRunnerError as error:
            _log.warning("slots_not_given_back", runner=known.name, reason=str(error))
            return False
        finally:
            if ends is not None:
                ends.cancel()
        return True

    async def _soon(self, ends: "asyncio.Task[bool]") -> bool:
        """Tell whether a sandbox ends so soon that its runner's record can wait for that."""
        late = asyncio.create_task(self._clock.sleep(_RECORDED_LATE_S))
        await asyncio.wait({ends, late}, return_when=asyncio.FIRST_COMPLETED)
        late.cancel()
        return ends.done() and ends.exception() is None and ends.result()

    async def _recorded(self, name: str) -> RunnerRecord | None:
        for seconds in _RECORDED_WITHIN_S:
            await self._clock.sleep(seconds)
            runner = await self._store.get(RUNNERS, name)
            if runner is None or runner.sandbox_id is not None:
                return runner
        return None

"""Sandboxes that were just created, whose ids stand in no record yet.

What is recorded of a runner next, that it has taken its job, takes the id with it; where nothing is, it is recorded
alone a little later. Where the process ends before, the sweep finds the sandbox by the runner's name.
"""

import asyncio

import structlog

from github_app.clock import Clock
from github_app.errors import StoreError
from github_app.model import RunnerState
from github_app.runners.records import change_runner
from github_app.store import ModalDictStore

# Most jobs are taken within some seconds. A claim lives longer: until then the sweep leaves the launch alone.
_ALONE_AFTER_S = 20.0

_log = structlog.get_logger(__name__)


class Newborns:
    """Those of this process, by runner name."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ids: dict[str, str] = {}
        self._recordings: set[asyncio.Task[None]] = set()

    def born(self, runner: str, sandbox_id: str) -> None:
        """Keep the id of a runner's new sandbox until it is recorded."""
        self._ids[runner] = sandbox_id
        recording = asyncio.create_task(self._record_later(runner))
        self._recordings.add(recording)
        recording.add_done_callback(self._recordings.discard)

    def id_of(self, runner: str) -> str | None:
        """The id of a runner's sandbox, where it may not be recorded."""
        return self._ids.get(runner)

    def recorded(self, runner: str) -> None:
        """Take note that the id stands in the runner's record."""
        self._ids.pop(runner, None)

    async def record_all(self) -> None:
        """Record what is left, before the process ends. Never raises."""
        await asyncio.gather(*(self._record(runner) for runner in list(self._ids)))

    async def _record_later(self, runner: str) -> None:
        await self._clock.sleep(_ALONE_AFTER_S)
        await self._record(runner)

    async def _record(self, runner: str) -> None:
        sandbox_id = self._ids.get(runner)
        if sandbox_id is None:
            return
        try:
            # `in_progress` may have come first: then only the sandbox is added.
            await change_runner(self._store, runner, RunnerState.STARTED, sandbox_id=sandbox_id)
        except StoreError as error:
            _log.warning("sandbox_not_recorded", runner=runner, sandbox=sandbox_id, reason=str(error))
            return
        self.recorded(runner)

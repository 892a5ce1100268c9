"""Sandboxes that were just created, whose ids stand in no record yet.

What is recorded of a runner next, that it has taken its job, takes the id with it; where nothing is, it is recorded
alone a little later. Where the process ends before, the sweep finds the sandbox by the runner's name.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from github_app.clock import Clock
from github_app.errors import StoreError
from github_app.model import RunnerRecord, RunnerState
from github_app.runners.records import change_known
from github_app.store import RUNNERS, ModalDictStore

# Most jobs are taken within some seconds. Until the claim of its launch is old, the sweep leaves a runner alone.
_ALONE_AFTER_S = 12.0
# Who had read the record before may have overwritten it since.
_LOOKED_AT_AGAIN_AFTER_S = 12.0

_log = structlog.get_logger(__name__)


@dataclass
class _Newborn:
    github_id: int
    sandbox_id: str
    born_at: float
    # Someone else has recorded it, or is about to.
    recorded: bool = False


class Newborns:
    """Those of this process, by runner name, for half a minute each."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._all: dict[str, _Newborn] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    def born(self, runner: RunnerRecord, sandbox_id: str) -> None:
        """Keep the id of a runner's new sandbox until it is recorded."""
        newborn = self._all[runner.name] = _Newborn(runner.github_id, sandbox_id, self._clock.now())
        keeping = asyncio.create_task(self._keep(runner.name, newborn))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    def known(self, runner: RunnerRecord) -> RunnerRecord:
        """The runner with its sandbox, where that is recorded or is known here."""
        newborn = self._all.get(runner.name)
        if runner.sandbox_id is not None or newborn is None or newborn.github_id != runner.github_id:
            return runner
        return msgspec.structs.replace(runner, sandbox_id=newborn.sandbox_id, created_at=newborn.born_at)

    def take(self, runner: str) -> None:
        """Take note that a runner's record is about to be written, with its sandbox."""
        if newborn := self._all.get(runner):
            newborn.recorded = True

    async def record_all(self) -> None:
        """Record what is left, before the process ends. Never raises."""
        left = [(runner, newborn) for runner, newborn in self._all.items() if not newborn.recorded]
        await asyncio.gather(*(self._record(runner, newborn) for runner, newborn in left))

    async def _keep(self, runner: str, newborn: _Newborn) -> None:
        await self._clock.sleep(_ALONE_AFTER_S)
        if not newborn.recorded:
            await self._record(runner, newborn)
        await self._clock.sleep(_LOOKED_AT_AGAIN_AFTER_S)
        if not newborn.recorded:
            await self._record(runner, newborn)
        if self._all.get(runner) is newborn:
            del self._all[runner]

    async def _record(self, runner: str, newborn: _Newborn) -> None:
        try:
            known = await self._store.get(RUNNERS, runner)
            # Taken while it was read: then it is being written with more than this.
            if known is not None and known.github_id == newborn.github_id and not newborn.recorded:
                born: dict[str, Any] = {"sandbox_id": newborn.sandbox_id, "created_at": newborn.born_at}
                await change_known(self._store, known, RunnerState.STARTED, **born)
        except StoreError as error:
            _log.warning("sandbox_not_recorded", runner=runner, sandbox=newborn.sandbox_id, reason=str(error))

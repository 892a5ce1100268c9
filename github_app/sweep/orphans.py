"""Runners and sandboxes that no record of ours stands behind: ended safely, once a second look has confirmed it."""

from typing import Protocol

import msgspec

from github_app.model import RUNNER_NAME, RunnerRecord, RunnerState
from github_app.runners.claims import Claims
from github_app.runners.ending import Endings, SandboxLookup
from github_app.runners.second_looks import SECOND_LOOK_S, Suspicions
from github_app.store import HISTORY, ModalDictStore
from github_app.sweep.found import Found, Listed
from github_app.sweep.report import SweepReport

# Another deployment's runner may be offline for as long as it waits for a GPU: 21 minutes.
FOREIGN_LOOK_S = 1800.0


class SandboxTags(SandboxLookup, Protocol):
    """Reads the tags of sandboxes."""

    async def runner_of(self, sandbox_id: str) -> str | None:
        """The runner's name in a sandbox's tags."""
        ...


class Orphans:
    """Ends what nobody stands behind; only what has our name pattern, and our tag."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        sandboxes: SandboxTags,
        endings: Endings,
        claims: Claims,
        suspicions: Suspicions,
    ) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._endings = endings
        self._claims = claims
        self._suspicions = suspicions

    async def check_sandbox(self, sandbox_id: str, found: Found, report: SweepReport) -> None:
        """Look at a running sandbox that no record names."""
        name = await self._sandboxes.runner_of(sandbox_id)
        if name is None or not RUNNER_NAME.fullmatch(name):
            return
        record = found.runners.get(name)
        if record is not None and record.sandbox_id is None:
            # Its launch is under way, or crashed: then the record leads to it.
            return
        if not await self._suspicions.confirmed(f"sandbox/{sandbox_id}", dry_run=report.dry_run):
            return
        listed = found.github.get(name)
        if listed is not None:
            report.orphans_ended += await self._end(_with_sandbox(listed.record, sandbox_id), report)
        elif found.everywhere:
            # GitHub lists it nowhere, and its place could be none that was not read.
            report.orphans_ended += report.dry_run or await self._endings.end_sandbox(sandbox_id)

    async def recorded(self, sandbox_id: str) -> None:
        """Take note that a record names a running sandbox.

        Raises:
            StoreError: the store did not answer.
        """
        await self._suspicions.drop(f"sandbox/{sandbox_id}")

    async def check_listed(self, listed: Listed, found: Found, report: SweepReport) -> None:
        """Look at a runner of ours at GitHub that no record names, or only one of its end."""
        name = listed.status.name
        record = found.runners.get(name)
        if record is not None and record.github_id != listed.status.id:
            # Another's, of the same name in another place.
            return
        claim = found.claims.get(name.removeprefix("modal-"))
        suspicion = f"runner/{name}/{listed.status.id}"
        if (record is not None and record.state is not RunnerState.FINISHED) or await self._claims.lives(name):
            await self._suspicions.drop(suspicion)
            return
        ours = record is not None or claim is not None or await self._is_our_job(listed.record.started_for, found)
        if not ours and (listed.status.status == "online" or listed.status.busy):
            # Another deployment's, whose runners' names have the same form.
            return
        age = SECOND_LOOK_S if ours else FOREIGN_LOOK_S
        if not await self._suspicions.confirmed(suspicion, dry_run=report.dry_run, age=age):
            return
        sandbox_id = await self._sandboxes.find(name)
        report.orphans_ended += await self._end(_with_sandbox(record or listed.record, sandbox_id), report)

    async def _is_our_job(self, job_id: int, found: Found) -> bool:
        return job_id in found.jobs or await self._store.get(HISTORY, str(job_id)) is not None

    async def _end(self, runner: RunnerRecord, report: SweepReport) -> bool:
        return True if report.dry_run else await self._endings.end(runner)


def _with_sandbox(runner: RunnerRecord, sandbox_id: str | None) -> RunnerRecord:
    return msgspec.structs.replace(runner, sandbox_id=sandbox_id)

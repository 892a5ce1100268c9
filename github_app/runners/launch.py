"""Starting a runner for a job that was admitted: the JIT config, the record, the sandbox.

Names are idempotency keys: the runner's name is unique at GitHub and among Modal's running sandboxes, so whatever is
repeated after whatever failure cannot start two runners under one name.
"""

import re
from collections.abc import Awaitable
from typing import Protocol

import msgspec
import structlog

from github_app.clock import Clock
from github_app.counts import Counted
from github_app.errors import GitHubError, ModalRunnerError, SandboxError, SandboxNameTaken, StoreError
from github_app.model import (
    Hold,
    JobEvent,
    RunnerRecord,
    SandboxSpec,
)
from github_app.routing.warm import waits_s
from github_app.runners.admitting import Admissions, Admitted
from github_app.runners.balance import CLAIM_IS_STALE_S
from github_app.runners.claims import Claims, Lease
from github_app.runners.ending import Endings, PacedDeregistration, SandboxLookup
from github_app.runners.jit import JitRequests, PutOff
from github_app.runners.newborns import Newborns
from github_app.runners.records import finish_runner
from github_app.store import RUNNERS, ModalDictStore

_log = structlog.get_logger(__name__)


class SandboxCreation(SandboxLookup, Protocol):
    """Creates sandboxes at Modal."""

    async def create(self, spec: SandboxSpec) -> str:
        """Start a sandbox and return its id."""
        ...


class Launcher:
    """Starts runners."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        jit: JitRequests,
        sandboxes: SandboxCreation,
        deregistration: PacedDeregistration,
        endings: Endings,
        claims: Claims,
        admissions: Admissions,
        newborns: Newborns,
        clock: Clock,
    ) -> None:
        self._store = store
        self._newborns = newborns
        self._jit = jit
        self._deregistration = deregistration
        self._endings = endings
        self._sandboxes = sandboxes
        self._claims = claims
        self._admissions = admissions
        self._clock = clock

    async def run(self, admitted: "Admitted", recorded: Awaitable[bool] | None = None) -> float | None:
        """Start the runner; return the Unix time at which to look again when it did not come to be.

        `recorded` tells whether its job could be, where that is under way. Never raises: what failed is recorded and
        logged.
        """
        start, began = admitted.start, self._clock.now()
        name = start.runner
        try:
            async with self._claims.renewing(start, admitted.since) as lease:
                runner = await self._start(admitted, name, lease, recorded)
        except PutOff as off:
            self._count("put-off")
            return await self._put_off(admitted, off)
        except Exception as error:  # what is not foreseen must not take other launches with it
            self._count("failed")
            _log.exception("launch_failed", job=start.demand.job_id, reason=str(error), error=type(error).__name__)
            return self._clock.now() + CLAIM_IS_STALE_S
        finally:
            self._admissions.over(start)
        took = round(self._clock.now() - began, 3)
        self._count("started")
        _log.info("runner_started", runner=runner.name, sandbox=runner.sandbox_id, duration_s=took)
        return None

    def _count(self, became: str) -> None:
        self._claims.counts.add(Counted.LAUNCHES, became)

    async def _put_off(self, admitted: "Admitted", off: PutOff) -> float | None:
        start = admitted.start
        try:
            if off.ended:
                await self._admissions.free_slots(admitted)
            if off.ended and off.hold is Hold.NOT_RECORDED:
                # Its delivery comes again, and is to find nothing in its way.
                await self._claims.drop(start, admitted.since)
                return None
            return await self._claims.put_off(start, off.hold, off.reason, off.seconds)
        except StoreError as error:
            # The claim grows stale, and the slots are released by age.
            _log.error("launch_failed", job=start.demand.job_id, reason=f"{off.reason}; {error}")
            return self._clock.now() + CLAIM_IS_STALE_S

    async def _start(
        self, admitted: "Admitted", name: str, lease: Lease, recorded: Awaitable[bool] | None
    ) -> RunnerRecord:
        start = admitted.start
        job, shape = start.demand.job.event, start.demand.shape
        jit = await self._jit.request(start, name, admitted.paid)
        runner = RunnerRecord(
            name=name,
            started_for=job.job_id,
            place=job.place,
            labels=job.labels,
            shape=shape,
            github_id=jit.runner_id,
            started_at=self._clock.now(),
            slots=admitted.slots.keys,
            slots_owner=admitted.slots.owner,
            release=start.demand.release,
            admitted_at=admitted.since,
            waited=start.waited,
        )
        if recorded is not None and not await recorded:
            ended = await self._give_up(runner)
            raise PutOff(Hold.NOT_RECORDED, "its job could not be recorded, and comes again", 0.0, ended=ended)
        # Before the sandbox is asked for: a crash from here on leaves a trace that the sweep follows.
        await self._store.put(RUNNERS, name, runner)
        if await self._claims.superseded(start, lease):
            ended = await self._give_up(runner)
            reason = "the launch was taken for crashed, and the next attempt has begun"
            raise PutOff(Hold.SUPERSEDED, reason, 0.0, ended=ended)
        spec = SandboxSpec(
            name,
            shape,
            _tags(job, name),
            jit.encoded,
            job.repository,
            job.private and not start.demand.is_seat,
            job.labels,
            waits_s(shape) if start.demand.is_seat else 0,
            start.demand.known_private,
        )
        sandbox_id = await self._create(runner, spec)
        self._newborns.born(runner, sandbox_id)
        return msgspec.structs.replace(runner, sandbox_id=sandbox_id)

    async def _create(self, runner: RunnerRecord, spec: SandboxSpec) -> str:
        try:
            return await self._sandboxes.create(spec)
        except SandboxError as error:
            # An answer may have been lost, and its repetition found the name taken: by ours. A lookup that fails
            # leaves that open; then the record stays, and the sweep adopts the sandbox or ends the runner safely.
            if found := await self._created_after_all(spec.name, error):
                return found
            if isinstance(error, SandboxNameTaken):
                raise
            hold = Hold.MODAL_CAPACITY if error.retryable else Hold.MODAL_REFUSES
            raise PutOff(hold, str(error), ended=await self._take_back(runner, error)) from error

    async def _take_back(self, runner: RunnerRecord, error: SandboxError) -> bool:
        """End a runner whose sandbox was asked for: after an error that proves nothing it may still come to life."""
        if not error.retryable:
            return await self._give_up(runner)
        try:
            return await self._endings.end(runner)
        except ModalRunnerError as failure:
            _log.warning("runner_not_ended", runner=runner.name, reason=str(failure))
            return False

    async def _created_after_all(self, name: str, error: SandboxError) -> str | None:
        if not isinstance(error, SandboxNameTaken) and not error.retryable:
            return None
        return await self._sandboxes.find(name)

    async def _give_up(self, runner: RunnerRecord) -> bool:
        """Deregister a runner that has no sandbox, which GitHub would keep for a day; tell whether that worked."""
        try:
            await self._deregistration.pay(runner.place)
            await self._deregistration.remove(runner.place, runner.github_id)
            await finish_runner(self._store, runner, self._clock.now())
        except (GitHubError, StoreError) as error:
            # Its record stays, by which the sweep finds it.
            _log.warning("runner_not_removed", runner=runner.name, reason=str(error))
            return False
        return True


def _tags(job: JobEvent, name: str) -> dict[str, str]:
    """Tags to find a sandbox by: values of Modal's tags have at most 63 of `[A-Za-z0-9._-]`."""
    repository = re.sub(r"[^A-Za-z0-9._-]", ".", job.repository)[:63]
    return {"job": str(job.job_id), "repo": repository, "run": str(job.run_id), "runner": name}

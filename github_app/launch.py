"""Starting a runner for a job: slots and budget, the claim, the JIT config, the record, the sandbox.

Names are idempotency keys: the runner's name is unique at GitHub and among Modal's running sandboxes, so whatever is
repeated after whatever failure cannot start two runners under one name.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from tenacity import AsyncRetrying

from github_app import retry
from github_app.balance import CLAIM_IS_STALE_S, Start
from github_app.capacity import IN_ALL, Full, Slots
from github_app.claims import Claims, Lease
from github_app.clock import Clock
from github_app.errors import GitHubError, ModalRunnerError, SandboxError, SandboxNameTaken, StoreError
from github_app.model import (
    Hold,
    JitConfig,
    JobEvent,
    Place,
    RunnerRecord,
    RunnerState,
    RunnerStatus,
    SandboxSpec,
    Shape,
    runner_name,
)
from github_app.pacing import WriteBudget
from github_app.records import change_runner, finish_runner, release_slots
from github_app.store import RUNNERS, ModalDictStore
from github_app.versions import RunnerVersion

# A GPU create may block for 21 minutes and holds an input of the web function open; the others wait as records.
GPU_CREATES_AT_ONCE = 4
# After what cannot be foreseen: when to look again.
_SOON_S = 10.0

_log = structlog.get_logger(__name__)


class Runners(Protocol):
    """What a launch needs of GitHub."""

    async def create_jit_config(self, place: Place, name: str, labels: Sequence[str]) -> JitConfig:
        """Register a runner."""
        ...

    async def find(self, place: Place, name: str) -> RunnerStatus | None:
        """Look a runner up by name."""
        ...


class Deregistration(Protocol):
    """What taking a runner back needs of GitHub, within its write limit."""

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner."""


class Sandboxes(Protocol):
    """What a launch needs of Modal."""

    async def create(self, spec: SandboxSpec) -> str:
        """Start a sandbox and return its id."""
        ...

    async def find(self, name: str) -> str | None:
        """Look a running sandbox up by name."""
        ...


class PutOff(Exception):  # noqa: N818 - a decision, not an error
    """The launch ends here; the job waits for `seconds` (None: longer with each failure), and says why."""

    def __init__(self, hold: Hold, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.hold = hold
        self.reason = reason
        self.seconds = seconds


@dataclass(frozen=True)
class Admitted:
    """A launch that has its claim and its slots."""

    start: Start
    slots: tuple[str, ...]


@dataclass(frozen=True)
class Turned:
    """A launch that has to wait, without a claim: until `again` (Unix time), or until a slot under `full` is free.

    `limited`: GitHub's write limit turns away every launch of the installation.
    """

    reason: str
    again: float | None = None
    full: Full | None = None
    limited: bool = False


class Launcher:
    """Starts runners."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        runners: Runners,
        sandboxes: Sandboxes,
        deregistration: Deregistration,
        claims: Claims,
        slots: Slots,
        budget: WriteBudget,
        version: RunnerVersion,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runners = runners
        self._deregistration = deregistration
        self._sandboxes = sandboxes
        self._claims = claims
        self._slots = slots
        self._budget = budget
        self._version = version
        self._clock = clock
        self._gpu_creates: Counter[str] = Counter()

    async def admit(self, start: Start) -> "Admitted | Turned":
        """Take what a launch needs: its slots, a share of the write budget, its claim. Nothing is started yet.

        Raises:
            StoreError: the store did not answer; what was taken is released by age.
        """
        job, name = start.demand.job.event, runner_name(start.demand.job_id, start.attempt)
        if (refused := await self._version.refused()) is not None:
            _log.error("launches_stopped", job=start.demand.job_id, reason=refused)
            return Turned(refused)
        if self._gpus_are_busy(start.demand.shape):
            return Turned("other creations of this GPU type are under way", self._clock.now() + _SOON_S)
        slots = await self._slots.take(job.repository, name)
        if isinstance(slots, Full):
            return Turned(f"the concurrency cap of {_of(slots)} is reached", full=slots)
        if (again := await self._budget.wait(job.installation_id)) is not None:
            await release_slots(self._store, slots, name)
            return Turned("GitHub's write limit is reached", again, limited=True)
        if not await self._claims.take(start):
            await release_slots(self._store, slots, name)
            return Turned("its launch is under way elsewhere")
        return Admitted(start, slots)

    async def run(self, admitted: "Admitted") -> float | None:
        """Start the runner; return the Unix time at which to look again when it did not come to be.

        Never raises: what failed is recorded and logged.
        """
        start, began = admitted.start, self._clock.now()
        name = runner_name(start.demand.job_id, start.attempt)
        try:
            async with self._claims.renewing(start) as lease:
                runner = await self._start(start, name, admitted.slots, lease)
        except PutOff as off:
            return await self._put_off(start, admitted.slots, off)
        except Exception as error:  # what is not foreseen must not take other launches with it
            _log.exception("launch_failed", job=start.demand.job_id, reason=str(error), error=type(error).__name__)
            return self._clock.now() + CLAIM_IS_STALE_S
        took = round(self._clock.now() - began, 3)
        _log.info("runner_started", runner=runner.name, sandbox=runner.sandbox_id, duration_s=took)
        return None

    async def _put_off(self, start: Start, slots: tuple[str, ...], off: PutOff) -> float:
        try:
            await release_slots(self._store, slots, runner_name(start.demand.job_id, start.attempt))
            return await self._claims.put_off(start, off.hold, off.reason, off.seconds)
        except StoreError as error:
            # The claim grows stale, and the slots are released by age.
            _log.error("launch_failed", job=start.demand.job_id, reason=f"{off.reason}; {error}")
            return self._clock.now() + CLAIM_IS_STALE_S

    def _gpus_are_busy(self, shape: Shape) -> bool:
        return shape.gpu is not None and self._gpu_creates[shape.gpu.type] >= GPU_CREATES_AT_ONCE

    async def _start(self, start: Start, name: str, slots: tuple[str, ...], lease: Lease) -> RunnerRecord:
        job, shape = start.demand.job.event, start.demand.shape
        jit = await self._jit_config(job, name)
        runner = RunnerRecord(
            name=name,
            started_for=job.job_id,
            place=job.place,
            labels=job.labels,
            shape=shape,
            github_id=jit.runner_id,
            started_at=self._clock.now(),
            slots=slots,
        )
        # Before the sandbox is asked for: a crash from here on leaves a trace that the sweep follows.
        await self._store.put(RUNNERS, name, runner)
        if await self._claims.superseded(start, lease):
            await self._give_up(runner)
            raise PutOff(Hold.SUPERSEDED, "the launch was taken for crashed, and the next attempt has begun", 0.0)
        sandbox_id = await self._create(runner, SandboxSpec(name, shape, _tags(job, name), jit.encoded))
        # `in_progress` may have come first: then only the sandbox is added.
        started = await change_runner(self._store, name, RunnerState.STARTED, sandbox_id=sandbox_id)
        return started or runner

    async def _jit_config(self, job: JobEvent, name: str) -> JitConfig:
        try:
            async for trial in AsyncRetrying(
                retry=retry.RETRYABLE,
                stop=retry.LAUNCH_STOP,
                wait=retry.LAUNCH_WAIT,
                sleep=self._clock.sleep,
                reraise=True,
            ):
                with trial:
                    return await self._ask_jit_config(job, name, repeated=trial.retry_state.attempt_number > 1)
        except GitHubError as error:
            if error.status == 409:
                await self._remove_leftover(job, name)
                raise PutOff(Hold.NAME_TAKEN, f"GitHub has a runner {name} already", 0.0) from error
            raise _put_off_by_github(error) from error
        raise AssertionError("tenacity raises or returns")

    async def _ask_jit_config(self, job: JobEvent, name: str, *, repeated: bool) -> JitConfig:
        # The first request was paid for at admission; each repetition is a write of its own.
        again = await self._budget.wait(job.installation_id) if repeated else None
        if again is not None:
            raise PutOff(Hold.GITHUB_LIMIT, "GitHub's write limit is reached", again - self._clock.now())
        try:
            return await self._runners.create_jit_config(job.place, name, job.labels)
        except GitHubError as error:
            self._budget.heed(job.installation_id, error)
            raise

    async def _remove_leftover(self, job: JobEvent, name: str) -> None:
        """Remove what a lost answer of GitHub left: a runner of this name that never had a sandbox."""
        try:
            found = await self._runners.find(job.place, name)
            if found is not None and found.status == "offline" and await self._sandboxes.find(name) is None:
                await self._deregistration.remove(job.place, found.id)
        except ModalRunnerError as error:
            _log.warning("leftover_not_removed", runner=name, reason=str(error))

    async def _create(self, runner: RunnerRecord, spec: SandboxSpec) -> str:
        gpu = spec.shape.gpu.type if spec.shape.gpu else None
        self._gpu_creates[gpu or ""] += 1
        try:
            return await self._sandboxes.create(spec)
        except SandboxError as error:
            # An answer may have been lost, and its repetition found the name taken: by ours. A lookup that fails
            # leaves that open; then the record stays, and the sweep adopts the sandbox or ends the runner safely.
            if found := await self._created_after_all(spec.name, error):
                return found
            if isinstance(error, SandboxNameTaken):
                raise
            await self._give_up(runner)
            hold = Hold.MODAL_CAPACITY if error.retryable else Hold.MODAL_REFUSES
            raise PutOff(hold, str(error)) from error
        finally:
            self._gpu_creates[gpu or ""] -= 1

    async def _created_after_all(self, name: str, error: SandboxError) -> str | None:
        if not isinstance(error, SandboxNameTaken) and not error.retryable:
            return None
        return await self._sandboxes.find(name)

    async def _give_up(self, runner: RunnerRecord) -> None:
        """Deregister a runner that got no sandbox, so that it does not stand at GitHub for a day."""
        try:
            await self._deregistration.remove(runner.place, runner.github_id)
        except (GitHubError, StoreError) as error:
            # The sweep finds it: a runner of ours at GitHub with neither record nor sandbox.
            _log.warning("runner_not_removed", runner=runner.name, reason=str(error))
        await finish_runner(self._store, runner, self._clock.now())


def _of(full: Full) -> str:
    return "all repositories" if full.group == IN_ALL else full.group


def _put_off_by_github(error: GitHubError) -> PutOff:
    if error.retryable:
        hold = Hold.GITHUB_LIMIT if error.retry_after else Hold.GITHUB_UNREACHABLE
        return PutOff(hold, str(error), error.retry_after)
    hold = Hold.GITHUB_NOT_FOUND if error.status == 404 else Hold.GITHUB_REFUSES
    return PutOff(hold, str(error))


def _tags(job: JobEvent, name: str) -> dict[str, str]:
    """Tags to find a sandbox by: values of Modal's tags have at most 63 of `[A-Za-z0-9._-]`."""
    repository = re.sub(r"[^A-Za-z0-9._-]", ".", job.repository)[:63]
    return {"job": str(job.job_id), "repo": repository, "run": str(job.run_id), "runner": name}

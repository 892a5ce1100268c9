"""Starting a runner for a job: claim the attempt, ask GitHub for a JIT config, create the sandbox, record the runner.

Names are idempotency keys: the runner's name is unique at GitHub and among Modal's running sandboxes, so whatever is
repeated after whatever failure cannot start two runners under one name.
"""

import re
import time
import uuid
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog
from tenacity import AsyncRetrying

from github_app import retry
from github_app.errors import GitHubError, ModalRunnerError, SandboxError
from github_app.model import (
    Claim,
    JitConfig,
    JobEvent,
    RunnerRecord,
    RunnerState,
    SandboxSpec,
    Scope,
    Shape,
    runner_name,
)
from github_app.store import CLAIMS, RUNNERS, ModalDictStore

_log = structlog.get_logger(__name__)
_NAMES_TO_TRY = 3


class Runners(Protocol):
    """What a launch needs of GitHub."""

    async def create_jit_config(
        self, scope: Scope, *, installation_id: int, repository_id: int, name: str, labels: list[str]
    ) -> JitConfig:
        """Register a runner."""
        ...

    async def remove(self, runner: RunnerRecord) -> None:
        """Deregister a runner."""


class Sandboxes(Protocol):
    """What a launch needs of Modal."""

    async def create(self, spec: SandboxSpec) -> str:
        """Start a sandbox and return its id."""
        ...


class Launcher:
    """Starts one runner for one job."""

    def __init__(
        self, *, store: ModalDictStore, runners: Runners, sandboxes: Sandboxes, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._runners = runners
        self._sandboxes = sandboxes
        self._clock = clock

    async def launch(self, job: JobEvent, shape: Shape, first_attempt: int = 1) -> None:
        """Start a runner for `job`, unless someone else has claimed to. Never raises: what failed is logged."""
        started = self._clock()
        try:
            for attempt in range(first_attempt, first_attempt + _NAMES_TO_TRY):
                if not await self._claim(job, attempt):
                    _log.info("launch_claimed_elsewhere", attempt=attempt)
                    return
                if runner := await self._attempt(job, shape, attempt):
                    took = round(self._clock() - started, 3)
                    _log.info("runner_started", runner=runner.name, sandbox=runner.sandbox_id, duration_s=took)
                    return
            _log.error("launch_failed", reason=f"{_NAMES_TO_TRY} runner names are taken at GitHub")
        except ModalRunnerError as error:
            _log.error("launch_failed", reason=str(error), error=type(error).__name__)

    async def _claim(self, job: JobEvent, attempt: int) -> bool:
        claim = Claim(owner=uuid.uuid4().hex, claimed_at=self._clock())
        return await self._store.put_new(CLAIMS, f"{job.job_id}-{attempt}", claim)

    async def _attempt(self, job: JobEvent, shape: Shape, attempt: int) -> RunnerRecord | None:
        """Start the runner of this attempt; None when GitHub has a runner of that name (409)."""
        name = runner_name(job.job_id, attempt)
        try:
            jit = await self._jit_config(job, name)
        except GitHubError as error:
            if error.status != 409:
                raise
            _log.warning("runner_name_taken", runner=name)
            return None
        runner = RunnerRecord(
            name=name,
            started_for=job.job_id,
            scope=job.scope,
            installation_id=job.installation_id,
            repository=job.repository,
            repository_id=job.repository_id,
            labels=job.labels,
            shape=shape,
            github_id=jit.runner_id,
            started_at=self._clock(),
        )
        await self._store.put(RUNNERS, name, runner)
        try:
            sandbox_id = await self._sandboxes.create(SandboxSpec(name, shape, _tags(job, name), jit.encoded))
        except SandboxError:
            await self._give_up(runner)
            raise
        return await self._started(runner, sandbox_id)

    async def _started(self, runner: RunnerRecord, sandbox_id: str) -> RunnerRecord:
        """Add the sandbox to the record, which `in_progress` may have moved on since."""
        known = await self._store.get(RUNNERS, runner.name) or runner
        state = RunnerState.STARTED if known.state is RunnerState.STARTING else known.state
        after = msgspec.structs.replace(known, state=state, sandbox_id=sandbox_id)
        await self._store.put(RUNNERS, runner.name, after)
        return after

    async def _give_up(self, runner: RunnerRecord) -> None:
        """Deregister a runner that got no sandbox, so that it does not stand at GitHub for a day."""
        try:
            await self._runners.remove(runner)
        except GitHubError as error:
            _log.warning("runner_not_removed", runner=runner.name, reason=str(error))
        await self._store.take(RUNNERS, runner.name)

    async def _jit_config(self, job: JobEvent, name: str) -> JitConfig:
        async for trial in AsyncRetrying(
            retry=retry.RETRYABLE, stop=retry.LAUNCH_STOP, wait=retry.launch_wait(), reraise=True
        ):
            with trial:
                return await self._runners.create_jit_config(
                    job.scope,
                    installation_id=job.installation_id,
                    repository_id=job.repository_id,
                    name=name,
                    labels=list(job.labels),
                )
        raise AssertionError("tenacity raises or returns")


def _tags(job: JobEvent, name: str) -> dict[str, str]:
    """Tags to find a sandbox by: values of Modal's tags have at most 63 of `[A-Za-z0-9._-]`."""
    repository = re.sub(r"[^A-Za-z0-9._-]", ".", job.repository)[:63]
    return {"job": str(job.job_id), "repo": repository, "run": str(job.run_id), "runner": name}

"""Asking GitHub for a runner's just-in-time config, within its limits, and again where that is safe by name."""

from collections.abc import Sequence
from typing import Protocol

import structlog
from tenacity import AsyncRetrying

from github_app.clock import Clock
from github_app.errors import GitHubError, ModalRunnerError
from github_app.model import Hold, JitConfig, JobEvent, Place, RunnerStatus
from github_app.runners import retry
from github_app.runners.balance import Start
from github_app.runners.ending import PacedDeregistration, SandboxLookup
from github_app.runners.write_limit import Paid, WriteBudget

_log = structlog.get_logger(__name__)


class RunnerRegistration(Protocol):
    """Registers runners at GitHub."""

    async def create_jit_config(
        self, place: Place, name: str, labels: Sequence[str], group: int | None = None
    ) -> JitConfig:
        """Register a runner."""
        ...

    async def named(self, place: Place, name: str) -> list[RunnerStatus]:
        """Look a runner up by name."""
        ...


class PutOff(Exception):  # noqa: N818 - a decision, not an error
    """The launch ends here; the job waits for `seconds` (None: longer with each failure), and says why.

    `ended` is False when a runner may still come to life: its record stays, and its slots with it.
    """

    def __init__(self, hold: Hold, reason: str, seconds: float | None = None, *, ended: bool = True) -> None:
        super().__init__(reason)
        self.hold = hold
        self.reason = reason
        self.seconds = seconds
        self.ended = ended


class JitRequests:
    """Registers runners."""

    def __init__(
        self,
        *,
        runners: RunnerRegistration,
        deregistration: PacedDeregistration,
        sandboxes: SandboxLookup,
        budget: WriteBudget,
        clock: Clock,
    ) -> None:
        self._runners = runners
        self._deregistration = deregistration
        self._sandboxes = sandboxes
        self._budget = budget
        self._clock = clock

    async def request(self, start: Start, name: str, paid: Paid) -> JitConfig:
        """Register a runner of this name for a launch, with as much patience as a launch has.

        `paid` is for the first request; each repetition is a write of its own.

        Raises:
            PutOff: there will be none for now.
        """
        job, group = start.demand.job.event, start.demand.shape.runner_group
        try:
            async for trial in AsyncRetrying(
                retry=retry.RETRYABLE,
                stop=retry.LAUNCH_STOP,
                wait=retry.LAUNCH_WAIT,
                sleep=self._clock.sleep,
                reraise=True,
            ):
                with trial:
                    repeated = trial.retry_state.attempt_number > 1
                    return await self._ask(job, name, group, None if repeated else paid)
        except GitHubError as error:
            if error.status == 409:
                await self._remove_leftover(job, name)
                # At once, but not for ever: GitHub may go on answering errors after it has made the runner.
                seconds = 0.0 if start.hold is not Hold.NAME_TAKEN else None
                raise PutOff(Hold.NAME_TAKEN, f"GitHub has a runner {name} already", seconds) from error
            raise _put_off_by_github(error) from error
        raise AssertionError("tenacity raises or returns")

    async def _ask(self, job: JobEvent, name: str, group: int | None, paid: Paid | None) -> JitConfig:
        if paid is None or not paid.is_good(self._clock.now()):
            paid = await self._pay(job)
        try:
            config = await self._runners.create_jit_config(job.place, name, job.labels, group)
        except GitHubError as error:
            if error.status is not None:
                paid.answered(self._clock.now())
            self._budget.heed(job.installation_id, error)
            raise
        paid.answered(self._clock.now())
        return config

    async def _pay(self, job: JobEvent) -> Paid:
        paid = await self._budget.wait(job.installation_id)
        if isinstance(paid, float):
            raise PutOff(Hold.GITHUB_LIMIT, "GitHub's write limit is reached", paid - self._clock.now())
        return paid

    async def _remove_leftover(self, job: JobEvent, name: str) -> None:
        """Remove what a lost answer of GitHub left: a runner of this name that never had a sandbox."""
        try:
            for found in await self._runners.named(job.place, name):
                if found.status == "offline" and await self._sandboxes.find(name) is None:
                    await self._deregistration.pay(job.place)
                    await self._deregistration.remove(job.place, found.id)
        except ModalRunnerError as error:
            _log.warning("leftover_not_removed", runner=name, reason=str(error))


def _put_off_by_github(error: GitHubError) -> PutOff:
    if error.retryable:
        hold = Hold.GITHUB_LIMIT if error.retry_after else Hold.GITHUB_UNREACHABLE
        return PutOff(hold, str(error), error.retry_after)
    hold = Hold.GITHUB_NOT_FOUND if error.status == 404 else Hold.GITHUB_REFUSES
    return PutOff(hold, str(error))

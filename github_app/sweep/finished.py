"""Runners whose job has ended: their sandbox ends by itself, or is ended; then their slots and records go."""

from collections.abc import Awaitable, Callable

import structlog

from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.model import JobState, RunnerRecord
from github_app.runners.balance import CLAIM_IS_STALE_S
from github_app.runners.ending import Endings, SandboxTermination
from github_app.runners.records import absent_twice, change_runner, finish_runner
from github_app.runners.settling import Settling
from github_app.store import ModalDictStore
from github_app.sweep.found import Found
from github_app.sweep.report import SweepReport
from github_app.sweep.sums import Accounts

# A sandbox ends by itself after its job; one that has not by now hangs.
LINGERS_S = 120.0
# In which the last commit of a Volume comes to its end; a job that GitHub holds for over has no right to more.
OUTLIVES_S = 180.0

_log = structlog.get_logger(__name__)


class FinishedRunners:
    """Forgets finished runners once their sandbox is gone; ends a sandbox that lingers."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        sandboxes: SandboxTermination,
        endings: Endings,
        settling: Settling,
        accounts: Accounts,
        is_over: Callable[[RunnerRecord], Awaitable[bool | None]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._endings = endings
        self._settling = settling
        self._accounts = accounts
        self._is_over = is_over
        self._clock = clock

    async def check(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """Forget a finished runner once its sandbox is gone; end a sandbox that lingers."""
        if runner.sandbox_id in found.running:
            await self._check_lingering(runner, found, report)
            return
        if self._clock.now() - (runner.finished_at or 0.0) <= CLAIM_IS_STALE_S:
            return
        counts = runner.slots or runner.debug_until is not None
        if counts and runner.ended_at is None and not await self._has_settled(runner, report):
            return
        if _runs_a_job(runner, found):
            # It died, and GitHub has yet to tell of the job's end: on what it ran is recorded with that.
            return
        report.records_removed += 1
        self._accounts.leave(runner)

    async def _has_settled(self, runner: RunnerRecord, report: SweepReport) -> bool:
        """Give the slots of a finished runner back, once its sandbox is known to have ended."""
        if report.dry_run:
            return False
        sandbox_id = runner.sandbox_id or await self._sandboxes.find(runner.name)
        if sandbox_id is None:
            ended = await self._settling.has_vanished(runner)
        else:
            # Its job came and went before its sandbox was recorded.
            known = await change_runner(self._store, runner.name, sandbox_id=sandbox_id)
            ended = known is not None and await self._settling.ended(known) is not None
        if ended:
            await finish_runner(self._store, runner, self._clock.now())
        return ended

    async def _check_lingering(self, runner: RunnerRecord, found: Found, report: SweepReport) -> None:
        """End a sandbox that goes on after its job: soon when it idles, and after a grace whatever it does.

        A job can end its runner and go on. What protects it is that GitHub holds it for running, and nothing else: once
        GitHub says that it has ended, and does not list its runner twice, its sandbox is terminated.
        """
        now = self._clock.now()
        ended_for = now - (runner.finished_at or 0.0)
        if ended_for <= LINGERS_S or runner.is_kept(now):
            return
        if await self._ends(runner, report):
            report.orphans_ended += 1
        elif not report.dry_run and runner.place in found.places and not _runs_a_job(runner, found):
            await self._check_outlived(runner, found, report, ended_for)

    async def _ends(self, runner: RunnerRecord, report: SweepReport) -> bool:
        """End a runner that does nothing; a sandbox that cannot be asked is not said to do nothing."""
        try:
            return report.dry_run or await self._endings.end(runner)
        except ModalRunnerError as error:
            _log.warning("runner_not_ended", runner=runner.name, reason=str(error))
            return False

    async def _check_outlived(self, runner: RunnerRecord, found: Found, report: SweepReport, ended_for: float) -> None:
        listed = found.github.get(runner.name)
        if listed is not None:
            await change_runner(self._store, runner.name, missing_since=None)
            if not listed.status.busy and ended_for > OUTLIVES_S and await self._is_over(runner) is True:
                # Its job has stopped it; GitHub would keep it for a day.
                await self._endings.deregister(runner)
        elif await self._is_missing(runner) and ended_for > OUTLIVES_S and await self._is_over(runner) is not False:
            _log.warning("sandbox_outlived_its_job", runner=runner.name, job=runner.runs_job, sandbox=runner.sandbox_id)
            await self._sandboxes.terminate(runner.sandbox_id or "")
            await finish_runner(self._store, runner, self._clock.now())
            report.orphans_ended += 1

    async def _is_missing(self, runner: RunnerRecord) -> bool:
        return await absent_twice(self._store, runner, "missing_since", self._clock.now())


def _runs_a_job(runner: RunnerRecord, found: Found) -> bool:
    """Tell whether a job is said to run on it now, whatever was said before of its end."""
    return any(job.state is JobState.RUNNING and job.runner_name == runner.name for job in found.jobs.values())

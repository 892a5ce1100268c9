"""One sweep, from reading to repairing. Two at once do no harm: each step is safe to repeat."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

import msgspec
import structlog

from github_app.balance import Wait
from github_app.claims import Claims
from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.github import AppOnGitHub, Installation, Jobs, Runners
from github_app.model import RUNNER_NAME, Claim, JobEvent, JobRecord, Place, RunnerRecord, RunnerState, Scope
from github_app.reconcile import Reconciler
from github_app.records import release_slots
from github_app.sandboxes import ModalSandboxes
from github_app.service import Service
from github_app.store import CLAIMS, JOBS, RUNNERS, SLOTS, SUSPECTS, ModalDictStore
from github_app.sweep.deliveries import redeliver_failures
from github_app.sweep.demand import Demand, ReadBudget, doubtful
from github_app.sweep.report import SweepReport
from github_app.sweep.supply import Found, Listed, Supply, record_of

# A slot is taken moments before its runner's record is put.
_SLOT_IS_ORPHANED_S = 120.0
_SUSPECT_IS_OLD_S = 3600.0

_log = structlog.get_logger(__name__)


class Sweep:
    """Compares demand, supply and records, and repairs."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        app: AppOnGitHub,
        jobs: Jobs,
        runners: Runners,
        sandboxes: ModalSandboxes,
        service: Service,
        reconciler: Reconciler,
        claims: Claims,
        clock: Clock,
    ) -> None:
        self._store = store
        self._app = app
        self._runners = runners
        self._sandboxes = sandboxes
        self._service = service
        self._reconciler = reconciler
        self._clock = clock
        self._claims = claims
        self._demand = Demand(jobs=jobs, apply=self._apply, clock=clock)
        self._supply = Supply(
            store=store,
            runners=runners,
            sandboxes=sandboxes,
            launcher=reconciler.launcher,
            claims=claims,
            ask_job=self._ask_job,
            clock=clock,
        )

    async def run(self, *, dry_run: bool = False) -> SweepReport:
        """Sweep once. A part that fails is reported under `problems`, and the others go on."""
        report = SweepReport(dry_run=dry_run)
        await self._part("deliveries", redeliver_failures(self._app, self._store, self._clock, report), report)
        await self._part("supply", self._check_supply(report), report)
        await self._part("demand", self._read_demand(report), report)
        await self._part("slots", self._release_slots(report), report)
        await self._part("balance", self._balance(report), report)
        _log.info("swept", **{name: value for name, value in msgspec.structs.asdict(report).items() if value})
        return report

    async def _part(self, name: str, work: Awaitable[None], report: SweepReport) -> None:
        try:
            await work
        except ModalRunnerError as error:
            report.problems.append(f"{name}: {error}")
            _log.error("sweep_part_failed", part=name, reason=str(error))
        except Exception as error:  # one thing that makes no sense must not keep the rest from being repaired
            report.problems.append(f"{name}: {type(error).__name__}")
            _log.exception("sweep_part_failed", part=name)

    async def _check_supply(self, report: SweepReport) -> None:
        # Sandboxes first: a record of one that starts meanwhile is then read too.
        running = frozenset(await self._sandboxes.running())
        report.sandboxes_running = len(running)
        claims = {key: claim async for key, claim in self._store.items(CLAIMS)}
        runners = {name: runner async for name, runner in self._store.items(RUNNERS)}
        jobs = await self._jobs()
        github, places = await self._listed(list(runners.values()), report)
        found = Found(jobs, claims, runners, running, github, places)
        named = {runner.sandbox_id for runner in runners.values()}
        await asyncio.gather(
            *(
                self._part(f"runner {r.name}", self._supply.check_runner(r, found, report), report)
                for r in runners.values()
            ),
            *(
                self._part(f"sandbox {s}", self._supply.check_sandbox(s, found, report), report)
                for s in running - named
            ),
            *(
                self._part(f"runner {name}", self._supply.check_listed(listed, found, report), report)
                for name, listed in github.items()
            ),
        )
        await self._forget(jobs, claims, runners, report)

    async def _jobs(self) -> dict[int, JobRecord]:
        return {job.event.job_id: job async for _, job in self._store.items(JOBS)}

    async def _listed(
        self, runners: list[RunnerRecord], report: SweepReport
    ) -> tuple[dict[str, Listed], frozenset[Place]]:
        """GitHub's list of our runners, for every organisation and for each repository with a record."""
        places = {p for p in map(_of_installation, await self._app.installations()) if p}
        places |= {runner.place for runner in runners}
        listed: dict[str, Listed] = {}
        read: set[Place] = set()
        for place in places:
            try:
                statuses = await self._runners.list(place)
            except ModalRunnerError as error:
                report.problems.append(f"runners of {place.scope}: {error}")
                continue
            read.add(place)
            for status in statuses:
                if RUNNER_NAME.fullmatch(status.name):
                    listed[status.name] = Listed(status, record_of(place, status))
        return listed, frozenset(read)

    async def _forget(
        self,
        jobs: dict[int, JobRecord],
        claims: dict[str, Claim],
        runners: dict[str, RunnerRecord],
        report: SweepReport,
    ) -> None:
        """Drop claims of jobs that are over, and suspicions that came to nothing."""
        for key in claims:
            if int(key.split("-")[0]) not in jobs and f"modal-{key}" not in runners:
                report.records_removed += 1
                if not report.dry_run:
                    await self._store.take(CLAIMS, key)
        async for key, suspect in self._store.items(SUSPECTS):
            if self._clock.now() - suspect.first_seen > _SUSPECT_IS_OLD_S and not report.dry_run:
                await self._store.take(SUSPECTS, key)

    async def _read_demand(self, report: SweepReport) -> None:
        records = await self._jobs()
        ended = frozenset(
            [name async for name, runner in self._store.items(RUNNERS) if runner.state is RunnerState.FINISHED]
        )
        for installation in await self._app.installations():
            quota = self._demand.quota_left(installation.id)
            budget = ReadBudget(self._store, installation.id, quota, self._clock)
            await budget.open()
            own = {key: each for key, each in records.items() if each.event.installation_id == installation.id}
            in_doubt = doubtful(own, ended, self._clock.now())
            try:
                await self._demand.read(installation.id, own, in_doubt, budget, report)
            finally:
                if not report.dry_run:
                    await budget.close()

    async def _apply(self, event: JobEvent) -> bool:
        """Take what GitHub says of a job as an event; tell whether it was news."""
        answer = await self._service.apply(event)
        return answer.news

    async def _ask_job(self, job_id: int) -> JobRecord | None:
        """A job's record, brought up to what GitHub says."""
        record = await self._store.get(JOBS, str(job_id))
        if record is None:
            return None
        await self._demand.ask(record.event, SweepReport())
        return await self._store.get(JOBS, str(job_id))

    async def _release_slots(self, report: SweepReport) -> None:
        """Give back slots that no runner stands behind."""
        async for key, slot in self._store.items(SLOTS):
            runner = await self._store.get(RUNNERS, slot.runner)
            ended = runner is not None and runner.state is RunnerState.FINISHED
            orphaned = runner is None and self._clock.now() - slot.taken_at > _SLOT_IS_ORPHANED_S
            if ended or (orphaned and not await self._claims.lives(slot.runner)):
                report.slots_released += 1
                if not report.dry_run:
                    await release_slots(self._store, (key,), slot.runner)

    async def _balance(self, report: SweepReport) -> None:
        plan = await self._reconciler.plan()
        report.started, report.waiting = len(plan.starts), len(plan.waits)
        report.waits = [_wait(wait) for wait in plan.waits]
        if not report.dry_run:
            await self._reconciler.reconcile()


def _wait(wait: Wait) -> str:
    """A waiting job in a sentence: which, why, until when."""
    until = "" if wait.until is None else f", until {datetime.fromtimestamp(wait.until, UTC):%Y-%m-%d %H:%M:%SZ}"
    return f"job {wait.demand.job_id} of {wait.demand.job.event.repository}: {wait.reason}{until}"


def _of_installation(installation: Installation) -> Place | None:
    """Where the runners of an organisation are; personal accounts have no runners of their own."""
    account = installation.account
    if account is None or account.type != "Organization" or not account.login:
        return None
    return Place(Scope(account.login), installation.id)

"""One sweep, from reading to repairing. Two at once do no harm: each step is safe to repeat."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

import msgspec
import structlog

from github_app.clock import Clock
from github_app.counts import Counted
from github_app.errors import ModalRunnerError
from github_app.github import AppOnGitHub, Jobs, RunnerGroups, Runners
from github_app.github.wire import Repository, renewed_place, repository_of
from github_app.jobs.service import Service
from github_app.model import JobEvent, JobRecord, RunnerRecord
from github_app.runners.balance import Wait
from github_app.runners.capacity import Caps
from github_app.runners.claims import Claims
from github_app.runners.ending import Endings
from github_app.runners.halts import Halts
from github_app.runners.reconcile import Reconciler
from github_app.runners.seats import Seats
from github_app.runners.second_looks import Suspicions
from github_app.runners.settling import Settling
from github_app.runners.versions import RunnerVersion
from github_app.runners.vouching import Vouchers
from github_app.runners.write_limit import WriteBudget
from github_app.sandboxes import ModalSandboxes
from github_app.store import CLAIMS, HISTORY, JOBS, RUNNERS, SEEN, SLOTS, SWEEPS, ModalDictStore
from github_app.store.notes import RepositorySeen, Swept
from github_app.store.tallies import Tallies
from github_app.sweep.deliveries import Deliveries
from github_app.sweep.demand import QueueReader
from github_app.sweep.finished import FinishedRunners
from github_app.sweep.found import Found
from github_app.sweep.orphans import Orphans
from github_app.sweep.questions import JobQuestions, doubtful
from github_app.sweep.read_budget import ReadBudget
from github_app.sweep.rehearsal import rehearse
from github_app.sweep.report import DONE, SweepReport
from github_app.sweep.sums import Accounts
from github_app.sweep.supply import Supply
from github_app.sweep.survey import Reach, Survey
from github_app.sweep.tracing import Tracing
from github_app.sweep.upkeep import SEEN_LATELY_S, Upkeep
from github_app.sweep.version_age import VersionAge

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
        groups: RunnerGroups,
        sandboxes: ModalSandboxes,
        endings: Endings,
        service: Service,
        reconciler: Reconciler,
        settling: Settling,
        claims: Claims,
        budget: WriteBudget,
        version: RunnerVersion,
        halts: Halts,
        vouchers: Vouchers,
        seats: Seats,
        tallies: Tallies,
        tracing: Tracing,
        redelivery_window_s: float,
        caps: Caps,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._service = service
        self._reconciler = reconciler
        self._caps = caps
        self._clock = clock
        self._halts = halts
        self._vouchers = vouchers
        self._seats = seats
        self._tallies = tallies
        self._tracing = tracing
        self._age = VersionAge(runners, groups, version.version, clock)
        self._survey = Survey(store=store, app=app, jobs=jobs, runners=runners, budget=budget, clock=clock)
        suspicions = self._suspicions = Suspicions(store, clock)
        self._deliveries = Deliveries(app=app, store=store, budget=budget, window_s=redelivery_window_s, clock=clock)
        self._questions = JobQuestions(jobs=jobs, apply=self._apply, missing=service.missing, suspicions=suspicions)
        self._demand = QueueReader(
            jobs=jobs,
            questions=self._questions,
            refresh=self._refresh_seen,
            forget=self._forget_seen,
            suspicions=suspicions,
        )
        self._accounts = Accounts(store, clock)
        finished = FinishedRunners(
            store=store,
            sandboxes=sandboxes,
            endings=endings,
            settling=settling,
            accounts=self._accounts,
            is_over=self._is_over,
            clock=clock,
        )
        self._supply = Supply(
            store=store,
            sandboxes=sandboxes,
            endings=endings,
            settling=settling,
            version=version,
            claims=claims,
            halts=halts,
            finished=finished,
            ask_job=self._ask_job,
            clock=clock,
        )
        self._orphans = Orphans(store=store, sandboxes=sandboxes, endings=endings, claims=claims, suspicions=suspicions)
        self._upkeep = Upkeep(store=store, claims=claims, suspicions=suspicions, version=version, clock=clock)

    async def run(self, *, dry_run: bool = False) -> SweepReport:
        """Sweep once, and see the launches through. A part that fails is told under `problems`; the others go on."""
        report = SweepReport(dry_run=dry_run)
        await self._part("suspicions", self._suspicions.load(), report)
        await self._part("deliveries", self._deliveries.redeliver(report), report)
        self._demand.queued.clear()
        reach = Reach()
        await self._part("installations", self._survey.find_reach(reach, report), report)
        await self._part("places", self._note_places(reach, report), report)
        await self._part("supply", self._check_supply(reach, report), report)
        await self._part("sums", self._accounts.settle(dry_run=dry_run), report)
        for installation_id, budget in reach.budgets.items():
            await self._part(f"demand of {installation_id}", self._read_demand(installation_id, budget, report), report)
        await self._part("uninstalled", self._end_unreachable(reach, report), report)
        await self._part("halts", self._halts.review(self._demand.queued, dry_run=dry_run), report)
        await self._part("slots", self._upkeep.release_slots(report), report)
        await self._part("records", self._upkeep.drop_what_is_over(report), report)
        await self._part("what is stuck", self._upkeep.tell(report), report)
        started: list[Awaitable[None]] = []
        await self._part("balance", self._balance(started, report), report)
        report.problems += [f"unreadable record: {each}" for each in sorted(self._store.unreadable)]
        if not dry_run:
            await self._part("counts", self._tallies.add_up(), report)
            await self._part("mark", self._mark(reach, report), report)
        _log.info("swept", **{name: value for name, value in msgspec.structs.asdict(report).items() if value})
        await self._tracing.send(self._accounts.take_counted())
        await asyncio.gather(*started)
        await self._reconciler.record_newborns()
        if not dry_run:
            self._count(report)
            await self._tallies.flush()
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

    async def _mark(self, reach: Reach, report: SweepReport) -> None:
        """Leave what the next sweep, `/metrics` and `status` go by."""
        last = await self._store.get(SWEEPS, "last")
        taken = await self._age.look(reach.places, last.taken if last else None)
        await self._store.put(SWEEPS, "last", Swept(self._clock.now(), len(report.problems), taken))

    def _count(self, report: SweepReport) -> None:
        """Count what was done, and what had gone wrong; what is so at the moment is none of it."""
        for name in DONE:
            if value := getattr(report, name):
                self._tallies.counts.add(Counted.FINDINGS, name, by=value)

    async def _note_places(self, reach: Reach, report: SweepReport) -> None:
        """Keep where runners that wait are registered: for organisations, and repositories with jobs of ours lately."""
        if report.dry_run:
            return
        lately = [each.event.place for each in (await self._store.all(SEEN)).values() if each.event]
        personal = {place for place in lately if place.repository_id and place.installation_id in reach.budgets}
        await self._seats.note({*personal, *reach.places}, whole=reach.whole)

    async def _check_supply(self, reach: Reach, report: SweepReport) -> None:
        # Sandboxes first: a record of one that starts meanwhile is then read too.
        running = frozenset(await self._sandboxes.running())
        report.sandboxes_running = len(running)
        claims = await self._store.all(CLAIMS)
        runners = await self._store.all(RUNNERS)
        jobs = await self._job_records()
        github, places, everywhere = await self._survey.list_runners(list(runners.values()), reach, report)
        everywhere = everywhere and not any(each.startswith(f"{RUNNERS.name}/") for each in self._store.unreadable)
        found = Found(jobs, claims, runners, running, github, places, everywhere)
        named = {runner.sandbox_id for runner in runners.values()}
        await asyncio.gather(
            *(
                self._part(f"runner {r.name}", self._supply.check_runner(r, found, report), report)
                for r in runners.values()
            ),
            *(
                self._part(f"sandbox {s}", self._orphans.check_sandbox(s, found, report), report)
                for s in sorted(running - named)
            ),
            *(self._part(f"sandbox {s}", self._orphans.recorded(s), report) for s in sorted(running & named)),
            *(
                self._part(f"runner {key}", self._orphans.check_listed(listed, found, report), report)
                for key, listed in github.items()
            ),
        )

    async def _job_records(self) -> dict[int, JobRecord]:
        return {job.event.job_id: job for job in (await self._store.all(JOBS)).values()}

    async def _read_demand(self, installation_id: int, budget: ReadBudget, report: SweepReport) -> None:
        """Ask GitHub for queued jobs, as far as the installation's share of reading goes."""
        now = self._clock.now()
        runners = await self._store.all(RUNNERS)
        own = [job for job in (await self._job_records()).values() if job.event.installation_id == installation_id]
        seen = {
            each.event.repository.lower(): repository_of(each.event)
            for each in (await self._store.all(SEEN)).values()
            if each.event and each.event.installation_id == installation_id and now - each.at < SEEN_LATELY_S
        }
        try:
            await self._demand.read(installation_id, doubtful(own, runners, now), seen, budget, report)
        finally:
            if not report.dry_run:
                await budget.close()

    async def _end_unreachable(self, reach: Reach, report: SweepReport) -> None:
        """Wait no longer for jobs of an installation that GitHub does not list twice, apart in time."""
        if not reach.whole:
            return
        for installation_id in reach.budgets:
            if await self._suspicions.drop(_of_installation_id(installation_id)):
                await self._urge(installation_id)
        jobs = [job for job in (await self._job_records()).values() if job.event.installation_id not in reach.budgets]
        for installation_id in sorted({job.event.installation_id for job in jobs}):
            own = [job for job in jobs if job.event.installation_id == installation_id]
            # What was heard of its jobs came from the installation.
            sighted_at = max(job.changed_at for job in own)
            suspicion = _of_installation_id(installation_id)
            if await self._suspicions.confirmed(suspicion, dry_run=report.dry_run, sighted_at=sighted_at):
                for job in own:
                    why = f"GitHub does not list the App's installation {installation_id}, or lists it as suspended"
                    await self._questions.is_gone(job, why, report)

    async def _refresh_seen(self, installation_id: int, listed: list[Repository]) -> None:
        """Bring what is known of repositories up to how GitHub lists them: renamed, made public or private."""
        now_by_id = {each.id: each for each in listed}
        for key, seen in (await self._store.all(SEEN)).items():
            event = seen.event
            now = now_by_id.get(event.repository_id) if event else None
            if event is None or now is None or event.installation_id != installation_id:
                continue
            renewed = renewed_place(event, now)
            if renewed != event:
                await self._store.take(SEEN, key)
                name = f"{installation_id}/{now.full_name.lower()}"
                await self._store.put(SEEN, name, RepositorySeen(seen.at, renewed))

    async def _forget_seen(self, installation_id: int, repository: str) -> None:
        """Read a repository no more that its installation does not reach."""
        await self._store.take(SEEN, f"{installation_id}/{repository.lower()}")

    async def _urge(self, installation_id: int) -> None:
        """Have the jobs of an installation that is back tried again, whatever GitHub refused meanwhile."""
        for job in (await self._job_records()).values():
            if job.event.installation_id == installation_id:
                await self._service.urge(job.event.job_id)

    async def _apply(self, event: JobEvent) -> bool:
        """Take what GitHub says of a job as an event; tell whether it was news."""
        self._vouchers.note(event)
        answer = await self._service.apply(event, reading=True)
        return answer.news

    async def _ask_job(self, job_id: int) -> JobRecord | None:
        """A job's record, brought up to what GitHub says."""
        record = await self._store.get(JOBS, str(job_id))
        if record is None:
            return None
        await self._questions.ask(record, SweepReport())
        return await self._store.get(JOBS, str(job_id))

    async def _is_over(self, runner: RunnerRecord) -> bool | None:
        """Tell whether GitHub, asked now, says that a runner's job has ended; None: it does not know it, twice."""
        record = await self._store.get(HISTORY, str(runner.runs_job))
        return False if record is None else await self._questions.is_over(record.event, runner.github_id)

    async def _balance(self, started: list[Awaitable[None]], report: SweepReport) -> None:
        made = None if report.dry_run else await self._reconciler.round(sweeping=True)
        if made is None:
            waits = await self._rehearse(report)
        else:
            started.append(made.rest)
            report.started, waits = made.started, made.waits
            if made.braked:
                report.problems.append(f"balance: the brake stopped this round after {made.started} starts")
        report.waiting = len(waits)
        report.waits = [_wait(wait) for wait in waits]

    async def _rehearse(self, report: SweepReport) -> tuple[Wait, ...]:
        """Say what a round would do; in a sweep that is none, another is doing it."""
        plan = await self._reconciler.plan()
        if not report.dry_run:
            return plan.waits
        if report.stopped is not None:
            return (*plan.waits, *(Wait(start.demand, report.stopped) for start in plan.starts))
        found = rehearse(plan.starts, await self._store.all(SLOTS), self._caps)
        report.started, report.held_by_caps = found.started, len(found.held)
        return (*plan.waits, *found.held)


def _wait(wait: Wait) -> str:
    """A waiting job in a sentence: which, why, until when."""
    until = "" if wait.until is None else f", until {datetime.fromtimestamp(wait.until, UTC):%Y-%m-%d %H:%M:%SZ}"
    event = wait.demand.job.event
    who = event.job_name if wait.demand.is_seat else f"job {event.job_id} of {event.repository}"
    return f"{who}: {wait.reason}{until}"


def _of_installation_id(installation_id: int) -> str:
    return f"installation/{installation_id}"

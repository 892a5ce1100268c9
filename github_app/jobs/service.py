"""The imperative shell around the core: asks it what an event means, and carries that out.

What becomes of one event: known? -> old? -> admitted? -> decide -> job's record -> answer; then the launch.
Handling is idempotent: a crash in between costs a repetition, never a job.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from math import inf
from typing import Protocol

import msgspec
import structlog

from github_app import lifecycle
from github_app.clock import Clock
from github_app.counts import Counted
from github_app.errors import StoreError
from github_app.jobs.cache_quota import CacheQuota
from github_app.jobs.gates import Gates
from github_app.jobs.intake import Intake, LeftToSweep, digest_of
from github_app.jobs.runner_events import RunnerEvents, named
from github_app.jobs.workflow_runs import Runs
from github_app.model import Action, JobEvent, JobRecord, JobState, RunnerRecord
from github_app.routing.route import needs_run, route, took_our_runner
from github_app.routing.rules import Admit, Ignore, Refuse, Rules
from github_app.runners.balance import Demand, Start
from github_app.runners.reconcile import Beginning, Reconciler
from github_app.runners.versions import RunnerVersion
from github_app.runners.write_limit import SafeNotices
from github_app.store import HALTS, HISTORY, JOBS, REFUSALS, SEEN, ModalDictStore
from github_app.store.notes import Refusal, RepositorySeen
from github_app.store.tallies import Tallies

Routed = Ignore | Refuse | Admit
_HOUR_S = 3600.0
# No job has begun and ended by then; one that was cancelled is looked at by the sweep, had another process heard of it.
_NEW_S = 10.0
_MOST_KEPT = 2000

_log = structlog.get_logger(__name__)


class Status(StrEnum):
    """What a delivery is answered."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    REFUSED = "refused"
    PONG = "pong"


@dataclass(frozen=True)
class Answer:
    """The answer to a delivery, what is to run after it was sent, and whether it changed what we know."""

    status: Status
    reason: str | None = None
    afterwards: Callable[[], Awaitable[None]] | None = None
    news: bool = False


@dataclass(frozen=True)
class Past:
    """What is recorded of an event's job and of the runner that it names."""

    known: JobRecord | None
    runner: RunnerRecord | None


class Installations(Protocol):
    """Which installations the App has."""

    async def knows(self, installation_id: int) -> bool:
        """Tell whether an installation is one of the App's."""
        ...


class Service:
    """Handles the events of every installation of the App."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        installations: Installations,
        intake: Intake,
        runs: Runs,
        notices: SafeNotices,
        reconciler: Reconciler,
        runner_events: RunnerEvents,
        rules: Rules,
        version: RunnerVersion,
        capped: bool,
        tallies: Tallies,
        clock: Clock,
    ) -> None:
        self.tallies = tallies
        self._store = store
        self._installations = installations
        self.intake = intake
        self._runs = runs
        self._notices = notices
        self._reconciler = reconciler
        self._runner_events = runner_events
        # Jobs whose launch has begun here, and jobs of whose end was heard here.
        self._begun: OrderedDict[int, None] = OrderedDict()
        self._over: OrderedDict[int, None] = OrderedDict()
        self._rules = rules
        self._quota = CacheQuota(store, rules.limits.cache_volumes, clock)
        self._version = version
        self._capped = capped
        # By installation and repository: when SEEN was written last, and whether the repository was private.
        self._seen: dict[str, tuple[float, bool]] = {}
        self._clock = clock
        self._gates = Gates(store=store, intake=intake, reconciler=reconciler, record=self._record, clock=clock)

    async def handle(self, body: bytes, event: JobEvent) -> Answer:
        """Record the `event` that a delivery with this body says.

        Raises:
            StoreError, GitHubError: nothing is lost; GitHub's redelivery is handled as if it were the first.
        """
        routed, is_queued = route(event, self._rules), event.action is Action.QUEUED
        if isinstance(routed, Ignore) and not took_our_runner(event):
            if routed.meant and is_queued:
                _log.warning("labels_look_wrong", reason=routed.reason, labels=event.labels)
            return Answer(Status.IGNORED, routed.reason)
        if not await self._installations.knows(event.installation_id):
            _log.warning("installation_unknown", installation=event.installation_id)
            return Answer(Status.REFUSED, f"installation {event.installation_id} is not one of this App's")
        digest, beginning = digest_of(body), self._begin(event, routed)
        try:
            return await self._handle(digest, event, beginning)
        except LeftToSweep as left:
            return await self._left(left, digest)
        finally:
            if beginning is not None and not beginning.launched:
                await self._reconciler.withdraw(beginning)

    def _begin(self, event: JobEvent, routed: Routed) -> Beginning | None:
        """Take what a job's launch needs while it is found out whether anything is known of it: nearly always nothing.

        Not where GitHub has to be asked first, nor where other jobs wait for the same.
        """
        if event.action is not Action.QUEUED or not isinstance(routed, Admit) or routed.cache is not None:
            return None
        if needs_run(event, self._rules) or self.intake.is_old(event) or event.job_id in self._begun:
            return None
        if not self._starts_directly(event):
            return None
        _keep(self._begun, event.job_id)
        return self._reconciler.begin(_first_start(event, routed, self._clock.now()))

    def _starts_directly(self, event: JobEvent) -> bool:
        """Tell whether a new job's runner is started with no look at others: none waits, and no job before it."""
        return not (self._capped and self._reconciler.others_wait) and not self._reconciler.may_be_served(event)

    async def _handle(self, digest: str, event: JobEvent, beginning: Beginning | None) -> Answer:
        if beginning is not None and self._is_new(event):
            announced = await self._announce(event, digest, beginning)
            if announced is not None:
                return announced
        past, is_queued = await self._past(event), event.action is Action.QUEUED
        repeated = is_queued and await self._is_repeated(event, past, digest)
        if repeated and not await self._is_served_again(event, past.known):
            return Answer(Status.DUPLICATE, "this delivery was handled before")
        is_open = past.known is None or past.known.state in {JobState.QUEUED, JobState.GONE}
        if is_open and (repeated or self.intake.is_old(event)):
            return await self.apply(await self.intake.current(event), digest=digest)
        return await self.apply(event, past=past, digest=digest, beginning=beginning)

    async def _announce(self, event: JobEvent, digest: str, beginning: Beginning) -> Answer | None:
        """Record a job that was queued just now while its claim is taken; None where something is recorded of it."""
        step = lifecycle.decide(None, event, self._clock.now())
        if isinstance(step, lifecycle.Nothing):
            return None
        record = lifecycle.heard(step.record, digest)
        try:
            is_news, _ = await asyncio.gather(
                self._store.put_new(JOBS, str(event.job_id), record), self._note_repository(event)
            )
        except StoreError:
            # It may be there all the same: the answer may have been lost.
            self._reconciler.look_again()
            raise
        if not is_news:
            return None
        beginning.recorded.set_result(True)
        return _launching(record, self._reconciler.launch(beginning))

    async def _is_repeated(self, event: JobEvent, past: Past, digest: str) -> bool:
        """Tell whether a delivery's very body was handled: its job's record says so, or what was noted without one."""
        if past.known is not None:
            return digest in past.known.heard
        # Only what has to be asked about is left to the sweep.
        asks = self.intake.is_old(event) or needs_run(event, self._rules)
        return asks and await self.intake.knows(digest)

    async def _left(self, left: LeftToSweep, digest: str) -> Answer:
        """Answer a delivery that says nothing now."""
        if left.surely:
            await self.intake.remember(digest)
        _log.info("delivery_left_to_sweep", reason=str(left))
        return Answer(Status.IGNORED, str(left))

    async def _is_served_again(self, event: JobEvent, known: JobRecord | None) -> bool:
        """A redelivery is news of a job that was gone, or for which no more runners were started."""
        if event.action is not Action.QUEUED or known is None:
            return False
        if known.state is JobState.QUEUED:
            return await self._store.get(HALTS, str(event.job_id)) is not None
        return known.state is JobState.GONE

    async def stopped(self) -> str | None:
        """Say why no runner is started at all, if so.

        Raises:
            StoreError: the store did not answer.
        """
        return await self._version.refused()

    async def apply(
        self,
        event: JobEvent,
        *,
        reading: bool = False,
        past: Past | None = None,
        digest: str | None = None,
        beginning: Beginning | None = None,
    ) -> Answer:
        """Record what is known of a job now, from a delivery or read (`reading`) from GitHub's API.

        `past` is what was just read of it, if it was; `digest` that of the delivery's body; `beginning` what was taken
        for its launch already.

        Raises:
            LeftToSweep: a delivery, of a run of which GitHub says nothing.
            StoreError, GitHubError: store or GitHub did not answer; repeating is safe.
        """
        if needs_run(event, self._rules):
            event = await self._runs.fill_in(event, reading=reading)
        past = past or await self._past(event, reading=reading)
        known, runner = past.known, past.runner
        event = named(event, runner)
        routed = route(event, self._rules)
        if isinstance(routed, Ignore) and not took_our_runner(event):
            return Answer(Status.IGNORED, routed.reason)
        routed = await self._within_quota(event, routed)
        refusal = routed if isinstance(routed, Refuse) and not took_our_runner(event) else None
        if refusal is not None and event.action is not Action.COMPLETED:
            return await self._refuse(event, refusal)
        if refusal is not None and known is None:
            return Answer(Status.REFUSED, refusal.sentence)
        step = lifecycle.decide(known, event, self._clock.now(), reading=reading)
        if isinstance(step, lifecycle.Nothing):
            return await self._nothing_new(known, event, runner, step)
        if runner is not None and event.runner_name == runner.name and step.record.state is JobState.DONE:
            step = replace(step, record=msgspec.structs.replace(step.record, ran=self._runner_events.ran(runner)))
        if digest is not None and event.action is Action.QUEUED:
            step = replace(step, record=lifecycle.heard(step.record, digest))
        if known is None and step.launch and isinstance(routed, Admit) and not reading:
            if beginning is None and self._starts_directly(event):
                beginning = self._reconciler.begin(_first_start(event, routed, self._clock.now()))
            if beginning is not None:
                return await self._launch(beginning, step.record)
        _, _, unbalanced = await asyncio.gather(
            self._record(step.record),
            self._note_repository(event) if known is None else _nothing(),
            # Read together, a runner that is busy may be seen before the job that it has taken: a round looks at the
            # job once more before it starts another.
            self._runner_events.note(event, runner, reading=reading),
        )
        if known is None and not isinstance(routed, Admit):
            _log.warning("foreign_job_took_runner", job=event.job_id, repo=event.repository, runner=event.runner_name)
        _log.info("job_" + event.action.value, runner=event.runner_name, conclusion=event.conclusion)
        again = self._runner_events.afterwards(event, runner, unbalanced=unbalanced or step.launch)
        return Answer(Status.ACCEPTED, None, again, news=True)

    async def _launch(self, beginning: Beginning, record: JobRecord) -> Answer:
        """Record a new job while its launch goes on, which the answer does not wait for."""
        launch = self._reconciler.launch(beginning)
        await asyncio.gather(self._record_beginning(beginning, record), self._note_repository(record.event))
        return _launching(record, launch)

    async def _record_beginning(self, beginning: Beginning, record: JobRecord) -> None:
        recorded = False
        try:
            await self._record(record)
            recorded = True
        finally:
            beginning.recorded.set_result(recorded)

    async def missing(self, job_id: int) -> bool:
        """Wait no longer for a job that GitHub does not know, twice; tell whether that was news.

        Raises:
            StoreError: the store did not answer; repeating is safe.
        """
        known = await self._store.get(JOBS, str(job_id))
        step = lifecycle.missing(known, self._clock.now()) if known else None
        if not isinstance(step, lifecycle.Step):
            return False
        await self._record(step.record)
        _log.warning("job_gone", job=job_id, repo=step.record.event.repository)
        return True

    async def urge(self, job_id: int) -> None:
        """Have a queued job tried again, whatever failed before.

        Raises:
            StoreError: the store did not answer; repeating is safe.
        """
        known = await self._store.get(JOBS, str(job_id))
        if known is not None and known.state is JobState.QUEUED:
            await self._record(lifecycle.urged(known, self._clock.now()))

    async def _nothing_new(
        self, known: JobRecord | None, event: JobEvent, runner: RunnerRecord | None, step: lifecycle.Nothing
    ) -> Answer:
        """See to it that what the first handling of the same may have left undone is done."""
        again: Callable[[], Awaitable[None]] | None = None
        if known is not None and known.state is JobState.QUEUED and event.action is Action.QUEUED:
            # Its launch may not have begun: the delivery may have been cut off after its record was written.
            again = self._reconciler.reconcile
        elif event.action is Action.WAITING and (known is None or known.state is JobState.QUEUED):
            again = partial(self._gates.look, event)
        elif known is not None and known.state is JobState.RUNNING and event.action is Action.IN_PROGRESS:
            unbalanced = await self._runner_events.note(event, runner)
            again = self._runner_events.afterwards(event, runner, unbalanced=unbalanced)
        return Answer(Status.ACCEPTED, step.reason, again)

    async def _refuse(self, event: JobEvent, refusal: Refuse) -> Answer:
        """Tell of a job that is not served, once: in the log, in the store, and where its author looks."""
        answer = Answer(Status.REFUSED, refusal.sentence)
        if event.action is not Action.QUEUED:
            return answer
        told = Refusal(uuid.uuid4().hex, event.repository, refusal.code, refusal.sentence, self._clock.now())
        if not await self._store.put_new(REFUSALS, str(event.job_id), told):
            return answer
        self.tallies.counts.add(Counted.REFUSALS, refusal.code)
        _log.warning("job_refused", code=refusal.code, reason=refusal.sentence, labels=event.labels)
        return Answer(Status.REFUSED, refusal.sentence, partial(self._notices.refused, event, refusal.sentence))

    async def _within_quota(self, event: JobEvent, routed: Routed) -> Routed:
        """What was decided, or a refusal, where its label asks for a cache too many."""
        asked = routed.cache if isinstance(routed, Admit) and event.action is Action.QUEUED else None
        if asked is None or await self._quota.admits(event.repository, asked):
            return routed
        most = self._rules.limits.cache_volumes
        sentence = (
            f"The repository has used {most} caches within a week, which is the most; the label asks for another."
        )
        return Refuse("cache", f"{sentence} An administrator may raise it: [limits] cache_volumes.")

    async def _past(self, event: JobEvent, *, reading: bool = False) -> Past:
        """Read what is recorded, all at once where all is needed; a `queued` is nearly always of a job not heard of."""
        key, is_news = str(event.job_id), event.action is Action.QUEUED and not reading
        known, over, runner = await asyncio.gather(
            self._store.get(JOBS, key),
            self._store.get(HISTORY, key) if is_news and not self._is_new(event) else _nothing(),
            self._runner_events.runner_of(event),
        )
        if known is None and not is_news and (reading or event.action is not Action.COMPLETED):
            # A late event of a job that is over must not start it again.
            over = await self._store.get(HISTORY, key)
        return Past(known or over, runner)

    def _is_new(self, event: JobEvent) -> bool:
        """Tell whether a job was queued too lately to be over, but by a person: where he was heard of it is known."""
        return self._clock.now() - (event.queued_at or 0.0) < _NEW_S and event.job_id not in self._over

    async def _record(self, record: JobRecord) -> None:
        key = str(record.event.job_id)
        if record.state.over:
            _keep(self._over, record.event.job_id)
            # Were one of them lost with the process, the delivery is answered by nobody, and comes again.
            await asyncio.gather(self._store.put(HISTORY, key, record), self._store.take(JOBS, key))
        else:
            await self._store.put(JOBS, key, record)

    async def _note_repository(self, event: JobEvent) -> None:
        """Once an hour, take note that a repository has jobs of ours: the sweep asks it first."""
        key = f"{event.installation_id}/{event.repository.lower()}"
        now = self._clock.now()
        at, private = self._seen.get(key, (-inf, event.private))
        if now - at > _HOUR_S or private != event.private:
            await self._store.put(SEEN, key, RepositorySeen(now, event))
            self._seen[key] = (now, event.private)


def _launching(record: JobRecord, launch: Awaitable[None]) -> Answer:
    _log.info("job_" + record.event.action.value)

    async def launched() -> None:
        await asyncio.shield(launch)

    return Answer(Status.ACCEPTED, None, launched, news=True)


def _keep(jobs: OrderedDict[int, None], job_id: int) -> None:
    jobs[job_id] = None
    while len(jobs) > _MOST_KEPT:
        jobs.popitem(last=False)


def _first_start(event: JobEvent, routed: Admit, now: float) -> Start:
    return Start(Demand(JobRecord(event, JobState.QUEUED, now), routed.shape), attempt=1)


async def _nothing() -> None:
    """In the place of a call that is not needed."""

"""The imperative shell around the core: asks it what an event means, and carries that out.

What becomes of one event: known GUID? -> admitted? -> decide -> job's record -> GUID -> answer; then the launch.
Handling is idempotent, so the GUID is put last: a crash in between costs a repetition, never a job.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import inf
from typing import Protocol

import msgspec
import structlog

from github_app import lifecycle, routing
from github_app.balance import Demand, Start
from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import RUNNER_NAME, Action, JobEvent, JobRecord, JobState, RunFacts, RunnerState
from github_app.notes import Parked, Refusal, Seen
from github_app.reconcile import Reconciler
from github_app.records import change_runner, finish_runner
from github_app.store import (
    DELIVERIES,
    HALTS,
    HISTORY,
    JOBS,
    PARKED,
    REFUSALS,
    RUNNERS,
    SEEN,
    Delivered,
    ModalDictStore,
)
from github_app.versions import RunnerVersion

# A `queued` that is older is not believed without asking GitHub.
OLD_S = 600.0
_MOST_RUNS = 1000
# So many runs may be asked after at once.
_LOCKS = 32
_DAY_S = 86400.0

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


class Installations(Protocol):
    """Which installations the App has."""

    async def knows(self, installation_id: int) -> bool:
        """Tell whether an installation is one of the App's."""
        ...


class Jobs(Protocol):
    """What GitHub says of a job now."""

    async def job(self, known: JobEvent) -> JobEvent | None:
        """Ask after one job."""
        ...

    async def run_of(self, job: JobEvent) -> RunFacts:
        """What only the record of a job's run tells."""
        ...


class Notices(Protocol):
    """How the author of a workflow is told."""

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell why a job is not served. Never raises."""


class Service:
    """Handles the events of every installation of the App."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        installations: Installations,
        jobs: Jobs,
        notices: Notices,
        reconciler: Reconciler,
        rules: routing.Rules,
        version: RunnerVersion,
        capped: bool,
        answer_limit_s: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._installations = installations
        self._jobs = jobs
        self._notices = notices
        self._runs: OrderedDict[int, RunFacts] = OrderedDict()
        self._asking = [asyncio.Lock() for _ in range(_LOCKS)]
        self._reconciler = reconciler
        self._rules = rules
        self._version = version
        self._capped = capped
        # GitHub is waiting for our answer while we ask it something.
        self._patience_s = answer_limit_s / 3
        # By installation and repository: when SEEN was written last, and whether the repository was private.
        self._seen: dict[str, tuple[float, bool]] = {}
        self._clock = clock

    async def handle(self, guid: str, event: JobEvent) -> Answer:
        """Record what a delivery says.

        Raises:
            StoreError, GitHubError: nothing is lost; GitHub's redelivery of `guid` is handled as if it were the first.
        """
        routed = routing.route(event, self._rules)
        if isinstance(routed, routing.Ignore) and not routing.took_our_runner(event):
            if routed.meant and event.action is Action.QUEUED:
                _log.warning("labels_look_wrong", reason=routed.reason, labels=event.labels)
            return Answer(Status.IGNORED, routed.reason)
        if not await self._installations.knows(event.installation_id):
            _log.warning("installation_unknown", installation=event.installation_id)
            return Answer(Status.REFUSED, f"installation {event.installation_id} is not one of this App's")
        if await self._store.get(DELIVERIES, guid) and not await self._is_served_again(event):
            return Answer(Status.DUPLICATE, "this delivery was handled before")
        answer = await self.apply(await self._current(event))
        await self._store.put(DELIVERIES, guid, Delivered(self._clock.now()))
        return answer

    async def _is_served_again(self, event: JobEvent) -> bool:
        """A redelivery is news of a job that was gone, or for which no more runners were started."""
        if event.action is not Action.QUEUED:
            return False
        known = await self._known(event, reading=True)
        if known is None or known.state is not JobState.QUEUED:
            return known is not None and known.state is JobState.GONE
        return await self._store.get(HALTS, str(event.job_id)) is not None

    async def park(self, guid: str, reason: str) -> None:
        """Take note of a delivery that makes no sense, so that the sweep reports it.

        Raises:
            StoreError: the store did not answer.
        """
        await self._store.put(PARKED, guid, Parked(reason, self._clock.now()))

    async def stopped(self) -> str | None:
        """Say why no runner is started at all, if so.

        Raises:
            StoreError: the store did not answer.
        """
        return await self._version.refused()

    async def _current(self, event: JobEvent) -> JobEvent:
        """Bring a `queued` that is long past up to date: a redelivery may be days late, and its job over."""
        if event.action is not Action.QUEUED or self._clock.now() - (event.queued_at or inf) < OLD_S:
            return event
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._jobs.job(event) or event
        except (GitHubError, TimeoutError) as error:
            _log.warning("job_unreadable", reason=str(error))
            return event

    async def apply(self, event: JobEvent, *, reading: bool = False) -> Answer:
        """Record what is known of a job now, from a delivery or read (`reading`) from GitHub's API.

        Raises:
            StoreError, GitHubError: store or GitHub did not answer; repeating is safe.
        """
        event = await self._with_run(event)
        routed = routing.route(event, self._rules)
        if isinstance(routed, routing.Ignore) and not routing.took_our_runner(event):
            return Answer(Status.IGNORED, routed.reason)
        refusal = routed if isinstance(routed, routing.Refuse) and not routing.took_our_runner(event) else None
        if refusal is not None and event.action is not Action.COMPLETED:
            return await self._refuse(event, refusal)
        known = await self._known(event, reading=reading)
        if refusal is not None and known is None:
            return Answer(Status.REFUSED, refusal.sentence)
        step = lifecycle.decide(known, event, self._clock.now(), reading=reading)
        if isinstance(step, lifecycle.Nothing):
            return await self._nothing_new(known, event, step)
        await self._record(step.record)
        if known is None:
            await self._note_repository(event)
        unbalanced = await self._note_runner(event)
        if known is None and not isinstance(routed, routing.Admit):
            _log.warning("foreign_job_took_runner", job=event.job_id, repo=event.repository, runner=event.runner_name)
        _log.info("job_" + event.action.value, runner=event.runner_name, conclusion=event.conclusion)
        if known is None and step.launch and isinstance(routed, routing.Admit) and not self._capped:
            start = Start(Demand(step.record, routed.shape), attempt=1)
            return Answer(Status.ACCEPTED, None, partial(self._reconciler.launch, start), news=True)
        rebalance = self._reconciler.reconcile if unbalanced or step.launch or self._capped else None
        return Answer(Status.ACCEPTED, None, rebalance, news=True)

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

    async def _nothing_new(self, known: JobRecord | None, event: JobEvent, step: lifecycle.Nothing) -> Answer:
        """See to it that what the first handling of the same may have left undone is done."""
        again = None
        if known is not None and known.state is JobState.QUEUED and event.action is Action.QUEUED:
            # Its launch may not have begun: the delivery may have been cut off after its record was written.
            again = self._reconciler.reconcile
        elif known is not None and known.state is JobState.RUNNING and event.action is Action.IN_PROGRESS:
            again = self._reconciler.reconcile if await self._note_runner(event) else None
        return Answer(Status.ACCEPTED, step.reason, again)

    async def _with_run(self, event: JobEvent) -> JobEvent:
        """Ask for what a rule needs and a delivery does not say; once a run."""
        if event.run is not None or event.action is Action.COMPLETED or not routing.needs_run(event, self._rules):
            return event
        try:
            # The jobs of one run come all at once: one of them asks.
            async with asyncio.timeout(self._patience_s), self._asking[event.run_id % len(self._asking)]:
                facts = self._runs.get(event.run_id) or await self._jobs.run_of(event)
        except TimeoutError as error:
            raise GitHubError("run: GitHub did not answer in time", retryable=True) from error
        self._runs[event.run_id] = facts
        while len(self._runs) > _MOST_RUNS:
            self._runs.popitem(last=False)
        return msgspec.structs.replace(event, run=facts)

    async def _refuse(self, event: JobEvent, refusal: routing.Refuse) -> Answer:
        """Tell of a job that is not served, once: in the log, in the store, and where its author looks."""
        answer = Answer(Status.REFUSED, refusal.sentence)
        if event.action is not Action.QUEUED:
            return answer
        told = Refusal(uuid.uuid4().hex, event.repository, refusal.code, refusal.sentence, self._clock.now())
        if not await self._store.put_new(REFUSALS, str(event.job_id), told):
            return answer
        _log.warning("job_refused", code=refusal.code, reason=refusal.sentence, labels=event.labels)
        return Answer(Status.REFUSED, refusal.sentence, partial(self._notices.refused, event, refusal.sentence))

    async def _known(self, event: JobEvent, *, reading: bool) -> JobRecord | None:
        known = await self._store.get(JOBS, str(event.job_id))
        if known is None and (reading or event.action is not Action.COMPLETED):
            # A late event of a job that is over must not start it again.
            known = await self._store.get(HISTORY, str(event.job_id))
        return known

    async def _record(self, record: JobRecord) -> None:
        key = str(record.event.job_id)
        if record.state.over:
            await self._store.put(HISTORY, key, record)
            await self._store.take(JOBS, key)
        else:
            await self._store.put(JOBS, key, record)

    async def _note_repository(self, event: JobEvent) -> None:
        """Once a day, take note that a repository has jobs of ours: the sweep asks it first."""
        key = f"{event.installation_id}/{event.repository.lower()}"
        now = self._clock.now()
        at, private = self._seen.get(key, (-inf, event.private))
        if now - at > _DAY_S or private != event.private:
            await self._store.put(SEEN, key, Seen(now, event))
            self._seen[key] = (now, event.private)

    async def _note_runner(self, event: JobEvent) -> bool:
        """Record which job a runner has taken; tell whether that leaves a job without or a runner too many.

        GitHub gives a job any runner that fits, not the one that was started for it.
        """
        name = event.runner_name
        if event.action is Action.QUEUED:
            return False
        if name is None or not RUNNER_NAME.fullmatch(name):
            # It ended before a runner took it, or another's runner did: its own is one too many.
            return True
        runner = await self._store.get(RUNNERS, name)
        if runner is None:
            return event.job_id != _made_for(name)
        if runner.state is RunnerState.FINISHED:
            return False
        if event.action is Action.COMPLETED:
            await change_runner(self._store, name, runs_job=event.job_id)
            await finish_runner(self._store, runner, self._clock.now())
        else:
            await change_runner(self._store, name, RunnerState.BUSY, runs_job=event.job_id)
        return event.job_id not in {runner.started_for, runner.runs_job}


def _made_for(name: str) -> int:
    found = RUNNER_NAME.fullmatch(name)
    return int(found["job_id"]) if found else 0

"""Any interleaving of events keeps the invariants: a rule-based machine over the same table and the same plan."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from github_app import lifecycle
from github_app.model import (
    Action,
    Claim,
    Hold,
    JobEvent,
    JobRecord,
    JobState,
    RunnerRecord,
    RunnerState,
    Scope,
    runner_name,
)
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.runners.balance import Demand, Plan, plan

_ORDER = [None, JobState.QUEUED, JobState.RUNNING, JobState.GONE, JobState.DONE]
_LABELS = (("modal",), ("modal", "gpu:h100"), ("Modal", "linux"))


class Lifecycle(RuleBasedStateMachine):
    """Jobs, runners and claims as the shell would keep them, moved by events in any order."""

    jobs = Bundle("jobs")
    runners = Bundle("runners")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.records: dict[int, JobRecord] = {}
        self.runner_records: dict[str, RunnerRecord] = {}
        self.claims: dict[str, Claim] = {}
        self.last_id = 0

    @rule(target=jobs, labels=st.sampled_from(_LABELS))
    def job_exists(self, labels: tuple[str, ...]) -> JobEvent:
        self.last_id += 1
        return JobEvent(
            Action.QUEUED, self.last_id, 1, 1, "job", labels, "octo/repo", 7, private=True, scope=Scope("octo"),
            installation_id=1,
        )  # fmt: skip

    @rule(job=jobs)
    def github_does_not_know_it(self, job: JobEvent) -> None:
        known = self.records.get(job.job_id)
        step = lifecycle.missing(known, self.now) if known else None
        if isinstance(step, lifecycle.Step):
            self.records[job.job_id] = step.record

    @rule(job=jobs, action=st.sampled_from(list(Action)), runner=st.none() | runners)
    def event_arrives(self, job: JobEvent, action: Action, runner: str | None) -> None:
        named = runner if action in {Action.IN_PROGRESS, Action.COMPLETED} else None
        event = _with(job, action, named)
        known = self.records.get(job.job_id)
        step = lifecycle.decide(known, event, self.now)
        if isinstance(step, lifecycle.Nothing):
            return
        forward = _ORDER.index(step.record.state) > _ORDER.index(known.state if known else None)
        # GitHub may take a running job back and give it to another runner.
        taken_over = known is not None and named != known.runner_name and known.state is JobState.RUNNING
        # What is heard of a job that was gone, or announced long after, is not the end of it.
        again = known is not None and (known.state is JobState.GONE or step.record.urged_at == self.now)
        assert forward or again or (taken_over and step.record.state is JobState.RUNNING)
        self.records[job.job_id] = step.record
        if named in self.runner_records:
            became = RunnerState.BUSY if action is Action.IN_PROGRESS else RunnerState.FINISHED
            self._move(named, became)

    @rule(seconds=st.floats(0, 4000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=runners)
    def what_is_planned_is_started(self) -> object:
        names = []
        for start in self._plan().starts:
            key = f"{start.demand.job_id}-{start.attempt}"
            assert key not in self.claims
            self.claims[key] = Claim("me", self.now, start.failures)
            name = runner_name(start.demand.job_id, start.attempt)
            event = start.demand.job.event
            self.runner_records[name] = RunnerRecord(
                name, start.demand.job_id, event.place, event.labels, start.demand.shape, 1, self.now
            )
            names.append(name)
        return multiple(*names)

    @rule(runner=consumes(runners), hold=st.sampled_from(list(Hold)))
    def runner_dies(self, runner: str, hold: Hold) -> None:
        self._move(runner, RunnerState.FINISHED)
        key = runner.removeprefix("modal-")
        failures = self.claims[key].failures + 1
        self.claims[key] = Claim("me", self.now, failures, hold, "it died", self.now + 60.0 * failures)

    def _move(self, name: str | None, state: RunnerState) -> None:
        if name is not None and lifecycle.may_become(self.runner_records[name].state, state):
            self.runner_records[name] = _moved(self.runner_records[name], state)

    def _plan(self) -> Plan:
        demands = []
        for record in self.records.values():
            routed = route(record.event, Rules())
            assert isinstance(routed, Admit)
            demands.append(Demand(record, routed.shape))
        return plan(demands, self.runner_records, self.claims, {}, self.now)

    @invariant()
    def only_queued_jobs_are_started_each_once_and_under_a_new_name(self) -> None:
        starts = self._plan().starts
        assert len({start.demand.job_id for start in starts}) == len(starts)
        for start in starts:
            assert self.records[start.demand.job_id].state is JobState.QUEUED
            assert f"{start.demand.job_id}-{start.attempt}" not in self.claims

    @invariant()
    def every_queued_job_has_a_runner_a_start_or_a_stated_wait(self) -> None:
        found = self._plan()
        queued = {r.event.job_id for r in self.records.values() if r.state is JobState.QUEUED}
        taken = {r.runner_name for r in self.records.values() if r.state is not JobState.QUEUED}
        idle = [r for r in self.runner_records.values() if r.idle and r.name not in taken]
        unserved = {s.demand.job_id for s in found.starts} | {w.demand.job_id for w in found.waits}
        assert unserved <= queued
        # Supply is exact: who is not missing one has one, and who has one too many is named.
        assert len(queued) - len(unserved) == len(idle) - len(found.surplus) - len(found.starting)

    @invariant()
    def no_surplus_is_busy(self) -> None:
        assert all(runner.idle for runner in self._plan().surplus)


def _with(job: JobEvent, action: Action, runner: str | None) -> JobEvent:
    return msgspec.structs.replace(job, action=action, runner_name=runner)


def _moved(runner: RunnerRecord, state: RunnerState) -> RunnerRecord:
    return msgspec.structs.replace(runner, state=state)


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

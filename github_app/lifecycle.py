"""The states of jobs and runners, and what moves them. No I/O, no clock, no await.

Jobs: what GitHub says. It does not promise order, repeats deliveries, and announces one job under several GUIDs. So
a state only ever moves forward, and each event leads to the same state however often and in whatever order it comes.

Runners: what we do and what we are told. The one function that writes a runner's state checks it against RUNNERS
first, for an event may be older than what is recorded.
"""

from dataclasses import dataclass

from github_app.model import Action, JobEvent, JobRecord, JobState, RunnerState

# state now (None: never heard of) -> event -> state then. A pair that is missing changes nothing.
JOBS: dict[JobState | None, dict[Action, JobState]] = {
    None: {
        Action.QUEUED: JobState.QUEUED,
        # A job whose `queued` was lost or is late.
        Action.IN_PROGRESS: JobState.RUNNING,
        Action.COMPLETED: JobState.DONE,
        # `waiting` is absent: a job behind an environment's gate starts nothing.
    },
    JobState.QUEUED: {
        Action.IN_PROGRESS: JobState.RUNNING,
        Action.COMPLETED: JobState.DONE,
        # `waiting` is absent: a late one must not undo a launch.
    },
    JobState.RUNNING: {
        Action.COMPLETED: JobState.DONE,
        # `queued` is absent: GitHub re-queues an assigned job that is not picked up under the same id, which the
        # sweep reads from GitHub; an event may as well be a late one.
    },
    JobState.DONE: {},
}

RUNNERS: dict[RunnerState, frozenset[RunnerState]] = {
    # `busy` and `finished` may be heard of before Modal's answer is.
    RunnerState.STARTING: frozenset({RunnerState.STARTED, RunnerState.BUSY, RunnerState.FINISHED}),
    RunnerState.STARTED: frozenset({RunnerState.BUSY, RunnerState.FINISHED}),
    RunnerState.BUSY: frozenset({RunnerState.FINISHED}),
    RunnerState.FINISHED: frozenset(),
}


@dataclass(frozen=True)
class Step:
    """The record to write, and whether a runner is to be started for the job."""

    record: JobRecord
    launch: bool = False


@dataclass(frozen=True)
class Nothing:
    """The event changes nothing."""

    reason: str


def decide(known: JobRecord | None, event: JobEvent, now: float) -> Step | Nothing:
    """Apply `event` to what is known of its job."""
    state = known.state if known else None
    after = JOBS[state].get(event.action)
    if after is None:
        return Nothing(f"the job is {state or 'not queued yet'}; {event.action} changes nothing")
    # The event that announced the job stays: a later one may lack what the launch needs.
    record = JobRecord(
        event=known.event if known else event,
        state=after,
        recorded_at=known.recorded_at if known else now,
        changed_at=now,
        runner_name=event.runner_name,
        conclusion=event.conclusion,
    )
    return Step(record, launch=after is JobState.QUEUED)


def may_become(now: RunnerState, then: RunnerState) -> bool:
    """Tell whether a runner's state may be written; staying is always allowed."""
    return now is then or then in RUNNERS[now]

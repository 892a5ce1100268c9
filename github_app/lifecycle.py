"""What becomes of a job when GitHub says something about it: no I/O, no clock, no await.

GitHub does not promise order, repeats deliveries, and announces one job under several GUIDs. So a state only ever
moves forward, and each event leads to the same state however often and in whatever order it comes.
"""

from dataclasses import dataclass

import msgspec

from github_app.model import Action, JobEvent, JobRecord, JobState

# state now (None: never heard of) -> event -> state then. A pair that is missing changes nothing.
TRANSITIONS: dict[JobState | None, dict[Action, JobState]] = {
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
    },
    JobState.DONE: {},
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
    after = TRANSITIONS[state].get(event.action)
    if after is None:
        return Nothing(f"the job is {state or 'not queued yet'}; {event.action} changes nothing")
    # The event that announced the job stays: a later one may lack what the launch needs.
    record = JobRecord(known.event if known else event, after, known.recorded_at if known else now)
    record = msgspec.structs.replace(record, runner_name=event.runner_name, conclusion=event.conclusion)
    return Step(record, launch=after is JobState.QUEUED)

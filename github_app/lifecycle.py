"""The states of jobs and runners, and what moves them. No I/O, no clock, no await.

Jobs: what GitHub says. It does not promise order, repeats deliveries, and announces one job under several GUIDs. So
an event only ever moves a state forward, and leads to the same state however often and in whatever order it comes.
What is read from GitHub's API is no late event: it may also say that a job has gone back into the queue.

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
        # `queued` is absent: it may be a late one. REQUEUED has it.
    },
    JobState.DONE: {},
}

# What the same table gains when an event is read from GitHub's API: GitHub puts a job that its runner does not pick
# up back into the queue, under the same id.
REQUEUED: dict[JobState, dict[Action, JobState]] = {JobState.RUNNING: {Action.QUEUED: JobState.QUEUED}}
# GitHub's API may lag behind its events; a job that was said to run a moment ago is not taken for re-queued.
READING_LAGS_S = 60.0

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


def decide(known: JobRecord | None, event: JobEvent, now: float, *, reading: bool = False) -> Step | Nothing:
    """Apply `event` to what is known of its job; `reading` when it was read from GitHub's API just now."""
    state = known.state if known else None
    after = JOBS[state].get(event.action)
    if after is None and known is not None and reading and now - known.changed_at > READING_LAGS_S:
        after = REQUEUED.get(known.state, {}).get(event.action)
    if after is None and known is not None and _is_another_runner(known, event):
        # GitHub took the job back from a runner that did not begin it, and gave it to another.
        after = JobState.RUNNING
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


def _is_another_runner(known: JobRecord, event: JobEvent) -> bool:
    return (
        known.state is JobState.RUNNING
        and event.action is Action.IN_PROGRESS
        and event.runner_name not in {None, known.runner_name}
    )


def may_become(now: RunnerState, then: RunnerState) -> bool:
    """Tell whether a runner's state may be written; staying is always allowed."""
    return now is then or then in RUNNERS[now]


def diagram() -> str:
    """Draw both tables in Mermaid's words, as docs/lifecycle.md shows them."""
    jobs = [(before, after, action.value) for before, row in JOBS.items() for action, after in row.items()] + [
        (before, after, f"{action.value}, read by the sweep")
        for before, row in REQUEUED.items()
        for action, after in row.items()
    ]
    lines = ["stateDiagram-v2", "    state jobs {"]
    lines += [f"        {before or '[*]'} --> {after}: {label}" for before, after, label in jobs]
    lines += ["    }", "    state runners {"]
    lines += [f"        {before} --> {after}" for before, row in RUNNERS.items() for after in sorted(row)]
    return "\n".join([*lines, "    }", ""])

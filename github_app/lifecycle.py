"""The states of jobs and runners, and what moves them. No I/O, no clock, no await.

Jobs: what GitHub says. It does not promise order, repeats deliveries, and announces one job under several GUIDs. So
an event only ever moves a state forward, and leads to the same state however often and in whatever order it comes.
What is read from GitHub's API is no late event: it may also say that a job has gone back into the queue.

Runners: what we do and what we are told. The one function that writes a runner's state checks it against RUNNERS
first, for an event may be older than what is recorded.
"""

from dataclasses import dataclass

import msgspec

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
        # `waiting` is absent: a late one must not undo a launch. GitHub is asked, and `gated` says the rest.
    },
    JobState.RUNNING: {
        Action.COMPLETED: JobState.DONE,
        # `queued` is absent: it may be a late one. REQUEUED has it.
    },
    JobState.DONE: {},
    # An absence is never final: whatever is heard of the job brings it back.
    JobState.GONE: {
        Action.QUEUED: JobState.QUEUED,
        Action.IN_PROGRESS: JobState.RUNNING,
        Action.COMPLETED: JobState.DONE,
    },
}

# Where a job goes that GitHub does not know, twice and apart in time.
MISSING: dict[JobState, JobState] = {JobState.QUEUED: JobState.GONE, JobState.RUNNING: JobState.GONE}

# What the same table gains when an event is read from GitHub's API: GitHub puts a job that its runner does not pick
# up back into the queue, under the same id.
REQUEUED: dict[JobState, dict[Action, JobState]] = {JobState.RUNNING: {Action.QUEUED: JobState.QUEUED}}
# GitHub's API may lag behind its events; a job that was said to run a moment ago is not taken for re-queued.
READING_LAGS_S = 60.0
# GitHub announces a job under several GUIDs within seconds; later than this it has been queued anew, as after an
# environment's approval, or someone asks for it.
ANNOUNCED_ANEW_S = 60.0
# In the place of a conclusion: it waits behind an environment's gate.
GATED = "waiting"
# So many of the deliveries that announced a job are known again.
_HEARD = 5

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
    state = _state(known)
    after = JOBS[state].get(event.action)
    if after is None and known is not None and reading and now - known.changed_at > READING_LAGS_S:
        after = REQUEUED.get(known.state, {}).get(event.action)
    if after is None and known is not None and _is_another_runner(known, event):
        # GitHub took the job back from a runner that did not begin it, and gave it to another.
        after = JobState.RUNNING
    if after is None and known is not None and known.state is JobState.QUEUED and event.action is Action.QUEUED:
        return _queued_anew(known, event, now, reading=reading)
    if after is None:
        return Nothing(f"the job is {state or 'not queued yet'}; {event.action} changes nothing")
    queued = after is JobState.QUEUED
    record = JobRecord(
        event=_announced(known, event, reading=reading),
        state=after,
        recorded_at=known.recorded_at if known else now,
        changed_at=now,
        runner_name=event.runner_name,
        conclusion=event.conclusion,
        queued_since=now if queued or known is None else known.queued_since,
        # It was served, or gone, in between: what failed before says nothing.
        urged_at=now if queued and known is not None else _urged_at(known),
        heard=known.heard if known else (),
        # Of a job that is cancelled in the queue GitHub tells a start, too.
        started_at=(event.started_at or (known.started_at if known else None)) if event.runner_name else None,
        completed_at=event.completed_at,
    )
    return Step(record, launch=queued)


def missing(known: JobRecord, now: float) -> Step | Nothing:
    """GitHub does not know the job any more: wait no longer for it, and keep it, should it come back."""
    after = MISSING.get(known.state)
    if after is None:
        return Nothing(f"the job is {known.state}")
    return Step(msgspec.structs.replace(known, state=after, changed_at=now))


def gated(known: JobRecord, now: float) -> JobRecord:
    """The record of a queued job of which GitHub says, asked just now, that it waits for an approval.

    A delivery alone says nothing: a late one must not undo what came after the approval. What is queued anew is served.
    """
    return msgspec.structs.replace(known, state=JobState.GONE, changed_at=now, conclusion=GATED)


def heard(record: JobRecord, digest: str) -> JobRecord:
    """The record of a job that a delivery with a body of this digest has announced."""
    return msgspec.structs.replace(record, heard=(*(each for each in record.heard if each != digest), digest)[-_HEARD:])


def urged(known: JobRecord, now: float) -> JobRecord:
    """The record of a queued job for which what failed before counts for nothing: something has changed."""
    return msgspec.structs.replace(known, urged_at=now)


def _queued_anew(known: JobRecord, event: JobEvent, now: float, *, reading: bool) -> Step | Nothing:
    """What a queued job's further announcement changes: where it is to be served, and what failed before."""
    announced = _announced(known, event, reading=reading)
    anew = not reading and now - known.queued_since > ANNOUNCED_ANEW_S
    if announced == known.event and not anew:
        return Nothing(f"the job is queued; {event.action} changes nothing")
    moved = (announced.scope, announced.installation_id) != (known.event.scope, known.event.installation_id)
    return Step(
        msgspec.structs.replace(
            known,
            event=announced,
            urged_at=now if anew or moved else known.urged_at,
            queued_since=now if anew else known.queued_since,
        ),
        launch=True,
    )


def _announced(known: JobRecord | None, event: JobEvent, *, reading: bool) -> JobEvent:
    """The event that announced the job, for a later one may lack what the launch needs, in the newest place.

    An organisation may have been renamed, and an App installed anew: what was just read knows.
    """
    if known is None:
        return event
    if not (reading or known.state is JobState.GONE):
        return known.event
    return msgspec.structs.replace(
        known.event,
        repository=event.repository,
        repository_id=event.repository_id,
        private=event.private,
        scope=event.scope,
        installation_id=event.installation_id,
    )


def _state(known: JobRecord | None) -> JobState | None:
    if known is None:
        return None
    # As an older version has recorded it.
    return JobState.GONE if known.state is JobState.DONE and known.conclusion == "gone" else known.state


def _urged_at(known: JobRecord | None) -> float:
    return known.urged_at if known else 0.0


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
    jobs += [(before, after, "not found, twice") for before, after in MISSING.items()]
    lines = ["stateDiagram-v2", "    state jobs {"]
    lines += [f"        {before or '[*]'} --> {after}: {label}" for before, after, label in jobs]
    lines += ["    }", "    state runners {"]
    lines += [f"        {before} --> {after}" for before, row in RUNNERS.items() for after in sorted(row)]
    return "\n".join([*lines, "    }", ""])

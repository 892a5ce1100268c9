"""One job's time, from GitHub's queue to its end, as parts that follow one another. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from github_app.jobs.accounts import queued_at
from github_app.model import Hold, JobRecord, JobState, Ran, RunnerRecord, Waited


@dataclass(frozen=True)
class Part:
    """A part of a job's time: `name` for a machine, `what` for people. Times are seconds since it was queued."""

    name: str
    what: str
    begins: float
    ends: float
    goes_on: bool = False

    @property
    def lasts(self) -> float:
        """Its length in seconds."""
        return self.ends - self.begins


# What takes less is not called a wait.
_AT_ONCE_S = 1.0
_WHY: dict[str, str] = {
    Hold.GITHUB_UNREACHABLE: "GitHub did not answer",
    Hold.GITHUB_LIMIT: "GitHub's limit was reached",
    Hold.GITHUB_REFUSES: "GitHub refused a runner",
    Hold.GITHUB_NOT_FOUND: "GitHub did not know the organisation",
    Hold.NAME_TAKEN: "a runner of this name was there",
    Hold.MODAL_CAPACITY: "Modal had no room",
    Hold.MODAL_REFUSES: "Modal refused the sandbox",
    Hold.RUNNER_DIED: "its runner ended at once",
    Hold.NEVER_ONLINE: "its runner did not come online",
    Hold.NOT_PICKED_UP: "GitHub did not give it to its runner",
}
_TURN = "Waiting for its turn: a cap, GitHub's limit, or an attempt that came to nothing"
_WHAT = {
    "delivery": "GitHub's delivery",
    "ours": "Modal Runner: admitted, runner registered",
    "modal": "Modal: sandbox made",
    "runner": "The runner comes online and is given the job",
    "queue": "Waiting for a runner",
    "job": "The job",
}


def timeline(record: JobRecord, runner: RunnerRecord | None, now: float) -> list[Part]:
    """The parts, as far as the job has come; `runner` is the one that it has or is to get, where that is known."""
    begun = record.started_at if record.state is not JobState.QUEUED else None
    marks = [_Mark("delivery", record.recorded_at), *(_launch(record, runner) or [_Mark("queue", None)])]
    marks[-1] = replace(marks[-1], end=begun)
    marks.append(_Mark("job", record.completed_at))
    zero = queued_at(record)
    parts: list[Part] = []
    at = zero
    for mark in marks:
        what = mark.what or _WHAT[mark.name]
        if mark.end is None:
            if not record.state.over:
                parts.append(Part(mark.name, what, at - zero, max(at, now) - zero, goes_on=True))
            break
        # Clocks of GitHub, of our containers and of Modal are apart by parts of a second.
        end = max(at, mark.end)
        if end > at or not mark.what:
            parts.append(Part(mark.name, what, at - zero, end - zero))
        at = end
    return parts


@dataclass(frozen=True)
class _Mark:
    """The end of a part, where it is known; `what` where that is not always the same."""

    name: str
    end: float | None
    what: str = ""


def _launch(record: JobRecord, runner: RunnerRecord | None) -> list[_Mark]:
    """The parts of a launch for this very job, the last one without its end; none where its runner was another's."""
    source: Ran | RunnerRecord | None = record.ran or runner
    if source is None:
        return []
    own, created = source.started_for, source.created_at
    jit = source.jit_at if isinstance(source, Ran) else source.started_at
    if own != record.event.job_id or (record.state.over and created is None):
        return []
    held = _held(source.waited, record.recorded_at, source.admitted_at)
    parts = [*held, _Mark("ours", jit), _Mark("modal", created)]
    return [*parts, _Mark("runner", None)] if created is not None else parts


def _held(waited: Sequence[Waited], since: float, admitted_at: float | None) -> list[_Mark]:
    """What a job waited for before it was admitted: what put its launches off, and its turn."""
    marks: list[_Mark] = []
    at = since
    for span in waited:
        if span.since > at + _AT_ONCE_S:
            marks.append(_Mark("queue", span.since, _TURN))
        marks.append(_Mark("held", span.until, f"Put off: {_WHY.get(span.reason, span.reason)}"))
        at = span.until
    if admitted_at is not None and admitted_at > at + _AT_ONCE_S:
        marks.append(_Mark("queue", admitted_at, _TURN))
    return marks

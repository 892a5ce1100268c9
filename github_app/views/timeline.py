"""One job's time, from GitHub's queue to its end, as parts that follow one another. Pure."""

from dataclasses import dataclass

from github_app.jobs.accounts import queued_at
from github_app.model import JobRecord, JobState, RunnerRecord


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
    marks: list[tuple[str, float | None]] = [("delivery", record.recorded_at)]
    marks += _launch(record, runner) or [("queue", None)]
    marks[-1] = (marks[-1][0], begun)
    marks.append(("job", record.completed_at))
    zero = queued_at(record)
    parts: list[Part] = []
    at = zero
    for name, end in marks:
        if end is None:
            if not record.state.over:
                parts.append(Part(name, _WHAT[name], at - zero, max(at, now) - zero, goes_on=True))
            break
        # Clocks of GitHub, of our containers and of Modal are apart by parts of a second.
        parts.append(Part(name, _WHAT[name], at - zero, max(at, end) - zero))
        at = max(at, end)
    return parts


def _launch(record: JobRecord, runner: RunnerRecord | None) -> list[tuple[str, float | None]]:
    """The parts of a launch for this very job, the last one without its end; none where its runner was another's."""
    ran = record.ran
    if ran is not None:
        own, jit, created = ran.started_for, ran.jit_at, ran.created_at
    elif runner is not None:
        own, jit, created = runner.started_for, runner.started_at, runner.created_at
    else:
        return []
    if own != record.event.job_id or (record.state.over and created is None):
        return []
    parts: list[tuple[str, float | None]] = [("ours", jit), ("modal", created)]
    return [*parts, ("runner", None)] if created is not None else parts

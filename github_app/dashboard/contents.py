"""What stands on each page, from what one may see. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from github_app.dashboard.reading import Past, Reading
from github_app.foreign_text import short
from github_app.model import JobRecord, RunnerRecord
from github_app.routing.catalog import usd_per_minute
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.views.jobs import JobLine
from github_app.views.status import JobStatus
from github_app.views.timeline import Part, timeline

PAGE = 50
_DAY_S = 86400.0


@dataclass(frozen=True)
class Row:
    """A job that is not over: what `status` tells of it, what `jobs` does, and the runner it has or is to get."""

    job: JobStatus
    line: JobLine
    runner: RunnerRecord | None


@dataclass(frozen=True)
class Now:
    """What is going on. `idle` are runners that no job here has."""

    waiting: Sequence[Row]
    starting: Sequence[Row]
    running: Sequence[Row]
    idle: Sequence[RunnerRecord]
    usd_per_hour: float


def now_of(reading: Reading) -> Now:
    """Sort jobs by how far they are."""
    runners = reading.records.runners
    own = {runner.started_for: runner for runner in runners.values() if runner.idle}
    waiting: list[Row] = []
    starting: list[Row] = []
    running: list[Row] = []
    for job in reading.status.jobs:
        line = reading.jobs[job.id]
        if job.state == "running":
            running.append(Row(job, line, runners.get(job.runner or "")))
        elif job.state == "queued":
            runner = own.get(job.id)
            (starting if runner else waiting).append(Row(job, line, runner))
    given = {row.job.id for row in starting}
    idle = [r for r in runners.values() if r.idle and r.started_for not in given]
    rates = [row.line.usd / row.line.ran_s * 3600 for row in running if row.line.usd and row.line.ran_s]
    return Now(waiting, starting, running, sorted(idle, key=lambda r: r.started_at), sum(rates))


@dataclass(frozen=True)
class Wanted:
    """What to show of the history: all of it, in words of a URL's query."""

    text: str = ""
    repository: str = ""
    workflow: str = ""
    machine: str = ""
    conclusion: str = ""
    days: float = 7.0
    page: int = 1

    def has(self, line: JobLine, now: float) -> bool:
        """Tell whether a job is wanted."""
        named = f"{line.name} {line.repository} {line.workflow or ''} {line.branch or ''} {line.id}".lower()
        return (
            all(word in named for word in self.text.lower().split())
            and self.repository in {"", short(line.repository)}
            and self.workflow in {"", short(line.workflow or "")}
            and self.machine in {"", line.machine or ""}
            and self.conclusion in {"", line.conclusion or ""}
            and (line.completed_at or line.queued_at or now) >= now - self.days * _DAY_S
        )


@dataclass(frozen=True)
class History:
    """A page of jobs that are over, how many there are in all, and what the filters offer."""

    lines: Sequence[JobLine]
    total: int
    pages: int
    repositories: Sequence[str]
    workflows: Sequence[str]
    machines: Sequence[str]
    conclusions: Sequence[str]


def history_of(past: Past, wanted: Wanted, now: float) -> History:
    """The page that is wanted."""
    lines = [line for line, _ in past.jobs]
    found = [line for line in lines if wanted.has(line, now)]
    first = (wanted.page - 1) * PAGE

    def offered(what: Callable[[JobLine], str | None]) -> list[str]:
        return sorted({short(each) for line in lines if (each := what(line))})

    return History(
        found[first : first + PAGE],
        len(found),
        max(1, -(-len(found) // PAGE)),
        offered(lambda line: line.repository),
        offered(lambda line: line.workflow),
        offered(lambda line: line.machine),
        offered(lambda line: line.conclusion),
    )


@dataclass(frozen=True)
class OneJob:
    """All that is known of a job. `route` is where its labels led by the rules of today; `reason`, why it waits."""

    line: JobLine
    record: JobRecord
    parts: Sequence[Part]
    whole_s: float
    reason: str | None
    until: float | None
    route: str | None
    profile: str | None
    usd_per_hour: float | None
    runner: RunnerRecord | None


def job_of(record: JobRecord, line: JobLine, reading: Reading, rules: Rules) -> OneJob:
    """Tell of one job."""
    number = record.event.job_id
    runners = reading.records.runners
    runner = runners.get(record.runner_name or "") or next(
        (r for r in runners.values() if r.started_for == number and r.idle), None
    )
    status = next((job for job in reading.status.jobs if job.id == number), None)
    parts = timeline(record, runner, reading.at)
    routed = route(record.event, rules)
    admitted = routed if isinstance(routed, Admit) else None
    return OneJob(
        line=line,
        record=record,
        parts=parts,
        whole_s=max((part.ends for part in parts), default=0.0),
        reason=status.waits_for if status else None,
        until=status.until if status else None,
        route=admitted.route if admitted else None,
        profile=record.ran.profile if record.ran else admitted.profile if admitted else None,
        usd_per_hour=_rate(record, admitted),
        runner=runner,
    )


def _rate(record: JobRecord, admitted: Admit | None) -> float | None:
    if record.ran is not None:
        return record.ran.usd_per_hour
    return usd_per_minute(admitted.shape) * 60 if admitted else None

"""What stands on each page, from what one may see. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from github_app.dashboard.reading import Ended, Past, Reading
from github_app.lifecycle import GATED
from github_app.model import RUNNER_NAME, JobRecord, RunnerRecord
from github_app.routing.catalog import usd_per_minute
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.runners.capacity import IN_ALL
from github_app.views.jobs import JobLine
from github_app.views.status import JobStatus
from github_app.views.timeline import Part, timeline
from github_app.views.waits import APPROVAL

PAGE = 50
# Of what is searched for.
_MOST_WORDS = 8
_DAY_S = 86400.0


@dataclass(frozen=True)
class Row:
    """A job that is not over: what `status` tells of it, what `jobs` does, and the runner it has or is to get."""

    job: JobStatus
    line: JobLine
    runner: RunnerRecord | None


@dataclass(frozen=True)
class Cap:
    """A cap, and how much of it is in use; None: it is not set any more."""

    name: str
    taken: int
    most: int | None


@dataclass(frozen=True)
class Now:
    """What is going on. `idle` are runners that no job here has."""

    waiting: Sequence[Row]
    starting: Sequence[Row]
    running: Sequence[Row]
    idle: Sequence[RunnerRecord]
    usd_per_hour: float
    gpus: Mapping[str, int]
    caps: Sequence[Cap]


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
    # Modal bills from a sandbox's start to its end, whatever its runner does.
    billed = [r for r in runners.values() if (r.created_at or r.sandbox_id) and r.ended_at is None]
    usd = sum(usd_per_minute(runner.shape) * 60 for runner in billed)
    gpus: Counter[str] = Counter()
    for runner in billed:
        if runner.shape.gpu is not None:
            gpus[runner.shape.gpu.type] += runner.shape.gpu.count
    return Now(
        waiting,
        starting,
        running,
        sorted(idle, key=lambda r: r.started_at),
        usd,
        dict(sorted(gpus.items())),
        _caps(reading),
    )


def _caps(reading: Reading) -> list[Cap]:
    """How much of each cap is in use; that of a repository is the same for each."""
    caps, found = reading.caps, []
    for group, taken in reading.status.slots.items():
        if group == IN_ALL:
            found.append(Cap("all runners", taken, caps.in_all))
        elif group.startswith("profile:"):
            name = group.removeprefix("profile:")
            found.append(Cap(f"profile {name}", taken, caps.per_profile.get(name)))
        else:
            found.append(Cap(group, taken, caps.per_repository))
    return found


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

    def of(self, jobs: Sequence[Ended], now: float) -> list[JobLine]:
        """Those of `jobs` that are wanted."""
        words = self.text.lower().split()[:_MOST_WORDS]
        since = now - self.days * _DAY_S
        return [
            each.line
            for each in jobs
            if (not self.repository or self.repository == each.repository)
            and (not self.workflow or self.workflow == each.workflow)
            and (not self.machine or self.machine == each.line.machine)
            and (not self.conclusion or self.conclusion == each.line.conclusion)
            and (each.line.completed_at or each.line.queued_at or now) >= since
            and all(word in each.text for word in words)
        ]


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
    found = wanted.of(past.jobs, now)
    first = (wanted.page - 1) * PAGE
    lines = [each.line for each in past.jobs]
    return History(
        found[first : first + PAGE],
        len(found),
        max(1, -(-len(found) // PAGE)),
        _offered({each.repository for each in past.jobs}, wanted.repository),
        _offered({each.workflow for each in past.jobs}, wanted.workflow),
        _offered({line.machine or "" for line in lines}, wanted.machine),
        _offered({line.conclusion or "" for line in lines}, wanted.conclusion),
    )


def _offered(names: set[str], chosen: str) -> list[str]:
    """What a filter offers; what is chosen stays in sight, also where there is none of it any more."""
    return sorted((names | {chosen}) - {""})


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
    tries: int


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
        reason=status.waits_for if status else APPROVAL if record.conclusion == GATED else None,
        until=status.until if status else None,
        route=admitted.route if admitted else None,
        profile=record.ran.profile if record.ran else admitted.profile if admitted else None,
        usd_per_hour=_rate(record, admitted),
        runner=runner,
        tries=_tries(record, runner),
    )


def _tries(record: JobRecord, runner: RunnerRecord | None) -> int:
    """How many runners were started for a job, its own among them; 1 where another's has it."""
    name = record.ran.runner if record.ran else runner.name if runner else ""
    found = RUNNER_NAME.fullmatch(name)
    return int(found["attempt"]) if found and int(found["job_id"]) == record.event.job_id else 1


def _rate(record: JobRecord, admitted: Admit | None) -> float | None:
    if record.ran is not None:
        return record.ran.usd_per_hour
    return usd_per_minute(admitted.shape) * 60 if admitted else None

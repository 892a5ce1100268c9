"""Demand against supply: which queued jobs to start a runner for, which idle runners nobody needs. Pure.

GitHub gives a queued job to any runner that has its labels, so whose runner was taken by whom does not matter:
what counts are the totals for each kind of machine. One surplus cannot breed another, and a job whose runner was
taken gets the taker's own, if that one fits.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from github_app.model import (
    Claim,
    Halt,
    Hold,
    JobRecord,
    JobState,
    RunnerRecord,
    RunnerState,
    Shape,
    Waited,
    runner_name,
)
from github_app.routing.warm import is_seat, waits_s

# A launch renews its claim every ten seconds; one that has not for this long has crashed.
CLAIM_IS_STALE_S = 30.0
# What another process has written may be read late, by a second or two, and clocks are apart by some seconds: a runner
# may be seen before its job is, and before the claim of its launch.
YOUNG_FOR_S = 10.0


# A job that GitHub has not given a runner that waits within so many seconds gets one of its own: it may not be given
# that one at all, as of a runner group that does not admit its repository.
WAITING_SERVES_FOR_S = 90.0
# Spans that are told of what a job has waited for.
_MOST_WAITED = 8
# Before a runner has waited for as long as it may, another takes its place.
_REPLACED_BEFORE_S = 900.0


@dataclass(frozen=True)
class Demand:
    """A queued job and the machine that it is to get.

    Or a seat, whose runner is made by `release`, and may get the jobs of `known_private` repositories too.
    """

    job: JobRecord
    shape: Shape
    release: str = ""
    known_private: tuple[str, ...] = ()

    @property
    def job_id(self) -> int:
        """The job's id."""
        return self.job.event.job_id

    @property
    def is_seat(self) -> bool:
        """Whether no job asks for it."""
        return is_seat(self.job_id)


@dataclass(frozen=True)
class Start:
    """Start a runner for a job, as this attempt, after so many that came to nothing in a row."""

    demand: Demand
    attempt: int
    failures: int = 0
    # Of what kind the last of these was.
    hold: Hold | None = None
    # As in Claim.
    unused: int = 0
    cost_usd: float = 0.0
    waited: tuple[Waited, ...] = ()
    # Another job has the runner of the attempt before, and no attempt came to nothing.
    passed_by: bool = False

    @property
    def key(self) -> str:
        """The key of its claim."""
        return f"{self.demand.job_id}-{self.attempt}"

    @property
    def runner(self) -> str:
        """The name of its runner."""
        return runner_name(self.demand.job_id, self.attempt)


@dataclass(frozen=True)
class Wait:
    """A job that waits although it has no runner; `until` is None when a launch is under way or a cap is reached.

    `halted`: nothing is started for it until something changes.
    """

    demand: Demand
    reason: str
    until: float | None = None
    halted: bool = False


@dataclass(frozen=True)
class Plan:
    """What is missing (oldest first), what has to wait, what is too much.

    `starting` is too much as well, but is still being launched, or young: nobody knows yet what there is to end.
    `seated` wait for jobs, and are no longer being launched.
    """

    starts: tuple[Start, ...]
    waits: tuple[Wait, ...]
    surplus: tuple[RunnerRecord, ...]
    starting: tuple[RunnerRecord, ...] = ()
    seated: tuple[RunnerRecord, ...] = ()


def fits(runner: RunnerRecord, demand: Demand) -> bool:
    """Tell whether a runner is as good as one of the job's own: same scope, same machine, all labels."""
    job = demand.job.event
    has = {label.lower() for label in runner.labels}
    return (
        runner.place == job.place and runner.shape == demand.shape and all(label.lower() in has for label in job.labels)
    )


def plan(
    demands: Iterable[Demand],
    runners: Mapping[str, RunnerRecord],
    claims: Mapping[str, Claim],
    halts: Mapping[str, Halt],
    now: float,
) -> Plan:
    """Match each queued job with an idle runner, its own first; decide for those that are left.

    `runners`, `claims` and `halts` are keyed as in the store: by runner name, by `<job id>-<attempt>`, by job id.
    """
    demands = list(demands)
    seats = [d for d in demands if d.is_seat]
    queued = sorted(
        (d for d in demands if d.job.state is JobState.QUEUED and not d.is_seat),
        key=lambda d: (d.job.recorded_at, d.job_id),
    )
    halted = {d.job_id: halt for d in queued if (halt := halts.get(str(d.job_id))) and holds(halt, d.job)}
    waiting = [d for d in queued if d.job_id not in halted]
    # Two events may cross, so that only the job's record says who has taken a runner.
    taken = {d.job.runner_name for d in demands if d.job.state is not JobState.QUEUED}
    missing, left = _match(waiting, [r for r in runners.values() if r.idle and r.name not in taken], now)
    empty, seated = _seat(seats, left, now)
    unneeded = [runner for runner in left if runner not in seated]
    last = _last_attempts(claims)
    decided = [_decide(demand, last.get(demand.job_id), claims, runners, now) for demand in (*missing, *empty)]
    return Plan(
        starts=tuple(d for d in decided if isinstance(d, Start)),
        waits=tuple(d for d in decided if isinstance(d, Wait))
        + tuple(Wait(d, halted[d.job_id].reason, halted=True) for d in queued if d.job_id in halted),
        surplus=tuple(runner for runner in unneeded if not _is_starting(runner, claims, now)),
        starting=tuple(runner for runner in unneeded if _is_starting(runner, claims, now)),
        seated=tuple(runner for runner in seated if not _is_starting(runner, claims, now)),
    )


def holds(halt: Halt, job: JobRecord) -> bool:
    """Tell whether a halt still counts: nothing has changed since."""
    return halt.at >= job.urged_at


def giving_way(
    fulls: Iterable[str], seated: Iterable[RunnerRecord], going: Mapping[str, str]
) -> list[tuple[str, RunnerRecord]]:
    """Say which runners that wait for jobs are to go, so that jobs get their slots: one for each group in `fulls`.

    `going` has the groups of those that are on their way already, by name.
    """
    left = [runner for runner in seated if runner.name not in going]
    missing = Counter(fulls)
    missing.subtract(going.values())
    found = []
    for group in missing.elements():
        runner = next((r for r in left if any(key.rpartition("/")[0] == group for key in r.slots)), None)
        if runner is not None:
            left.remove(runner)
            found.append((group, runner))
    return found


def _seat(seats: list[Demand], idle: list[RunnerRecord], now: float) -> tuple[list[Demand], list[RunnerRecord]]:
    """Give each seat a runner that was made for one; tell which are empty, and whom the others have."""
    left = [runner for runner in idle if is_seat(runner.started_for)]
    own = {runner.started_for for runner in left}
    empty, seated = [], []
    # Those first that have one of their own: who has none must not take it, whose own is on its way.
    for seat in sorted(seats, key=lambda each: each.job_id not in own):
        until = waits_s(seat.shape) - _REPLACED_BEFORE_S
        fitting = [r for r in left if fits(r, seat) and r.release == seat.release and now - r.started_at < until]
        found = next((r for r in fitting if r.started_for == seat.job_id), fitting[0] if fitting else None)
        if found is None:
            empty.append(seat)
        else:
            left.remove(found)
            seated.append(found)
    return empty, seated


def _match(
    waiting: list[Demand], runners: Iterable[RunnerRecord], now: float
) -> tuple[list[Demand], list[RunnerRecord]]:
    """Give each job a runner: its own, or else the plainest that fits; those with most labels choose first."""
    idle = {runner.name: runner for runner in runners}
    own = {runner.started_for: runner for runner in idle.values()}
    rest = []
    for demand in waiting:
        runner = own.get(demand.job_id)
        if runner is not None and fits(runner, demand):
            del idle[runner.name]
        else:
            rest.append(demand)
    missing: set[int] = set()
    for demand in sorted(rest, key=lambda d: -len(d.job.event.labels)):
        since = demand.job.queued_since or demand.job.recorded_at
        waited_long = now - since > WAITING_SERVES_FOR_S
        fitting = [
            runner
            for runner in idle.values()
            if fits(runner, demand) and not (waited_long and is_seat(runner.started_for))
        ]
        if fitting:
            del idle[min(fitting, key=lambda runner: len(runner.labels)).name]
        else:
            missing.add(demand.job_id)
    return [demand for demand in rest if demand.job_id in missing], list(idle.values())


def is_young(runner: RunnerRecord, now: float) -> bool:
    """Tell whether what belongs to a runner may not be seen yet."""
    return runner.started_at > now - YOUNG_FOR_S


def _is_starting(runner: RunnerRecord, claims: Mapping[str, Claim], now: float) -> bool:
    """It is young, or its sandbox has been asked for and its launch lives."""
    if is_young(runner, now):
        return True
    claim = claims.get(runner.name.removeprefix("modal-"))
    return (
        runner.state is RunnerState.STARTING
        and claim is not None
        and claim.hold is None
        and claim.renewed_at > now - CLAIM_IS_STALE_S
    )


def _last_attempts(claims: Mapping[str, Claim]) -> dict[int, int]:
    last: dict[int, int] = {}
    for key in claims:
        job_id, attempt = (int(part) for part in key.split("-"))
        last[job_id] = max(attempt, last.get(job_id, 0))
    return last


def failed_before(claims: Mapping[str, Claim], job_id: int) -> str | None:
    """Why the last attempt for a job that came to nothing did; None where none has."""
    attempts = sorted(
        (int(key.split("-")[1]), claim) for key, claim in claims.items() if int(key.split("-")[0]) == job_id
    )
    return next((claim.reason for _, claim in reversed(attempts) if claim.hold is not None and claim.reason), None)


def _decide(
    demand: Demand,
    attempt: int | None,
    claims: Mapping[str, Claim],
    runners: Mapping[str, RunnerRecord],
    now: float,
) -> Start | Wait:
    if attempt is None:
        return Start(demand, attempt=1)
    claim = claims[f"{demand.job_id}-{attempt}"]
    if claim.not_before is not None:
        if claim.renewed_at < demand.job.urged_at:
            return Start(demand, attempt + 1, cost_usd=claim.cost_usd, waited=_waited(claim, now))
        if claim.not_before > now:
            return Wait(demand, claim.reason or str(claim.hold), claim.not_before)
        waited = _waited(claim, now)
        return Start(demand, attempt + 1, claim.failures, claim.hold, claim.unused, claim.cost_usd, waited)
    runner = runners.get(runner_name(demand.job_id, attempt))
    if runner is None and claim.renewed_at > now - CLAIM_IS_STALE_S:
        return Wait(demand, "its launch is under way")
    # The attempt's runner was taken by another job, or has ended, or its launch crashed.
    passed_by = (
        runner is not None and runner.runs_job not in {None, demand.job_id} and not (claim.unused or claim.failures)
    )
    return Start(
        demand, attempt + 1, claim.failures, claim.last_hold, claim.unused, claim.cost_usd, claim.waited, passed_by
    )


def _waited(claim: Claim, now: float) -> tuple[Waited, ...]:
    """What has put off a job's launches, now that it is tried again."""
    span = Waited(str(claim.hold or "failed"), claim.renewed_at, now)
    return (*claim.waited, span)[-_MOST_WAITED:]

"""What many seeds come to."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from github_app.simulate.run import Outcome


class FoundViolation(msgspec.Struct, frozen=True):
    """A violation, `at` virtual seconds into its seed."""

    seed: int
    invariant: str
    at: float
    what: str


class StartDelay(msgspec.Struct, frozen=True):
    """Virtual seconds from *queued* to *in progress*, as GitHub sees them, of the jobs that began."""

    p50: float
    p99: float
    worst: float


class SimulationReport(msgspec.Struct, frozen=True):
    """The fields are what `--json` prints; `seeds` are the first and the last, both included."""

    seeds: tuple[int, int]
    seeds_run: int
    virtual_hours: float
    faults: dict[str, int]
    violations: list[FoundViolation]
    start_delay_s: StartDelay
    # The same for a twentieth of the seeds, without faults; None for a single seed.
    start_delay_without_faults_s: StartDelay | None


def report_of(seeds: tuple[int, int], outcomes: Sequence[Outcome], undisturbed: Sequence[Outcome]) -> SimulationReport:
    """Sum up; `undisturbed` are those that ran without faults beside."""
    struck: Counter[str] = Counter()
    for outcome in outcomes:
        struck.update(outcome.struck)
    return SimulationReport(
        seeds=seeds,
        seeds_run=len(outcomes),
        virtual_hours=round(sum(outcome.virtual_s for outcome in outcomes) / 3600, 2),
        faults=dict(sorted(struck.items())),
        violations=[
            FoundViolation(outcome.plan.seed, each.invariant, each.at, each.what)
            for outcome in (*outcomes, *undisturbed)
            for each in outcome.violations
        ],
        start_delay_s=_delays(outcomes),
        start_delay_without_faults_s=_delays(undisturbed) if undisturbed else None,
    )


def _delays(outcomes: Sequence[Outcome]) -> StartDelay:
    starts = sorted(start for outcome in outcomes for start in outcome.starts)
    return StartDelay(_share(starts, 0.5), _share(starts, 0.99), _share(starts, 1.0))


def around(outcome: Outcome, lines: int = 60) -> list[str]:
    """The history that leads to the first violation: what names its jobs and runners, and every fault and blow."""
    violation = outcome.violations[0]
    names = {word.strip(",") for word in violation.what.split() if any(sign in word for sign in "-0123456789")}
    ids = {name.removeprefix("modal-").split("-")[0] for name in names if name.startswith("modal-")}
    told = [line for line in outcome.trace if float(line.split(maxsplit=1)[0]) <= violation.at]
    meant = [line for line in told if any(name in line for name in names | ids) or line[11:].startswith("fault")]
    return meant[-lines:]


def _share(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)], 1)

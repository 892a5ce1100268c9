"""What a seed fixes beside chance: the jobs and when they come, who is killed or frozen when, whose clock is off."""

import json
import random
from dataclasses import dataclass

REPOSITORIES = ("alpha", "beta", "gamma")
CAP_PER_REPOSITORY = 8
CAP_IN_ALL = 18
_JOBS_PER_RUN = 5
_MACHINES = (("self-hosted", "modal"), ("self-hosted", "modal", "gpu:t4"), ("self-hosted", "Modal", "linux", "x64"))
_WEIGHTS = (6, 2, 2)


@dataclass(frozen=True)
class PlannedJob:
    """`seconds`: how long it takes; `cancel_after`: seconds after it was queued."""

    name: str
    labels: tuple[str, ...]
    seconds: float
    cancel_after: float | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A push at `at` seconds from the start."""

    at: float
    repository: str
    jobs: tuple[PlannedJob, ...]

    @property
    def workflow(self) -> bytes:
        """Its file. JSON is YAML, and is never misread."""
        jobs = {job.name: {"runs-on": list(job.labels), "steps": [{"run": "true"}]} for job in self.jobs}
        return json.dumps({"name": "simulated", "on": "push", "jobs": jobs}).encode()


@dataclass(frozen=True)
class Blow:
    """A container is killed and started again after `seconds`, or frozen for as long; the last is that of a sweep."""

    at: float
    container: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """Everything that is known beforehand; faults strike until `calm_at`."""

    seed: int
    containers: int
    faults: frozenset[str]
    runs: tuple[PlannedRun, ...]
    calm_at: float
    kills: tuple[Blow, ...] = ()
    freezes: tuple[Blow, ...] = ()
    # By how many seconds each container's clock is off.
    skews: tuple[float, ...] = ()
    # Single faults that do not strike, as `<name> <call> #<number>`.
    spared: frozenset[str] = frozenset()

    @property
    def described(self) -> str:
        """Its size, in a line."""
        jobs = sum(len(run.jobs) for run in self.runs)
        blows = len(self.kills) + len(self.freezes)
        return (
            f"seed {self.seed}: {jobs} jobs, {self.containers} containers, {len(self.faults)} kinds of faults, "
            f"{blows} blows, {len(self.spared)} faults spared"
        )


def make_plan(seed: int, jobs: int, containers: int, faults: frozenset[str]) -> Plan:
    """Plan a seed; the same arguments give the same plan."""
    dice = random.Random(f"plan {seed}")  # noqa: S311 - a plan, not a secret
    runs: list[PlannedRun] = []
    at, left = 0.0, jobs
    while left > 0:
        count = min(left, dice.randint(1, _JOBS_PER_RUN))
        runs.append(PlannedRun(at, dice.choice(REPOSITORIES), _jobs(dice, len(runs), count, faults)))
        left -= count
        at += dice.expovariate(1 / 40.0)
    calm_at = at + 120.0

    def blows(kind: str, shortest: float, longest: float) -> tuple[Blow, ...]:
        if kind not in faults:
            return ()
        return tuple(
            Blow(dice.uniform(0, calm_at), dice.randrange(containers + 1), dice.uniform(shortest, longest))
            for _ in range(dice.randint(1, 3))
        )

    skews = tuple(dice.uniform(-5, 5) if "clock-skew" in faults else 0.0 for _ in range(containers + 1))
    return Plan(seed, containers, faults, tuple(runs), calm_at, blows("kill", 1, 30), blows("freeze", 5, 180), skews)


def _jobs(dice: random.Random, run: int, count: int, faults: frozenset[str]) -> tuple[PlannedJob, ...]:
    return tuple(
        PlannedJob(
            f"job-{run}-{index}",
            dice.choices(_MACHINES, _WEIGHTS)[0],
            dice.uniform(5, 240),
            dice.uniform(0, 120) if "cancel" in faults and dice.random() < 0.08 else None,
        )
        for index in range(count)
    )

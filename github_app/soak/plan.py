"""What a seed fixes: the jobs, how long they take, which are cancelled when, when we are killed."""

import json
import random
from dataclasses import dataclass

REPOSITORIES = ("alpha", "beta", "gamma")
CAP_PER_REPOSITORY = 20
CAP_IN_ALL = 55
_JOBS_PER_RUN = 10
_MACHINES = (["self-hosted", "modal"], ["self-hosted", "modal", "gpu:t4"], ["self-hosted", "Modal", "linux", "x64"])
_WEIGHTS = (6, 2, 2)


@dataclass(frozen=True)
class PlannedRun:
    """A push at `at` (virtual seconds from the start): a workflow, and how long (virtual seconds) each job takes."""

    at: float
    repository: str
    workflow: str
    lengths: dict[str, float]


@dataclass(frozen=True)
class SoakPlan:
    """`cancels`: job name -> virtual seconds after it was queued. `kills`: virtual seconds of each `kill -9`."""

    runs: tuple[PlannedRun, ...]
    cancels: dict[str, float]
    kills: tuple[float, ...]


def make_plan(jobs: int, seed: int, *, cancel: bool, kill: bool) -> SoakPlan:
    """Plan `jobs` jobs; the same arguments give the same plan."""
    dice = random.Random(seed)  # noqa: S311 - a plan, not a secret
    runs: list[PlannedRun] = []
    at, left = 0.0, jobs
    while left > 0:
        count = min(left, _JOBS_PER_RUN)
        runs.append(_run(dice, at, len(runs), count))
        left -= count
        at += dice.expovariate(1 / 15.0)
    names = [name for run in runs for name in run.lengths]
    cancels = {name: dice.uniform(0, 90) for name in names if cancel and dice.random() < 0.08}
    kills = tuple(at * (n + 1) / 6 + dice.uniform(0, 30) for n in range(5)) if kill else ()
    return SoakPlan(tuple(runs), cancels, kills)


def _run(dice: random.Random, at: float, number: int, count: int) -> PlannedRun:
    jobs, lengths = {}, {}
    for index in range(count):
        name = f"job-{number}-{index}"
        labels = dice.choices(_MACHINES, _WEIGHTS)[0]
        jobs[name] = {"runs-on": labels, "steps": [{"run": "true"}]}
        lengths[name] = dice.uniform(10, 120)
    # JSON is YAML, and is never misread.
    workflow = json.dumps({"name": f"run-{number}", "on": "push", "jobs": jobs})
    return PlannedRun(at, dice.choice(REPOSITORIES), workflow, lengths)

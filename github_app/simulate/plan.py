"""What a seed fixes beside chance: the jobs and when they come, and what befalls the world and the app meanwhile."""

import json
import random
from dataclasses import dataclass, replace

ORGANIZATION, ANOTHER, PERSON = "octo-org", "hexa-org", "mona"
KINDS_OF_ACCOUNTS = {ORGANIZATION: "Organization", ANOTHER: "Organization", PERSON: "User"}
OWN = tuple(f"{ORGANIZATION}/{name}" for name in ("alpha", "beta", "gamma"))
OF_OTHER_ACCOUNTS = (f"{ANOTHER}/delta", f"{PERSON}/epsilon")
# Of the organisation, and the App is not installed there: its jobs may take runners of ours all the same.
STRANGE = f"{ORGANIZATION}/strange"
REPOSITORIES = (*OWN, *OF_OTHER_ACCOUNTS, STRANGE)
_JOBS_PER_RUN = 5
_MACHINES = (("self-hosted", "modal"), ("self-hosted", "modal", "gpu:t4"), ("self-hosted", "Modal", "linux", "x64"))
_WEIGHTS = (6, 2, 2)


@dataclass(frozen=True)
class PlannedJob:
    """`seconds`: how long it takes. The others count from when it is queued, `rerun_after` from its likely end."""

    name: str
    labels: tuple[str, ...]
    seconds: float
    cancel_after: float | None = None
    approve_after: float | None = None
    rerun_after: float | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A push at `at` seconds from the start."""

    at: float
    repository: str
    jobs: tuple[PlannedJob, ...]
    cancel_after: float | None = None

    @property
    def workflow(self) -> bytes:
        """Its file. JSON is YAML, and is never misread."""
        jobs = {job.name: {"runs-on": list(job.labels), "steps": [{"run": "true"}]} for job in self.jobs}
        return json.dumps({"name": "simulated", "on": "push", "jobs": jobs}).encode()


@dataclass(frozen=True)
class Blow:
    """What happens at `at`, and lasts for `seconds`. `of`: the number of a container, or whose name it concerns.

    A kill and a freeze hit one container, of which the last is that of a sweep; what is `-down` is so for everybody.
    """

    kind: str
    at: float
    seconds: float = 0.0
    of: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that is known beforehand; faults strike until `calm_at`."""

    seed: int
    containers: int
    faults: frozenset[str]
    runs: tuple[PlannedRun, ...]
    calm_at: float
    blows: tuple[Blow, ...] = ()
    # By how many seconds each container's clock is off.
    skews: tuple[float, ...] = ()
    # How many runners wait for jobs with plain labels.
    warm: int = 0
    # Single faults that do not strike, as `<name> <call> #<number>`.
    spared: frozenset[str] = frozenset()

    @property
    def accounts(self) -> list[str]:
        """The accounts that it needs."""
        names = {name.partition("/")[0] for run in self.runs for name in [run.repository]} | {ORGANIZATION}
        return sorted(names | {ANOTHER for blow in self.blows if blow.kind == "transfer"})

    def without(self, kinds: frozenset[str]) -> "Plan":
        """The same without some kinds of faults, whatever each of them has planned."""

        def kept(kind: str, value: float | None) -> float | None:
            return None if kind in kinds else value

        runs = tuple(
            replace(
                run,
                cancel_after=kept("cancel", run.cancel_after),
                jobs=tuple(
                    replace(
                        job,
                        cancel_after=kept("cancel", job.cancel_after),
                        approve_after=kept("approval", job.approve_after),
                        rerun_after=kept("rerun", job.rerun_after),
                    )
                    for job in run.jobs
                ),
            )
            for run in self.runs
            if not (run.repository == STRANGE and "strange-jobs" in kinds)
            and not (run.repository in OF_OTHER_ACCOUNTS and "other-accounts" in kinds)
        )
        skews = tuple(0.0 for _ in self.skews) if "clock-skew" in kinds else self.skews
        blows = tuple(blow for blow in self.blows if blow.kind not in kinds)
        warm = 0 if "warm" in kinds else self.warm
        return replace(self, faults=self.faults - kinds, runs=runs, skews=skews, blows=blows, warm=warm)

    @property
    def described(self) -> str:
        """Its size, in a line."""
        jobs = sum(len(run.jobs) for run in self.runs)
        return (
            f"seed {self.seed}: {jobs} jobs, {self.containers} containers, {len(self.faults)} kinds of faults, "
            f"{len(self.blows)} blows, {len(self.spared)} faults spared"
        )

    def spans(self, kind: str) -> list[tuple[float, float]]:
        """When blows of a kind last."""
        return [(blow.at, blow.at + blow.seconds) for blow in self.blows if blow.kind == kind]


@dataclass(frozen=True)
class _Blows:
    """How often a kind of blow comes: in a share of the seeds, then 1 to `most` times, for so many seconds each."""

    share: float
    most: int
    seconds: tuple[float, float] = (0.0, 0.0)


_BLOWS = {
    "kill": _Blows(1.0, 3, (1, 30)),
    "freeze": _Blows(1.0, 3, (5, 180)),
    "dict-down": _Blows(0.5, 1, (300, 300)),
    "github-down": _Blows(0.1, 1, (1200, 1200)),
    "deliveries-down": _Blows(0.1, 1, (3600, 3600)),
    "suspend": _Blows(0.25, 1, (60, 900)),
    "rename": _Blows(0.3, 2),
    "transfer": _Blows(0.25, 1),
    "redeploy": _Blows(0.5, 2, (5, 120)),
    "records-expire": _Blows(0.3, 1),
}
BLOWS = frozenset(_BLOWS)
_WARM = (0, 0, 0, 2)


def make_plan(seed: int, jobs: int, containers: int, faults: frozenset[str]) -> Plan:
    """Plan a seed; the same arguments give the same plan."""
    dice = random.Random(f"plan {seed}")  # noqa: S311 - a plan, not a secret
    runs: list[PlannedRun] = []
    at, left = 0.0, jobs
    while left > 0:
        count = min(left, dice.randint(1, _JOBS_PER_RUN))
        runs.append(_run(dice, at, len(runs), count, faults))
        left -= count
        at += dice.expovariate(1 / 40.0)
    blows = tuple(blow for kind in sorted(BLOWS & faults) for blow in _blows(dice, kind, at + 120.0, containers))
    calm_at = max(at + 120.0, *(blow.at + blow.seconds for blow in blows)) if blows else at + 120.0
    skews = tuple(dice.uniform(-5, 5) if "clock-skew" in faults else 0.0 for _ in range(containers + 1))
    # Of dice of its own, so that what the others have thrown is as it was.
    warm = random.Random(f"warm {seed}").choice(_WARM) if "warm" in faults else 0  # noqa: S311
    return Plan(seed, containers, faults, tuple(runs), calm_at, blows, skews, warm)


def _run(dice: random.Random, at: float, number: int, jobs: int, faults: frozenset[str]) -> PlannedRun:
    repository = dice.choice(OWN)
    if "other-accounts" in faults and dice.random() < 0.2:
        repository = dice.choice(OF_OTHER_ACCOUNTS)
    if "strange-jobs" in faults and dice.random() < 0.1:
        repository = STRANGE
    cancelled = "cancel" in faults and dice.random() < 0.05
    planned = tuple(_job(dice, f"job-{number}-{index}", faults) for index in range(jobs))
    return PlannedRun(at, repository, planned, dice.uniform(0, 120) if cancelled else None)


def _job(dice: random.Random, name: str, faults: frozenset[str]) -> PlannedJob:
    def perhaps(fault: str, share: float, longest: float) -> float | None:
        return dice.uniform(0, longest) if fault in faults and dice.random() < share else None

    return PlannedJob(
        name,
        dice.choices(_MACHINES, _WEIGHTS)[0],
        dice.uniform(5, 240),
        cancel_after=perhaps("cancel", 0.08, 120),
        approve_after=perhaps("approval", 0.08, 300),
        rerun_after=perhaps("rerun", 0.08, 60),
    )


def _blows(dice: random.Random, kind: str, until: float, containers: int) -> list[Blow]:
    often = _BLOWS[kind]
    if dice.random() >= often.share:
        return []
    of = {
        "kill": [str(number) for number in range(containers + 1)],
        "freeze": [str(number) for number in range(containers + 1)],
        "suspend": [ORGANIZATION],
        "rename": list(OWN),
        "transfer": list(OWN),
    }.get(kind, [""])
    return [
        Blow(kind, dice.uniform(0, until), dice.uniform(*often.seconds), dice.choice(of))
        for _ in range(dice.randint(1, often.most))
    ]

"""Plans of a few jobs for the simulation, where nothing goes wrong but what a test says."""

from github_app.simulate.plan import Blow, Plan, PlannedJob, PlannedRun

LABELS = ("self-hosted", "modal")


def pushed(at: float, repository: str, *seconds: float) -> PlannedRun:
    """A push of jobs that take so many seconds each."""
    name = f"job-{repository}-{at:.0f}".replace("/", "-")
    return PlannedRun(at, repository, tuple(PlannedJob(f"{name}-{n}", LABELS, s) for n, s in enumerate(seconds)))


def plan_of(
    *runs: PlannedRun, faults: str = "", blows: tuple[Blow, ...] = (), calm_at: float = 600.0, containers: int = 2
) -> Plan:
    """A plan of these."""
    return Plan(1, containers, frozenset(faults.split()), runs, calm_at, blows, (0.0,) * (containers + 1))

"""Bursts in virtual time, through the same code: how long they drain, and what a job costs in CPU and Dict calls."""

from collections import Counter
from unittest import mock

from benchmarks.rows import Row
from benchmarks.spent import cpu_by_container
from github_app.runners.lanes import LANES, PERIOD_S, POINTS, WRITE
from github_app.simulate import chance, containers
from github_app.simulate.deployment import Version
from github_app.simulate.dicts import DictInProcess
from github_app.simulate.loop import CONTAINER
from github_app.simulate.run import Universe, simulate
from github_app.simulator.github import limits
from tests.worlds.simulated import plan_of, pushed

# GitHub's own: 900 points a minute, five a write; and so many requests an hour in an organisation of GitHub Enterprise
# Cloud (docs: "Rate limits for GitHub Apps"). With 5,000, which others have at least, no more jobs start in an hour.
_GITHUB_PER_S = 180 / 60
_PER_HOUR = 15_000


def burst(jobs: int) -> list[Row]:
    """One push of so many jobs at once, GitHub's limits on."""
    calls: Counter[str] = Counter()
    call = DictInProcess._call

    def counted(self: DictInProcess, operation: str, work: object) -> object:
        if CONTAINER.get().startswith("web"):
            calls[operation] += 1
        return call(self, operation, work)  # type: ignore[arg-type]

    pushes = [pushed(number / 10, "octo-org/alpha", *[20.0] * 10) for number in range(jobs // 10)]
    plan = plan_of(*pushes, calm_at=60.0, containers=1)
    with (
        cpu_by_container() as spent,
        mock.patch.object(chance, "_MOST_STEPS", 10_000 * jobs),
        mock.patch.object(limits, "PER_HOUR", _PER_HOUR),
        # It looks for each secret in all that was said, which takes longer than all the rest.
        mock.patch.object(Universe, "look_at_the_end"),
        mock.patch.object(containers, "VERSIONS", (Version(100_000, 100_000, None),)),
        mock.patch.object(DictInProcess, "_call", counted),
    ):
        ran = simulate(plan)
    # That GitHub's limit was kept to is one of the things that are looked at.
    if ran.violations or len(ran.starts) != jobs:
        raise RuntimeError(f"a fast wrong answer: {ran.violations[:1]}, {len(ran.starts)} of {jobs} started")
    name = f"a burst of {jobs:,}"
    return [
        Row(
            f"{name}: last start after",
            max(ran.starts),
            "virtual s",
            jobs / _GITHUB_PER_S,
            "≤ 1.05 ×, no secondary limit",
            f"our own share of the limit is {LANES * POINTS / WRITE / PERIOD_S:.2f} a second of 3",
        ),
        Row(f"{name}: CPU a job, both sides of every call", spent.total() / jobs * 1e3, "ms", goal="flat"),
        Row(f"{name}: Dict calls a job", sum(calls.values()) / jobs, "calls", goal="flat"),
    ]

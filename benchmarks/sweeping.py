"""What a sweep costs when much is going on: many runners at work, and many jobs that wait for a slot."""

from unittest import mock

from benchmarks.rows import Row
from benchmarks.spent import cpu_by_container
from github_app.simulate import containers
from github_app.simulate.deployment import Version
from github_app.simulate.loop import CONTAINER
from github_app.simulate.run import Universe, simulate
from github_app.store import KINDS
from github_app.sweep import Sweep
from github_app.sweep.report import SweepReport
from tests.worlds.simulated import plan_of, pushed

_HOURS = 3 * 3600.0
# Of each runner there are its job, its claim, its slot and itself; of each job that waits its record.
_WAITING = 6


def sweep(runners: int) -> list[Row]:
    """The last of some sweeps over so many runners, and six times as many jobs that wait."""
    cpu: list[float] = []
    records: list[int] = []
    universes: list[Universe] = []
    run, begin = Sweep.run, Universe.run

    async def measured(self: Sweep, *, dry_run: bool = False) -> SweepReport:
        report = await run(self, dry_run=dry_run)
        # This very step is not counted yet, and is a short one.
        cpu.append(spent[CONTAINER.get()])
        [universe] = universes
        if len(universe.boxes.all) == runners and len(cpu) > 5:
            # Enough was seen.
            universe.watch.broken("benchmark", "is over")
        records.append(sum(len(universe.dicts.entries(f"simulated-{kind.name}")) for kind in KINDS))
        return report

    async def started(self: Universe) -> None:
        universes.append(self)
        await begin(self)

    count = runners * (_WAITING + 1) // 10
    plan = plan_of(*[pushed(n / 10, "octo-org/alpha", *[_HOURS] * 10) for n in range(count)], containers=1)
    with (
        cpu_by_container() as spent,
        mock.patch.object(containers, "VERSIONS", (Version(runners, runners, None),)),
        mock.patch.object(Sweep, "run", measured),
        mock.patch.object(Universe, "run", started),
    ):
        simulate(plan)
    name = f"a sweep over {records[-1]:,} records and {runners:,} runners: CPU, both sides of every call"
    return [Row(name, cpu[-1], "s", goal="≤ 2, linear")]

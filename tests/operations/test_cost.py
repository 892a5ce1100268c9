"""`modal-runner cost` over a month, against a sum that is made by hand."""

import json
import time

import msgspec
import pytest

from github_app.model import JobRecord, JobState, Ran, RunnerState
from github_app.routing.catalog import requested, usd_per_minute
from github_app.store import HISTORY, RUNNERS
from github_app.sweep.sums import Accounts
from tests.routing.test_boundaries import shape
from tests.worlds.clocks import standing_clock
from tests.worlds.records import job, runner
from tests.worlds.steps import command
from tests.worlds.universe import Universe, universe

DAYS, DAY_S = 30, 24 * 3600.0
# Labels of a job; for how long its sandbox is there before it begins, and how long it runs.
JOBS = (((), 2.0, 10.0), (("cpu:8", "memory:32g"), 3.0, 597.0), (("gpu:h100:2",), 60.0, 3600.0))


async def _a_day(it: Universe, at: float, first: int) -> None:
    """Have these jobs run on a day, and counted when their runners are forgotten."""
    accounts = Accounts(it.store, standing_clock(at + DAY_S))
    for number, (labels, waited_s, ran_s) in enumerate(JOBS, first):
        machine = shape(*labels)
        vcpu, memory_mib, gpu = requested(machine)
        name, hour = f"modal-{number}-1", round(usd_per_minute(machine) * 60, 4)
        ran = Ran(name, number, "sb", vcpu, memory_mib, gpu, None, None, hour, at, at + 1.0)
        known = job(JobState.DONE, at, job_id=number, queued_at=at, repository=f"octo-org/{'ab'[gpu is not None]}")
        begun = at + 1.0 + waited_s
        ended = {"started_at": begun, "completed_at": begun + ran_s, "conclusion": "success", "ran": ran}
        record: JobRecord = msgspec.structs.replace(known, **ended)
        left = runner(name=name, started_for=number, runs_job=number, state=RunnerState.FINISHED, shape=machine)
        await it.store.put(HISTORY, str(number), record)
        await it.store.put(RUNNERS, name, left)
        accounts.leave(left)
    await accounts.settle(dry_run=False)


async def test_what_a_month_has_cost_is_the_sum_made_by_hand_and_so_is_what_it_costs_at_github() -> None:
    # Dollars a second of a physical core, a GiB and an H100, by Modal's list; one core is two vCPUs.
    core, gib, h100 = 0.00003942, 0.00000667, 0.001097
    plain = 12.0 * (1 * core + 2 * gib)
    large = 600.0 * (4 * core + 32 * gib)
    cards = 3660.0 * (1 * core + 2 * gib + 2 * h100)
    async with universe() as it:
        start = time.time() - DAYS * DAY_S
        for day in range(DAYS):
            await _a_day(it, start + day * DAY_S, day * len(JOBS) + 1)
        code, output, errors = await command(it, "cost", "--since", "31d", "--json")
        shown = await command(it, "cost", "--since", "31d", COLUMNS="200")
        told = json.loads(output)
        a, b = sorted(told["sums"], key=lambda one: str(one["key"]))

        assert code == 0, errors
        assert told["usd"] == pytest.approx(DAYS * (plain + large + cards), abs=0.01)
        assert (a["jobs"], b["jobs"]) == (2 * DAYS, DAYS)
        assert a["usd"] == pytest.approx(DAYS * (plain + large), abs=0.01)
        # One minute on 2 vCPU and 8 GB, and ten on 8 vCPU and 32 GB; GitHub has no H100.
        assert a["github_usd"] == pytest.approx(DAYS * (0.006 + 10 * 0.022))
        assert (b["github_usd"], b["compared_usd"]) == (None, 0.0)
        assert told["github_usd"] == a["github_usd"]
        assert told["compared_usd"] == a["compared_usd"] == a["usd"]
        assert f"on GitHub's own runners ${a['github_usd']:.2f} for ${a['usd']:.2f} of it" in shown[1]

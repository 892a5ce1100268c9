"""Sums over finished jobs, that outlive their records."""

import json
from typing import Any

import msgspec
from grpclib import GRPCError, Status
from modal._serialization import serialize

from github_app.jobs.accounts import with_jobs, with_totals
from github_app.model import JobRecord, JobState, Ran
from github_app.store import RUNNERS, SUMS, TOTALS
from github_app.store.notes import DaySums, Totals
from tests.worlds.records import job
from tests.worlds.steps import command
from tests.worlds.universe import GPU, PLAIN, Universe, universe


async def _until_forgotten(it: Universe) -> None:
    """Sweep until no runner is recorded any more."""
    await it.until_done()
    await it.until_nothing_is_left()
    while await it.store.all(RUNNERS):
        await it.clock.sleep(31)
        await it.sweep()


def _key(text: str) -> bytes:
    return serialize(text)


def _ended(number: int, start_s: float) -> JobRecord:
    ran = Ran(f"modal-{number}-1", number, "sb", 2.0, 2048, None, None, None, 3.6, 1000.5, 1001.0)
    ended = {"started_at": 1000.0 + start_s, "completed_at": 4601.0, "conclusion": "success"}
    return msgspec.structs.replace(job(JobState.DONE, 1000.0, job_id=number, queued_at=1000.0), ran=ran, **ended)


async def test_each_job_is_counted_once_when_its_runner_is_forgotten() -> None:
    async with universe() as it:
        # One after the other, for a plain job may be given the H100.
        it.push({"plain": (PLAIN, 5), "other": (PLAIN, 5)})
        await it.until_done()
        it.push({"gpu": (GPU, 5)})
        await _until_forgotten(it)
        await it.sweep()
        (day,) = (await it.store.all(SUMS)).values()
        totals = await it.store.get(TOTALS, "all")
        code, output, errors = await command(it, "cost", "--since", "30d", "--by", "shape", "--json")

        assert {row.machine: row.jobs for row in day.rows} == {"2 vCPU, 2g": 2, "H100, 2 vCPU, 2g": 1}
        assert totals is not None
        assert totals.jobs == {"success": 3}
        assert sum(totals.starts["all"].counts) == 3
        assert totals.usd > 0
        assert code == 0, errors
        assert {one["key"]: one["jobs"] for one in json.loads(output)["sums"]} == {
            "2 vCPU, 2g": 2,
            "H100, 2 vCPU, 2g": 1,
        }


async def test_a_store_that_fails_while_it_is_counted_costs_a_sweep_and_no_job() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 5)})
        await it.until_done()
        await it.until_nothing_is_left()

        class LosesTotals:
            """The second of the two records of sums, of which the first write fails."""

            left = 1

            async def before(self, rpc: str, request: Any) -> None:
                if rpc == "DictUpdate" and self.left and any(entry.key == _key("all") for entry in request.updates):
                    self.left -= 1
                    raise GRPCError(Status.PERMISSION_DENIED, "injected")

            async def after(self, *_: object) -> None: ...

        it.modal.interceptor = loses = LosesTotals()
        while await it.store.all(RUNNERS):
            await it.clock.sleep(31)
            await it.sweep()
        (day,) = (await it.store.all(SUMS)).values()
        totals = await it.store.get(TOTALS, "all")

        assert loses.left == 0
        assert [row.jobs for row in day.rows] == [1]
        assert totals is not None
        assert totals.jobs == {"success": 1}


def test_what_was_counted_just_now_is_not_counted_again_and_parts_add_up() -> None:
    first, second = ("modal-1-1", _ended(1, 4.0)), ("modal-2-1", _ended(2, 7000.0))
    once = with_jobs(DaySums(), [first])
    again = with_jobs(once, [first, second])
    totals = with_totals(with_totals(Totals(), [first]), [first, second])

    (row,) = again.rows
    assert (row.jobs, row.failures) == (2, 0)
    # $3.60 an hour from the sandbox's creation on, for an hour each.
    assert row.usd == 7.2
    assert totals.jobs == {"success": 2}
    assert totals.usd == 7.2
    parts = {name: each.sum_s for name, each in totals.starts.items()}
    assert parts["all"] == sum(value for name, value in parts.items() if name != "all") == 7004.0

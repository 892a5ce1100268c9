"""The label `debug:30m`: the sandbox of a job that has failed is there for a look, and for no longer."""

import json
from pathlib import Path

import msgspec
import pytest

from github_app.model import RunnerRecord, RunnerState
from github_app.runners.debugging import debug_until
from github_app.store import HISTORY, JOBS, RUNNERS, SLOTS
from github_app.views.jobs import JobLine, read_jobs
from tests.runners.test_outliving import FAST, minutes
from tests.worlds.records import SHAPE, runner
from tests.worlds.steps import command
from tests.worlds.universe import PLAIN, Universe, universe

DEBUG = (*PLAIN, "debug:120m")


@pytest.fixture
def allowing(tmp_path: Path) -> dict[str, object]:
    """The settings of a deployment of one runner at a time, in which the label is allowed."""
    file = tmp_path / "modal-runner.toml"
    file.write_text("[limits]\ndebug = true\n")
    return {"modal_runner_config": file, "max_concurrent": 1}


async def _failed(it: Universe) -> RunnerRecord:
    """A job with the label that has failed, and its runner."""
    it.script.conducts = ["fails"]
    it.push({"first": (DEBUG, 5)})
    await it.until_done("first")
    await it.github.webhooks.settle()
    (record,) = (await it.store.all(RUNNERS)).values()
    return record


async def _line(it: Universe) -> JobLine:
    return next(line for line in await read_jobs(it.store, it.clock.now()) if line.name == "first")


async def test_a_failed_jobs_sandbox_is_kept_told_of_everywhere_counted_and_paid_for_until_it_ends(
    allowing: dict[str, object],
) -> None:
    async with universe(scale=FAST, settings=allowing) as it:
        record = await _failed(it)
        it.push({"second": (PLAIN, 5)})
        await it.github.webhooks.settle()
        before = await _line(it)
        await minutes(it, 6)
        after = await _line(it)
        looked = await command(it, "shell", str(record.runs_job), "--command", "echo looked; pwd")
        status, shown = await command(it, "status", "--json"), await command(it, "status", COLUMNS="150")
        why, jobs = await command(it, "why", str(record.runs_job)), await command(it, "jobs", COLUMNS="150")
        (sandbox,) = it.sandboxes(running=True)

        assert record.state is RunnerState.FINISHED
        assert (record.debug_until or 0.0) - (record.finished_at or 0.0) == 7200.0
        assert sandbox.id == record.sandbox_id
        assert (looked[0], looked[1].splitlines()[0]) == (0, "looked")
        # Someone who has looked does not shorten it.
        (kept,) = (await it.store.all(RUNNERS)).values()
        assert (kept.debug_until, kept.held_until) == (record.debug_until, None)
        assert it.job("second").status == "queued"
        assert [slot.runner for slot in (await it.store.all(SLOTS)).values()] == [record.name]
        assert json.loads(status[1])["runners"][0]["kept_until"] == record.debug_until
        assert "kept for debugging until" in shown[1]
        assert f"more: `modal-runner shell {record.runs_job}`" in why[1].replace("\n", " ")
        assert "failure, kept until" in " ".join(jobs[1].split())
        assert (before.usd or 0.0) + 0.003 * 6 < (after.usd or 0.0)

        # As its own clock does.
        it.modal.kill(sandbox.id)
        await it.until_done("second", sweeping=True)
        await it.until_nothing_is_left()
        while record.name in await it.store.all(RUNNERS):
            await it.clock.sleep(31)
            await it.sweep()
        over, forgotten = await it.store.get(HISTORY, str(record.runs_job)), await _line(it)

        assert over is not None
        assert over.ran is not None
        lived_s = (over.ran.ended_at or 0.0) - (over.ran.created_at or 0.0)
        assert forgotten.usd == pytest.approx(over.ran.usd_per_hour * lived_s / 3600, abs=1e-6)
        assert (forgotten.usd or 0.0) >= (after.usd or 0.0)
        assert forgotten.kept_until is None


async def test_the_end_of_a_kept_sandboxs_job_may_be_heard_of_late_and_github_may_still_list_its_runner(
    allowing: dict[str, object],
) -> None:
    async with universe(scale=FAST, settings=allowing) as it:
        record = await _failed(it)
        stopped = it.github.world.all_runners[record.github_id]
        stopped.removed_at, stopped.online, stopped.busy = None, False, False
        it.github.world.runners[stopped.id] = stopped
        # By an event that did not name it.
        unheard = msgspec.structs.replace(record, state=RunnerState.BUSY, finished_at=None, debug_until=None)
        await it.store.put(RUNNERS, record.name, unheard)
        await minutes(it, 6)
        (kept,) = (await it.store.all(RUNNERS)).values()

        assert [view.id for view in it.sandboxes(running=True)] == [record.sandbox_id]
        assert kept.state is RunnerState.FINISHED
        assert kept.debug_until is not None
        assert not await it.store.all(JOBS)


async def test_a_sandbox_is_kept_though_nothing_was_delivered_of_its_job_but_its_queueing(
    allowing: dict[str, object],
) -> None:
    async with universe(scale=FAST, settings=allowing) as it:
        it.script.conducts = ["fails"]
        it.push({"first": (DEBUG, 20)})
        await it.github.webhooks.settle()
        it.script.lose_deliveries = True
        await it.until_done("first")
        await minutes(it, 8)
        (kept,) = (await it.store.all(RUNNERS)).values()

        assert [view.name for view in it.sandboxes(running=True)] == [kept.name]
        assert kept.debug_until is not None


async def test_a_job_that_succeeds_leaves_nothing_behind(allowing: dict[str, object]) -> None:
    async with universe(scale=FAST, settings=allowing) as it:
        it.push({"first": (DEBUG, 5)})
        await it.until_done("first")
        await it.until_nothing_is_left()
        (view,) = it.sandboxes()

        assert view.ended_by == "exit"
        assert (await _line(it)).kept_until is None


async def test_a_sandbox_that_is_there_over_its_time_is_ended(allowing: dict[str, object]) -> None:
    async with universe(scale=FAST, settings=allowing) as it:
        record = await _failed(it)
        over = msgspec.structs.replace(record, debug_until=it.clock.now() - 61, finished_at=it.clock.now() - 200)
        await it.store.put(RUNNERS, record.name, over)
        await it.until(lambda: not it.sandboxes(running=True), sweeping=True)

        assert [view.ended_by for view in it.sandboxes()] == ["terminated"]


async def test_where_it_is_not_allowed_the_job_is_refused_and_told_who_may_allow_it() -> None:
    async with universe() as it:
        it.push({"first": (DEBUG, 5)})
        await it.github.webhooks.settle()
        status = await command(it, "status", "--json")

        assert not it.sandboxes()
        assert [each["sentence"] for each in json.loads(status[1])["refused"]] == [
            "The label 'debug:120m' is not allowed here. An administrator may allow it: [limits] debug = true."
        ]


@pytest.mark.parametrize(
    ("debug_s", "labels", "conclusion", "until"),
    [
        (600, DEBUG, "failure", 1600.0),
        (600, ("Modal/Debug=10m/cpu=2",), "failure", 1600.0),
        # GitHub has given it to a job that did not ask for this.
        (600, PLAIN, "failure", None),
        (600, DEBUG, "success", None),
        (600, DEBUG, "cancelled", None),
        (600, DEBUG, None, None),
        (0, DEBUG, "failure", None),
    ],
)
def test_a_sandbox_is_kept_for_a_job_that_failed_and_asked_for_it(
    debug_s: int, labels: tuple[str, ...], conclusion: str | None, until: float | None
) -> None:
    record = runner(shape=msgspec.structs.replace(SHAPE, debug_s=debug_s))

    assert debug_until(record, labels, conclusion, 1000.0) == until


def test_a_kept_sandbox_is_left_a_minute_to_end_by_itself() -> None:
    kept = runner(debug_until=1000.0, state=RunnerState.FINISHED)

    assert [kept.is_kept(now) for now in (0.0, 999.0, 1059.0, 1060.0)] == [True, True, True, False]
    assert not runner().is_kept(0.0)
    assert runner(held_until=5.0).is_kept(4.0)

"""A job that goes on after GitHub holds it for over: it keeps its slot, and ends after a grace."""

import asyncio

import msgspec
from grpclib import GRPCError, Status

from github_app.model import RunnerRecord, RunnerState
from github_app.store import RUNNERS, SLOTS
from github_app.sweep.finished import OUTLIVES_S
from tests.worlds.universe import PLAIN, Universe, universe

# Minutes pass in these, and nothing depends on a second.
FAST = 150.0
# However slow the machine is, a job of so many seconds is not over when a scenario looks at it: the scenario stops it.
HOURS = 10 * 3600


async def minutes(it: Universe, count: int) -> int:
    """Sweep once a minute, and return the most sandboxes that ran at once."""
    most = 0
    for _ in range(count):
        await it.sweep()
        most = max(most, len(it.sandboxes(running=True)))
        await it.clock.sleep(60)
    return most


async def stop(it: Universe, name: str) -> str | None:
    """Cancel a job that still runs, and return its conclusion: "cancelled" if its runner lives and hears of it."""
    assert it.job(name).status == "in_progress"
    it.github.actions.cancel(it.job(name))
    await it.until_done(name)
    return it.job(name).conclusion


async def left(it: Universe) -> RunnerRecord:
    """The only runner, once that its job is over is recorded."""
    async with asyncio.timeout(20):
        while (record := next(iter((await it.store.all(RUNNERS)).values()))).state is not RunnerState.FINISHED:
            await asyncio.sleep(0.02)
    return record


async def test_a_job_that_outlives_its_runner_keeps_its_slot_until_its_sandbox_is_ended() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        it.script.conducts = ["outlives"]
        it.push({"first": (PLAIN, 5)})
        await it.until_done("first")
        it.push({"second": (PLAIN, 5)})
        await it.github.webhooks.settle()
        before = await minutes(it, 2)
        assert it.job("second").status == "queued"

        after = await minutes(it, 5)
        await it.until_done("second", sweeping=True)
        first, second = it.sandboxes()

        assert max(before, after) == 1
        assert first.ended_by == "terminated"
        assert (first.ended_at or 0) <= (second.started_at or 0)
        assert ((first.ended_at or 0) - first.created_at) * it.clock.scale > OUTLIVES_S


async def test_a_runner_that_its_job_has_stopped_is_deregistered_and_its_sandbox_ended() -> None:
    async with universe(scale=FAST, settings={"max_concurrent": 1}) as it:
        it.script.conducts = ["outlives"]
        it.push({"first": (PLAIN, 5)})
        await it.until_done("first")
        # GitHub keeps a runner that did not end by itself for a day.
        (record,) = (await it.store.all(RUNNERS)).values()
        stopped = it.github.world.all_runners[record.github_id]
        stopped.removed_at, stopped.online, stopped.busy = None, False, False
        it.github.world.runners[stopped.id] = stopped
        await minutes(it, 8)

        assert not it.runners()
        assert [view.ended_by for view in it.sandboxes()] == ["terminated"]
        assert not await it.store.all(SLOTS)


async def test_a_sandbox_into_which_someone_looks_is_left_alone_and_keeps_its_slot() -> None:
    async with universe(scale=FAST, settings={"max_concurrent": 1}) as it:
        it.script.conducts = ["outlives"]
        it.push({"first": (PLAIN, 5)})
        await it.until_done("first")
        await it.github.webhooks.settle()
        record = await left(it)
        held = msgspec.structs.replace(record, held_until=it.clock.now() + 3600)
        await it.store.put(RUNNERS, record.name, held)
        await minutes(it, 7)

        assert len(it.sandboxes(running=True)) == 1
        assert await it.store.all(SLOTS)


async def test_a_forged_completed_does_not_end_a_job_that_github_holds_for_running() -> None:
    async with universe(scale=FAST, settings={"max_concurrent": 1}) as it:
        it.push({"first": (PLAIN, HOURS)})
        await it.until(lambda: it.job("first").status == "in_progress")
        await it.github.webhooks.settle()
        payload = it.github.shapes.job_event("completed", it.job("first"), it.installation)
        payload["workflow_job"]["conclusion"] = "success"
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        await minutes(it, 7)

        assert len(it.sandboxes(running=True)) == 1
        assert await stop(it, "first") == "cancelled"


async def test_a_forged_end_of_another_job_on_our_runner_ends_neither_it_nor_its_job() -> None:
    async with universe(scale=FAST, settings={"max_concurrent": 1}) as it:
        it.script.busy_lag_s = 3600.0
        it.push({"first": (PLAIN, HOURS), "other": (("self-hosted", "elsewhere"), 1)})
        await it.until(lambda: it.job("first").status == "in_progress")
        await it.github.webhooks.settle()
        (record,) = (await it.store.all(RUNNERS)).values()
        for number in (it.job("other").id, 999_999_999):
            payload = it.github.shapes.job_event("completed", it.job("other"), it.installation)
            payload["workflow_job"] |= {"id": number, "runner_name": record.name, "runner_id": record.github_id}
            it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        await minutes(it, 7)

        assert it.github.deregistered_at_work == 0
        assert len(it.sandboxes(running=True)) == 1
        assert await stop(it, "first") == "cancelled"


class _Silent:
    """Modal does not let anyone look into a sandbox."""

    asked = 0

    async def before(self, rpc: str, _request: object) -> None:
        if "Exec" in rpc:
            self.asked += 1
            raise GRPCError(Status.INTERNAL, "injected")

    async def after(self, rpc: str, request: object, response: object) -> None:
        pass


async def test_a_sandbox_that_cannot_be_asked_is_ended_all_the_same_once_its_job_is_over() -> None:
    async with universe(scale=FAST, settings={"max_concurrent": 1}) as it:
        it.script.conducts = ["outlives"]
        it.push({"first": (PLAIN, 5)})
        await it.until_done("first")
        await it.github.webhooks.settle()
        it.modal.interceptor = silent = _Silent()
        await minutes(it, 9)

        assert silent.asked
        assert not it.sandboxes(running=True)
        assert not await it.store.all(SLOTS)


async def test_anothers_runner_of_the_same_name_frees_no_slot_and_ends_no_runner() -> None:
    async with universe(scale=FAST, settings={"max_concurrent": 1}) as it:
        it.push({"first": (PLAIN, HOURS), "theirs": (("self-hosted", "elsewhere"), HOURS)})
        await it.until(lambda: it.job("first").status == "in_progress")
        await it.github.webhooks.settle()
        (record,) = (await it.store.all(RUNNERS)).values()
        for action in ("in_progress", "completed"):
            payload = it.github.shapes.job_event(action, it.job("theirs"), it.installation)
            payload["workflow_job"] |= {"runner_name": record.name, "runner_id": record.github_id + 1}
            it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        await minutes(it, 2)

        (now,) = (await it.store.all(RUNNERS)).values()
        assert (now.state, now.runs_job) == (RunnerState.BUSY, it.job("first").id)
        assert await it.store.all(SLOTS)
        assert len(it.sandboxes(running=True)) == 1

"""A recorded delivery can be sent again by anyone who has it: under any GUID, as any event, at any time."""

from typing import Any

import pytest

from github_app.jobs.intake import MOST_PARKED, OLD_S
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.shapes import iso
from github_app.store import DELIVERIES, HISTORY, PARKED
from tests.worlds.steps import JOB, RUN, send
from tests.worlds.universe import PLAIN, Universe, universe

MANY = 30


def old(it: Universe, *, job_id: int | None = None) -> dict[str, Any]:
    """The `queued` of the newest job, as it was sent long ago; or that of a job that GitHub does not have."""
    job = next(iter(reversed(it.github.jobs())))
    payload = it.github.shapes.job_event("queued", job, it.installation)
    changed = {"status": "queued", "conclusion": None, "created_at": iso(it.clock.now() - OLD_S - 60)}
    payload["workflow_job"] |= changed | ({"id": job_id} if job_id else {})
    return payload


def never_told(it: Universe) -> None:
    """Push a job of which no delivery arrives."""
    it.script.lose_deliveries = True
    it.push({"job": (PLAIN, 5)})
    it.script.lose_deliveries = False


async def test_replays_before_and_after_a_jobs_end_cost_no_call_and_no_sandbox() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 60)})
        await it.github.webhooks.settle()
        recorded = next(each.payload for each in it.github.world.deliveries.values() if each.event == "workflow_job")
        before = await send(it, recorded, times=MANY)
        await it.until_done()
        await it.github.webhooks.settle()
        asked = it.github.calls.copy()
        after = await send(it, recorded, times=MANY)

        assert [each for each in before + after if '"duplicate"' not in each] == []
        assert it.github.calls == asked
        assert len(it.sandboxes()) == 1


async def test_replays_of_which_no_record_is_left_cost_a_few_calls_in_all() -> None:
    async with universe() as it:
        never_told(it)
        it.github.actions.cancel(it.job("job"))
        await send(it, old(it), times=MANY)
        for key in await it.store.all(HISTORY):
            await it.store.take(HISTORY, key)
        for key in await it.store.all(DELIVERIES):
            await it.store.take(DELIVERIES, key)
        await send(it, old(it), times=MANY)

        assert 1 <= it.github.calls[JOB] <= 4
        assert not it.sandboxes()


@pytest.mark.parametrize("action", ["in_progress", "waiting", "queued"])
async def test_replays_of_whatever_action_whose_run_is_gone_cost_a_few_calls(action: str) -> None:
    async with universe() as it:
        it.repository.forks = 1
        never_told(it)
        payload = it.github.shapes.job_event(action, it.job("job"), it.installation)
        payload["workflow_job"] |= {"run_id": 77, "id": 78, "status": action}
        await send(it, payload, times=MANY)
        await send(it, payload, times=MANY)

        assert it.github.calls[RUN] <= 2


async def test_an_old_event_alone_starts_nothing_and_the_sweep_may_still_queue_its_job() -> None:
    async with universe() as it:
        never_told(it)
        it.script.fail[JOB] = [ApiError(404, "Not Found")]
        (answer,) = await send(it, old(it))
        await it.clock.sleep(5)
        assert answer.startswith("202")
        assert not it.sandboxes()

        await it.until_done(sweeping=True)
        assert it.job("job").conclusion == "success"


async def test_an_old_event_that_cannot_be_looked_at_is_answered_503_and_handled_when_it_is_redelivered() -> None:
    async with universe() as it:
        never_told(it)
        it.script.fail[JOB] = [ApiError(502, "Bad Gateway")]
        (answer,) = await send(it, old(it))
        assert answer.startswith("503")
        assert not it.sandboxes()

        it.github.webhooks.redeliver(next(reversed(it.github.world.deliveries.values())))
        await it.until_done()


async def test_questions_that_old_events_cause_have_a_budget_in_all_and_the_sweep_does_the_rest() -> None:
    async with universe() as it:
        never_told(it)
        for number in range(200):
            await send(it, old(it, job_id=10_000_000 + number))

        # A hundred, and what came in meanwhile.
        assert it.github.calls[JOB] <= 170
        (answer,) = await send(it, old(it))
        assert answer.startswith("202")
        await it.until_done(sweeping=True)


async def test_what_makes_no_sense_is_parked_once_for_each_body_and_a_bounded_number_of_times() -> None:
    async with universe() as it:
        await send(it, {"action": "created", "installation": {"id": 1}}, times=MANY)
        assert len(await it.store.all(PARKED)) == 1

        for number in range(MOST_PARKED + 20):
            await send(it, {"action": "created", "installation": {"id": number + 2}})
        assert len(await it.store.all(PARKED)) == MOST_PARKED


@pytest.mark.parametrize("guid", ["a" * 100, "../../x", "72d3162e-cc78-11e3-81ab-4c9367dc095"])
async def test_what_is_no_guid_is_answered_400_and_leaves_no_record(guid: str) -> None:
    async with universe() as it:
        it.push({"job": ((*PLAIN[:1], "elsewhere"), 5)})
        payload = {"action": "created"}
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        delivery = next(reversed(it.github.world.deliveries.values()))
        delivery.guid = guid
        await it.github.webhooks.settle()

        assert delivery.status_code == 400
        assert not await it.store.all(PARKED)


async def test_a_repository_that_may_not_use_the_runners_costs_no_call_for_its_run() -> None:
    async with universe(settings={"allowed_repos": ("octo-org/other",)}) as it:
        it.repository.forks = 1
        it.push({"a": (PLAIN, 5)})
        await it.github.webhooks.settle()

        assert it.github.calls["GET /repos/{owner}/{repo}/actions/runs/{run_id}"] == 0

"""Jobs behind an environment's gate: GitHub tells them as queued, then as waiting, and as queued once approved."""

import json

from github_app.model import JobState
from github_app.store import HISTORY, JOBS, RUNNERS
from tests.worlds.steps import command
from tests.worlds.universe import PLAIN, Universe, universe

_PATH = ".github/workflows/deploy.yml"


def _push_gated(it: Universe) -> None:
    jobs = {"deploy": {"runs-on": list(PLAIN), "steps": [{"run": "true"}]}}
    workflow = json.dumps({"name": "deploy", "on": "push", "jobs": jobs}).encode()
    it.github.actions.push(it.repository, {_PATH: workflow}, _PATH, {"deploy": 0.1}, gated=frozenset({"deploy"}))


async def test_a_job_that_waits_for_an_approval_gives_its_runner_back_and_gets_one_once_it_is_approved() -> None:
    async with universe() as it:
        _push_gated(it)
        job = it.job("deploy")
        while (held := await it.store.get(HISTORY, str(job.id))) is None:
            await it.clock.sleep(1)
        while not await it.store.all(RUNNERS):
            await it.clock.sleep(1)
        await it.until_nothing_is_left(sweeping=True)
        made = len(it.sandboxes())
        await it.clock.sleep(400)
        await it.sweep()
        still = len(it.sandboxes())
        shown = json.loads((await command(it, "status", "--json"))[1])["jobs"]
        retried = await command(it, "retry", str(job.id))
        it.github.actions.approve(job)
        await it.until_done(sweeping=True)

        assert (held.state, held.conclusion) == (JobState.GONE, "waiting")
        # However long the approval takes, no runner waits for it.
        assert made == still == 1
        assert [(each["id"], each["state"]) for each in shown] == [(job.id, "waiting")]
        assert "an approval at GitHub" in shown[0]["waits_for"]
        assert retried[0] == 1
        assert "waits for an approval at GitHub" in retried[2]
        assert job.conclusion == "success"
        assert it.github.deregistered_at_work == 0


async def test_an_approval_whose_delivery_is_lost_is_found_by_the_sweep() -> None:
    async with universe() as it:
        _push_gated(it)
        await it.github.webhooks.settle()
        while await it.store.get(HISTORY, str(it.job("deploy").id)) is None:
            await it.clock.sleep(1)
        it.script.lose_deliveries = True
        it.github.actions.approve(it.job("deploy"))
        await it.until_done(sweeping=True)

        assert it.job("deploy").conclusion == "success"


async def test_a_late_waiting_undoes_nothing() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 60)})
        payload = it.github.shapes.job_event("waiting", it.job("job"), it.installation)
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        known = await it.store.get(JOBS, str(it.job("job").id))
        await it.until_done()

        assert known is not None
        assert not known.state.over
        assert it.job("job").conclusion == "success"
        assert len(it.sandboxes()) == 1


async def test_a_job_that_was_told_as_waiting_alone_is_shown_and_gets_its_runner_once_it_is_approved() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        _push_gated(it)
        await it.github.webhooks.settle()
        it.script.lose_deliveries = False
        job = it.job("deploy")
        payload = it.github.shapes.job_event("waiting", job, it.installation)
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        while (held := await it.store.get(HISTORY, str(job.id))) is None:
            await it.clock.sleep(1)
        shown = json.loads((await command(it, "status", "--json"))[1])["jobs"]
        made = len(it.sandboxes())
        it.github.actions.approve(job)
        await it.until_done()
        then = json.loads((await command(it, "status", "--json"))[1])["jobs"]

        assert held.conclusion == "waiting"
        assert made == 0
        assert [(each["id"], each["state"], each["runner"]) for each in shown] == [(job.id, "waiting", None)]
        assert "an approval at GitHub" in shown[0]["waits_for"]
        assert job.conclusion == "success"
        assert then == []

"""Demand that GitHub cannot satisfy costs a few runners and no more, and says why."""

import asyncio
import os
import sys

import msgspec

from github_app.model import Claim, Halt, Hold, JobEvent
from github_app.runners.versions import RunnerVersion
from github_app.simulator.github.state import Repository
from github_app.store import CLAIMS, HALTS, JOBS
from github_app.views.status import read_status
from github_app.web.delivery import decode
from tests.worlds.universe import GPU, PLAIN, Universe, universe

_DAY_S = 24 * 3600.0


async def _halt(it: Universe) -> Halt | None:
    return await it.store.get(HALTS, str(it.job("job").id))


async def _waits_for(it: Universe) -> str | None:
    version = RunnerVersion(it.store, it.settings.runner_version, it.clock)
    found = await read_status(it.store, it.parts.rules, version, it.clock.now())
    return next((job.waits_for for job in found.jobs), None)


async def _waiting_after(it: Universe, repository: Repository | None = None, **claim: object) -> int:
    """A queued job whose first attempt came to nothing, and may be repeated now; its id."""
    it.script.lose_deliveries = True
    it.push({"job": (GPU, 5)}, repository)
    job_id = it.job("job").id
    at = it.clock.now()
    await it.store.put(CLAIMS, f"{job_id}-1", msgspec.structs.replace(Claim("x", at, not_before=at), **claim))
    return job_id


def _public(it: Universe) -> Repository:
    return it.github.world.add_repository(it.organization, "public", private=False)


async def _halted_by_its_group(it: Universe) -> int:
    """Four runners came to nothing before; the fifth one is tried."""
    job_id = await _waiting_after(it, _public(it), unused=4, cost_usd=1.2, hold=Hold.NOT_PICKED_UP, failures=4)
    await it.sweep()
    await it.until(lambda: any(runner.online for runner in it.runners()))
    async with asyncio.timeout(30):
        while await _halt(it) is None:
            await it.sweep()
            await it.clock.sleep(30)
    return job_id


async def test_after_five_unused_runners_no_more_are_started_and_it_is_said_why_and_what_it_cost() -> None:
    async with universe(settings={"allowed_repos": "octo-org/public"}) as it:
        it.app.permissions["checks"] = "write"
        await _halted_by_its_group(it)
        await it.until_nothing_is_left(sweeping=True)
        claims = await it.store.all(CLAIMS)
        last = max(claims.values(), key=lambda claim: claim.unused)
        for _ in range(3):
            await it.clock.sleep(3600 / 4)
            await it.sweep()
        report = await it.sweep()
        halt = await _halt(it)
        told = [each.summary for each in it.github.world.check_runs.values()]

        assert halt is not None
        assert len(it.sandboxes()) == 1
        assert last.unused == 5
        assert last.cost_usd > 1.2
        assert "change `runs-on`" not in told[0]
        for said in (halt.reason, await _waits_for(it) or "", report.waits[0], told[0]):
            assert "the runner group Default does not admit public repositories" in said
            assert f"${last.cost_usd:.2f}" in said


async def test_a_halted_job_is_served_once_its_runner_group_admits_it() -> None:
    async with universe(settings={"allowed_repos": "octo-org/public"}) as it:
        job_id = await _halted_by_its_group(it)
        halt = await _halt(it)
        assert halt is not None
        it.github.world.groups["octo-org"][0].allows_public_repositories = True
        await it.sweep()
        within_a_day = await _halt(it)
        await it.store.put(HALTS, str(job_id), msgspec.structs.replace(halt, looked_at=it.clock.now() - _DAY_S - 1))
        await it.until_done(sweeping=True)

        assert within_a_day is not None
        assert it.job("job").conclusion == "success"


async def test_a_halted_job_is_served_when_a_person_asks_for_it() -> None:
    async with universe(settings={"allowed_repos": "octo-org/public"}) as it:
        job_id = await _halted_by_its_group(it)
        it.github.world.groups["octo-org"][0].allows_public_repositories = True
        page = f"https://github.com/octo-org/public/actions/runs/1/job/{job_id}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "github_app", "retry", page),
            env={"PATH": os.environ["PATH"], **it.modal.env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        await it.until_done(sweeping=True)

        assert (process.returncode, b"is tried again" in output) == (0, True), output
        assert it.job("job").conclusion == "success"


async def test_a_job_whose_run_is_over_gets_no_second_runner() -> None:
    async with universe() as it:
        await _waiting_after(it)
        run = it.job("job").run
        run.status, run.conclusion = "completed", "startup_failure"
        # It is known, though the run is not among the open ones.
        await it.parts.service.apply(await _event(it))
        # One reading proves nothing, for GitHub's API lags behind a re-run.
        await it.sweep()
        once = await _halt(it)
        await it.clock.sleep(60)
        again = await it.sweep()
        halt = await _halt(it)

        assert once is None
        assert halt is not None
        assert "its run is over at GitHub (startup_failure)" in halt.reason
        assert not it.sandboxes()
        assert again.waiting == 1


async def test_a_job_whose_run_turns_out_to_be_open_is_served() -> None:
    async with universe() as it:
        await _waiting_after(it)
        run = it.job("job").run
        run.status, run.conclusion = "completed", "failure"
        await it.parts.service.apply(await _event(it))
        for _ in range(3):
            await it.sweep()
            await it.clock.sleep(60)
        halt = await _halt(it)
        run.status, run.conclusion = "queued", None
        await it.until_done(sweeping=True)

        assert halt is not None
        assert it.job("job").conclusion == "success"


async def test_a_halted_job_is_served_once_its_repository_is_private() -> None:
    async with universe(settings={"allowed_repos": "octo-org/public"}) as it:
        job_id = await _halted_by_its_group(it)
        it.job("job").run.repository.private = True
        for _ in range(2):
            await it.sweep()
        halt = await _halt(it)
        assert halt is not None
        await it.store.put(HALTS, str(job_id), msgspec.structs.replace(halt, looked_at=it.clock.now() - _DAY_S))
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"


async def test_a_job_that_has_been_queued_for_longer_than_githubs_own_day_gets_no_runner() -> None:
    async with universe() as it:
        job_id = await _waiting_after(it)
        await it.parts.service.apply(await _event(it))
        record = await it.store.get(JOBS, str(job_id))
        assert record is not None
        await it.store.put(JOBS, str(job_id), msgspec.structs.replace(record, queued_since=it.clock.now() - _DAY_S - 1))
        await it.sweep()
        halt = await _halt(it)

        assert halt is not None
        assert "24 hours" in halt.reason
        assert not it.sandboxes()


async def test_an_approval_after_days_begins_the_day_anew() -> None:
    async with universe() as it:
        await it.github.webhooks.settle()
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 5)})
        event = await _event(it)
        await it.parts.service.apply(event)
        record = await it.store.get(JOBS, str(event.job_id))
        assert record is not None
        old = msgspec.structs.replace(record, queued_since=it.clock.now() - 3 * _DAY_S)
        await it.store.put(JOBS, str(event.job_id), old)
        # GitHub announces it again when it is approved.
        await it.parts.service.apply(event)
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"


async def test_the_halt_of_a_job_that_is_over_is_forgotten() -> None:
    async with universe() as it:
        await it.store.put(HALTS, "77", Halt(it.clock.now(), "why"))
        await it.sweep()

        assert await it.store.all(HALTS) == {}


async def _event(it: Universe) -> JobEvent:
    """The job's `queued`, as its lost delivery would have said it."""
    payload = it.github.shapes.job_event("queued", it.job("job"), it.installation)
    headers = {"x-github-event": "workflow_job", "x-github-delivery": "x"}
    event = decode(headers, msgspec.json.encode(payload))
    assert isinstance(event, JobEvent)
    return event

"""What is not seen may come back: no absence writes what cannot be taken back."""

import asyncio
import copy
from typing import Any

import msgspec
import pytest

from github_app.model import JobState, RunnerState
from github_app.runners.write_limit import PacedRunners, WriteBudget
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.state import Installation
from github_app.store import CLAIMS, HISTORY, JOBS, REFUSALS, RUNNERS, SUSPECTS
from tests.worlds.universe import PLAIN, Universe, universe

INSTALLATIONS = "GET /app/installations"
JOB = "GET /repos/{owner}/{repo}/actions/jobs/{job_id}"


async def _waits_unserved(it: Universe) -> int:
    """A job that waits while Modal gives it no machine; its id."""
    it.script.conducts = ["never-online"] * 20
    it.push({"job": (PLAIN, 5)})
    await it.until(lambda: bool(it.sandboxes()))
    await it.github.webhooks.settle()
    return it.job("job").id


async def _sweeps(it: Universe, minutes: int) -> None:
    for _ in range(minutes):
        await it.sweep()
        await it.clock.sleep(60)


async def _is_gone(it: Universe, job_id: int) -> bool:
    record = await it.store.get(HISTORY, str(job_id))
    return await it.store.get(JOBS, str(job_id)) is None and record is not None and record.state is JobState.GONE


async def test_a_job_waits_out_a_suspension_of_the_app() -> None:
    async with universe() as it:
        job_id = await _waits_unserved(it)
        it.installation.suspended_at = it.clock.now()
        await _sweeps(it, 4)
        gone = await _is_gone(it, job_id)
        it.installation.suspended_at = None
        it.script.conducts = []
        await it.until_done(sweeping=True)

        assert gone
        assert it.job("job").conclusion == "success"


async def test_a_suspension_of_a_moment_costs_a_job_no_hour() -> None:
    async with universe() as it:
        it.script.fail["POST /orgs/{org}/actions/runners/generate-jitconfig"] = [ApiError(403, "suspended")]
        it.push({"job": (PLAIN, 5)})
        async with asyncio.timeout(20):
            while not any(claim.hold for claim in (await it.store.all(CLAIMS)).values()):
                await asyncio.sleep(0.05)
        it.installation.suspended_at = it.clock.now()
        await it.sweep()
        it.installation.suspended_at = None
        began = it.clock.now()
        await it.until_done(sweeping=True)

        assert it.clock.now() - began < 1800
        assert it.job("job").conclusion == "success"


async def test_a_job_waits_out_that_its_repository_is_not_chosen() -> None:
    async with universe() as it:
        job_id = await _waits_unserved(it)
        it.installation.selected = []
        await _sweeps(it, 6)
        gone = await _is_gone(it, job_id)
        it.installation.selected = None
        it.script.conducts = []
        await it.until_done(sweeping=True)

        assert gone
        assert it.job("job").conclusion == "success"


async def test_a_job_is_served_by_the_app_that_was_installed_anew() -> None:
    async with universe() as it:
        await _waits_unserved(it)
        del it.github.world.installations[it.installation.id]
        await _sweeps(it, 3)
        it.github.install(it.app, it.organization)
        it.script.conducts = []
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"


async def test_github_listing_no_installations_for_two_minutes_costs_no_job() -> None:
    async with universe() as it:
        await _waits_unserved(it)
        installations = dict(it.github.world.installations)
        it.github.world.installations.clear()
        await _sweeps(it, 3)
        it.github.world.installations.update(installations)
        it.script.conducts = []
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"


async def test_a_job_of_a_renamed_organisation_is_served_under_its_new_name() -> None:
    async with universe() as it:
        it.script.fail["POST /orgs/{org}/actions/runners/generate-jitconfig"] = [ApiError(404, "Not Found")] * 2
        it.push({"job": (PLAIN, 5)})
        await it.github.webhooks.settle()
        world = it.github.world
        world.accounts["renamed"] = world.accounts.pop("octo-org")
        world.groups["renamed"] = world.groups.pop("octo-org")
        it.organization.login = "renamed"
        world.repositories = {each.full_name.lower(): each for each in world.repositories.values()}
        began = it.clock.now()
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"
        # And not after the hour that a second 404 is waited out.
        assert it.clock.now() - began < 1800


async def test_a_redelivery_of_what_was_handled_before_brings_a_gone_job_back() -> None:
    async with universe() as it:
        job_id = await _waits_unserved(it)
        record = await it.store.take(JOBS, str(job_id))
        assert record is not None
        await it.store.put(HISTORY, str(job_id), msgspec.structs.replace(record, state=JobState.GONE))
        first = next(each for each in it.github.world.deliveries.values() if each.event == "workflow_job")
        it.script.conducts = []
        again = it.github.webhooks.redeliver(first)
        await it.github.webhooks.settle()
        await it.until_done(sweeping=True)

        assert '"status":"accepted"' in again.response
        assert it.job("job").conclusion == "success"


async def test_two_absences_with_a_sighting_between_confirm_nothing() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"] * 20
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 5)})
        it.script.lose_deliveries = False
        await it.sweep()
        job_id = it.job("job").id
        for _ in range(4):
            # Old enough to be asked after by itself, which fails; then the list of jobs shows it.
            await it.clock.sleep(130)
            it.script.fail[JOB] = [ApiError(404, "Not Found")]
            report = await it.sweep()

            assert report.gone == []
        assert await it.store.get(JOBS, str(job_id)) is not None
        assert f"job/{job_id}" not in await it.store.all(SUSPECTS)


async def test_that_modal_does_not_know_a_sandbox_once_ends_no_runner() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 7200)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        (name,) = await it.records()
        record = await it.store.get(RUNNERS, name)
        assert record is not None
        await it.store.put(RUNNERS, name, msgspec.structs.replace(record, sandbox_id="sb-00000000000000000000000000"))
        await it.sweep()
        once = (await it.records())[name]
        await it.clock.sleep(60)
        await it.sweep()

        assert once == RunnerState.BUSY.value
        assert (await it.records())[name] == RunnerState.FINISHED.value


async def test_a_sandbox_that_modal_knows_again_was_not_missed() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 7200)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        (name,) = await it.records()
        for _ in range(3):
            record = await it.store.get(RUNNERS, name)
            assert record is not None
            unknown = msgspec.structs.replace(record, sandbox_id="sb-00000000000000000000000000")
            await it.store.put(RUNNERS, name, unknown)
            report = await it.sweep()
            marked = await it.store.get(RUNNERS, name)
            assert marked is not None
            await it.store.put(RUNNERS, name, msgspec.structs.replace(marked, sandbox_id=record.sandbox_id))
            await it.sweep()
            await it.clock.sleep(60)

            assert report.died_during_job == 0
        assert (await it.records())[name] == RunnerState.BUSY.value


async def test_a_renamed_repository_is_none_of_a_forks() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"] * 20
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes()))
        await it.github.webhooks.settle()
        # GitHub leads from the old name to the repository.
        repositories = it.github.world.repositories
        it.repository.name = "renamed"
        it.repository.forks = 1
        repositories["octo-org/renamed"] = it.repository
        it.script.conducts = []
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"
        assert await it.store.all(REFUSALS) == {}


async def test_an_installation_on_an_enterprise_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with universe() as it:
        shape = it.github.shapes.installation

        def of_an_enterprise(installation: Installation) -> dict[str, Any]:
            found = shape(installation)
            if installation is not it.installation:
                # Docs: "Get an installation", an enterprise's account.
                found["account"] = {"id": 9, "slug": "acme", "name": "Acme", "node_id": "E_9", "html_url": "https://x"}
            return found

        monkeypatch.setattr(it.github.shapes, "installation", of_an_enterprise)
        it.github.install(it.app, it.github.world.add_account("acme", "Enterprise"))
        it.push({"job": (PLAIN, 5)})
        await it.until_done()
        report = await it.sweep()

        assert report.problems == []


async def test_a_runner_is_listed_though_another_of_its_name_comes_first() -> None:
    """GitHub's list may show one that is gone beside its successor, and the first of them was taken for both."""
    async with universe() as it:
        it.push({"job": (PLAIN, 600)})
        await it.until(lambda: it.job("job").status == "in_progress")
        [runner] = it.runners()
        gone = copy.copy(runner)
        gone.id = 1
        it.github.world.all_runners = it.github.world.runners = {1: gone, runner.id: runner}
        place = next(iter((await it.store.all(RUNNERS)).values())).place
        paced = PacedRunners(it.parts.runners, WriteBudget(it.store, it.clock), it.clock)

        assert await paced.listed(place, runner.name, runner.id)
        assert await paced.listed(place, runner.name, 1)
        assert not await paced.listed(place, runner.name, 2)

"""Runners that wait for jobs, from outside: how many there are, who gets them, when they go."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from github_app.model import FIRST_SEAT, Hold
from github_app.store import CLAIMS, JOBS, RUNNERS
from tests.worlds.steps import command, send
from tests.worlds.universe import Universe, universe

_OTHER = ["self-hosted", "modal", "cpu:8"]
_LABELS = ["self-hosted", "modal", "profile:train"]
_FILE = """
[profiles.train]
cpu = 4
warm = {count}
warm_scope = "octo-org"
{more}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the administrator's file is."""
    return tmp_path / "modal-runner.toml"


@contextlib.asynccontextmanager
async def waiting(
    file: Path, count: int = 1, more: str = "", settings: Mapping[str, object] | None = None
) -> AsyncIterator[Universe]:
    """A universe in which so many runners wait, after a sweep."""
    file.write_text(_FILE.format(count=count, more=more))
    async with universe(settings={"modal_runner_config": file, **(settings or {})}) as it:
        await it.sweep()
        yield it


def _online(it: Universe) -> int:
    return sum(each.waiting for each in it.runners())


async def test_so_many_runners_wait_as_the_file_says_and_no_sweep_makes_more(file: Path) -> None:
    async with waiting(file, 2) as it:
        await it.until(lambda: _online(it) == 2)
        for _ in range(8):
            await it.clock.sleep(60)
            report = await it.sweep()

        assert len(it.sandboxes(running=True)) == len(it.sandboxes()) == 2
        assert (report.started, report.runners_ended, report.waits) == (0, 0, [])
        assert {each.labels for each in (await it.store.all(RUNNERS)).values()} == {tuple(_LABELS)}


async def test_a_job_takes_the_runner_that_waits_and_another_takes_its_place(file: Path) -> None:
    async with waiting(file) as it:
        await it.until(lambda: _online(it) == 1)
        [before] = it.runners()
        it.push({"job": (_LABELS, 30)})
        await it.until(lambda: it.job("job").status == "in_progress")

        assert it.job("job").runner is before
        await it.until_done()
        await it.until(lambda: _online(it) == 1, sweeping=True)
        # That which waited, and its successor: none was started for the job.
        assert len(it.sandboxes()) == 2


async def test_jobs_that_ask_for_something_else_leave_it_alone(file: Path) -> None:
    async with waiting(file) as it:
        await it.until(lambda: _online(it) == 1)
        it.push({"other": (_OTHER, 5)})
        await it.until_done(sweeping=True)

        assert it.job("other").conclusion == "success"
        assert _online(it) == 1


async def test_a_runner_that_github_removes_is_replaced_after_a_while_that_grows(file: Path) -> None:
    async with waiting(file) as it:
        failures = []
        for _ in range(3):
            await it.until(lambda: _online(it) == 1, sweeping=True)
            [runner] = it.runners()
            claim = await it.store.get(CLAIMS, runner.name.removeprefix("modal-"))
            assert claim is not None
            failures.append((claim.last_hold, claim.failures))
            # What GitHub does to those that idle; the runner then ends by itself.
            it.github.actions.remove_runner(runner)

        assert failures == [(None, 0), (Hold.WAITED_IN_VAIN, 1), (Hold.WAITED_IN_VAIN, 2)]


async def test_a_job_that_waits_for_a_slot_goes_first(file: Path) -> None:
    async with waiting(file, settings={"max_concurrent": 1}) as it:
        await it.until(lambda: _online(it) == 1)
        it.push({"other": (_OTHER, 60)})
        await it.until(lambda: it.job("other").status == "in_progress", sweeping=True)
        report = await it.sweep()

        assert (
            "a runner that waits (profiles.train): the cap of all runners is reached (MAX_CONCURRENT)" in report.waits
        )
        await it.until_done(sweeping=True)
        await it.until(lambda: _online(it) == 1, sweeping=True)


async def test_another_deployment_replaces_it_and_one_without_seats_ends_it(file: Path) -> None:
    async with waiting(file) as it:
        await it.until(lambda: _online(it) == 1)
        [before] = (await it.store.all(RUNNERS)).values()
        await it.store.put(RUNNERS, before.name, msgspec.structs.replace(before, release="older"))
        await it.clock.sleep(15)
        await it.sweep()
        await it.until(lambda: _online(it) == 1 and before.name not in {each.name for each in it.runners()})

        file.write_text("")
        async with it.another_process(modal_runner_config=None) as without:
            await it.clock.sleep(15)
            await without.sweep.run()
        await it.until(lambda: not it.runners())


async def test_a_job_that_github_does_not_give_it_gets_a_runner_of_its_own(file: Path) -> None:
    async with waiting(file) as it:
        await it.until(lambda: _online(it) == 1)
        # As where the runner's group does not admit the job's repository.
        for each in it.runners():
            each.labels = ("self-hosted",)
        it.push({"job": (_LABELS, 5)})
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"


async def test_config_check_says_what_waiting_costs(file: Path) -> None:
    file.write_text(_FILE.format(count=2, more='gpu = "h100"\nwarm_hours = "Mon-Fri 08-18 Europe/Berlin"'))
    async with universe() as it:
        code, output, _ = await command(it, "config", "check", str(file))

    assert code == 0
    # 2 runners, 50 hours a week, an H100 with 4 vCPU at list prices.
    assert "profiles.train: 2 runners wait for jobs of octo-org, which costs about $" in output


async def test_a_job_on_it_has_no_more_than_its_own_time(file: Path) -> None:
    async with waiting(file, more='timeout = "5m"') as it:
        await it.until(lambda: _online(it) == 1)
        [before] = it.runners()
        it.push({"job": (_LABELS, 7200)})
        await it.until(lambda: it.job("job").status == "in_progress")
        began = it.clock.now()
        await it.until(lambda: before.name not in {s.name for s in it.sandboxes(running=True)}, sweeping=True)

        # Its five minutes, and the quarter of an hour that every sandbox has beside them for start and end.
        assert 1200 <= it.clock.now() - began < 1600


async def test_one_that_is_offline_is_replaced(file: Path) -> None:
    async with waiting(file) as it:
        await it.until(lambda: _online(it) == 1)
        await it.sweep()
        [before] = it.runners()
        before.online = before.waiting = False
        for _ in range(4):
            before.online = before.waiting = False
            await it.clock.sleep(60)
            await it.sweep()
        await it.until(lambda: _online(it) == 1 and before not in it.runners(), sweeping=True)


async def test_no_delivery_can_name_a_seat(file: Path) -> None:
    """Its id would have passed for one, and a dear machine been started for a job that GitHub does not know."""
    async with waiting(file) as it:
        await it.until(lambda: _online(it) == 1)
        run = it.push({"forged": (_OTHER, 5)})
        await it.github.webhooks.settle()
        [sent] = [each for each in it.github.world.deliveries.values() if each.event == "workflow_job"][:1]
        payload = {**sent.payload, "workflow_job": {**sent.payload["workflow_job"], "id": FIRST_SEAT + 5}}
        [answer] = await send(it, payload)

        assert run.jobs
        assert answer.startswith("400")
        assert await it.store.get(JOBS, str(FIRST_SEAT + 5)) is None


async def test_jobs_whose_event_does_not_tell_whether_their_repository_is_private_are_admitted(file: Path) -> None:
    """Such events are those of a schedule: the sandbox goes by what GitHub has said of a repository before."""
    async with waiting(file) as it:
        it.push({"before": (_LABELS, 5)})
        await it.until_done(sweeping=True)
        await it.clock.sleep(120)
        [demand] = await it.parts.seats.demands()

        assert demand.known_private == (it.repository.full_name,)

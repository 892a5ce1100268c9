"""`modal-runner status`, as an operator and a program use it."""

import json
from typing import Any

import msgspec

from github_app.model import Place, Scope
from github_app.runners.versions import RunnerVersion
from github_app.sandboxes import runner_image
from github_app.simulator.github.auth import ApiError
from github_app.views.status import read_status
from tests.worlds.steps import JIT, command
from tests.worlds.universe import PLAIN, Universe, universe

_KEYS = ["stopped", "jobs", "runners", "slots", "refused", "parked", "warm", "swept_at", "sweep_late"]


async def _status(it: Universe) -> dict[str, Any]:
    version = RunnerVersion(it.store, it.settings.runner_version, it.clock)
    found = await read_status(it.store, it.parts.rules, version, it.clock.now())
    told: dict[str, Any] = json.loads(msgspec.json.encode(found))
    return told


async def test_jobs_runners_caps_and_refusals_are_shown_with_their_reasons() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        it.push({"runs": (PLAIN, 1800)})
        await it.until(lambda: it.job("runs").status == "in_progress")
        it.push({"refused": (("modal", "gpu:h1000"), 5)})
        await it.github.webhooks.settle()
        told = await _status(it)

        assert list(told) == _KEYS
        assert [(job["name"], job["state"]) for job in told["jobs"]] == [("runs", "running")]
        assert told["slots"] == {"*": 1}
        assert "gpu:h100" in told["refused"][0]["sentence"]
        assert told["runners"][0]["sandbox"]


async def test_a_job_that_waits_says_what_for_and_until_when() -> None:
    async with universe() as it:
        it.script.fail[JIT] = [ApiError(422, "Invalid runner group id.")]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: it.github.calls[JIT] == 1)
        await it.clock.sleep(5)
        (job,) = (await _status(it))["jobs"]

        assert "Invalid runner group id." in job["waits_for"]
        assert job["until"] > it.clock.now() + 3000


async def test_the_command_needs_modals_token_and_nothing_of_github() -> None:
    async with universe() as it:
        code, output, errors = await command(it, "status", "--json")

        assert code == 0, errors
        assert list(json.loads(output)) == _KEYS


async def test_it_fits_a_narrow_terminal_and_whole_ids_can_be_had() -> None:
    async with universe() as it:
        it.push({"a-job-with-quite-a-long-name": (PLAIN, 1800)})
        await it.until(lambda: it.job("a-job-with-quite-a-long-name").status == "in_progress")
        await it.github.webhooks.settle()
        sandbox = it.sandboxes(running=True)[0].id
        narrow = await command(it, "status", COLUMNS="50")
        usual = await command(it, "status", COLUMNS="80")
        wide = await command(it, "status", "--wide", COLUMNS="140")

        assert {line.strip() for line in usual[1].splitlines()} >= {"1 job", "1 runner"}
        assert max(len(line) for line in narrow[1].splitlines()) <= 50
        assert max(len(line) for line in usual[1].splitlines()) <= 80
        assert sandbox in narrow[1].replace("\n", "")
        assert f"{sandbox[:7]}…{sandbox[-5:]}" in usual[1]
        assert sandbox in wide[1]


async def test_the_log_of_a_runner_is_found_by_its_name_and_by_its_job_after_both_have_ended() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 5)})
        await it.until_done()
        await it.until_nothing_is_left()
        runner = it.job("job").runner
        assert runner is not None
        by_name = await command(it, "logs", runner.name)
        by_job = await command(it, "logs", str(it.job("job").id))
        unknown, nonsense = await command(it, "logs", "7"), await command(it, "logs", "nonsense")

        assert by_name[0] == by_job[0] == 0
        assert "Job job completed with result: Succeeded" in by_name[1]
        assert by_job[1] == by_name[1]
        assert (unknown[0], nonsense[0]) == (1, 2)


async def test_the_version_and_checksum_of_the_runner_come_from_github() -> None:
    async with universe(enterprise=True, settings={"github_enterprise_domain": "ghe.example.com"}) as it:
        place = Place(Scope(it.organization.login), it.installation.id)
        release = await it.parts.runners.newest_release(place)

        assert release.version == "2.999.1"
        assert len(release.sha256 or "") == 64
        assert any(str(release.sha256) in line for line in runner_image(release.version, release.sha256).lines)

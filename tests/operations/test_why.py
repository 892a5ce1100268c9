"""`modal-runner why`, and what `status` says of a job whose runner is there: the first thing that is not right."""

import json
from pathlib import Path
from typing import Any

from github_app.compose import caps_of
from github_app.operations.why import Answer, answer, gather
from github_app.runners.versions import RunnerVersion
from github_app.settings.toml_file import Config
from github_app.simulator.github.auth import ApiError
from github_app.store import RUNNERS, SWEEPS
from github_app.store.notes import Swept
from github_app.views.status import read_status
from tests.worlds.steps import JIT, command
from tests.worlds.universe import PLAIN, Universe, universe


async def _why(it: Universe, job_id: int, repository: str | None = None, *, github: bool = True) -> Answer:
    facts = await gather(
        job_id,
        repository,
        store=it.store,
        sandboxes=it.parts.sandboxes,
        rules=it.parts.rules,
        version=RunnerVersion(it.store, it.settings.runner_version, it.clock),
        caps=caps_of(it.settings, Config()),
        parts=it.parts if github else None,
        without=None if github else "its credentials are not here",
        now=it.clock.now(),
    )
    return answer(facts, it.parts.rules)


async def _waits_for(it: Universe) -> str | None:
    version = RunnerVersion(it.store, it.settings.runner_version, it.clock)
    found = await read_status(it.store, it.parts.rules, version, it.clock.now(), caps_of(it.settings, Config()))
    return next(job.waits_for for job in found.jobs)


def _states(found: Answer) -> dict[str, str]:
    return {link.name: link.state for link in found.chain}


async def test_of_a_job_that_runs_every_link_holds_and_of_one_over_its_end_is_told() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 1800), "short": (PLAIN, 1)})
        await it.until_done("short")
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        await it.sweep()
        found, over = await _why(it, it.job("job").id), await _why(it, it.job("short").id)

        assert set(_states(found).values()) == {"ok"}
        assert list(_states(found)) == [*("delivery", "admitted", "github", "launch", "sandbox", "online", "job")]
        assert (found.state, found.reason, found.wrong) == ("running", None, False)
        assert (over.state, over.wrong) == ("done", False)
        assert "over: success" in over.chain[-1].told


async def test_a_job_of_a_group_that_its_runner_is_not_in_is_told_from_the_first_minute() -> None:
    async with universe() as it:
        it.script.busy_lag_s = 0
        it.github.actions.push(
            it.repository,
            {
                ".github/workflows/g.yml": b'{"on": "push", "jobs": {"job": {"runs-on": {"group": "gpus", '
                b'"labels": ["modal"]}, "steps": [{"run": "true"}]}}}'
            },
            ".github/workflows/g.yml",
            {"job": 1.0},
        )
        await it.until(lambda: any(runner.waiting for runner in it.runners()))
        # Until its launch is recorded, so that a sweep sees it online.
        await it.clock.sleep(20)
        await it.sweep()
        await it.clock.sleep(40)
        found, shown = await _why(it, it.job("job").id), await _waits_for(it)

        assert (found.chain[-1].name, found.chain[-1].state) == ("job", "wrong")
        assert "GitHub has not given it the job" in (found.reason or "")
        assert "runs-on: group:" in (found.reason or "")
        assert found.wrong
        assert "runner modal-" in (shown or "")
        assert "has not given it the job" in (shown or "")


async def test_what_keeps_a_group_from_a_job_is_named_by_github() -> None:
    async with universe(settings={"allowed_repos": "octo-org/public"}) as it:
        public = it.github.world.add_repository(it.organization, "public", private=False)
        it.push({"job": (PLAIN, 1)}, public)
        await it.until(lambda: any(runner.waiting for runner in it.runners()))
        await it.github.webhooks.settle()
        found = await _why(it, it.job("job").id)

        assert "does not admit public repositories" in (found.reason or "")


async def test_a_refused_job_one_put_off_and_one_of_others_each_name_their_link() -> None:
    async with universe() as it:
        it.push({"refused": (("modal", "gpu:v100"), 1), "elsewhere": (("self-hosted", "else"), 1)})
        await it.github.webhooks.settle()
        it.script.fail[JIT] = [ApiError(422, "Invalid runner group id.")]
        it.push({"off": (PLAIN, 1)})
        await it.until(lambda: it.github.calls[JIT] == 1)
        await it.clock.sleep(5)
        refused = await _why(it, it.job("refused").id)
        elsewhere = await _why(it, it.job("elsewhere").id, it.repository.full_name)
        off = await _why(it, it.job("off").id, github=False)
        nobody = await _why(it, 4711, it.repository.full_name)

        assert (refused.state, refused.chain[-1].name) == ("refused", "admitted")
        assert "gpu:v100" in (refused.reason or "")
        assert (elsewhere.state, elsewhere.chain[-1].name) == ("not-ours", "admitted")
        assert (off.chain[-1].name, off.chain[-1].state) == ("launch", "wrong")
        assert "Invalid runner group id." in (off.reason or "")
        assert (nobody.state, nobody.wrong) == ("unknown", True)


async def test_a_job_whose_delivery_is_late_is_found_at_github_by_its_page() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 1)})
        found = await _why(it, it.job("job").id, it.repository.full_name)

        assert found.state == "unheard"
        assert _states(found)["delivery"] == "waiting"
        assert not found.wrong


async def test_a_start_script_that_fails_is_told_with_its_last_words_within_a_second_sweep() -> None:
    async with universe() as it:
        it.script.conducts = ["exit-0", "never-online"]
        it.push({"job": (PLAIN, 1)})
        await it.until(lambda: bool(it.sandboxes()) and not it.sandboxes(running=True))
        await it.github.webhooks.settle()
        # Until its launch is recorded.
        await it.clock.sleep(20)
        before = await _why(it, it.job("job").id)
        await it.sweep()
        await it.sweep()
        after, shown = await _why(it, it.job("job").id), await _waits_for(it)

        assert (before.chain[-1].name, before.chain[-1].state) == ("sandbox", "wrong")
        assert "listening for jobs" in (before.reason or "")
        assert any("ended with 0 before a job" in link.told for link in after.chain)
        assert "ended with 0 before a job" in (shown or "")


async def test_a_job_that_waits_for_a_cap_says_which_in_status_and_why() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        it.push({"first": (PLAIN, 1800)})
        await it.until(lambda: it.job("first").status == "in_progress")
        it.push({"second": (PLAIN, 5)})
        await it.github.webhooks.settle()
        found = await _why(it, it.job("second").id)
        version = RunnerVersion(it.store, it.settings.runner_version, it.clock)
        shown = await read_status(it.store, it.parts.rules, version, it.clock.now(), caps_of(it.settings, Config()))

        assert "the cap of all runners is reached (1 of 1, MAX_CONCURRENT)" in (found.reason or "")
        assert not found.wrong
        (waits,) = [job.waits_for for job in shown.jobs if job.name == "second"]
        assert "the cap of all runners is reached (1 of 1, MAX_CONCURRENT)" in (waits or "")

        await it.store.put(SWEEPS, "last", Swept(it.clock.now() - 720, 0))
        unswept = await _why(it, it.job("second").id)
        assert unswept.wrong
        assert "the last sweep ended 12m ago, and one comes every minute" in (unswept.reason or "")


async def test_a_job_held_for_running_on_a_sandbox_that_has_ended_is_to_be_run_again() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 1800)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        (view,) = it.sandboxes(running=True)
        await it.parts.sandboxes.terminate(view.id)
        found = await _why(it, it.job("job").id)

        assert (found.chain[-1].name, found.chain[-1].state) == ("sandbox", "wrong")
        assert "cancel it and run it again" in (found.reason or "")

        # GitHub holds the job for running for much longer, and for as long its runner is known.
        for _ in range(4):
            await it.clock.sleep(31)
            await it.sweep()
        later = await _why(it, it.job("job").id)
        assert (later.chain[-1].name, later.reason) == ("sandbox", found.reason)

        # An older version has forgotten it.
        [runner] = await it.store.all(RUNNERS)
        await it.store.take(RUNNERS, runner)
        forgotten, shown = await _why(it, it.job("job").id), await _waits_for(it)
        assert (forgotten.chain[-1].name, forgotten.chain[-1].state) == ("launch", "wrong")
        assert "is gone" in (shown or "")


async def test_explain_asks_github_for_what_started_a_jobs_run_where_that_decides(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[[routes]]\nname = "pushes"\nevents = ["push"]\nrefuse = "No pushes here."\n')
    async with universe() as it:
        it.push({"job": (PLAIN, 5)})
        await it.until_done()
        page = f"https://github.com/{it.repository.full_name}/actions/runs/1/job/{it.job('job').id}"
        here = {"MODAL_RUNNER_CONFIG": str(tmp_path / "m.toml")}
        credentials = {
            "GITHUB_API_URL": it.github.api_url,
            "GITHUB_APP_ID": str(it.app.id),
            "GITHUB_PRIVATE_KEY": it.settings.github_private_key.get_secret_value(),
            "WEBHOOK_SECRET": it.app.webhook_secret,
        }
        asked = await command(it, "explain", page, "--json", **here, **credentials)
        without = await command(it, "explain", page, "--json", **here)

        assert (asked[0], json.loads(asked[1])["reason"]) == (1, "No pushes here."), asked[2]
        assert (without[0], json.loads(without[1])["decision"]) == (0, "run")
        assert "what started its run" in without[2]


async def test_the_command_asks_github_where_the_credentials_are_and_says_so_where_they_are_not() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 1800)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        page = f"https://github.com/{it.repository.full_name}/actions/runs/1/job/{it.job('job').id}"
        without = await command(it, "why", str(it.job("job").id), "--json")
        credentials = {
            "GITHUB_API_URL": it.github.api_url,
            "GITHUB_APP_ID": str(it.app.id),
            "GITHUB_PRIVATE_KEY": it.settings.github_private_key.get_secret_value(),
            "WEBHOOK_SECRET": it.app.webhook_secret,
        }
        given = await command(it, "why", page, **credentials)
        explained = await command(it, "explain", page, "--json")
        unknown, nonsense = await command(it, "why", "7"), await command(it, "why", "nonsense")

        told: dict[str, Any] = json.loads(without[1])
        assert list(told) == ["job", "repository", "state", "reason", "chain"]
        assert [link["state"] for link in told["chain"] if link["name"] == "github"] == ["unknown"]
        assert (without[0], given[0]) == (0, 0), given[2]
        assert "GitHub lists it as busy" in given[1]
        assert json.loads(explained[1])["decision"] == "run"
        assert (unknown[0], nonsense[0]) == (1, 2)
        assert it.app.webhook_secret not in given[1] + given[2]

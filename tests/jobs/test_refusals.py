"""A job that is not served, and one that is served in its own way: what reaches GitHub of the rules."""

from pathlib import Path

from github_app.runners.notices import NOTICES
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.state import Repository, RunnerGroup
from github_app.store import BUDGET, REFUSALS
from tests.worlds.universe import PLAIN, Universe, universe

LABELS = ("self-hosted", "modal", "gpu:h1000")
CHECK = "POST /repos/{owner}/{repo}/check-runs"
RUN = "GET /repos/{owner}/{repo}/actions/runs/{run_id}"


def _permit_checks(it: Universe) -> None:
    it.app.permissions["checks"] = "write"


async def test_the_author_is_told_by_a_check_run_once_however_often_the_job_is_heard_of() -> None:
    # An Enterprise Server, whose every exchange is held against GitHub's contract.
    async with universe(enterprise=True, settings={"github_enterprise_domain": "ghe.example.com"}) as it:
        _permit_checks(it)
        run = it.push({"train": (LABELS, 5)})
        await it.github.webhooks.settle()
        await it.sweep()
        await it.until(lambda: bool(it.github.world.check_runs))
        await it.sweep()
        (check,) = it.github.world.check_runs.values()

        assert (check.sha, check.conclusion) == (run.sha, "failure")
        assert "gpu:h1000" in check.summary
        assert "Nearest: 'gpu:h100'" in check.summary
        assert "train" in check.title
        assert not it.sandboxes()


async def test_a_storm_of_refusals_delays_no_launch_and_is_told_once_a_commit() -> None:
    async with universe() as it:
        _permit_checks(it)
        for _ in range(2):
            it.push({f"bad-{n}": (LABELS, 5) for n in range(100)})
        it.push({"good": (PLAIN, 5)})
        await it.until_done("good")
        await it.until(lambda: it.github.calls[CHECK] == 2)
        await it.github.webhooks.settle()
        await it.clock.sleep(20)
        refused = next(job for job in it.github.jobs() if job.instance.name == "bad-0")
        launches = [key for key in await it.store.all(BUDGET) if not key.startswith(NOTICES)]

        assert it.github.calls[CHECK] == 2
        assert refused.status == "queued"
        # In this time's pace a launch that the storm holds up for a moment pays again.
        assert len(launches) <= 8
        assert len(await it.store.all(REFUSALS)) == 200


async def test_notices_have_a_small_share_of_the_write_limit() -> None:
    async with universe() as it:
        _permit_checks(it)
        for _ in range(40):
            it.push({"bad": (LABELS, 5)})
        await it.until(lambda: it.github.calls[CHECK] >= 3)
        await it.github.webhooks.settle()
        await it.clock.sleep(20)

        assert it.github.calls[CHECK] <= 8


async def test_without_the_permission_the_refusal_is_recorded_and_nothing_is_asked() -> None:
    async with universe() as it:
        it.push({"a": (LABELS, 5), "b": (LABELS, 5)})
        await it.github.webhooks.settle()
        refusals = await it.store.all(REFUSALS)

        assert {each.code for each in refusals.values()} == {"gpu"}
        assert len(refusals) == 2
        assert it.github.calls[CHECK] == 0


async def test_a_repository_may_not_make_as_many_caches_as_it_likes(tmp_path: Path) -> None:
    file = tmp_path / "modal-runner.toml"
    file.write_text("[limits]\ncache_volumes = 2\n")
    async with universe(settings={"modal_runner_config": file}) as it:
        other = it.github.world.add_repository(it.organization, "other")
        for name in ("a", "b", "a", "c"):
            it.push({name: ((*PLAIN, f"cache:{name}"), 5)})
            await it.github.webhooks.settle()
        it.push({"c": ((*PLAIN, "cache:c"), 5)}, other)
        await it.github.webhooks.settle()
        refusals = await it.store.all(REFUSALS)

        assert [each.code for each in refusals.values()] == ["cache"]
        assert "used 2 caches" in next(iter(refusals.values())).sentence
        assert refusals.keys() == {str(job.id) for job in it.github.jobs()[3:4]}


async def test_the_code_of_a_fork_is_refused_and_its_run_is_asked_for_once() -> None:
    async with universe() as it:
        it.repository.forks = 1
        stranger = Repository(99, it.organization, "stranger")
        it.script.lose_deliveries = True
        run = it.push({"a": (PLAIN, 5), "b": (PLAIN, 5)})
        it.script.lose_deliveries = False
        run.event, run.fork = "pull_request", stranger
        for name in ("a", "b"):
            payload = it.github.shapes.job_event("queued", it.job(name), it.installation)
            it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        for _ in range(3):
            await it.sweep()
        refusals = await it.store.all(REFUSALS)

        assert {each.code for each in refusals.values()} == {"fork"}
        assert it.github.calls[RUN] == 1
        assert not it.sandboxes()


async def test_a_job_of_a_repository_with_forks_runs_when_its_code_is_its_own() -> None:
    async with universe() as it:
        it.repository.forks = 1
        it.push({"job": (PLAIN, 5)})
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_a_run_that_github_does_not_tell_of_leaves_the_job_to_the_sweep() -> None:
    async with universe() as it:
        it.repository.forks = 1
        it.script.fail[RUN] = [ApiError(500, "Server Error")]
        it.push({"job": (PLAIN, 5)})
        await it.until_done(sweeping=True)

        assert it.job("job").conclusion == "success"


async def test_a_profiles_runner_group_and_cap_reach_github_and_the_slots(tmp_path: Path) -> None:
    file = tmp_path / "modal-runner.toml"
    file.write_text(
        "[profiles.p]\nrunner_group = 2\nmax_concurrent = 1\n"
        "[[routes]]\nname = 'all'\nrepositories = ['octo-org/*']\nprofile = 'p'\n"
    )
    async with universe(settings={"modal_runner_config": file}) as it:
        it.github.world.groups["octo-org"].append(RunnerGroup(2, "trusted", default=False))
        it.push({"first": (PLAIN, 20), "second": (PLAIN, 20)})
        await it.until(lambda: bool(it.runners()))
        groups = {runner.group.id for runner in it.runners()}
        await it.until_done()
        first, second = sorted(it.github.jobs(), key=lambda job: job.started_at or 0)

        assert groups == {2}
        assert (second.started_at or 0) >= (first.completed_at or 0)

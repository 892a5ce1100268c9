"""Jobs of the simulated GitHub: queued, given to any runner that fits, ended, told of."""

import pytest

from github_app.simulator.github.state import Job, RunnerGroup
from github_app.simulator.workflow import WorkflowError
from tests.worlds.github_workshop import LABELS, Hub, job

pytest_plugins = ["tests.worlds.github_fixtures"]

H100 = [*LABELS, "gpu:h100"]


def taken_by(each: Job) -> str | None:
    return each.runner.name if each.runner else None


async def test_any_runner_that_fits_takes_a_job_also_one_that_was_made_for_another(hub: Hub) -> None:
    cheap, dear = hub.push_job("cheap"), hub.push_job("dear", "[self-hosted, modal, 'gpu:h100']")
    await (await hub.runner("modal-dear-1", labels=H100)).online()

    assert (taken_by(cheap), taken_by(dear)) == ("modal-dear-1", None)


async def test_a_runner_that_lacks_a_label_is_not_given_the_job(hub: Hub) -> None:
    dear = hub.push_job("dear", "[self-hosted, modal, 'gpu:h100']")
    await (await hub.runner("modal-cheap-1")).online()

    assert (dear.status, dear.runner) == ("queued", None)


async def test_labels_match_whatever_their_case(hub: Hub) -> None:
    shouted = hub.push_job("shouted", "[SELF-hosted, Modal]")
    await (await hub.runner(labels=["self-HOSTED", "MODAL", "x"])).online()

    assert shouted.status == "in_progress"


async def test_the_oldest_job_goes_first(hub: Hub) -> None:
    first, second = hub.push_job("first"), hub.push_job("second")
    runner = await (await hub.runner("modal-2-1")).online()

    assert (taken_by(first), taken_by(second)) == ("modal-2-1", None)
    await runner.finish()
    await (await hub.runner("modal-1-1")).online()
    assert taken_by(second) == "modal-1-1"


async def test_a_runner_that_is_not_online_gets_no_job(hub: Hub) -> None:
    waiting = hub.push_job()
    await hub.runner()
    hub.push_job()

    assert waiting.status == "queued"


async def test_a_job_goes_to_runners_of_its_own_organisation_or_repository(hub: Hub) -> None:
    mona = hub.github.world.add_account("mona", kind="User")
    own, other = (hub.github.world.add_repository(mona, name) for name in ("own", "other"))
    hers = hub.github.install(hub.app, mona)
    await (await hub.runner("modal-org-1")).online()
    stranger, neighbour = hub.push_job(repository=own), hub.push_job(repository=other)
    hub.headers["Authorization"] = f"token {await hub.token(hers)}"
    await (await hub.runner("modal-own-1", at="/repos/mona/own")).online()
    at_home = hub.push_job()

    assert (taken_by(stranger), taken_by(neighbour), taken_by(at_home)) == ("modal-own-1", None, "modal-org-1")


async def test_a_job_that_names_a_group_goes_to_runners_of_that_group(hub: Hub) -> None:
    hub.github.world.groups["octo-org"].append(RunnerGroup(2, "gpus", default=False))
    grouped = hub.push_job("grouped", "{group: gpus, labels: [modal]}")
    await (await hub.runner("modal-default-1")).online()

    assert grouped.status == "queued"
    await (await hub.runner("modal-gpus-1", runner_group_id=2)).online()
    assert taken_by(grouped) == "modal-gpus-1"


async def test_a_public_repositorys_job_needs_a_group_that_admits_public_repositories(hub: Hub) -> None:
    public = hub.push_job(repository=hub.github.world.add_repository(hub.organization, "public", private=False))
    await (await hub.runner("modal-default-1")).online()

    assert public.status == "queued"
    hub.github.world.groups["octo-org"].append(RunnerGroup(2, "open", default=False, allows_public_repositories=True))
    await (await hub.runner("modal-open-1", runner_group_id=2)).online()
    assert taken_by(public) == "modal-open-1"


async def test_a_runner_that_waits_is_given_its_job_at_once_and_is_gone_after_it(hub: Hub) -> None:
    runner = await (await hub.runner()).online()
    build = hub.push_job()
    message = (await runner.told()).json()
    files = await runner.call("GET", "files")
    await runner.finish()

    assert (message["job_id"], message["act_job"], message["name"]) == (build.id, "build", "build")
    assert b"runs-on: [self-hosted, modal]" in files.content
    assert hub.github.world.runners == {}
    assert (await runner.call("GET", "job")).status_code == 404
    assert hub.push_job().status == "queued"


async def test_each_change_of_a_job_is_told_with_its_runner(hub: Hub) -> None:
    runner = await (await hub.runner("modal-1-1")).online()
    build = hub.push_job()
    await runner.finish("failure")
    deliveries = [each.payload for each in hub.github.world.deliveries.values() if each.event == "workflow_job"]

    assert [(each["action"], each["workflow_job"]["runner_name"]) for each in deliveries] == [
        ("queued", None),
        ("in_progress", "modal-1-1"),
        ("completed", "modal-1-1"),
    ]
    assert [each["workflow_job"]["conclusion"] for each in deliveries] == [None, None, "failure"]
    assert {each["workflow_job"]["id"] for each in deliveries} == {build.id}
    assert {each["installation"]["id"] for each in deliveries} == {hub.installation.id}


async def test_needed_jobs_come_first_and_their_outputs_go_on(hub: Hub) -> None:
    run = hub.push(job("build") + job("test", needs="build"))
    runner = await (await hub.runner("modal-1-1")).online()

    assert [each.instance.name for each in run.jobs] == ["build"]
    await runner.finish(version="1.2.3")
    second = await (await hub.runner("modal-2-1")).online()
    assert "1.2.3" not in (await second.told()).json()["workflow"]  # carried as data, never pasted
    assert run.plan.standalone("test").count('"build"') >= 1
    await second.finish()
    assert [(each.instance.name, each.conclusion) for each in run.jobs] == [("build", "success"), ("test", "success")]
    assert (run.status, run.conclusion) == ("completed", "success")


async def test_what_needs_a_failed_job_is_skipped_without_ever_being_queued(hub: Hub) -> None:
    run = hub.push(job("build") + job("test", needs="build") + job("report", needs="test", **{"if": "always()"}))
    runner = await (await hub.runner()).online()
    await runner.finish("failure")
    await hub.github.webhooks.settle()

    assert [(each.instance.name, each.status, each.conclusion) for each in run.jobs] == [
        ("build", "completed", "failure"),
        ("test", "completed", "skipped"),
        ("report", "queued", None),
    ]
    assert [action for action, name in hub.receiver.events if name == "test"] == ["completed"]
    assert run.jobs[1].runner is None


async def test_fail_fast_cancels_the_rest_of_a_matrix(hub: Hub) -> None:
    run = hub.push(job("test", strategy="{matrix: {n: [1, 2, 3]}}"))
    first, second = [await (await hub.runner(f"modal-{n}-1")).online() for n in (1, 2)]
    await first.finish("failure")
    told = await second.call("POST", "progress", {"lines": ["still at it"]})

    assert [each.conclusion for each in run.jobs] == ["failure", None, "cancelled"]
    assert told.json() == {"cancel": True}
    await second.finish("cancelled")
    assert (run.status, run.conclusion) == ("completed", "failure")
    assert run.jobs[1].log == ["still at it"]


async def test_jobs_held_back_by_max_parallel_are_queued_later_or_cancelled(hub: Hub) -> None:
    run = hub.push(job("test", strategy="{max-parallel: 1, matrix: {n: [1, 2, 3]}}"))
    first = await (await hub.runner("modal-1-1")).online()

    assert len(run.jobs) == 1
    await first.finish()
    assert [each.status for each in run.jobs] == ["completed", "queued"]
    second = await (await hub.runner("modal-2-1")).online()
    await second.finish("failure")
    assert [each.conclusion for each in run.jobs] == ["success", "failure", "cancelled"]


async def test_a_run_is_queued_until_one_of_its_jobs_has_run_and_in_progress_until_all_have(hub: Hub) -> None:
    run = hub.push(job("one") + job("two"))
    path = f"/repos/octo-org/demo/actions/runs/{run.id}"

    async def status() -> tuple[str, str | None]:
        shown = (await hub.call("GET", path)).json()
        return shown["status"], shown["conclusion"]

    assert await status() == ("queued", None)
    first = await (await hub.runner("modal-1-1")).online()
    assert await status() == ("in_progress", None)
    await first.finish()
    assert run.jobs[1].status == "queued"
    assert await status() == ("in_progress", None)
    second = await (await hub.runner("modal-2-1")).online()
    await second.finish()
    assert await status() == ("completed", "success")


async def test_a_cancelled_run_ends_its_jobs_but_not_those_that_are_always_to_run(hub: Hub) -> None:
    run = hub.push(
        job("running") + job("queued", "[modal, big]") + job("later", needs="running") + _cleanup(needs="running")
    )
    runner = await (await hub.runner()).online()
    hub.github.actions.cancel_run(run)
    conclusions = {each.instance.name: each.conclusion for each in run.jobs}
    told = await runner.call("POST", "progress", {})
    await runner.finish("cancelled")
    last = await (await hub.runner("modal-2-1")).online()

    assert conclusions == {"running": None, "queued": "cancelled"}
    assert told.json() == {"cancel": True}
    assert (await last.told()).json()["name"] == "cleanup"
    await last.finish()
    assert (run.status, run.conclusion) == ("completed", "cancelled")
    assert {each.instance.name: each.conclusion for each in run.jobs} == {
        "running": "cancelled",
        "queued": "cancelled",
        "later": "skipped",
        "cleanup": "success",
    }


async def test_a_cancelled_run_leaves_a_queued_job_that_is_always_to_run(hub: Hub) -> None:
    run = hub.push(_cleanup())
    hub.github.actions.cancel_run(run)

    assert [each.status for each in run.jobs] == ["queued"]


def _cleanup(**more: str) -> str:
    return job("cleanup", **{"if": "always()", **more})


async def test_a_runner_cannot_report_a_conclusion_that_is_none(hub: Hub) -> None:
    runner = await (await hub.runner()).online()
    build = hub.push_job()
    answer = await runner.call("POST", "finish", {"conclusion": "splendid"})

    assert (answer.status_code, build.status) == (422, "in_progress")


async def test_a_runner_without_a_job_has_nothing_to_report(hub: Hub) -> None:
    runner = await (await hub.runner()).online()

    assert (await runner.call("POST", "finish", {"conclusion": "success"})).status_code == 409


@pytest.mark.parametrize(
    ("status", "names"),
    [
        ("queued", ["waiting"]),
        ("in_progress", ["half done"]),
        ("completed", ["broken", "done"]),
        ("success", ["done"]),
        ("failure", ["broken"]),
        ("cancelled", []),
        ("", ["waiting", "half done", "broken", "done"]),
    ],
)
async def test_runs_are_listed_newest_first_by_status_or_conclusion(hub: Hub, status: str, names: list[str]) -> None:
    for n, (name, conclusion) in enumerate({"done": "success", "broken": "failure"}.items()):
        hub.push(job("one")).name = name
        await (await (await hub.runner(f"modal-{n}-1")).online()).finish(conclusion)
    hub.push(job("one") + job("two")).name = "half done"
    await (await hub.runner("modal-9-1")).online()
    hub.push(job("one")).name = "waiting"
    query = f"?status={status}" if status else ""
    listed = (await hub.call("GET", f"/repos/octo-org/demo/actions/runs{query}")).json()

    assert [each["name"] for each in listed["workflow_runs"]] == names
    assert listed["total_count"] == len(names)


async def test_a_runs_jobs_are_listed_with_their_state(hub: Hub) -> None:
    run = hub.push(job("one") + job("two"))
    runner = await (await hub.runner("modal-1-1")).online()
    listed = (await hub.call("GET", f"/repos/octo-org/demo/actions/runs/{run.id}/jobs?per_page=100")).json()
    one, two = [(await hub.call("GET", f"/repos/octo-org/demo/actions/jobs/{each.id}")).json() for each in run.jobs]

    assert [(each["name"], each["status"]) for each in listed["jobs"]] == [("one", "in_progress"), ("two", "queued")]
    assert (one["runner_name"], one["runner_id"], one["labels"]) == ("modal-1-1", runner.id, LABELS)
    assert (two["runner_name"], two["runner_id"], two["run_id"]) == (None, None, run.id)


async def test_a_workflow_that_is_not_known_is_refused_with_file_and_line_and_starts_nothing(hub: Hub) -> None:
    with pytest.raises(WorkflowError, match=r"ci.yml:5: .*volumes"):
        hub.push("  build:\n    volumes: {}\n    runs-on: modal\n    steps: [run: 'true']\n")

    assert hub.github.world.runs == {}


async def test_a_job_of_a_run_that_is_over_is_run_again_under_a_new_id(hub: Hub) -> None:
    run = hub.push(job("one") + job("two"))
    for name in ("modal-1-1", "modal-2-1"):
        await (await (await hub.runner(name)).online()).finish("failure")
    first = run.jobs[0]
    again = hub.github.actions.rerun(first)

    assert again is not None
    assert hub.github.actions.rerun(first) is None  # it runs already
    assert (again.id != first.id, again.status, again.attempt) == (True, "queued", 2)
    await (await (await hub.runner("modal-3-1")).online()).finish()
    listed = (await hub.call("GET", f"/repos/octo-org/demo/actions/runs/{run.id}/jobs")).json()["jobs"]

    assert [(each["name"], each["id"]) for each in listed] == [("one", again.id), ("two", run.jobs[1].id)]
    assert [each["run_attempt"] for each in listed] == [2, 1]
    assert (run.status, run.conclusion, run.attempt) == ("completed", "failure", 2)


async def test_a_gated_job_waits_until_it_is_approved(hub: Hub) -> None:
    workflow = f"on: push\njobs:\n{job('deploy')}".encode()
    run = hub.github.actions.push(hub.repository, {"w.yml": workflow}, "w.yml", gated=frozenset({"deploy"}))
    await (await hub.runner("modal-1-1")).online()
    waiting = run.jobs[0].status
    hub.github.actions.approve(run.jobs[0])
    told = [each.payload["action"] for each in hub.github.world.deliveries.values() if each.event == "workflow_job"]

    assert waiting == "waiting"
    assert run.jobs[0].status == "in_progress"
    assert told == ["queued", "waiting", "queued", "in_progress"]


async def test_lists_may_show_what_was_some_time_ago(hub: Hub) -> None:
    run = hub.push(job("one"))
    hub.clock.now += 60
    hub.github.lists_lag_s = 30
    runner = await (await hub.runner("modal-1-1")).online()

    async def listed() -> tuple[list[str], list[str], int]:
        jobs = (await hub.call("GET", f"/repos/octo-org/demo/actions/runs/{run.id}/jobs")).json()["jobs"]
        runs = (await hub.call("GET", "/repos/octo-org/demo/actions/runs")).json()["workflow_runs"]
        runners = (await hub.call("GET", "/orgs/octo-org/actions/runners")).json()["total_count"]
        return [each["status"] for each in jobs], [each["status"] for each in runs], runners

    assert await listed() == (["queued"], ["in_progress"], 0)
    hub.clock.now += 40
    assert await listed() == (["in_progress"], ["in_progress"], 1)
    await runner.finish()
    assert await listed() == (["in_progress"], ["in_progress"], 1)
    hub.clock.now += 40
    assert await listed() == (["completed"], ["completed"], 0)

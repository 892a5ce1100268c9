"""Concurrency groups, environments and the pushed commit of the simulated GitHub."""

import asyncio
import subprocess
from pathlib import Path

from github_app.simulator.github.commit import commit_of
from github_app.simulator.github.events import EVENTS, on_branch
from github_app.simulator.github.state import WorkflowRun
from github_app.simulator.workflow import Given
from tests.worlds.github_workshop import Hub

pytest_plugins = ["tests.worlds.github_fixtures"]

STEPS = "    steps: [{run: 'true'}]\n"


def push(hub: Hub, head: str, jobs: str) -> WorkflowRun:
    text = f"on: push\n{head}jobs:\n{jobs}"
    return hub.github.actions.push(hub.repository, {"w.yml": text.encode()}, "w.yml")


def states(*runs: WorkflowRun) -> list[tuple[str, str | None]]:
    return [(run.status, run.conclusion) for run in runs]


async def test_of_a_group_one_run_goes_on_one_waits_and_a_newer_one_takes_its_place(hub: Hub) -> None:
    head, jobs = "concurrency: 'Deploy-${{ github.ref }}'\n", f"  a:\n    runs-on: x\n{STEPS}"
    first, second, third = (push(hub, head, jobs) for _ in range(3))

    assert states(first, second, third) == [("queued", None), ("completed", "cancelled"), ("pending", None)]
    assert "deploy-refs/heads/main" in str(second.note).lower()
    hub.github.actions.cancel_run(first)

    assert states(first, third) == [("completed", "cancelled"), ("queued", None)]
    assert [job.status for job in third.jobs] == ["queued"]


async def test_a_run_that_cancels_what_is_in_progress_ends_it_and_goes_on(hub: Hub) -> None:
    head, jobs = "concurrency: {group: g, cancel-in-progress: true}\n", f"  a:\n    runs-on: x\n{STEPS}"
    first, second = push(hub, head, jobs), push(hub, head, jobs)

    assert states(first, second) == [("completed", "cancelled"), ("queued", None)]


async def test_jobs_of_a_group_take_turns_and_a_long_queue_keeps_them_all(hub: Hub) -> None:
    job = "    runs-on: x\n    concurrency: {group: g, queue: max}\n" + STEPS
    run = push(hub, "", "".join(f"  {name}:\n{job}" for name in "abc"))
    told = [each.payload for each in hub.github.world.deliveries.values() if each.event == "workflow_job"]

    assert [job.status for job in run.jobs] == ["queued", "pending", "pending"]
    assert [payload["workflow_job"]["name"] for payload in told] == ["a"]
    hub.github.actions.cancel(run.jobs[0])
    assert [job.status for job in run.jobs] == ["completed", "queued", "pending"]


async def test_a_job_that_waits_for_its_own_run_is_cancelled(hub: Hub) -> None:
    run = push(hub, "concurrency: g\n", "  a:\n    runs-on: x\n    concurrency: G\n" + STEPS)

    assert states(run) == [("completed", "cancelled")]
    assert "deadlock" in run.jobs[0].log[-1]


async def test_a_job_of_an_environment_waits_until_it_is_approved_by_itself_or_by_a_person(hub: Hub) -> None:
    jobs = "  a:\n    runs-on: x\n    environment: {name: '${{ github.ref_name }}-env', url: 'http://x'}\n" + STEPS
    hub.github.actions.approved_after_s = None
    (held,) = push(hub, "", jobs).jobs
    hub.github.actions.approved_after_s = 0
    (approved,) = push(hub, "", jobs).jobs

    assert (held.status, held.instance.environment) == ("waiting", "main-env")
    assert approved.status == "waiting"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (held.status, approved.status) == ("waiting", "queued")


async def test_a_refused_job_fails_before_a_runner_is_asked_and_what_needs_it_is_skipped(hub: Hub) -> None:
    jobs = (
        "  box:\n    runs-on: x\n    container: alpine\n" + STEPS + "  after:\n    runs-on: x\n    needs: box\n" + STEPS
    )
    box, after = push(hub, "", jobs).jobs
    there = hub.github.actions.push(hub.repository, dict(hub.repository.files), "w.yml", given=Given(docker=True))

    assert (box.conclusion, box.runner, box.log) == (
        *("failure", None, ["w.yml:5: 'container' needs Docker, which is not here"]),
    )
    assert after.conclusion == "skipped"
    assert [job.status for job in there.jobs] == ["queued"]


def context(hub: Hub, event: str) -> dict[str, object]:
    files = {"w.yml": f"on: push\njobs:\n  a:\n    runs-on: x\n{STEPS}".encode()}
    return dict(hub.github.actions.push(hub.repository, files, "w.yml", event=EVENTS[event]).context)


async def test_each_event_has_the_context_that_github_gives_it(hub: Hub) -> None:
    seen = {event: context(hub, event) for event in EVENTS}
    shown = {
        event: tuple(each[key] for key in ("event_name", "ref", "ref_name", "ref_type", "head_ref", "base_ref"))
        for event, each in seen.items()
    }

    branch = ("refs/heads/main", "main", "branch", "", "")
    assert shown == {
        "push": ("push", *branch),
        "tag": ("push", "refs/tags/v1.0.0", "v1.0.0", "tag", "", ""),
        "pull_request": ("pull_request", "refs/pull/1/merge", "1/merge", "branch", "change", "main"),
        "workflow_dispatch": ("workflow_dispatch", *branch),
        "schedule": ("schedule", *branch),
    }
    assert on_branch(EVENTS["push"], "dev").ref == "refs/heads/dev"
    assert on_branch(EVENTS["tag"], "dev").ref == "refs/tags/v1.0.0"
    payload = seen["push"]["event"]
    assert isinstance(payload, dict)
    assert [each["id"] for each in payload["commits"]] == [seen["push"]["sha"]]


def test_the_commit_is_one_that_git_takes_for_checked_out_and_clean(tmp_path: Path) -> None:
    files = {
        "a.txt": b"a",
        "a/b.sh": b"b",
        "a/c/d.txt": b"\0",
        "long/" + "x" * 120 + ".txt": b"",
        "ä.md": b"z",
        "\udcff": b"y",
    }
    commit = commit_of(files, "Push 1", "octo", 1_700_000_000)
    git = commit.repository("refs/heads/main", "http://localhost/o/r")
    for name, content in {**files, **{f".git/{name}": text for name, text in git.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", f"safe.directory={tmp_path}", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603

    assert ask("fsck", "--strict") == ""
    assert ask("rev-parse", "HEAD", "origin/main").split() == [commit.sha] * 2
    assert ask("status", "--porcelain") == ""
    assert ask("log", "--format=%an %s") == "octo Push 1"
    assert ask("branch", "--show-current") == "main"

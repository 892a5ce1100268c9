"""Jobs from push to conclusion through the running app, with what may go wrong on the way."""

from collections import Counter
from pathlib import Path

import pytest
from google.protobuf.message import Message
from grpclib import GRPCError, Status

from github_app.simulator.github.state import Job
from tests.worlds.control_plane import ControlPlane, running, until

PATH = ".github/workflows/ci.yml"


def push(plane: ControlPlane, *labels: str, count: int = 1) -> list[Job]:
    """Queue so many jobs at once."""
    shards = ", ".join(str(number) for number in range(count))
    text = f"""
on: push
jobs:
  build:
    strategy:
      fail-fast: false
      matrix:
        shard: [{shards}]
    runs-on: [self-hosted, modal{"".join(f', "{label}"' for label in labels)}]
    steps:
      - run: echo shard ${{{{ matrix.shard }}}}
"""
    repository = plane.github.world.add_repository(plane.organization, f"app{len(plane.github.world.repositories)}")
    return plane.github.actions.push(repository, {PATH: text.encode()}, PATH).jobs


async def ended(plane: ControlPlane, jobs: list[Job]) -> None:
    """Wait until the jobs, and with them every runner and sandbox, have ended."""
    await until(lambda: all(job.status == "completed" for job in jobs), within=40)
    await until(lambda: not any(view.running for view in plane.modal.sandboxes()), within=20)


async def test_each_job_gets_a_sandbox_of_its_own_and_nothing_is_left(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        jobs = push(plane, count=6)
        await ended(plane, jobs)
        used = [job.runner.name for job in jobs if job.runner]

        assert [job.conclusion for job in jobs] == ["success"] * 6
        assert len(set(used)) == 6
        assert set(used) <= {view.name for view in plane.modal.sandboxes()}
        assert plane.github.world.runners == {}


class LosesAnswers:
    """Lets each RPC of a name take effect, and loses the first answers to it."""

    def __init__(self, rpc: str, times: int) -> None:
        self._left = Counter({rpc: times})

    async def before(self, rpc: str, request: Message) -> None:
        pass

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        if self._left[rpc] > 0:
            self._left[rpc] -= 1
            raise GRPCError(Status.UNAVAILABLE, "the answer is lost")


@pytest.mark.parametrize("rpc", ["SandboxCreateV2", "DictUpdate", "DictGet"])
async def test_a_job_is_served_though_modals_answers_are_lost(tmp_path: Path, rpc: str) -> None:
    async with running(tmp_path) as plane:
        plane.modal.interceptor = LosesAnswers(rpc, times=2)
        jobs = push(plane)
        await ended(plane, jobs)

        assert [job.conclusion for job in jobs] == ["success"]
        assert len(plane.modal.sandboxes()) == 1


async def test_a_runner_taken_by_another_job_does_not_leave_its_own_without(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        gpu, plain = push(plane, "gpu:t4"), push(plane)
        await ended(plane, [*gpu, *plain])

        assert [job.conclusion for job in [*gpu, *plain]] == ["success", "success"]
        assert gpu[0].runner is not None
        view = next(view for view in plane.modal.sandboxes() if gpu[0].runner.name == view.name)
        assert view.request.definition.resources.gpu_config.count == 1


async def test_a_job_that_is_cancelled_while_queued_leaves_neither_runner_nor_sandbox(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        jobs = push(plane)
        plane.github.actions.cancel(jobs[0])
        await until(lambda: jobs[0].status == "completed")
        await until(lambda: plane.github.webhooks._under_way == set())
        await until(
            lambda: not plane.github.world.runners and not any(view.running for view in plane.modal.sandboxes()),
            within=40,
        )

        assert jobs[0].conclusion == "cancelled"


async def test_a_personal_accounts_job_runs_on_a_runner_of_its_repository(tmp_path: Path) -> None:
    async with running(tmp_path, settings={"ALLOWED_OWNERS": "octocat"}) as plane:
        user = plane.github.world.add_account("octocat", "User")
        plane.app.permissions["administration"] = "write"
        plane.github.install(plane.app, user)
        repository = plane.github.world.add_repository(user, "tools")
        text = b"on: push\njobs:\n  a:\n    runs-on: [modal]\n    steps:\n      - run: echo hello\n"
        jobs = plane.github.actions.push(repository, {PATH: text}, PATH).jobs
        await ended(plane, jobs)

        assert [job.conclusion for job in jobs] == ["success"]
        assert plane.github.calls["POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig"] == 1

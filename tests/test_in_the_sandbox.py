"""Whole jobs, for what only shows inside their sandbox: who is let in, as which user, with how many threads."""

from pathlib import Path

import pytest

from github_app.simulator.github.state import Job, Repository
from github_app.simulator.modal import Limits
from tests.control_plane import ControlPlane, running, until

PATH = ".github/workflows/ci.yml"


def push(plane: ControlPlane, repository: Repository, *steps: str, labels: str = "modal") -> Job:
    lines = "\n".join(f"      - {step}" for step in steps)
    text = f"on: push\njobs:\n  build:\n    runs-on: [self-hosted, {labels}]\n    steps:\n{lines}\n"
    return plane.github.actions.push(repository, {PATH: text.encode()}, PATH).jobs[0]


async def ended(plane: ControlPlane, *jobs: Job) -> None:
    await until(lambda: all(job.status == "completed" for job in jobs), within=40)
    await until(lambda: not any(view.running for view in plane.modal.sandboxes()), within=20)


async def test_a_refused_job_that_takes_a_runner_runs_no_step_and_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, settings={"ALLOWED_REPOS": "octo-org/good"}) as plane:
        good, bad = (plane.github.world.add_repository(plane.organization, name) for name in ("good", "bad"))
        # It stays queued, and GitHub gives a runner to whoever waits longest.
        refused = push(plane, bad, "run: echo PLAIN RAN", "{if: always(), run: echo ALWAYS RAN}")
        await plane.github.webhooks.settle()
        admitted = push(plane, good, "run: echo hello")
        await ended(plane, refused, admitted)
        log = "\n".join(refused.log)

        assert refused.conclusion == "failure"
        assert "The repository octo-org/bad may not use these runners" in log
        assert "RAN" not in log
        assert admitted.conclusion == "success"


@pytest.mark.parametrize("setuid", [True, False])
async def test_where_sudo_has_no_effect_the_runner_is_root_and_says_so(tmp_path: Path, *, setuid: bool) -> None:
    async with running(tmp_path, limits=Limits(setuid=setuid)) as plane:
        repository = plane.github.world.add_repository(plane.organization, "app")
        job = push(plane, repository, "run: echo user $(id -u), sudo $(sudo -n id -u || echo no), $USER")
        await ended(plane, job)
        (view,) = plane.modal.sandboxes()
        log = "\n".join(job.log)

        assert ("user 1001, sudo 0, runner" in log) is setuid, log
        assert ("user 0, sudo no, root" in log) is not setuid
        assert ("the runner and its jobs run as root" in log) is not setuid
        assert view.output.startswith("sudo does not work in this sandbox") is not setuid


async def test_a_job_may_use_as_many_threads_as_its_limit_has_vcpus_unless_it_says_otherwise(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        repository = plane.github.world.add_repository(plane.organization, "app")
        own = "{run: echo own $OMP_NUM_THREADS, env: {OMP_NUM_THREADS: 3}}"
        job = push(plane, repository, "run: echo default $OMP_NUM_THREADS $(nproc)", own)
        await ended(plane, job)

        assert {"default 16 16", "own 3"} <= set(job.log)

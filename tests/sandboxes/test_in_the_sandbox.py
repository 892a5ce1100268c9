"""Whole jobs, for what only shows inside their sandbox: who is let in, as which user, with how many threads."""

from pathlib import Path

import modal
import pytest

from github_app.simulator.github.state import Job
from github_app.simulator.modal import Limits
from tests.worlds.control_plane import ControlPlane, push, running, until
from tests.worlds.modal_workshop import connect


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


GIVEN = """
[profiles.own]
secrets = ["keys"]
secret_env = { HF_TOKEN = "hf-canary-token-0123456789", PEM = "line-one-canary\\nline-two-canary", PIN = "hunt2x" }
env = { MODE = "plain-word", home = "a-home" }
trust = "labels"
[[routes]]
name = "own"
repositories = ["octo-org/own"]
profile = "own"
"""
CANARIES = ("hf-canary-token", "line-one-canary", "line-two-canary", "key-canary", "hunt2x")
LOOK = """{run: 'cat /proc/*/environ $HOME/.given | tr "\\0" "\\n" | sed "s/^/seen: /" || true', shell: bash}"""


async def test_what_a_profile_gives_reaches_its_own_job_masked_and_a_foreign_job_by_no_way(tmp_path: Path) -> None:
    file = tmp_path / "modal-runner.toml"
    file.write_text(GIVEN)
    async with running(tmp_path, settings={"MODAL_RUNNER_CONFIG": str(file)}) as plane:
        async with connect(plane.modal) as client:
            values = {"KEY": "key-canary-0123456789", "HF_TOKEN": "hf-canary-token-0123456789"}
            await modal.Secret.objects.create.aio("keys", values, client=client)
        own, foreign = (plane.github.world.add_repository(plane.organization, name) for name in ("own", "foreign"))
        lengths = (
            "{run: 'echo lengths ${#HF_TOKEN} ${#PEM} ${#KEY}; echo shown $HF_TOKEN; cat $HOME/.runner >/dev/null'}"
        )
        first = push(plane, own, lengths, LOOK)
        await ended(plane, first)
        log = "\n".join(first.log)
        assert "lengths 26 31 21" in log
        assert "shown ***" in log
        assert "env: MODE: plain-word" in log
        assert [each for each in CANARIES if any(each in line for line in first.log if line.startswith("env: "))] == []

        # GitHub gives the runner that was made for a job of its own to one that waits longer.
        plane.github.webhooks.targets = ["http://127.0.0.1:9"]
        taker = push(plane, foreign, LOOK)
        await plane.github.webhooks.settle()
        plane.github.webhooks.targets = []
        push(plane, own, "run: echo late")
        await until(lambda: taker.status == "completed", within=40)
        seen = "\n".join(taker.log)

        assert taker.conclusion == "success"
        assert "are withheld" in seen
        assert "seen: HOME=" in seen
        assert [each for each in (*CANARIES, "JITCONFIG") if each in seen] == []


async def test_a_job_may_use_as_many_threads_as_its_limit_has_vcpus_unless_it_says_otherwise(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        repository = plane.github.world.add_repository(plane.organization, "app")
        own = "{run: echo own $OMP_NUM_THREADS, env: {OMP_NUM_THREADS: 3}}"
        job = push(plane, repository, "run: echo default $OMP_NUM_THREADS $(nproc)", own)
        await ended(plane, job)

        assert {"default 16 16", "own 3"} <= set(job.log)

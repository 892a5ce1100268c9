"""Whole jobs, for what only shows inside their sandbox: who is let in, as which user, with how many threads."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import modal
import pytest

from github_app.sandboxes.scripts import JOB_COMPLETED
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


async def test_at_its_end_a_job_is_told_machine_minutes_and_price_beside_githubs(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        repository = plane.github.world.add_repository(plane.organization, "app")
        plain = push(plane, repository, "run: echo hello")
        card = push(plane, repository, "run: exit 1", labels="'modal/gpu=h100'")
        await ended(plane, plain, card)

        assert re.fullmatch(
            r"Modal Runner: 2 vCPU, 2g for \d+\.\d minutes: less than \$0\.01 \(an estimate, by list prices of Modal "
            r"of \w+ \d+\)\. GitHub's own runner of this size would be less than \$0\.01\.",
            plain.log[-1],
        )
        assert "Modal Runner: H100, 2 vCPU, 2g for" in card.log[-1]
        assert "GitHub" not in card.log[-1]
        assert (plain.conclusion, card.conclusion) == ("success", "failure")


async def test_a_job_with_the_label_is_told_how_to_get_into_its_sandbox_and_one_that_is_refused_keeps_none(
    tmp_path: Path,
) -> None:
    file = tmp_path / "modal-runner.toml"
    file.write_text("[limits]\ndebug = true\n")
    async with running(tmp_path, settings={"MODAL_RUNNER_CONFIG": str(file), "ALLOWED_REPOS": "octo-org/a*"}) as plane:
        good, bad = (plane.github.world.add_repository(plane.organization, name) for name in ("app", "bad"))
        refused = push(plane, bad, "run: echo hello", labels="'modal/debug=30m'")
        await plane.github.webhooks.settle()
        failed = push(plane, good, "run: exit 1", labels="'modal/debug=30m'")
        await until(lambda: failed.status == refused.status == "completed", within=40)
        name = failed.runner.name if failed.runner else ""
        await until(lambda: [view.name for view in plane.modal.sandboxes() if view.running] == [name], within=20)
        looked = await _shell(plane, str(failed.id), "cat $HOME/_diag/Runner_*.log")

        assert failed.log[-1] == (
            "If this job has failed, and asked for it by a label, Modal Runner keeps this sandbox for 30 minutes: "
            f"modal-runner shell {name}"
        )
        assert looked.endswith("with result: Failed")
        assert "may not use these runners" in "\n".join(refused.log)


async def _shell(plane: ControlPlane, job: str, command: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **plane.modal.env}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", "shell", job, "--command", command),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    return printed.decode().strip()


_PRICED = {
    "MODAL_RUNNER_PRICED": "H100, 8 vCPU, 32g",
    "MODAL_RUNNER_PRICE": "66713",
    "MODAL_RUNNER_PRICES_OF": "October 2026",
    "MODAL_RUNNER_GITHUB_PRICE": "22000",
}


def _completed(folder: Path, shell: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the job-completed hook as the runner does."""
    script = folder / "job-completed.sh"
    script.write_text(JOB_COMPLETED)
    return subprocess.run(  # noqa: S603
        [*shell.split(), str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
    )


@pytest.mark.parametrize("shell", ["bash -e", "sh"])
def test_the_price_is_that_of_the_sandboxs_minutes_and_githubs_that_of_the_jobs(tmp_path: Path, shell: str) -> None:
    # Seconds of the machine; a young one has fewer than a job here took.
    now = int(float(Path("/proc/uptime").read_text().split()[0]))
    if now < 1000:
        pytest.skip("this machine has just started")
    (tmp_path / ".job-started").write_text(f"{now - 290}\n")
    done = _completed(tmp_path, shell, **_PRICED, MODAL_RUNNER_BEGAN=str(now - 744))

    assert done.stdout == (
        "Modal Runner: H100, 8 vCPU, 32g for 12.4 minutes: about $0.83 (an estimate, by list prices of Modal of "
        "October 2026). GitHub's own runner of this size would be about $0.11.\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / ".job-started").exists()


@pytest.mark.parametrize("shell", ["bash -e", "sh"])
@pytest.mark.parametrize(
    ("mark", "variables"),
    [
        ("", {}),
        ("", {**_PRICED, "MODAL_RUNNER_BEGAN": "x[$(echo y >&2)]"}),
        ("", {**_PRICED, "MODAL_RUNNER_BEGAN": "99999999999"}),
        ("", {**_PRICED, "MODAL_RUNNER_BEGAN": "0800"}),
        ("x[$(touch made)]", {**_PRICED, "MODAL_RUNNER_BEGAN": "1"}),
        ("1" * 400, {"PATH": "/nonexistent", **_PRICED, "MODAL_RUNNER_BEGAN": "1"}),
    ],
)
def test_whatever_a_job_leaves_behind_the_hook_at_its_end_succeeds(
    tmp_path: Path, shell: str, mark: str, variables: dict[str, str]
) -> None:
    (tmp_path / ".job-started").write_text(mark)
    done = _completed(tmp_path, f"/bin/{shell}", **variables)

    assert done.returncode == 0, done
    assert "GitHub" not in done.stdout
    assert not (tmp_path / "made").exists()


async def test_a_job_may_use_as_many_threads_as_its_limit_has_vcpus_unless_it_says_otherwise(tmp_path: Path) -> None:
    async with running(tmp_path) as plane:
        repository = plane.github.world.add_repository(plane.organization, "app")
        own = "{run: echo own $OMP_NUM_THREADS, env: {OMP_NUM_THREADS: 3}}"
        job = push(plane, repository, "run: echo default $OMP_NUM_THREADS $(nproc)", own)
        await ended(plane, job)

        assert {"default 16 16", "own 3"} <= set(job.log)

"""`modal-runner shell`, as someone types into it."""

import asyncio
import os
import sys
import time
from pathlib import Path

import modal
import msgspec

from github_app.model import Action, JobEvent, JobRecord, JobState, Place, RunnerRecord, RunnerState, Scope
from github_app.operations.shell import running
from github_app.simulator.modal import Limits
from github_app.store import RUNNERS
from tests.worlds.records import SHAPE
from tests.worlds.screen import screen
from tests.worlds.steps import command
from tests.worlds.universe import PLAIN, Universe, universe

HOURS = 6 * 3600.0
GIVES = """
[profiles.gives]
env = { WORD = "canary" }
trust = "labels"
[[routes]]
name = "all"
profile = "gives"
repositories = ["octo-org/octo-repo"]
"""


async def _runs(it: Universe) -> RunnerRecord:
    """A job that runs, and its runner."""
    it.push({"job": (PLAIN, HOURS)})
    await it.until(lambda: it.job("job").status == "in_progress")
    await it.github.webhooks.settle()
    (runner,) = (await it.store.all(RUNNERS)).values()
    return runner


async def _held_until(it: Universe) -> float | None:
    (runner,) = (await it.store.all(RUNNERS)).values()
    return runner.held_until


async def _beside(it: Universe, runner: RunnerRecord, script: str) -> str:
    sandbox = await modal.Sandbox.from_id.aio(str(runner.sandbox_id), client=it.client)
    process = await sandbox.exec.aio("/bin/sh", "-c", script)
    return (await process.stdout.read.aio()).strip()


async def test_a_terminal_is_joined_to_a_shell_in_the_jobs_folder() -> None:
    async with universe() as it:
        runner = await _runs(it)
        work = await _beside(it, runner, 'mkdir -p "$RUNNER_HOME/_work/octo-repo/octo-repo"; echo "$RUNNER_HOME"/_work')
        async with screen(it, "shell", str(runner.runs_job)) as there:
            before = there.modes()
            first = await there.shows(f"as runner in {work}/octo-repo/octo-repo\r\n")
            there.type("pwd; stty size; echo $TERM $USER a''t\n")
            shown = await there.shows("vt100 runner at")
            held, raw = await _held_until(it), there.modes()
            there.resize(41, 123)
            there.type("until stty size | grep '41 123'; do sleep 0.1; done; echo fit''ted\n")
            await there.shows("fitted")
            there.type("sh -c 'echo wait''ing; exec sleep 100'\n")
            await there.shows("waiting")
            there.type("\x03")
            there.type("echo al''ive $?\n")
            await there.shows("alive 130")
            there.type("exit 7\n")
            code = await there.ends()

            assert f"{runner.sandbox_id} of {runner.name}, job {runner.runs_job} (job) of octo-org/octo-repo" in first
            assert f"{work}/octo-repo/octo-repo\r\n30 100\r\n" in shown
            assert held is not None
            assert held > time.time()
            assert raw != before
            assert code == 7
            assert there.modes() == before
            assert await _held_until(it) is None


async def test_a_shell_ends_with_its_sandbox_and_says_so() -> None:
    async with universe() as it:
        runner = await _runs(it)
        async with screen(it, "shell", runner.name) as there:
            before = there.modes()
            await there.shows("as runner in ")
            there.type("echo he''re\n")
            await there.shows("here")
            it.modal.kill(str(runner.sandbox_id))
            await there.shows("The job is over and its sandbox has ended.")

            assert await there.ends() == 1
            assert there.modes() == before


async def test_a_terminal_that_goes_takes_its_shell_along_and_not_the_job() -> None:
    # Where sudo does nothing the runner is root, and so is who looks.
    async with universe(limits=Limits(setuid=False)) as it:
        runner = await _runs(it)
        async with screen(it, "shell", runner.name) as there:
            before = there.modes()
            await there.shows("as root in ")
            there.type("echo my''self $$\n")
            await there.shows("myself ")
            process = (await there.shows("\r\n")).strip()
            there.hang_up()

            assert await there.ends() == 143
            assert there.modes() == before
            assert await _held_until(it) is None
            gone = f"while kill -0 {process} 2>/dev/null; do sleep 0.1; done; echo gone"
            assert await asyncio.wait_for(_beside(it, runner, gone), 40) == "gone"
            assert it.job("job").status == "in_progress"


async def _piped(it: Universe, given: bytes, *arguments: str) -> tuple[int | None, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", "shell", *arguments),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **it.modal.env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await asyncio.wait_for(process.communicate(given), 40)
    return process.returncode, printed, errors


async def test_without_a_terminal_it_runs_a_command_or_what_comes_in_and_has_nothing_that_was_given(
    tmp_path: Path,
) -> None:
    file = tmp_path / "modal-runner.toml"
    file.write_text(GIVES)
    async with universe(settings={"modal_runner_config": file}) as it:
        runner = await _runs(it)
        data = b"\xff\x00\r\n" * 50_000
        counted = await _piped(it, data, runner.name, "--command", "wc -c; echo no >&2; exit 3")
        script = b"env\ntest -t 0 || echo no terminal\n"
        read = await _piped(it, script, str(runner.runs_job))

        assert (counted[0], counted[1].strip(), counted[2].splitlines()[-1]) == (3, b"200000", b"no")
        assert (read[0], read[1].splitlines()[-1]) == (0, b"no terminal")
        assert b"MODAL_RUNNER_OWN_ENV=WORD\n" in read[1]
        assert b"JITCONFIG" not in read[1]
        assert b"canary" not in read[1]


async def test_what_runs_nowhere_is_said_with_what_to_do() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 5)})
        await it.until_done()
        await it.until_nothing_is_left()
        job_id = it.job("job").id
        over = await command(it, "shell", str(job_id))
        by_name = await command(it, "shell", f"modal-{job_id}-1")
        nonsense = await command(it, "shell", "nonsense")

        assert (over[0], by_name[0], nonsense[0]) == (1, 1, 2)
        assert f"`modal-runner logs {job_id}`" in over[2]
        assert f"`modal-runner logs modal-{job_id}-1`" in by_name[2]


def test_a_job_is_found_on_whatever_runner_runs_it() -> None:
    place = Place(Scope("octo-org"), 1)
    mine = RunnerRecord("modal-1-1", 1, place, ("modal",), SHAPE, 1, 5.0, sandbox_id="sb-1")
    given = msgspec.structs.replace(mine, name="modal-2-1", started_for=2, runs_job=1, state=RunnerState.BUSY)
    runners = {each.name: each for each in (mine, given)}

    event = JobEvent(
        Action.QUEUED,
        3,
        1,
        1,
        "job",
        ("modal",),
        "octo-org/octo-repo",
        1,
        private=True,
        scope=place.scope,
        installation_id=1,
    )
    waiting = JobRecord(event, JobState.QUEUED, 1.0)

    assert running(1, None, runners) is given
    assert "`modal-runner why 3`" in str(running(3, waiting, runners))
    unused = msgspec.structs.replace(mine, started_for=3)
    assert "`modal-runner shell modal-1-1`" in str(running(3, waiting, {unused.name: unused}))
    assert "`modal-runner status`" in str(running(4, None, runners))

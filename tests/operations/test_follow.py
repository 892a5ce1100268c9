"""`modal-runner logs --follow`: a console while it is written, over the deaths of runners."""

import asyncio
import os
import signal
import sys

from github_app.model import Place, RunnerRecord, Scope
from github_app.operations.follow import elsewhere, serving
from tests.worlds.records import SHAPE
from tests.worlds.steps import command
from tests.worlds.universe import PLAIN, Universe, universe


def _record(name: str, started_for: int, runs_job: int | None, started_at: float) -> RunnerRecord:
    place = Place(Scope("octo-org"), 1)
    return RunnerRecord(name, started_for, place, ("modal",), SHAPE, 1, started_at, runs_job=runs_job)


def test_a_job_is_followed_on_the_runner_that_runs_it_whomever_that_was_started_for() -> None:
    taken, given, mine = _record("taken", 1, 2, 10), _record("given", 2, 1, 20), _record("mine", 1, None, 5)

    assert [each.name for each in serving([taken, given, mine], 1)] == ["mine", "given"]
    assert elsewhere({"taken": taken, "given": given}, ["taken", "given", "forgotten"], 1) == ["taken"]


async def _following(it: Universe, which: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", "logs", "-f", which),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **it.modal.env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _read_until(stream: asyncio.StreamReader | None, text: str) -> str:
    assert stream is not None
    read = b""
    async with asyncio.timeout(40):
        while text.encode() not in read:
            piece = await stream.read(4096)
            assert piece, read
            read += piece
    return read.decode()


async def test_it_goes_on_with_the_next_runner_until_the_job_is_over() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes(running=True)))
        job_id = it.job("job").id
        following = await _following(it, str(job_id))
        # It has looked at the first one.
        await it.until(lambda: it.modal.calls["SandboxStdioReadV2"] > 0)
        it.modal.kill(it.sandboxes()[0].id)
        await it.until_done(sweeping=True)
        output, errors = await asyncio.wait_for(following.communicate(), 40)
        afterwards = await command(it, "logs", "-f", str(job_id))

        assert following.returncode == 0, errors
        assert f"== modal-{job_id}-2" in output.decode()
        assert output.decode().rstrip().endswith("Job job completed with result: Succeeded")
        assert afterwards[0] == 0
        assert afterwards[1].rstrip().endswith("Job job completed with result: Succeeded")


async def test_it_shows_lines_as_they_come_without_what_steers_a_terminal_and_ends_quietly_with_130() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 6 * 3600)})
        await it.until(lambda: it.job("job").status == "in_progress")
        runner = it.job("job").runner
        assert runner is not None
        following = await _following(it, runner.name)
        before = await _read_until(following.stdout, "Running job: job")
        sandbox = it.sandboxes(running=True)[0].id
        await _print_in(it, sandbox, "printf '\\033]0;title\\007\\033[2Jlater\\n' > /proc/1/fd/1")
        later = await _read_until(following.stdout, "later\n")
        following.send_signal(signal.SIGINT)
        rest, errors = await asyncio.wait_for(following.communicate(), 40)

        assert before.startswith(f"== {runner.name}\n")
        assert "\033" not in later
        assert (following.returncode, rest, errors) == (130, b"", b"")


async def _print_in(it: Universe, sandbox_id: str, script: str) -> None:
    import modal

    sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=it.client)
    process = await sandbox.exec.aio("/bin/sh", "-c", script)
    assert await process.wait.aio() == 0

"""The stand-in runner as a process of its own, against the simulated GitHub."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from github_app.simulator.github.state import Job
from github_app.simulator.runner import JIT_CONFIG
from tests.worlds.github_workshop import Hub, job, until

pytest_plugins = ["tests.worlds.github_fixtures"]


class Runner:
    """A stand-in runner that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def terminate(self) -> None:
        self._process.terminate()

    async def ended(self) -> tuple[int | None, str]:
        """Exit code and output."""
        async with asyncio.timeout(30):
            output, _ = await self._process.communicate()
        return self._process.returncode, output.decode()

    def processes(self, name: str) -> list[int]:
        """Its processes of this name, as a witness in the sandbox finds them."""
        return [pid for pid, comm, session in _all_processes() if comm == name and session == self._process.pid]


@contextlib.asynccontextmanager
async def stand_in(folder: Path, jit_config: str, **environment: str) -> AsyncIterator[Runner]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app.simulator.runner"),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "CANARY": "sings", JIT_CONFIG: jit_config, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Runner(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _all_processes() -> list[tuple[int, str, int]]:
    """Id, name and session of every process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            head, _, rest = (folder / "stat").read_text().rpartition(")")
            found.append((int(folder.name), head.partition("(")[2], int(rest.split()[3])))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def jit_config(hub: Hub) -> str:
    return str((await hub.jit()).json()["encoded_jit_config"])


def push_step(hub: Hub, step: str) -> Job:
    return hub.push(job("build").replace("'true'", repr(step))).jobs[0]


@pytest.mark.parametrize("given", ["", "nonsense", "W10=", "eyIucnVubmVyIjogNX0="], ids=["", "text", "[]", "a number"])
async def test_without_a_jit_config_it_ends_with_a_sentence(tmp_path: Path, given: str) -> None:
    async with stand_in(tmp_path, given) as runner:
        code, output = await runner.ended()

    assert code == 1
    assert f"{JIT_CONFIG} is missing or is not a JIT config." in output


async def test_it_runs_one_job_whose_steps_inherit_no_jit_config(hub: Hub, tmp_path: Path) -> None:
    config = await jit_config(hub)
    build = push_step(hub, "env; ls -a; echo done > $HOME/done")
    async with stand_in(tmp_path, config) as runner:
        code, output = await runner.ended()
    log = "\n".join(build.log)

    assert (code, build.conclusion) == (0, "success"), output + log
    assert "Running job: build" in output
    assert "CANARY=sings" in log
    assert "ACTIONS_RUNNER" not in log
    assert config not in log + output
    assert hub.github.world.runners == {}


async def test_listener_and_worker_are_processes_of_those_names(hub: Hub, tmp_path: Path) -> None:
    async with stand_in(tmp_path, await jit_config(hub)) as runner:
        await until(lambda: any(each.online for each in hub.github.world.runners.values()))
        idle = [len(runner.processes(f"Runner.{name}")) for name in ("Listener", "Worker")]
        push_step(hub, "touch $HOME/started; sleep 60")
        await until((tmp_path / "started").exists)
        busy = [len(runner.processes(f"Runner.{name}")) for name in ("Listener", "Worker")]
        runner.terminate()
        await runner.ended()

    assert (idle, busy) == ([1, 0], [1, 1])


@pytest.mark.parametrize("by", ["SIGTERM", "GitHub"])
async def test_a_job_that_is_stopped_cleans_up_and_is_reported_as_cancelled(hub: Hub, tmp_path: Path, by: str) -> None:
    steps = "[run: echo $$ > $HOME/part; mv $HOME/part $HOME/pid; sleep 60, {if: always(), run: sleep 1; echo clean}]"
    build = hub.push(f"  build: {{runs-on: [self-hosted, modal], steps: {steps}}}\n").jobs[0]
    async with stand_in(tmp_path, await jit_config(hub)) as runner:
        await until((tmp_path / "pid").exists)
        step = int((tmp_path / "pid").read_text())
        if by == "GitHub":  # which tells it with every answer
            hub.github.actions.cancel_run(build.run)
        else:
            runner.terminate()
            await asyncio.sleep(0.2)
            runner.terminate()
        code, output = await runner.ended()

    assert (code, build.conclusion) == (0, "cancelled"), output
    assert build.log[-2:] == ["clean", "The operation was canceled."]
    assert not alive(step)
    assert not list(tmp_path.glob(".act-*"))


async def test_a_job_that_is_stopped_before_it_has_begun_is_reported_as_cancelled(hub: Hub, tmp_path: Path) -> None:
    build = push_step(hub, "sleep 60")
    async with stand_in(tmp_path, await jit_config(hub)) as runner:
        await until(lambda: bool(runner.processes("Runner.Worker")))
        runner.terminate()
        code, output = await runner.ended()

    assert (code, build.conclusion) == (0, "cancelled"), output


async def test_a_runner_that_was_removed_says_so_and_ends_with_0(hub: Hub, tmp_path: Path) -> None:
    config = await jit_config(hub)
    async with stand_in(tmp_path, config) as runner:
        await until(lambda: any(each.online for each in hub.github.world.runners.values()))
        [number] = hub.github.world.runners
        await hub.call("DELETE", f"/orgs/octo-org/actions/runners/{number}")
        removed = await runner.ended()
    async with stand_in(tmp_path, config) as late:
        never_there = await late.ended()

    for code, output in (removed, never_there):
        assert code == 0
        assert "The runner no longer exists on the server." in output


@pytest.mark.parametrize(
    ("hook", "later"),
    [("exit 1", ["ALWAYS RAN", "FAILURE RAN"]), ("echo bye; sleep 1; kill -KILL $PPID; exit 1", [])],
    ids=["fails", "kills the Worker"],
)
async def test_a_failed_hook_ends_no_job_and_the_death_of_its_worker_does(
    hub: Hub, tmp_path: Path, hook: str, later: list[str]
) -> None:
    """As actions/runner has it: a hook is a job's first step, and `if: always()` steps come after."""
    (tmp_path / "hook.sh").write_text(hook)
    ran = "{if: always(), run: echo ALWAYS RAN}, {if: failure(), run: echo FAILURE RAN}"
    build = hub.push(f"  build: {{runs-on: [self-hosted, modal], steps: [run: echo PLAIN RAN, {ran}]}}\n").jobs[0]
    given = {"ACTIONS_RUNNER_HOOK_JOB_STARTED": str(tmp_path / "hook.sh")}
    async with stand_in(tmp_path, await jit_config(hub), **given) as runner:
        code, output = await runner.ended()
    printed = [line for line in build.log if line.endswith(" RAN") and not line.startswith("Run ")]

    assert (code, build.conclusion) == (0, "failure"), output
    assert printed == later
    assert later or "bye" in build.log


async def test_what_a_hook_writes_into_github_env_the_steps_have(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hook.sh").write_text('echo "CANARY=" >> "$GITHUB_ENV"')
    build = push_step(hub, 'echo "<$CANARY>"')
    given = {"ACTIONS_RUNNER_HOOK_JOB_STARTED": str(tmp_path / "hook.sh")}
    async with stand_in(tmp_path, await jit_config(hub), **given) as runner:
        await runner.ended()

    assert "<>" in build.log


async def test_a_log_arrives_once_and_in_order(hub: Hub, tmp_path: Path) -> None:
    build = push_step(hub, "for n in $(seq 20); do echo line $n; sleep 0.05; done")
    async with stand_in(tmp_path, await jit_config(hub)) as runner:
        await runner.ended()

    assert [line for line in build.log if line.startswith("line ")] == [f"line {n}" for n in range(1, 21)]

"""The real processes behind simulated sandboxes: what they see, and that nothing of them stays."""

import asyncio
import shutil
from pathlib import Path

import modal
import pytest

from github_app.simulator.modal import SimulatedModal, isolation
from github_app.simulator.modal.output import STDERR, STDOUT, Output
from tests.worlds.modal_workshop import IMAGE, Workshop, connect, until

# A grandchild in a session of its own, which a signal to the process group would not reach.
DAEMON = "setsid sleep 61.25 & echo started; "


def processes_of(sandbox_id: str) -> list[int]:
    return list(isolation._marked(f"MODAL_SANDBOX_ID={sandbox_id}".encode()))


def listing(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def started(workshop: Workshop) -> None:
    await until(lambda: "started" in workshop.simulated.sandboxes()[-1].output)


@pytest.fixture(params=["namespace", "user namespace", "process group"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "user namespace":
        monkeypatch.setattr(isolation, "_works", lambda candidate: "--user" in candidate.create)
    if request.param == "process group":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    return str(request.param)


@pytest.mark.usefixtures("kind")
class TestEitherKindOfIsolation:
    @pytest.mark.parametrize("end", ["exit", "terminated", "timeout", "died"])
    async def test_all_descendants_go_with_the_sandbox(self, workshop: Workshop, end: str) -> None:
        wait = "exit 0" if end == "exit" else "wait"
        sandbox = await workshop.create("sh", "-c", DAEMON + wait, timeout=1 if end == "timeout" else 60)
        await started(workshop)
        if end == "terminated":
            await sandbox.terminate.aio()
        if end == "died":
            workshop.simulated.kill(sandbox.object_id)
        await until(lambda: not workshop.simulated.sandboxes()[0].running)

        assert workshop.simulated.sandboxes()[0].ended_by == end
        # A process that was killed stays in /proc for a moment.
        await until(lambda: processes_of(sandbox.object_id) == [])

    async def test_stopping_leaves_no_process_no_port_and_no_file(self) -> None:
        async with SimulatedModal(image=IMAGE) as simulated, connect(simulated) as client:
            await workshop_sandbox(simulated, client, DAEMON + "wait")
            [view] = simulated.sandboxes()
            root = Path(simulated.env["MODAL_CONFIG_PATH"]).parent
            port = int(simulated.url.rpartition(":")[2])
            assert root.is_dir()

        assert processes_of(view.id) == []
        assert not root.exists()
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)

    async def test_a_program_that_does_not_exist_ends_the_sandbox_with_127(self, workshop: Workshop) -> None:
        sandbox = await workshop.create("no-such-program")
        await sandbox.wait.aio()

        assert sandbox.returncode == 127

    async def test_a_command_sees_the_sandbox_it_runs_in(self, workshop: Workshop) -> None:
        sandbox = await workshop.create("sleep", "60")
        process = await sandbox.exec.aio("sh", "-c", "pwd; echo $MODAL_SANDBOX_ID; ls bin")

        directory, sandbox_id, file = (await process.stdout.read.aio()).split()

        assert Path(directory).name == sandbox_id == sandbox.object_id
        assert file == "greet"

    async def test_a_command_with_a_terminal_is_interrupted_by_its_key_and_not_its_shell(
        self, workshop: Workshop
    ) -> None:
        sandbox = await workshop.create("sleep", "60")
        script = "trap 'echo heard; read word; exit $word' INT; test -t 2 && echo ready; while :; do sleep 0.1; done"
        process = await sandbox.exec.aio("sh", "-c", script, pty=True)
        stdout = aiter(process.stdout)
        assert await anext(stdout) == "ready\r\n"
        for keys in ("\x03", "7\n"):
            process.stdin.write(keys)
            await process.stdin.drain.aio()
        shown = "".join([piece async for piece in stdout])

        assert "heard\r\n" in shown
        assert await process.wait.aio() == 7
        assert await process.stderr.read.aio() == ""


async def test_a_commands_input_stays_open_until_its_end_is_written(workshop: Workshop) -> None:
    sandbox = await workshop.create("sleep", "60")
    process = await sandbox.exec.aio("sh", "-c", "sleep 0.2; wc -c")
    # More than a pipe holds.
    process.stdin.write(b"x" * 300_000)
    await process.stdin.drain.aio()
    assert await process.poll.aio() is None
    process.stdin.write_eof()
    await process.stdin.drain.aio()

    assert (await process.stdout.read.aio()).strip() == "300000"


async def workshop_sandbox(simulated: SimulatedModal, client: modal.Client, script: str) -> None:
    app = await modal.App.lookup.aio("sandboxes", create_if_missing=True, client=client)
    workshop = Workshop(simulated, client, app)
    await workshop.create("sh", "-c", script)
    await started(workshop)


async def test_a_sandbox_sees_only_its_own_processes(workshop: Workshop) -> None:
    if not isolation.probe().namespaced:
        pytest.skip("this kernel gives no PID namespaces")
    sandbox = await workshop.create("sh", "-c", "echo $$; cat /proc/[0-9]*/comm")
    await sandbox.wait.aio()

    assert workshop.simulated.sandboxes()[0].output == "1\nsh\n"


async def test_the_environment_is_the_images_and_the_given_one_and_nothing_of_ours(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "secret")
    sandbox = await workshop.create("env", env={"GIVEN": "1"}, region="eu-west")
    await sandbox.wait.aio()

    [view] = workshop.simulated.sandboxes()
    names = dict(line.split("=", 1) for line in view.output.splitlines())
    assert sorted(names) == [
        "GIVEN", "MKL_NUM_THREADS", "MODAL_REGION", "MODAL_SANDBOX_ID", "MODAL_TASK_ID", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "PATH", "WHO",
    ]  # fmt: skip
    assert names["MODAL_REGION"] == "eu-west"


async def test_a_workdir_inside_the_image_is_where_the_sandbox_starts(workshop: Workshop) -> None:
    sandbox = await workshop.create("ls", workdir="/bin")
    await sandbox.wait.aio()

    assert workshop.simulated.sandboxes()[0].output == "greet\n"


async def test_an_ended_sandboxs_directory_is_removed(workshop: Workshop) -> None:
    sandbox = await workshop.create("pwd")
    await sandbox.wait.aio()
    directory = Path(workshop.simulated.sandboxes()[0].output.strip())
    await until(lambda: not directory.exists())

    assert directory.parent.exists()


async def test_a_sandbox_that_prints_without_pause_is_ended_and_its_last_output_kept(
    workshop: Workshop,
) -> None:
    sandbox = await workshop.create("yes")
    await until(lambda: len(workshop.simulated.sandboxes()[0].output) > 1_000_000)
    await sandbox.terminate.aio(wait=True)

    assert len(workshop.simulated.sandboxes()[0].output) < 2_000_000


async def test_output_keeps_its_last_part_and_the_offsets_of_the_whole() -> None:
    output = Output(limit=8)
    for part in (b"aaaa", b"bbbb", b"cccc"):
        output.append(STDOUT, part)
    output.append(STDERR, b"!")
    output.close()

    assert output.text == "bbbbcccc!"
    assert [piece async for piece in output.follow(STDOUT)] == [(12, b"bbbbcccc")]
    assert [entry.data for entry in output.entries()] == [b"bbbb", b"cccc", b"!"]


async def test_a_start_that_fails_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with SimulatedModal(image=IMAGE) as first:
        second = SimulatedModal(image=IMAGE)
        before = listing(tmp_path)
        with pytest.raises(OSError, match="in use"):
            await second.start(port=int(first.url.rpartition(":")[2]))

        assert listing(tmp_path) == before

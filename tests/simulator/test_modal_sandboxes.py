"""Life and end of the simulated Modal's sandboxes, through the real SDK."""

import asyncio
from typing import Any, Literal

import modal
import pytest
from modal.exception import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    SandboxTerminatedError,
    SandboxTimeoutError,
)

from github_app.simulator.modal import Limits, SimulatedModal
from github_app.simulator.modal import sandboxes as rpcs
from tests.worlds.modal_workshop import IMAGE, Workshop, connect

BACKENDS = pytest.mark.parametrize("gpu", [None, "A100"], ids=["V2", "V1"])


@BACKENDS
async def test_a_sandbox_runs_its_arguments_in_the_image(workshop: Workshop, gpu: str | None) -> None:
    sandbox = await workshop.create("greet", gpu=gpu)
    await sandbox.wait.aio()

    assert sandbox.returncode == 0
    assert await sandbox.stdout.read.aio() == "hello from the image\n"
    [view] = workshop.simulated.sandboxes()
    assert (view.ended_by, view.returncode, view.running) == ("exit", 0, False)


async def test_the_id_tells_the_backend_that_made_the_sandbox(workshop: Workshop) -> None:
    cpu, gpu = await workshop.create("true"), await workshop.create("true", gpu="T4")

    assert len(cpu.object_id.removeprefix("sb-")) != 22
    assert len(gpu.object_id.removeprefix("sb-")) == 22
    assert workshop.simulated.calls["SandboxCreateV2"] == workshop.simulated.calls["SandboxCreate"] == 1


async def test_an_exit_code_is_polled_once_there_is_one(workshop: Workshop) -> None:
    sandbox = await workshop.create("sh", "-c", "until [ -e go ]; do sleep 0.01; done; exit 7")

    assert await sandbox.poll.aio() is None

    await (await sandbox.exec.aio("touch", "go")).wait.aio()
    await sandbox.wait.aio()

    assert await sandbox.poll.aio() == 7


@BACKENDS
async def test_a_terminated_sandbox_answers_137_however_often_it_is_terminated(
    workshop: Workshop, gpu: str | None
) -> None:
    sandbox = await workshop.create("sleep", "60", gpu=gpu)

    assert await sandbox.terminate.aio(wait=True) == 137

    again = await modal.Sandbox.from_id.aio(sandbox.object_id, client=workshop.client)
    await again.terminate.aio()
    with pytest.raises(SandboxTerminatedError):
        await again.wait.aio()
    assert workshop.simulated.sandboxes()[0].ended_by == "terminated"


async def test_a_sandbox_that_has_exited_is_not_changed_by_termination(workshop: Workshop) -> None:
    sandbox = await workshop.create("sh", "-c", "exit 3")
    await sandbox.wait.aio()

    await sandbox.terminate.aio()

    assert await sandbox.poll.aio() == 3


@BACKENDS
async def test_a_sandbox_past_its_timeout_answers_124(workshop: Workshop, gpu: str | None) -> None:
    sandbox = await workshop.create("sleep", "60", timeout=1, gpu=gpu)
    with pytest.raises(SandboxTimeoutError):
        await sandbox.wait.aio()

    assert sandbox.returncode == 124
    assert workshop.simulated.sandboxes()[0].ended_by == "timeout"


async def test_a_sandbox_that_dies_answers_137_without_being_terminated(workshop: Workshop) -> None:
    sandbox = await workshop.create("sleep", "60")
    workshop.simulated.kill(sandbox.object_id)
    await sandbox.wait.aio()

    assert sandbox.returncode == 137
    assert workshop.simulated.sandboxes()[0].ended_by == "died"


async def test_a_name_is_unique_among_the_running_sandboxes_of_an_app(workshop: Workshop) -> None:
    first = await workshop.create("sleep", "60", name="modal-1-1")
    with pytest.raises(AlreadyExistsError, match="modal-1-1"):
        await workshop.create("sleep", "60", name="modal-1-1", gpu="T4")
    other_app = await modal.App.lookup.aio("other", create_if_missing=True, client=workshop.client)
    await workshop.create("sleep", "60", name="modal-1-1", app=other_app)

    await first.terminate.aio(wait=True)

    await workshop.create("true", name="modal-1-1")


async def test_a_sandbox_is_found_by_name_while_it_runs_and_on_request_afterwards(workshop: Workshop) -> None:
    sandbox = await workshop.create("sleep", "60", name="modal-2-1")
    lookup: dict[str, Any] = {"app_name": "sandboxes", "name": "modal-2-1", "client": workshop.client}

    assert (await modal.Sandbox.from_name.aio(**lookup)).object_id == sandbox.object_id

    await sandbox.terminate.aio(wait=True)

    with pytest.raises(NotFoundError):
        await modal.Sandbox.from_name.aio(**lookup)
    found = await modal.Sandbox.from_name.aio(**lookup, include_terminated=True)
    assert found.object_id == sandbox.object_id


async def test_a_gpu_sandbox_is_found_by_name_while_it_runs(workshop: Workshop) -> None:
    sandbox = await workshop.create("sleep", "60", name="modal-3-1", gpu="T4")
    found = await modal.Sandbox.from_name.aio("sandboxes", "modal-3-1", client=workshop.client)

    assert found.object_id == sandbox.object_id


async def test_a_list_holds_the_running_sandboxes_that_have_all_the_tags(workshop: Workshop) -> None:
    tags = {"job": "1", "repo": "octo"}
    ended = await workshop.create("true", tags=tags)
    await ended.wait.aio()
    mine = await workshop.create("sleep", "60", tags=tags)
    gpu = await workshop.create("sleep", "60", tags={"repo": "octo"}, gpu="T4")

    assert await workshop.running(tags={"repo": "octo"}) == [gpu.object_id, mine.object_id]
    assert await workshop.running(tags=tags) == [mine.object_id]
    assert await workshop.running(tags={"repo": "other"}) == []


async def test_a_list_longer_than_a_page_is_complete_and_newest_first(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpcs, "_PAGE", 3)
    made = [await workshop.create("sleep", "60") for _ in range(7)]

    assert await workshop.running() == [sandbox.object_id for sandbox in reversed(made)]
    assert workshop.simulated.calls["SandboxListV2"] == 4


@BACKENDS
async def test_tags_can_be_read_and_replaced(workshop: Workshop, gpu: str | None) -> None:
    sandbox = await workshop.create("sleep", "60", tags={"job": "1"}, gpu=gpu)

    assert await sandbox.get_tags.aio() == {"job": "1"}

    await sandbox.set_tags.aio({"job": "2"})

    assert await sandbox.get_tags.aio() == {"job": "2"}
    assert workshop.simulated.sandboxes()[0].tags == {"job": "2"}


async def test_an_unknown_sandbox_is_not_found(workshop: Workshop) -> None:
    for sandbox_id in ("sb-unknown", "sb-" + "a" * 22):
        with pytest.raises(NotFoundError):
            await modal.Sandbox.from_id.aio(sandbox_id, client=workshop.client)


async def test_a_timeout_over_a_day_is_refused(workshop: Workshop) -> None:
    with pytest.raises(InvalidError, match="86400"):
        await workshop.create("true", timeout=86_401)


@BACKENDS
async def test_a_command_runs_inside_with_its_own_output_and_exit_code(workshop: Workshop, gpu: str | None) -> None:
    sandbox = await workshop.create("sleep", "60", gpu=gpu)
    process = await sandbox.exec.aio("sh", "-c", "greet; cat /proc/1/comm; echo no >&2; exit 4", env={"WHO": "me"})

    assert await process.stdout.read.aio() == "hello from me\nsleep\n"
    assert await process.stderr.read.aio() == "no\n"
    assert await process.wait.aio() == 4


async def test_a_command_past_its_timeout_is_killed(workshop: Workshop) -> None:
    sandbox = await workshop.create("sleep", "60")
    process = await sandbox.exec.aio("sh", "-c", "sleep 50", timeout=1)

    assert await process.wait.aio() in (-1, 137)

    await asyncio.sleep(0.2)
    left = await sandbox.exec.aio("sh", "-c", "cat /proc/[0-9]*/cmdline | grep -ac [s]leep.50")
    assert (await left.stdout.read.aio()).strip() == "0"


@BACKENDS
async def test_an_ended_sandbox_takes_no_command(workshop: Workshop, gpu: str | None) -> None:
    sandbox = await workshop.create("sleep", "60", gpu=gpu)
    await sandbox.terminate.aio(wait=True)

    with pytest.raises(NotFoundError):
        await sandbox.exec.aio("true")


@BACKENDS
async def test_the_last_lines_of_an_ended_sandbox_can_be_read(workshop: Workshop, gpu: str | None) -> None:
    sandbox = await workshop.create("sh", "-c", "echo one; echo two; echo three >&2; exit 1", gpu=gpu)
    await sandbox.wait.aio()
    again = await modal.Sandbox.from_id.aio(sandbox.object_id, client=workshop.client)

    entries = [entry async for entry in again.logs.tail.aio(2)]
    assert len(entries) == 2
    assert {entry.message for entry in entries} <= {"one\n", "two\n", "three\n"}
    errors = [entry.message async for entry in again.logs.tail.aio(source="stderr")]
    assert errors == ["three\n"]


@pytest.mark.parametrize(("runtime", "blocked"), [(None, "1"), ("vm", "0")])
async def test_setuid_can_be_taken_from_gvisor_and_not_from_virtual_machines(
    runtime: Literal["vm"] | None, blocked: str
) -> None:
    async with SimulatedModal(image=IMAGE, limits=Limits(setuid=False)) as simulated, connect(simulated) as client:
        app = await modal.App.lookup.aio("setuid", create_if_missing=True, client=client)
        workshop = Workshop(simulated, client, app)
        sandbox = await workshop.create("grep", "NoNewPrivs", "/proc/self/status", runtime=runtime)
        await sandbox.wait.aio(raise_on_termination=False)

        assert (await sandbox.stdout.read.aio()).split() == ["NoNewPrivs:", blocked]


async def test_thread_variables_come_from_the_request_for_cpu(workshop: Workshop) -> None:
    sandbox = await workshop.create("sh", "-c", "echo $OMP_NUM_THREADS", cpu=(2, 8))
    await sandbox.wait.aio(raise_on_termination=False)

    assert (await sandbox.stdout.read.aio()).strip() == "2"

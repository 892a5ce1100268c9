"""Sandboxes and the runner image, through the real SDK against the simulated Modal."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import modal
import pytest
from grpclib import Status
from pydantic import SecretStr

from github_app.errors import SandboxError, SandboxNameTaken
from github_app.model import Gpu, SandboxSpec, Shape, Witness
from github_app.sandboxes import ModalSandboxes, runner_image
from github_app.simulator.modal import Limits, RunnerImage, SimulatedModal
from tests.worlds.modal_workshop import FailsWith, LosesOneAnswer, connect, until

JIT = "ACTIONS_RUNNER_INPUT_JITCONFIG"
CPU = Shape(cpu=(1.0, 2.0), memory_mib=(512, 1024), timeout_s=1234)
RECIPE = runner_image("2.336.0")


def spec(name: str = "modal-11-1", shape: Shape = CPU) -> SandboxSpec:
    """A sandbox to ask for."""
    tags = {"job": "11", "repo": "octo-org.app", "run": "22", "runner": name}
    return SandboxSpec(name, shape, tags, SecretStr("canary-jit-config"))


def gpu(kind: str, count: int = 1) -> Shape:
    """A machine with GPUs."""
    return Shape(CPU.cpu, CPU.memory_mib, CPU.timeout_s, Gpu(kind, count))


@pytest.fixture
async def sandboxes(client: modal.Client) -> ModalSandboxes:
    """The adapter, prepared."""
    made = ModalSandboxes("modal-runner", {"default": RECIPE}, client=client)
    await made.prepare()
    return made


@contextlib.asynccontextmanager
async def prepared(runner: str = "exec sleep 300", limits: Limits | None = None) -> AsyncIterator[ModalSandboxes]:
    """The adapter, with a runner and limits of its own."""
    image = RunnerImage(env={"RUNNER_HOME": "{root}/runner"}, files={"runner/run.sh": f"#!/bin/sh\n{runner}\n"})
    async with SimulatedModal(image=image, limits=limits or Limits()) as simulated, connect(simulated) as client:
        made = ModalSandboxes("modal-runner", {"default": RECIPE}, client=client)
        await made.prepare()
        yield made


# Creation


async def test_a_cpu_launch_in_the_steady_state_is_one_rpc(
    sandboxes: ModalSandboxes, sleeping_modal: SimulatedModal
) -> None:
    await sandboxes.create(spec())
    before = sleeping_modal.calls.copy()
    for number in range(2, 5):
        await sandboxes.create(spec(f"modal-{number}-1"))

    assert sleeping_modal.calls - before == Counter(SandboxCreateV2=3)


async def test_a_sandbox_has_the_runners_name_its_tags_and_a_timeout_but_no_idle_timeout(
    sandboxes: ModalSandboxes, sleeping_modal: SimulatedModal
) -> None:
    sandbox_id = await sandboxes.create(spec())
    [view] = sleeping_modal.sandboxes()
    definition = view.request.definition

    assert (view.id, view.name, view.app_name) == (sandbox_id, "modal-11-1", "modal-runner-sandboxes")
    assert view.tags == {"job": "11", "repo": "octo-org.app", "run": "22", "runner": "modal-11-1"}
    assert definition.timeout_secs == 1234
    assert not definition.HasField("idle_timeout_secs")
    assert (definition.resources.milli_cpu, definition.resources.milli_cpu_max) == (1000, 2000)
    assert (definition.resources.memory_mb, definition.resources.memory_mb_max) == (512, 1024)


@pytest.mark.parametrize("shape", [CPU, gpu("T4")], ids=["cpu", "gpu"])
async def test_the_jit_config_is_in_the_environment_and_in_no_argument_or_tag(
    sandboxes: ModalSandboxes, sleeping_modal: SimulatedModal, client: modal.Client, shape: Shape
) -> None:
    sandbox_id = await sandboxes.create(spec(shape=shape))
    [view] = sleeping_modal.sandboxes()
    sandbox = await modal.Sandbox.from_id.aio(sandbox_id, client=client)
    inside = await sandbox.exec.aio("printenv", JIT)

    assert (await inside.stdout.read.aio()).strip() == "canary-jit-config"
    assert "canary" not in "".join([*view.args, *view.tags, *view.tags.values(), view.name])


@pytest.mark.parametrize(("kind", "count"), [("H100", 1), ("A100-80GB", 4)])
async def test_a_gpu_is_asked_for_by_type_and_count(
    sandboxes: ModalSandboxes, sleeping_modal: SimulatedModal, kind: str, count: int
) -> None:
    await sandboxes.create(spec(shape=gpu(kind, count)))
    asked = sleeping_modal.sandboxes()[0].request.definition.resources.gpu_config

    assert (asked.gpu_type, asked.count) == (kind, count)


async def test_a_gpu_that_is_waited_for_holds_up_no_other_sandbox() -> None:
    async with prepared(limits=Limits(gpus=0)) as sandboxes:
        waiting = asyncio.create_task(sandboxes.create(spec("modal-1-1", gpu("H100"))))
        await asyncio.wait_for(sandboxes.create(spec("modal-2-1")), 5)

        assert not waiting.done()
        waiting.cancel()


# The image


async def test_a_missing_image_is_built_and_published_and_found_the_next_time(
    sleeping_modal: SimulatedModal, client: modal.Client
) -> None:
    for built in (True, False):
        before = sleeping_modal.calls.copy()
        await ModalSandboxes("modal-runner", {"default": RECIPE}, client=client).prepare()
        made = sleeping_modal.calls - before
        assert (made["ImagePublish"], bool(made["ImageGetOrCreate"])) == (int(built), built)


async def test_another_version_of_the_runner_is_another_image() -> None:
    assert runner_image("2.336.0").name == RECIPE.name
    assert runner_image("2.337.0").name != RECIPE.name


# Refusals


async def test_a_name_that_a_running_sandbox_has_is_taken(sandboxes: ModalSandboxes) -> None:
    await sandboxes.create(spec())
    with pytest.raises(SandboxNameTaken) as caught:
        await sandboxes.create(spec(shape=gpu("T4")))

    assert not caught.value.retryable
    assert "modal-11-1" in str(caught.value)


async def test_a_workspace_at_its_container_cap_is_a_retryable_error() -> None:
    async with prepared(limits=Limits(containers=1)) as sandboxes:
        await sandboxes.create(spec("modal-1-1"))
        with pytest.raises(SandboxError) as caught:
            await sandboxes.create(spec("modal-2-1"))

    assert caught.value.retryable


async def test_a_wrong_token_is_an_error_that_says_so_and_that_no_repetition_mends(
    sleeping_modal: SimulatedModal,
) -> None:
    async with connect(sleeping_modal, secret="as-wrong") as stranger:
        with pytest.raises(SandboxError, match=r"[Tt]oken") as caught:
            await ModalSandboxes("modal-runner", {"default": RECIPE}, client=stranger).prepare()

    assert not caught.value.retryable
    assert "as-wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (Status.INVALID_ARGUMENT, False),
        (Status.PERMISSION_DENIED, False),
        (Status.NOT_FOUND, False),
        (Status.FAILED_PRECONDITION, False),
        (Status.RESOURCE_EXHAUSTED, True),
    ],
)
async def test_a_refused_creation_is_an_error_of_ours(
    sandboxes: ModalSandboxes, sleeping_modal: SimulatedModal, status: Status, *, retryable: bool
) -> None:
    sleeping_modal.interceptor = FailsWith("SandboxCreateV2", status)
    with pytest.raises(SandboxError) as caught:
        await sandboxes.create(spec())

    assert caught.value.retryable is retryable
    assert "canary" not in str(caught.value)


# The witness


async def test_a_sandbox_whose_runner_waits_for_a_job_is_idle(sandboxes: ModalSandboxes) -> None:
    assert await sandboxes.witness(await sandboxes.create(spec())) is Witness.IDLE


@pytest.mark.parametrize(
    "runner",
    [
        'ln -s "$(command -v sleep)" Runner.Worker; exec ./Runner.Worker 300',
        'sh "$ACTIONS_RUNNER_HOOK_JOB_STARTED"; exec sleep 300',
    ],
    ids=["a Worker process", "the hook's mark"],
)
async def test_a_sandbox_in_which_a_job_has_started_works(runner: str) -> None:
    async with prepared(runner) as sandboxes:
        sandbox_id = await sandboxes.create(spec())
        async with asyncio.timeout(10):
            while await sandboxes.witness(sandbox_id) is not Witness.WORKING:
                await asyncio.sleep(0.05)


async def test_a_sandbox_that_lingers_after_its_job_is_idle() -> None:
    hooks = 'sh "$ACTIONS_RUNNER_HOOK_JOB_STARTED"; sh "$ACTIONS_RUNNER_HOOK_JOB_COMPLETED"; exec sleep 300'
    async with prepared(hooks) as sandboxes:
        sandbox_id = await sandboxes.create(spec())
        await asyncio.sleep(0.5)

        assert await sandboxes.witness(sandbox_id) is Witness.IDLE


# Kept after a job that has failed

_ENDS = """mkdir _diag
echo "[at INFO JobDispatcher] finish job request for job 1 with result: {result}" > _diag/Runner_1.log
{mark}
exit 3"""
_ADMITTED = ": > .job-admitted"


@pytest.mark.parametrize(
    ("runner", "kept"),
    [
        (_ENDS.format(result="Failed", mark=_ADMITTED), True),
        # A listener that writes nothing: the App ends what has not failed.
        (f"{_ADMITTED}; exit 3", True),
        (_ENDS.format(result="Succeeded", mark=_ADMITTED), False),
        (_ENDS.format(result="Canceled", mark=_ADMITTED), False),
        # Refused, or there was no job.
        (_ENDS.format(result="Failed", mark=""), False),
    ],
)
async def test_a_sandbox_is_kept_after_a_job_that_has_failed_and_ends_by_itself(runner: str, kept: bool) -> None:
    image = RunnerImage(env={"RUNNER_HOME": "{root}/runner"}, files={"runner/run.sh": f"#!/bin/sh\n{runner}\n"})
    async with SimulatedModal(image=image) as simulated, connect(simulated) as client:
        sandboxes = ModalSandboxes("modal-runner", {"default": RECIPE}, client=client)
        await sandboxes.prepare()
        await sandboxes.create(spec(shape=Shape(CPU.cpu, CPU.memory_mib, CPU.timeout_s, debug_s=2)))
        await until(lambda: not simulated.sandboxes()[0].running)
        (view,) = simulated.sandboxes()

        assert (view.ended_by, view.returncode) == ("exit", 3)
        assert ("The job has failed: this sandbox is kept for 2 seconds." in view.output) is kept
        assert not kept or (view.ended_at or 0.0) - (view.started_at or 0.0) >= 2.0


async def test_a_kept_sandbox_may_be_ended_before_its_time() -> None:
    async with prepared(_ENDS.format(result="Failed", mark=_ADMITTED)) as sandboxes:
        sandbox_id = await sandboxes.create(spec(shape=Shape(CPU.cpu, CPU.memory_mib, CPU.timeout_s, debug_s=7200)))
        async with asyncio.timeout(20):
            while "is kept" not in (await sandboxes.output("modal-11-1", sandbox_id, 5) or ""):
                await asyncio.sleep(0.05)
        assert await sandboxes.witness(sandbox_id) is Witness.IDLE
        await sandboxes.terminate(sandbox_id)

        assert await sandboxes.ends_within(sandbox_id, 10)


async def test_a_sandbox_that_has_ended_is_gone(sleeping_modal: SimulatedModal, sandboxes: ModalSandboxes) -> None:
    sandbox_id = await sandboxes.create(spec())
    sleeping_modal.kill(sandbox_id)
    await until(lambda: not sleeping_modal.sandboxes()[0].running)

    assert await sandboxes.witness(sandbox_id) is Witness.GONE


@pytest.mark.parametrize("sandbox_id", ["sb-" + "A" * 26, "sb-" + "a" * 22])
async def test_a_sandbox_that_modal_does_not_know_is_gone(sandboxes: ModalSandboxes, sandbox_id: str) -> None:
    assert await sandboxes.witness(sandbox_id) is Witness.GONE


async def test_a_witness_that_cannot_be_asked_is_an_error_and_no_answer(
    sleeping_modal: SimulatedModal, sandboxes: ModalSandboxes
) -> None:
    sandbox_id = await sandboxes.create(spec())
    sleeping_modal.interceptor = FailsWith("TaskExecStart", Status.FAILED_PRECONDITION)
    with pytest.raises(SandboxError):
        await asyncio.wait_for(sandboxes.witness(sandbox_id), 30)


# Termination


@pytest.mark.parametrize("shape", [CPU, gpu("T4")], ids=["cpu", "gpu"])
async def test_a_sandbox_may_be_terminated_more_than_once(
    sleeping_modal: SimulatedModal, sandboxes: ModalSandboxes, shape: Shape
) -> None:
    sandbox_id = await sandboxes.create(spec(shape=shape))
    await sandboxes.terminate(sandbox_id)
    await sandboxes.terminate(sandbox_id)

    assert sleeping_modal.sandboxes()[0].ended_by == "terminated"


async def test_a_sandbox_that_modal_does_not_know_may_be_terminated(sandboxes: ModalSandboxes) -> None:
    await sandboxes.terminate("sb-" + "A" * 26)


async def test_a_sandbox_whose_answer_is_lost_is_not_there_twice(
    sandboxes: ModalSandboxes, sleeping_modal: SimulatedModal
) -> None:
    sleeping_modal.interceptor = LosesOneAnswer("SandboxCreateV2")
    with contextlib.suppress(SandboxNameTaken):
        await sandboxes.create(spec())

    assert len(sleeping_modal.sandboxes()) == 1

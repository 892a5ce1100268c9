"""Limits, faults and the edges of the simulated Modal's server."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import modal
import pytest
from google.protobuf.message import Message
from grpclib import GRPCError, Status
from modal.exception import AuthError, ConflictError, ResourceExhaustedError, UnimplementedError
from modal_proto.api_grpc import ModalClientBase

from github_app.simulator.modal import SimulatedModal
from github_app.simulator.modal.rpcs import Service, rpc
from tests.worlds.modal_workshop import Workshop, connect, until

Open = Callable[..., Awaitable[Workshop]]


async def test_creation_over_the_rate_is_retried_at_the_servers_pace(open_workshop: Open) -> None:
    workshop = await open_workshop(creates_per_second=4.0, burst=1)
    await workshop.create("true")
    begun = asyncio.get_running_loop().time()
    await workshop.create("true")

    assert asyncio.get_running_loop().time() - begun > 0.2
    assert workshop.simulated.calls["SandboxCreateV2"] >= 3


async def test_creation_over_the_rate_is_an_error_where_waiting_is_bounded(
    open_workshop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODAL_MAX_THROTTLE_WAIT", "0")
    workshop = await open_workshop(creates_per_second=0.01, burst=1)
    await workshop.create("true")
    with pytest.raises(ResourceExhaustedError, match=r"rate limit \(0.01/s\)"):
        await workshop.create("true")


async def test_creation_over_the_container_cap_is_refused_at_once(open_workshop: Open) -> None:
    workshop = await open_workshop(containers=1)
    first = await workshop.create("sleep", "60")
    with pytest.raises(ResourceExhaustedError, match="1 containers"):
        await workshop.create("true")

    await first.terminate.aio(wait=True)

    await workshop.create("true")


async def test_a_gpu_sandbox_waits_until_its_gpus_are_free(open_workshop: Open) -> None:
    workshop = await open_workshop(gpus=2)
    first = await workshop.create("sleep", "60", gpu="A100:2")
    second = asyncio.create_task(workshop.create("true", gpu="A100"))
    await until(lambda: workshop.simulated.calls["SandboxGetTaskId"] >= 3)

    assert not second.done()
    assert workshop.simulated.sandboxes()[1].started_at is None
    assert len(await workshop.running()) == 2

    await first.terminate.aio(wait=True)
    await (await second).wait.aio()


async def test_a_gpu_sandbox_terminated_while_it_waits_is_a_conflict_to_its_creator(open_workshop: Open) -> None:
    workshop = await open_workshop(gpus=0)
    creation = asyncio.create_task(workshop.create("true", gpu="A100"))
    await until(lambda: bool(workshop.simulated.sandboxes()))
    waiting = await modal.Sandbox.from_id.aio(workshop.simulated.sandboxes()[0].id, client=workshop.client)
    await waiting.terminate.aio()

    with pytest.raises(ConflictError):
        await creation


async def test_a_caller_with_a_wrong_secret_is_not_let_in(simulated_modal: SimulatedModal) -> None:
    async with connect(simulated_modal, secret="as-wrong") as stranger:
        with pytest.raises(AuthError):
            await modal.App.lookup.aio("a", create_if_missing=True, client=stranger)


async def test_an_rpc_that_is_not_simulated_answers_with_its_name(modal_client: modal.Client) -> None:
    with pytest.raises(UnimplementedError, match="QueueGetOrCreate is not simulated"):
        await modal.Queue.from_name("q", create_if_missing=True, client=modal_client).hydrate.aio()


def test_a_misspelt_rpc_is_refused_when_the_service_is_put_together(simulated_modal: SimulatedModal) -> None:
    class Misspelt:
        @rpc
        async def dict_gett(self, request: Message) -> Message:
            return request

    with pytest.raises(TypeError, match="no RPC named DictGett"):
        Service(ModalClientBase, [Misspelt()], simulated_modal)


class LoseOneAnswer:
    """Fails the first answer of one RPC, before or after it took effect."""

    def __init__(self, rpc: str, *, after: bool) -> None:
        self._rpc = rpc
        self._after = after

    async def before(self, rpc: str, request: Message) -> None:
        self._fail(rpc, after=False)

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        self._fail(rpc, after=True)

    def _fail(self, rpc: str, *, after: bool) -> None:
        if rpc == self._rpc and after == self._after:
            self._rpc = ""
            raise GRPCError(Status.UNAVAILABLE, "lost")


@pytest.mark.parametrize(("after", "won"), [(False, True), (True, False)])
async def test_a_put_if_absent_whose_answer_is_lost_seems_to_have_lost(
    simulated_modal: SimulatedModal, modal_client: modal.Client, *, after: bool, won: bool
) -> None:
    simulated_modal.interceptor = LoseOneAnswer("DictUpdate", after=after)
    claims = modal.Dict.from_name("claims", create_if_missing=True, client=modal_client)

    assert await claims.put.aio("job", "owner", skip_if_exists=True) is won
    assert await claims.get.aio("job") == "owner"
    assert simulated_modal.calls["DictUpdate"] == 2


async def test_a_process_of_its_own_needs_nothing_but_the_variables(simulated_modal: SimulatedModal) -> None:
    program = "import modal; print(modal.App.lookup('a', create_if_missing=True).app_id)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=simulated_modal.env, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()

    assert printed.startswith(b"ap-")

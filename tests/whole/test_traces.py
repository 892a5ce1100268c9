"""A seed fixes what happens: jobs one after the other, each call's fate decided by dice of that seed."""

import random

from google.protobuf.message import Message
from grpclib import GRPCError, Status

from github_app.simulator.github.auth import ApiError
from tests.worlds.steps import JIT
from tests.worlds.universe import PLAIN, Script, Universe, universe

_JOBS = 6


class Dice(Script):
    """Lets calls to GitHub and creations of sandboxes fail, before or after their effect, as the dice fall."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = random.Random(seed)  # noqa: S311
        self.trace: list[str] = []

    def _falls(self, what: str) -> bool:
        hit = self._dice.random() < 0.25
        self.trace.append(f"{what}: {'fails' if hit else 'goes well'}")
        return hit

    async def before(self, call: str) -> None:
        if call == JIT and self._falls("JIT config before"):
            raise ApiError(503, "Service Unavailable")

    async def after(self, call: str) -> None:
        if call == JIT and self._falls("JIT config after"):
            raise ApiError(502, "Server Error")


class SandboxDice:
    """The same for Modal."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice

    async def before(self, rpc: str, _request: Message) -> None:
        if rpc.startswith("SandboxCreate") and self._dice._falls("sandbox before"):
            raise GRPCError(Status.INTERNAL, "injected")

    async def after(self, rpc: str, _request: Message, _response: Message) -> None:
        if rpc.startswith("SandboxCreate") and self._dice._falls("sandbox after"):
            raise GRPCError(Status.INTERNAL, "injected")


async def _trace(seed: int) -> list[str]:
    dice = Dice(seed)
    async with universe(script=dice) as it:
        it.modal.interceptor = SandboxDice(dice)
        for number in range(_JOBS):
            # Long enough for whatever is repeated to be over before the job is.
            it.push({f"job-{number}": (PLAIN, 90)})
            await it.until_done(patience_s=60)
            await it.github.webhooks.settle()
            dice.trace.append(_outcome(it, number))
    return dice.trace


def _outcome(it: Universe, number: int) -> str:
    job = it.job(f"job-{number}")
    attempt = job.runner.name.rsplit("-", 1)[1] if job.runner else None
    return f"{job.instance.name}: {job.conclusion} on attempt {attempt}"


async def test_equal_seeds_give_equal_traces() -> None:
    first, second = await _trace(3), await _trace(3)

    assert first == second
    assert sum("success" in line for line in first) == _JOBS
    assert any("fails" in line for line in first)

"""Everything that goes wrong, by name and seed. Which call gets which fault depends on its kind and number alone."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence

from google.protobuf.message import Message
from grpclib import GRPCError, Status

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import Hangup
from github_app.simulator.github.state import Delivery, InstallationToken
from github_app.simulator.modal import SimulatedModal

ALL = frozenset(
    {
        "webhook-lost",
        "webhook-failed",
        "webhook-late",
        "webhook-duplicate",
        "github-errors",
        "github-lost-answers",
        "github-hangs",
        "github-wrong-404",
        "github-limits",
        "github-busy-lag",
        "token-expiry",
        "dict-errors",
        "dict-lost-answers",
        "sandbox-create-fails",
        "sandbox-create-lost-answers",
        "modal-throttle",
        "runner-never-online",
        "runner-ghost",
        "runner-exit-0",
        "sandbox-death",
        "cancel",
        "kill",
    }
)
_SERVER_ERRORS = (500, 502, 503)
_BUSY_LAG_S = 30.0
_LATEST_S = 60.0
# Longer than the app waits in compressed time.
_HANG_S = 4.0


class _Dice:
    """One sequence for each kind of call, so that the interleaving of calls changes no other's fate."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sequences: dict[str, random.Random] = {}

    def roll(self, kind: str) -> float:
        if kind not in self._sequences:
            self._sequences[kind] = random.Random(f"{self._seed}/{kind}")  # noqa: S311
        return self._sequences[kind].random()

    def hits(self, kind: str, chance: float) -> bool:
        return self.roll(kind) < chance


class GitHubFaults:
    """Faults of the simulated GitHub; `scale` is how many virtual seconds pass in a real one."""

    def __init__(self, names: frozenset[str], seed: int, scale: float) -> None:
        self._names = names
        self._dice = _Dice(seed)
        self._scale = scale
        # GitHub's tokens; clearing them is their sudden end.
        self.tokens: dict[str, InstallationToken] = {}
        self.busy_lag_s = _BUSY_LAG_S / scale if "github-busy-lag" in names else 0.0

    async def before(self, call: str) -> None:
        """Fail without an effect."""
        if self._strikes("token-expiry", call, 0.01):
            self.tokens.clear()
        if self._strikes("github-errors", call, 0.03):
            raise ApiError(_SERVER_ERRORS[int(self._dice.roll("status") * 3)], "Server Error")
        if self._strikes("github-wrong-404", call, 0.005):
            raise ApiError(404, "Not Found")
        if self._strikes("github-limits", call, 0.005):
            raise ApiError(429, "You have exceeded a secondary rate limit.", headers={"Retry-After": "20"})
        if self._strikes("github-hangs", call, 0.003):
            await asyncio.sleep(_HANG_S)

    async def after(self, call: str) -> None:
        """Fail although the effect took place."""
        if self._strikes("github-lost-answers", call, 0.02):
            raise ApiError(502, "Server Error")
        if self._strikes("github-lost-answers", f"{call} hangup", 0.01):
            raise Hangup

    def hand_over(self, delivery: Delivery) -> Sequence[float]:
        """Lose, delay or double a delivery; what is late comes out of order."""
        del delivery
        if self._strikes("webhook-lost", "delivery", 0.03):
            return ()
        late = self._strikes("webhook-late", "delivery", 0.15)
        first = self._dice.roll("lateness") * _LATEST_S / self._scale if late else 0.0
        if self._strikes("webhook-duplicate", "delivery", 0.05):
            return (first, first + self._dice.roll("lateness") * _LATEST_S / self._scale)
        return (first,)

    def breaks_connection(self) -> bool:
        """Tell whether the next delivery fails to connect, which GitHub records."""
        return self._strikes("webhook-failed", "delivery", 0.05)

    def conduct(self) -> str | None:
        """Let some runners misbehave."""
        for conduct, chance in (("never-online", 0.02), ("ghost", 0.02), ("exit-0", 0.02)):
            if self._strikes(f"runner-{conduct}", "runner", chance):
                return conduct
        return None

    def _strikes(self, name: str, call: str, chance: float) -> bool:
        return name in self._names and self._dice.hits(f"{name} {call}", chance)


class ModalFaults:
    """Faults of the simulated Modal, and the sudden death of some of its sandboxes."""

    def __init__(self, names: frozenset[str], seed: int, scale: float, modal: SimulatedModal) -> None:
        self._names = names
        self._dice = _Dice(seed + 1)
        self._scale = scale
        self._modal = modal
        self._deaths: set[asyncio.Task[None]] = set()
        self.counts: defaultdict[str, int] = defaultdict(int)

    async def before(self, rpc: str, request: Message) -> None:
        """Fail without an effect."""
        del request
        if rpc.startswith("Dict") and self._strikes("dict-errors", rpc, 0.003):
            raise GRPCError(Status.INTERNAL, "injected")
        if rpc.startswith("SandboxCreate"):
            if self._strikes("sandbox-create-fails", rpc, 0.03):
                raise GRPCError(Status.INTERNAL, "injected")
            if self._strikes("modal-throttle", rpc, 0.02):
                raise GRPCError(Status.RESOURCE_EXHAUSTED, "Sandbox creation rate limit (5/s) exceeded")

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        """Fail although the effect took place; let some sandboxes die later."""
        del request
        if rpc.startswith("Dict") and self._strikes("dict-lost-answers", rpc, 0.003):
            raise GRPCError(Status.UNAVAILABLE, "injected")
        if rpc.startswith("SandboxCreate"):
            if self._strikes("sandbox-death", rpc, 0.03):
                self._plan_death(response.sandbox_id)
            if self._strikes("sandbox-create-lost-answers", rpc, 0.03):
                raise GRPCError(Status.INTERNAL, "injected")

    def close(self) -> None:
        """Plan no more deaths."""
        for death in self._deaths:
            death.cancel()

    def _plan_death(self, sandbox_id: str) -> None:
        async def die() -> None:
            await asyncio.sleep(self._dice.roll("death") * 120 / self._scale)
            self._modal.kill(sandbox_id)

        death = asyncio.create_task(die())
        self._deaths.add(death)
        death.add_done_callback(self._deaths.discard)

    def _strikes(self, name: str, rpc: str, chance: float) -> bool:
        struck = name in self._names and self._dice.hits(f"{name} {rpc}", chance)
        self.counts[name] += struck
        return struck

"""What chance decides: how long each call takes, and which fails. One sequence of numbers for each kind of call."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

import modal.exception

from github_app.model import SandboxSpec
from github_app.simulate.plan import BLOWS, Plan
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import Hangup
from github_app.simulator.github.state import Delivery, InstallationToken

FAULTS = frozenset(
    {
        *("webhook-lost", "webhook-failed", "webhook-late", "webhook-duplicate"),
        *("github-errors", "github-lost-answers", "github-hangs", "github-wrong-404", "github-limits"),
        *("github-busy-lag", "github-deletes-busy", "github-lists-lag", "token-expiry"),
        *("dict-errors", "dict-lost-answers", "dict-reads-lag"),
        *("sandbox-create-fails", "sandbox-create-lost-answers", "modal-throttle", "modal-errors", "sandbox-lingers"),
        *("runner-never-online", "runner-ghost", "runner-exit-0", "runner-idle-removed", "sandbox-death"),
        *("cancel", "approval", "rerun", "other-accounts", "strange-jobs", "clock-skew", "warm"),
        *BLOWS,
    }
)
_LATEST_S = 600.0
_LINGERS_S = 24 * 3600.0
_DEATHS_WITHIN_S = 120.0
LONGEST_READ_LAG_S = 2.0
_LISTS_LAG_S = 30.0


class Outcomes:
    """Latencies and faults of one seed; `now` is the loop's time. Faults strike until `until` alone."""

    def __init__(self, plan: Plan, now: Callable[[], float]) -> None:
        self._spans = {kind: plan.spans(kind) for kind in BLOWS}
        self._seed = plan.seed
        self._faults = plan.faults
        self._spared = plan.spared
        self._until = plan.calm_at
        self._now = now
        self._sequences: dict[str, random.Random] = {}
        self.struck: Counter[str] = Counter()
        # Each fault that struck, by the name under which a plan may spare it.
        self.strikes: list[str] = []
        self._rolls: Counter[str] = Counter()
        self.tokens: dict[str, InstallationToken] = {}
        self.busy_lag_s = 0.0
        # Told of each fault, and asked to let a sandbox die.
        self.tell: Callable[[str, str], None] = lambda _name, _call: None
        # Told of each delivery that GitHub hands over.
        self.sends: Callable[[Delivery], None] = lambda _delivery: None
        self.plan_death: Callable[[str, float], None] = lambda _sandbox, _seconds: None

    def dice(self, kind: str) -> random.Random:
        """The numbers of one kind of call."""
        if kind not in self._sequences:
            self._sequences[kind] = random.Random(f"{self._seed}/{kind}")  # noqa: S311 - chance, not a secret
        return self._sequences[kind]

    def latency(self, kind: str) -> float:
        """2 ms to 30 s, seldom more than one; what is long is rare and not absurd."""
        dice = self.dice(f"latency {kind}")
        if dice.random() < 0.002:
            return dice.uniform(1.0, 30.0)
        return min(30.0, 0.002 + dice.lognormvariate(-3.5, 1.0))

    async def pause(self, kind: str, least: float, most: float) -> None:
        """Let what takes between `least` and `most` seconds take its time."""
        await asyncio.sleep(self.dice(kind).uniform(least, most))

    def redraw_busy_lag(self) -> float:
        """How long GitHub's busy flag lags for the next runner."""
        lags = "github-busy-lag" in self._faults and self._now() < self._until
        return self.dice("busy lag").uniform(0, 90) if lags else 0.0

    def redraw_lists_lag(self) -> float:
        """How many seconds ago GitHub's next lists show."""
        lags = "github-lists-lag" in self._faults and self._now() < self._until
        return self.dice("lists lag").random() ** 2 * _LISTS_LAG_S if lags else 0.0

    # GitHub

    async def before(self, call: str) -> None:
        """A call of the REST API, before its effect."""
        await asyncio.sleep(self.latency(call) / 2)
        if self._lasts("github-down"):
            self._struck("github-down", call)
            raise ApiError(503, "Service unavailable")
        if self._strikes("token-expiry", call, 0.005):
            for token in self.tokens.values():
                token.expires_at = 0.0
        if self._strikes("github-errors", call, 0.03):
            raise ApiError(self.dice("status").choice((500, 502, 503)), "Server Error")
        if self._strikes("github-wrong-404", call, 0.005):
            raise ApiError(404, "Not Found")
        if self._strikes("github-limits", call, 0.005):
            raise ApiError(429, "You have exceeded a secondary rate limit.", headers={"Retry-After": "20"})
        if self._strikes("github-hangs", call, 0.005):
            await self.pause("hang", 5, 120)

    async def after(self, call: str) -> None:
        """The same after its effect."""
        await asyncio.sleep(self.latency(call) / 2)
        if self._strikes("github-lost-answers", call, 0.02):
            raise ApiError(502, "Server Error")
        if self._strikes("github-lost-answers", f"{call} hangup", 0.01):
            raise Hangup

    def hand_over(self, delivery: Delivery) -> Sequence[float]:
        """When a delivery is handed over: never, once, twice, late."""
        self.sends(delivery)
        if self._lasts("deliveries-down"):
            self._struck("deliveries-down", "delivery")
            return ()
        if self._strikes("webhook-lost", "delivery", 0.03):
            return ()
        first = self.latency("delivery")
        if self._strikes("webhook-late", "delivery", 0.15):
            first += self.dice("lateness").random() ** 3 * _LATEST_S
        if self._strikes("webhook-duplicate", "delivery", 0.05):
            return (first, first + self.dice("lateness").random() ** 3 * _LATEST_S)
        return (first,)

    def breaks_connection(self) -> bool:
        """Whether a delivery fails to connect."""
        return self._strikes("webhook-failed", "delivery", 0.05)

    def conduct(self) -> str | None:
        """How the next runner misbehaves."""
        for conduct in ("never-online", "ghost", "exit-0"):
            if self._strikes(f"runner-{conduct}", "runner", 0.02):
                return conduct
        return None

    def removes_idle(self) -> bool:
        """Whether GitHub removes a runner that has idled for minutes (actions/runner#4726); asked every ten seconds."""
        return self._strikes("runner-idle-removed", "runner", 0.03)

    # Modal

    def fails_dict(self, call: str) -> Exception | None:
        """How an operation of a Dict fails, before its effect."""
        if self._lasts("dict-down"):
            self._struck("dict-down", call)
            return modal.exception.ServiceError("injected: the Dict is down")
        return modal.exception.InternalError("injected") if self._strikes("dict-errors", call, 0.003) else None

    def loses_answer(self, call: str) -> bool:
        """Whether its answer is lost, after its effect, so that the SDK repeats it."""
        return self._strikes("dict-lost-answers", call, 0.003)

    def read_lag(self) -> float:
        """How many seconds ago the next read of a Dict shows, of what other containers have written."""
        lags = "dict-reads-lag" in self._faults and self._now() < self._until
        return self.dice("reads lag").random() ** 2 * LONGEST_READ_LAG_S if lags else 0.0

    def which(self, kind: str, of: int) -> int:
        """One of so many."""
        return self.dice(kind).randrange(of)

    def strike(self, name: str) -> None:
        """Count a blow."""
        self.struck[name] += 1

    async def before_create(self) -> None:
        """A creation, before its effect."""
        await asyncio.sleep(self.latency("create"))
        if self._strikes("sandbox-create-fails", "create", 0.03):
            raise modal.exception.InternalError("injected")
        if self._strikes("modal-throttle", "create", 0.02):
            raise modal.exception.ResourceExhaustedError("injected: creation rate limit exceeded")

    async def place(self, spec: SandboxSpec) -> None:
        """Wait for a machine, with a GPU perhaps for minutes."""
        if spec.shape.gpu is not None:
            await asyncio.sleep(self.dice("gpu").random() ** 4 * 600)

    async def after_create(self, sandbox_id: str) -> None:
        """The same after its effect."""
        if self._strikes("sandbox-death", "create", 0.03):
            self.plan_death(sandbox_id, self.dice("death").random() * _DEATHS_WITHIN_S)
        await asyncio.sleep(self.latency("create"))
        if self._strikes("sandbox-create-lost-answers", "create", 0.03):
            raise modal.exception.InternalError("injected: the answer is lost")

    async def modal_call(self, call: str) -> None:
        """Any other call about sandboxes."""
        await asyncio.sleep(self.latency(call))
        if self._strikes("modal-errors", call, 0.01):
            raise modal.exception.InternalError("injected")

    async def after_job(self) -> None:
        """A sandbox whose job is over ends, or hangs."""
        await self.pause("exit", 0.2, 3)
        if self._strikes("sandbox-lingers", "exit", 0.02):
            await asyncio.sleep(_LINGERS_S)

    def wants(self, name: str) -> bool:
        """Whether a kind of fault is among those of this run."""
        return name in self._faults

    def _lasts(self, kind: str) -> bool:
        return any(begin <= self._now() < end for begin, end in self._spans[kind])

    def _strikes(self, name: str, call: str, chance: float) -> bool:
        if name not in self._faults or self._now() >= self._until:
            return False
        kind = f"{name} {call}"
        self._rolls[kind] += 1
        strike = f"{kind} #{self._rolls[kind]}"
        if self.dice(kind).random() >= chance or strike in self._spared:
            return False
        self.strikes.append(strike)
        self._struck(name, call)
        return True

    def _struck(self, name: str, call: str) -> None:
        self.struck[name] += 1
        self.tell(name, call)

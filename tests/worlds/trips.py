"""How many trips to Modal's Dicts stand one after the other on a job's way, counted and not timed.

In the simulation's time a trip takes one second, GitHub's answer with a JIT config five, which are left out, and
everything else none, so that seconds are trips.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from github_app.model import SandboxSpec
from github_app.settings.variables import Settings
from github_app.simulate import containers, deployment
from github_app.simulate.deployment import Version
from github_app.simulate.dicts import DictInProcess
from github_app.simulate.loop import CONTAINER
from github_app.simulate.outcome import Outcomes
from github_app.simulate.plan import Plan
from github_app.simulate.run import simulate
from github_app.simulate.sandboxes import SandboxesInProcess
from github_app.simulate.wire import WireToApp

_JIT_S = 5.0


@dataclass
class Trips:
    """What one run has counted; jobs are in the order in which they were created.

    `answers`: trips before a delivery is answered, by its action. `launches`: trips from the arrival of a `queued` to
    the call that creates the sandbox, but for GitHub's. `calls`: of the web containers from `steady_from` on, by
    operation and Dict.
    """

    answers: dict[str, list[int]] = field(default_factory=dict)
    launches: list[int] = field(default_factory=list)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def whole_reads(self) -> int:
        """How often a web container has read a whole Dict."""
        return sum(count for (operation, _), count in self.calls.items() if operation == "items")


def _now() -> int:
    return round(asyncio.get_running_loop().time())


def count_trips(plan: Plan, monkeypatch: pytest.MonkeyPatch, *, steady_from: float, **changed: Any) -> Trips:
    """Simulate a plan without faults, under settings that differ from the simulation's in what is `changed`."""
    trips = Trips()
    arrived: dict[int, int] = {}
    settings, call, create = deployment.settings, DictInProcess._call, SandboxesInProcess.create
    handle = WireToApp.handle_async_request

    def changed_settings(version: Version) -> Settings:
        return settings(version).model_copy(update=changed)

    def latency(self: Outcomes, kind: str) -> float:
        del self
        if kind.startswith("dict "):
            return 1.0
        return _JIT_S if kind.endswith("generate-jitconfig") else 0.0

    def counted(self: DictInProcess, operation: str, work: Any) -> Any:
        if CONTAINER.get().startswith("web") and _now() >= steady_from:
            trips.calls[operation, self._name.rpartition("-")[2]] += 1
        return call(self, operation, work)

    async def created(self: SandboxesInProcess, spec: SandboxSpec) -> str:
        trips.launches.append(_now() - arrived[int(spec.tags["job"])] - int(_JIT_S))
        return await create(self, spec)

    async def handled(self: WireToApp, request: httpx.Request) -> httpx.Response:
        said, began = json.loads(request.content), _now()
        if said["action"] == "queued":
            arrived.setdefault(said["workflow_job"]["id"], began)
        answer = await handle(self, request)
        trips.answers.setdefault(said["action"], []).append(_now() - began)
        return answer

    monkeypatch.setattr(containers, "settings", changed_settings)
    monkeypatch.setattr(Outcomes, "latency", latency)
    monkeypatch.setattr(DictInProcess, "_call", counted)
    monkeypatch.setattr(SandboxesInProcess, "create", created)
    monkeypatch.setattr(WireToApp, "handle_async_request", handled)
    ran = simulate(plan)
    assert ran.violations == []
    return trips

"""The app under attack, and the ways to send it something."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from github_app.simulator.github.state import Job, Repository
from github_app.store import ModalDictStore
from tests.attack import wire
from tests.worlds.control_plane import ControlPlane
from tests.worlds.modal_workshop import connect

_AT_ONCE = 50
_PATIENCE_S = 10.0
_WORKFLOW = ".github/workflows/ci.yml"
_JOB = "on: push\njobs:\n  build:\n    runs-on: [self-hosted, modal]\n    steps:\n      - run: 'true'\n"


@dataclass
class Scene:
    """One attack under way. `figures` holds what only this attack is measured by."""

    plane: ControlPlane
    short: bool
    answers: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float] = field(default_factory=dict)

    def size(self, full: int, short: int) -> int:
        """How much of something this form sends."""
        return short if self.short else full

    def count(self, status: int | None) -> None:
        """Count one request by its answer; None is none."""
        self.answers["none" if status is None else f"{status // 100}xx"] += 1

    def signed(self, body: bytes, *, event: str = "workflow_job", guid: str | None = None) -> bytes:
        """A delivery as GitHub signs it."""
        return wire.post(body, wire.headers(self.plane.sign(body), event=event, guid=guid or str(uuid.uuid4())))

    def announced(self, repository: str, *labels: str) -> dict[str, Any]:
        """A `queued` delivery of a job that was queued just now, in a repository of the organisation."""
        payload = self.plane.queued(*labels)
        payload["workflow_job"]["created_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        name = repository.partition("/")[2]
        payload["repository"] |= {"name": name, "full_name": repository, "forks_count": 0, "forks": 0}
        return payload

    async def send(self, request: bytes, *, patience: float = _PATIENCE_S) -> int | None:
        """Send one request and count its answer."""
        status = await wire.exchange(self.plane.url, request, patience=patience)
        self.count(status)
        return status

    async def flood(self, requests: Iterable[bytes], *, patience: float = _PATIENCE_S) -> None:
        """Send many requests, so many at once."""
        rest = iter(requests)

        async def some() -> None:
            for request in rest:
                await self.send(request, patience=patience)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))

    async def quiet(self, within: float = 8.0) -> None:
        """Wait until the app calls nobody any more, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.plane.quiet()

    def calls(self) -> int:
        """How often GitHub's API was called."""
        return sum(self.plane.github.calls.values())

    def push(self, repository: Repository, *, seconds: float, age: float = 0.0) -> Job:
        """Push a commit with one good job, which takes so long and was queued `age` seconds ago."""
        actions = self.plane.github.actions
        clock = actions._clock
        actions._clock = _earlier(age)
        try:
            run = actions.push(repository, {_WORKFLOW: _JOB.encode()}, _WORKFLOW, {"build": seconds})
        finally:
            actions._clock = clock
        return run.jobs[0]

    def recorded(self, event: str) -> tuple[str, bytes]:
        """GUID and body of the last delivery of an event that GitHub has sent."""
        last = [each for each in self.plane.github.world.deliveries.values() if each.event == event][-1]
        return last.guid, json.dumps(last.payload).encode()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[ModalDictStore]:
        """The records of the app, by a client of our own."""
        async with connect(self.plane.modal) as client:
            yield ModalDictStore(self.plane.settings.get("MODAL_APP_NAME", "modal-runner"), client)


def _earlier(seconds: float) -> Callable[[], float]:
    return lambda: time.time() - seconds

"""Modal's sandboxes in this process: names, ids, ends, and the runner in each, whose every time is drawn."""

import asyncio
import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import modal.exception
from starlette.types import ASGIApp

from github_app.model import UNKNOWN_TO_MODAL, SandboxSpec, SandboxStatus, Witness
from github_app.sandboxes import ModalSandboxes
from github_app.sandboxes.modal_sandboxes import sandbox_errors
from github_app.simulate.loop import CONTAINER
from github_app.simulate.outcome import Outcomes
from github_app.simulate.wire import Exchange, in_the_world

_PROGRESS_S = 20.0


@dataclass(eq=False)
class Box:
    """One sandbox. `works_since`: since when its Runner.Worker is to be seen; `looks`: when a container looked last."""

    id: str
    spec: SandboxSpec
    created_at: float
    works_since: float | None = None
    looks: dict[str, float] = field(default_factory=dict)
    exit_code: int | None = None
    ended_at: float | None = None
    ended_by: str = ""
    output: str = ""
    # Until a GPU is free it is queued: it has its name, can be found and ended, and nothing runs in it.
    placed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    life: "asyncio.Task[None] | None" = None

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.exit_code is None


class Boxes:
    """Every sandbox, of every container's asking."""

    def __init__(self, site: ASGIApp, outcomes: Outcomes, now: Callable[[], float]) -> None:
        self._site = site
        self._outcomes = outcomes
        self._now = now
        self._ids = itertools.count(1)
        self.all: dict[str, Box] = {}
        # Told of a sandbox that is about to be made, and of one that is about to be terminated.
        self.on_create: Callable[[SandboxSpec], None] = lambda _spec: None
        self.on_terminate: Callable[[Box], None] = lambda _box: None

    def named(self, name: str) -> Box | None:
        """The running one of this name."""
        return next((box for box in self.all.values() if box.running and box.spec.name == name), None)

    def create(self, spec: SandboxSpec) -> Box:
        """Start one.

        Raises:
            modal.exception.AlreadyExistsError: a running sandbox has the name.
        """
        if self.named(spec.name) is not None:
            raise modal.exception.AlreadyExistsError(f"Sandbox with name {spec.name!r} already exists")
        self.on_create(spec)
        box = Box(f"sb-{next(self._ids)}", spec, self._now())
        self.all[box.id] = box
        box.life = in_the_world(self._live(box))
        return box

    def look(self, box: Box) -> tuple[Witness, float]:
        """What is to be seen inside, and when."""
        return Witness.IDLE if box.works_since is None else Witness.WORKING, self._now()

    def end(self, box: Box, exit_code: int, ended_by: str) -> None:
        """End one, if it has not ended."""
        if not box.running:
            return
        if ended_by == "terminated":
            self.on_terminate(box)
        box.exit_code, box.ended_at, box.ended_by, box.works_since = exit_code, self._now(), ended_by, None
        box.ended.set()
        box.placed.set()
        if box.life is not None and box.life is not asyncio.current_task():
            box.life.cancel()

    async def _live(self, box: Box) -> None:
        """What start script and actions/runner do."""
        session = _Session(self._site, box.spec.jit_config.get_secret_value())
        code = 0
        try:
            await self._outcomes.place(box.spec)
            box.placed.set()
            await self._outcomes.pause("online", 1, 40)
            await self._run(box, session)
        except _Refused:
            if session.conduct == "ghost":
                await asyncio.Event().wait()
        self.end(box, code, "exited")

    async def _run(self, box: Box, session: "_Session") -> None:
        if session.conduct == "never-online":
            await asyncio.Event().wait()
        await session.ask("POST", "session", {})
        if session.conduct == "exit-0":
            return
        job = None
        while job is None:
            job = await session.ask("GET", "job")
        await self._outcomes.pause("worker", 0.2, 3)
        box.works_since = self._now()
        box.output = f"Running job: {job['name']}"
        await session.ask("POST", "progress", {"lines": []})
        conclusion = await self._work(session, float(job["seconds"]))
        await session.ask("POST", "finish", {"conclusion": conclusion, "outputs": {}})
        box.works_since = None
        await self._outcomes.after_job()

    async def _work(self, session: "_Session", left: float) -> str:
        while left > 0:
            passed = min(left, _PROGRESS_S)
            await asyncio.sleep(passed)
            left -= passed
            told = await session.ask("POST", "progress", {"lines": []})
            if told["cancel"]:
                return "cancelled"
        return "success"


class _Refused(Exception):  # noqa: N818 - what GitHub says of the runner
    """GitHub does not know the runner any more."""


class _Session:
    """The runner's way to GitHub, which has nothing of the App's."""

    def __init__(self, site: ASGIApp, jit_config: str) -> None:
        files = {
            name: json.loads(base64.b64decode(text)) for name, text in json.loads(base64.b64decode(jit_config)).items()
        }
        settings = files[".runner"]
        self.conduct = settings.get("conduct")
        self._site = site
        self._base = f"{settings['serverUrl']}/_runner/{settings['agentId']}"
        self._headers = {"Authorization": f"Bearer {files['.credentials_rsaparams']['d']}"}

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Make one call; a call that is cut off hangs up."""
        request = httpx.Request(
            method, f"{self._base}/{path}", headers=self._headers, json=body if method == "POST" else None
        )
        await request.aread()
        exchange = Exchange(self._site, request)
        in_the_world(exchange.run())
        try:
            answer = await asyncio.shield(exchange.answered)
        except asyncio.CancelledError:
            exchange.hung_up.set()
            raise
        if answer.status_code >= 400:
            raise _Refused(f"{path}: {answer.status_code}")
        return answer.json() if answer.content else None


class SandboxesInProcess(ModalSandboxes):
    """What the App uses of Modal's sandboxes, through the same table of errors."""

    def __init__(self, boxes: Boxes, outcomes: Outcomes) -> None:
        super().__init__("simulated", {})
        self._boxes = boxes
        self._outcomes = outcomes

    async def prepare(self) -> None:
        """There is nothing to build."""

    async def create(self, spec: SandboxSpec) -> str:
        """As Modal's."""

        async def there() -> str:
            await self._outcomes.before_create()
            box = self._boxes.create(spec)
            await box.placed.wait()
            await self._outcomes.after_create(box.id)
            return box.id

        async with sandbox_errors(f"creating sandbox {spec.name!r}", 1500.0):
            return await asyncio.shield(in_the_world(there()))

    async def find(self, name: str) -> str | None:
        """As Modal's."""
        async with sandbox_errors(f"looking for sandbox {name!r}"):
            await self._outcomes.modal_call("find")
            box = self._boxes.named(name)
            return box.id if box else None

    async def running(self) -> set[str]:
        """As Modal's."""
        async with sandbox_errors("listing sandboxes"):
            await self._outcomes.modal_call("list")
            return {box.id for box in self._boxes.all.values() if box.running}

    async def runner_of(self, sandbox_id: str) -> str | None:
        """As Modal's."""
        async with sandbox_errors(f"reading the tags of sandbox {sandbox_id}"):
            await self._outcomes.modal_call("tags")
            box = self._boxes.all.get(sandbox_id)
            return box.spec.tags.get("runner") if box else None

    async def status(self, sandbox_id: str) -> SandboxStatus:
        """As Modal's."""
        async with sandbox_errors(f"asking after sandbox {sandbox_id}"):
            await self._outcomes.modal_call("poll")
            box = self._boxes.all.get(sandbox_id)
            if box is None:
                return SandboxStatus(UNKNOWN_TO_MODAL, output="Modal does not know this sandbox")
            return SandboxStatus(box.exit_code, "" if box.running else box.output)

    async def ends_within(self, sandbox_id: str, seconds: float) -> bool:
        """As Modal's."""
        async with sandbox_errors(f"waiting for the end of sandbox {sandbox_id}", seconds + 60.0):
            await self._outcomes.modal_call("wait")
            box = self._boxes.all.get(sandbox_id)
            if box is None:
                return False
            try:
                async with asyncio.timeout(seconds):
                    await box.ended.wait()
            except TimeoutError:
                return False
            return True

    async def witness(self, sandbox_id: str) -> Witness:
        """As Modal's."""
        async with sandbox_errors(f"asking sandbox {sandbox_id}"):
            await self._outcomes.modal_call("exec")
            box = self._boxes.all.get(sandbox_id)
            if box is None or not box.running:
                return Witness.GONE
            answer, box.looks[CONTAINER.get()] = self._boxes.look(box)
            await self._outcomes.modal_call("exec's answer")
            return answer

    async def terminate(self, sandbox_id: str) -> None:
        """As Modal's."""

        async def there() -> None:
            await self._outcomes.modal_call("terminate")
            if (box := self._boxes.all.get(sandbox_id)) is not None:
                self._boxes.end(box, 137, "terminated")

        async with sandbox_errors(f"terminating sandbox {sandbox_id}"):
            await asyncio.shield(in_the_world(there()))

"""The production app in this process, between both simulators, in compressed time: for scenarios.

Runners are real processes whose jobs only take time. Nothing sweeps unless the scenario says so.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import uvicorn
from modal import Client

from github_app.clock import Clock
from github_app.compose import Parts, compose
from github_app.demo.world import register
from github_app.settings.load import load_config
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings
from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.github.faults import NoFaults
from github_app.simulator.github.state import Account, App, Installation, Job, Repository, Runner, WorkflowRun
from github_app.simulator.image import light_stand_in_image
from github_app.simulator.listening import listen
from github_app.simulator.modal import Limits, SandboxView, SimulatedModal
from github_app.store import RUNNERS, ModalDictStore
from github_app.sweep import SweepReport
from github_app.web import create_app
from tests.worlds.github_checked import CheckedGitHub
from tests.worlds.modal_workshop import connect

SCALE = 60.0
PLAIN = ("self-hosted", "modal")
GPU = ("self-hosted", "modal", "gpu:h100")
_PATH = ".github/workflows/scenario.yml"
# Hung, not slow: three workers and a simulation on two cores take three times as long as a test alone.
_PATIENCE_REAL_S = 60.0


class Script(NoFaults):
    """Faults as a scenario wants them: how the next runners misbehave, which deliveries are lost."""

    def __init__(self, *, busy_lag_s: float = 0.0) -> None:
        self.busy_lag_s = busy_lag_s
        self.conducts: list[str] = []
        self.lose_deliveries = False
        self.break_deliveries = False
        self.fail: dict[str, list[Exception]] = {}
        self.fail_after: dict[str, list[Exception]] = {}

    async def before(self, call: str) -> None:
        if self.fail.get(call):
            raise self.fail[call].pop(0)

    async def after(self, call: str) -> None:
        if self.fail_after.get(call):
            raise self.fail_after[call].pop(0)

    def hand_over(self, delivery: object) -> Sequence[float]:
        return () if self.lose_deliveries else (0.0,)

    def breaks_connection(self) -> bool:
        return self.break_deliveries

    def conduct(self) -> str | None:
        return self.conducts.pop(0) if self.conducts else None


@dataclass
class Universe:
    """Everything that a scenario looks at or acts on."""

    github: SimulatedGitHub
    modal: SimulatedModal
    parts: Parts
    settings: Settings
    client: Client
    store: ModalDictStore
    clock: Clock
    organization: Account
    repository: Repository
    app: App
    installation: Installation
    script: Script

    def push(
        self, jobs: Mapping[str, tuple[Sequence[str], float]], repository: Repository | None = None
    ) -> WorkflowRun:
        """Push a workflow whose jobs have these labels and take so many virtual seconds."""
        body = {name: {"runs-on": list(labels), "steps": [{"run": "true"}]} for name, (labels, _) in jobs.items()}
        workflow = json.dumps({"name": "scenario", "on": "push", "jobs": body})
        lengths = {name: seconds / self.clock.scale for name, (_, seconds) in jobs.items()}
        return self.github.actions.push(repository or self.repository, {_PATH: workflow.encode()}, _PATH, lengths)

    def job(self, name: str) -> Job:
        """The newest job of this name."""
        return next(job for job in reversed(self.github.jobs()) if job.instance.name == name)

    def sandboxes(self, *, running: bool = False) -> list[SandboxView]:
        """Every sandbox, or those that run."""
        return [view for view in self.modal.sandboxes() if view.running or not running]

    def runners(self) -> list[Runner]:
        """What is registered at GitHub."""
        return list(self.github.world.runners.values())

    async def sweep(self) -> SweepReport:
        """Sweep once."""
        return await self.parts.sweep.run()

    @contextlib.asynccontextmanager
    async def another_process(self, **settings: object) -> AsyncIterator[Parts]:
        """The app once more over the same store, as in a second container or after a redeploy."""
        parts = compose(self.settings.model_copy(update=settings), Config(), self.clock, self.client)
        try:
            yield parts
        finally:
            await parts.connection.close()

    async def until(
        self, what: Callable[[], bool], *, sweeping: bool = False, patience_s: float = _PATIENCE_REAL_S
    ) -> None:
        """Wait until something is so, with a sweep every virtual minute if asked for."""
        deadline = time.monotonic() + patience_s
        sweeps: set[asyncio.Task[SweepReport]] = set()
        next_sweep = 0.0
        try:
            while not what():
                assert time.monotonic() < deadline, self.describe()
                if sweeping and self.clock.now() >= next_sweep:
                    next_sweep = self.clock.now() + 60
                    sweeps.add(asyncio.create_task(self.sweep()))
                await asyncio.sleep(0.02)
        finally:
            await asyncio.gather(*sweeps)

    async def until_done(self, *names: str, sweeping: bool = False, patience_s: float = _PATIENCE_REAL_S) -> None:
        """Wait until these jobs, or all, have ended."""
        await self.until(
            lambda: all(j.status == "completed" for j in self.github.jobs() if not names or j.instance.name in names),
            sweeping=sweeping,
            patience_s=patience_s,
        )

    async def until_nothing_is_left(self, *, sweeping: bool = False) -> None:
        """Wait until no sandbox runs and no runner is registered."""
        await self.until(lambda: not self.sandboxes(running=True) and not self.runners(), sweeping=sweeping)

    async def records(self) -> dict[str, str]:
        """Each runner's recorded state."""
        return {name: runner.state.value for name, runner in (await self.store.all(RUNNERS)).items()}

    def describe(self) -> str:
        """What there is, for a failing scenario."""
        jobs = [
            f"{j.instance.name}: {j.status} {j.conclusion} {j.runner and j.runner.name}" for j in self.github.jobs()
        ]
        views = [f"{v.name}: {v.ended_by}" for v in self.modal.sandboxes()]
        return "\n".join(["it did not come true", *jobs, *views, str([r.name for r in self.runners()])])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def universe(
    *,
    scale: float = SCALE,
    limits: Limits | None = None,
    settings: Mapping[str, object] | None = None,
    script: Script | None = None,
    enterprise: bool = False,
) -> AsyncIterator[Universe]:
    """Start everything; the App is registered through its manifest and installed on one organisation."""
    clock = Clock(scale, time.time())
    script = script or Script()
    image = light_stand_in_image()
    async with contextlib.AsyncExitStack() as stack:
        kind = CheckedGitHub if enterprise else SimulatedGitHub
        github = await stack.enter_async_context(kind(clock=clock.now, jwt_clock=time.time, enterprise=enterprise))
        simulated = await stack.enter_async_context(SimulatedModal(image=image, limits=limits or Limits()))
        client = await stack.enter_async_context(connect(simulated))
        organization = github.world.add_account("octo-org")
        sock = listen()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        app, variables = await register(github, organization, url)
        values = {name.lower(): value for name, value in variables.items()} | dict(settings or {})
        made = Settings(**values)  # type: ignore[arg-type]  # pydantic converts them
        parts = compose(made, load_config(made.modal_runner_config), clock, client)
        stack.push_async_callback(parts.connection.close)
        await parts.prepare()
        await stack.enter_async_context(_serving(parts, app, sock))
        installation = github.install(app, organization)
        repository = github.world.add_repository(organization, "octo-repo")
        github.inject(script)
        store = ModalDictStore("modal-runner", client)
        yield Universe(
            github,
            simulated,
            parts,
            made,
            client,
            store,
            clock,
            organization,
            repository,
            app,
            installation,
            script,
        )


@contextlib.asynccontextmanager
async def _serving(parts: Parts, app: App, sock: object) -> AsyncIterator[None]:
    from pydantic import SecretStr

    asgi = create_app(parts.service, [SecretStr(app.webhook_secret)], metrics=parts.metrics, dashboard=parts.dashboard)
    server = _Server(
        uvicorn.Config(asgi, log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[sock]))  # type: ignore[list-item]
    try:
        yield
    finally:
        server.should_exit = True
        await serving

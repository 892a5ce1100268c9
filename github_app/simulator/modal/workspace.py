"""The sandboxes of a workspace: who is let in, who waits for a GPU, who runs, who has ended."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from grpclib import GRPCError, Status

from github_app.simulator.modal.apps import App, Apps
from github_app.simulator.modal.images import Images
from github_app.simulator.modal.isolation import Isolation
from github_app.simulator.modal.limits import CreationRate, Limits
from github_app.simulator.modal.sandbox import RunnerImage, Sandbox
from github_app.simulator.modal.secrets import CreateRequest, Secrets
from github_app.simulator.modal.volumes import Volumes

_LONGEST_TIMEOUT = 24 * 3600


class Workspace:
    """Every sandbox ever made, each started in a directory of its own under `root`."""

    def __init__(
        self,
        *,
        image: RunnerImage,
        limits: Limits,
        isolation: Isolation,
        root: Path,
        apps: Apps,
        images: Images,
        secrets: Secrets,
        volumes: Volumes,
    ) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self._by_task: dict[str, Sandbox] = {}
        self._running: dict[str, Sandbox] = {}
        self._waiting: list[Sandbox] = []
        self._removals: set[asyncio.Task[None]] = set()
        self._image, self._limits, self._isolation, self._root = image, limits, isolation, root
        self._apps, self._images, self._secrets, self._volumes = apps.apps, images, secrets, volumes
        self._rate = CreationRate(limits)
        self._last_created_at = 0.0

    def find(self, sandbox_id: str) -> Sandbox:
        """Return a sandbox, running or ended."""
        try:
            return self.sandboxes[sandbox_id]
        except KeyError:
            raise GRPCError(Status.NOT_FOUND, f"Sandbox '{sandbox_id}' not found.") from None

    def find_task(self, task_id: str) -> Sandbox:
        """Return the sandbox of a task."""
        try:
            return self._by_task[task_id]
        except KeyError:
            raise GRPCError(Status.NOT_FOUND, f"Task '{task_id}' not found.") from None

    def app(self, app_id: str) -> App:
        """Return an App."""
        return self._apps[app_id]

    def newest_first(self, *, include_ended: bool) -> Iterator[Sandbox]:
        """Yield the sandboxes that run or wait, or all."""
        return reversed((self.sandboxes if include_ended else self._running).values())

    def create(self, request: CreateRequest, sandbox_id: str, task_id: str) -> Sandbox:
        """Let a sandbox in, or refuse it as Modal would."""
        definition = request.definition
        app = self._apps[request.app_id]
        self._rate.take()
        self._images.require(definition.image_id)
        self._volumes.require(definition.volume_mounts)
        environment = self._secrets.of_sandbox(request)
        if definition.timeout_secs > _LONGEST_TIMEOUT:
            raise GRPCError(Status.INVALID_ARGUMENT, f"timeout must be at most {_LONGEST_TIMEOUT} seconds.")
        names = {s.definition.name for s in self._running.values() if s.app == app}
        if definition.name and definition.name in names:
            raise GRPCError(Status.ALREADY_EXISTS, f"Sandbox with name '{definition.name}' already exists.")
        if self._limits.containers is not None and len(self._running) >= self._limits.containers:
            message = f"Workspace has reached its limit of {self._limits.containers} containers."
            raise GRPCError(Status.RESOURCE_EXHAUSTED, message)
        # `Sandbox.list` pages by this time alone, so no two sandboxes may share it.
        self._last_created_at = max(time.time(), self._last_created_at + 1e-6)
        sandbox = Sandbox(
            sandbox_id=sandbox_id,
            task_id=task_id,
            app=app,
            request=request,
            created_at=self._last_created_at,
            root=self._root / sandbox_id,
            given=environment,
            isolation=self._isolation,
            limits=self._limits,
            on_end=self._ended,
        )
        self.sandboxes[sandbox.id] = self._by_task[task_id] = self._running[sandbox.id] = sandbox
        return sandbox

    def start(self, sandbox: Sandbox) -> None:
        """Start a sandbox now."""
        try:
            sandbox.start(self._image, self._volumes)
        except OSError as error:
            # This machine, not the simulated workspace, has no room for it.
            sandbox.end("died")
            raise GRPCError(Status.INTERNAL, f"Sandbox did not start: {error}") from error

    def queue(self, sandbox: Sandbox) -> None:
        """Start a sandbox as soon as its GPUs are free, first come first served."""
        self._waiting.append(sandbox)
        self._start_waiting()

    async def end_all(self) -> None:
        """Kill every sandbox and wait until all are gone, with their files."""
        self._waiting.clear()
        running = list(self._running.values())
        for sandbox in running:
            sandbox.end("terminated")
        for sandbox in running:
            await sandbox.ended.wait()
        await asyncio.gather(*self._removals)

    def _start_waiting(self) -> None:
        while self._waiting and self._has_gpus_for(self._waiting[0]):
            self.start(self._waiting.pop(0))

    def _has_gpus_for(self, sandbox: Sandbox) -> bool:
        if self._limits.gpus is None:
            return True
        taken = sum(s.gpus for s in self._running.values() if s.started_at is not None)
        return taken + sandbox.gpus <= self._limits.gpus

    def _ended(self, sandbox: Sandbox) -> None:
        del self._running[sandbox.id]
        if sandbox in self._waiting:
            self._waiting.remove(sandbox)
        removal = asyncio.ensure_future(sandbox.remove_files())
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        self._start_waiting()

"""One sandbox: a real process tree in its own directory, from creation to its end."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modal_proto import api_pb2

from github_app.simulator.modal.apps import App
from github_app.simulator.modal.isolation import Isolation, kill_marked
from github_app.simulator.modal.limits import Limits
from github_app.simulator.modal.output import Output
from github_app.simulator.modal.processes import Process
from github_app.simulator.modal.secrets import CreateRequest
from github_app.simulator.modal.volumes import Volumes

End = Literal["exit", "terminated", "timeout", "died"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_RESULTS = {
    "terminated": (api_pb2.GenericResult.GENERIC_STATUS_TERMINATED, 137),
    "timeout": (api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT, 124),
    "died": (api_pb2.GenericResult.GENERIC_STATUS_FAILURE, 137),
}


@dataclass(frozen=True)
class RunnerImage:
    """What every simulated image contains; `{root}` in a value of `env` is the sandbox's own directory."""

    env: Mapping[str, str]
    files: Mapping[str, bytes | str]

    def unpack(self, root: Path) -> dict[str, str]:
        """Write the files, executable, and return the variables."""
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            path.chmod(0o755)
        return {name: value.replace("{root}", str(root)) for name, value in self.env.items()}


@dataclass(frozen=True)
class SandboxView:
    """A sandbox as it is now, for whoever runs the simulation."""

    id: str
    name: str
    app_name: str
    tags: Mapping[str, str]
    args: Sequence[str]
    request: CreateRequest
    created_at: float
    started_at: float | None
    ended_at: float | None
    returncode: int | None
    ended_by: End | None
    pid: int | None
    printed: Output = field(repr=False)

    @property
    def output(self) -> str:
        """What the entrypoint has printed by now, as far as it is kept."""
        return self.printed.text

    @property
    def running(self) -> bool:
        """Whether the sandbox has not ended; one that waits for a GPU counts as running."""
        return self.ended_at is None


class Sandbox:
    """The record of one sandbox and its processes."""

    def __init__(
        self,
        *,
        sandbox_id: str,
        task_id: str,
        app: App,
        request: CreateRequest,
        created_at: float,
        root: Path,
        given: Mapping[str, str],
        isolation: Isolation,
        limits: Limits,
        on_end: Callable[["Sandbox"], None],
    ) -> None:
        self.id = sandbox_id
        self.task_id = task_id
        self.app = app
        self.request = request
        self.created_at = created_at
        self.tags = {tag.tag_name: tag.tag_value for tag in request.tags}
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.ended_by: End | None = None
        self.result: api_pb2.GenericResult | None = None
        self.output = Output()
        self.ended = asyncio.Event()
        self.environment = given
        self._root = root
        self._isolation = isolation
        self._limits = limits
        self._on_end = on_end
        self._process: Process | None = None
        self._timeout: asyncio.TimerHandle | None = None

    @property
    def definition(self) -> api_pb2.Sandbox:
        """What was asked for."""
        return self.request.definition

    @property
    def gpus(self) -> int:
        """How many GPUs the sandbox holds."""
        return self.definition.resources.gpu_config.count

    def start(self, image: RunnerImage, volumes: Volumes) -> None:
        """Start the entrypoint."""
        self._root.mkdir(parents=True)
        volumes.mount(self.definition.volume_mounts, self._root)
        regions = self.definition.scheduler_placement.regions
        self.environment = {
            "PATH": _PATH,
            **image.unpack(self._root),
            **self._machine(),
            **self.environment,
            "MODAL_SANDBOX_ID": self.id,
            "MODAL_TASK_ID": self.task_id,
            "MODAL_REGION": regions[0] if regions else "local",
        }
        self.started_at = time.time()
        self._process = Process(
            # An image without an entrypoint of its own keeps a sandbox without arguments alive.
            [
                *self._isolation.create,
                *self._without_setuid(),
                *(self.definition.entrypoint_args or ["sleep", "infinity"]),
            ],
            environment=self.environment,
            directory=self.directory(self.definition.workdir),
            output=self.output,
            on_exit=self._exited,
        )
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(self.definition.timeout_secs, self.end, "timeout")

    def _machine(self) -> dict[str, str]:
        """What Modal says of the machine, and what the image's programs are to find there."""
        resources, limits = self.definition.resources, self._limits
        # Derived from the request, as Modal's docs on CPU have it.
        cores = resources.milli_cpu / 1000 if limits.threads == "request" else resources.milli_cpu_max / 500
        found = dict.fromkeys(_THREADS, str(max(1, int(cores))))
        if limits.docker and self.definition.runtime == "vm":
            found["SIMULATED_DOCKER"] = "yes" if limits.docker_pulls else "no pulls"
        if limits.gpu_works and self.gpus:
            found["SIMULATED_GPU"] = resources.gpu_config.gpu_type
        domains = self.definition.network_access.allowed_domains
        if domains:
            found["SIMULATED_DOMAINS"] = "*" if limits.open_to_all else " ".join(domains)
        if not limits.deep_wildcards:
            found["SIMULATED_ONE_LEVEL"] = "yes"
        return found

    def _without_setuid(self) -> list[str]:
        """The prefix that takes setuid away, as gVisor does unless told otherwise (google/gvisor#5299)."""
        if self._limits.setuid or self.definition.runtime == "vm":
            return []
        return [shutil.which("setpriv") or "/usr/bin/setpriv", "--no-new-privs"]

    def end(self, how: End) -> None:
        """Kill the sandbox, unless it has ended or is being killed already."""
        if self.ended_by is not None:
            return
        self.ended_by = how
        if self._process is None:
            self._finish(137)
            return
        # unshare 2.38 prints a complaint of its own when its child is killed.
        self._process.mute()
        self._isolation.kill(self._process.pid, self._marker)

    async def join_command(self) -> list[str]:
        """Return the command that runs a program inside, once there is a PID 1 to join; empty after the end."""
        if not self._limits.sees_processes and self.result is None:
            return [*self._isolation.create, *self._without_setuid()]
        process = self._process
        while process is not None and self.result is None:
            if init := self._isolation.init_of(process.pid):
                target = ["--target", str(init)] if self._isolation.namespaced else []
                return [*self._isolation.join, *target, *self._without_setuid()]
            # The namespace appears within a millisecond of the start.
            await asyncio.sleep(0.001)
        return []

    def directory(self, workdir: str) -> Path:
        """Return the directory meant by a workdir, the sandbox's own if there is none such inside."""
        inside = self._root / workdir.lstrip("/")
        return inside if inside.is_dir() else self._root

    def view(self) -> SandboxView:
        """Return what there is to know now."""
        return SandboxView(
            id=self.id,
            name=self.definition.name,
            app_name=self.app.name,
            tags=dict(self.tags),
            args=tuple(self.definition.entrypoint_args),
            request=self.request,
            created_at=self.created_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            returncode=None if self.result is None else self.result.exitcode,
            ended_by=None if self.result is None else self.ended_by,
            pid=None if self._process is None else self._process.pid,
            printed=self.output,
        )

    async def remove_files(self) -> None:
        """Remove the sandbox's directory; on a thread, for a job may have left many files."""
        await asyncio.to_thread(shutil.rmtree, self._root, ignore_errors=True)

    @property
    def _marker(self) -> str:
        return f"MODAL_SANDBOX_ID={self.id}"

    def _exited(self, code: int) -> None:
        if not self._isolation.namespaced:
            kill_marked(self._marker)
        self._finish(code)

    def _finish(self, code: int) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
        self.output.close()
        if self.ended_by is None:
            self.ended_by = "exit"
        ok, failed = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS, api_pb2.GenericResult.GENERIC_STATUS_FAILURE
        status, code = _RESULTS.get(self.ended_by, (failed if code else ok, code))
        self.result = api_pb2.GenericResult(status=status, exitcode=code)
        self.ended_at = time.time()
        self.ended.set()
        self._on_end(self)

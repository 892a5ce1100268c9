"""The composition: one loopback port that the real Modal SDK takes for Modal."""

import asyncio
import resource
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self
from weakref import WeakSet

from google.protobuf.message import Message
from grpclib import GRPCError, Status
from grpclib.protocol import H2Protocol
from grpclib.server import Server
from modal._utils.grpc_utils import custom_detail_codec
from modal_proto.api_grpc import ModalClientBase
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from github_app.simulator.listening import listen
from github_app.simulator.modal.apps import Apps
from github_app.simulator.modal.deployments import Deployment, Deployments
from github_app.simulator.modal.dicts import Dicts
from github_app.simulator.modal.hosting import Hosting
from github_app.simulator.modal.images import Images
from github_app.simulator.modal.isolation import probe
from github_app.simulator.modal.limits import Limits
from github_app.simulator.modal.logs import Logs
from github_app.simulator.modal.proxies import Proxies
from github_app.simulator.modal.rpcs import Interceptor, Service
from github_app.simulator.modal.sandbox import RunnerImage, SandboxView
from github_app.simulator.modal.sandboxes import Sandboxes
from github_app.simulator.modal.secrets import Secrets
from github_app.simulator.modal.task_commands import Access, TaskCommands
from github_app.simulator.modal.volumes import Volumes
from github_app.simulator.modal.workspace import Workspace


class SimulatedModal:
    """Modal's control plane and machines, on this machine."""

    def __init__(self, *, image: RunnerImage, limits: Limits = Limits(), hosting: bool = False) -> None:  # noqa: B008
        """`hosting`: what is deployed runs here too, in containers that are local processes."""
        self.calls: Counter[str] = Counter()
        self.interceptor: Interceptor | None = None
        self._image = image
        self._limits = limits
        self._hosts = hosting
        self._token = (f"ak-{secrets.token_hex(11)}", f"as-{secrets.token_hex(11)}")
        self._running: _Running | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes any free one."""
        _raise_file_limit()
        self._running = _Running(self, self._image, self._limits, hosts=self._hosts)
        try:
            await self._running.listen(host, port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening and kill every sandbox; no process, connection or file stays behind."""
        running, self._running = self._running, None
        if running is not None:
            await running.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where the server listens."""
        return self._started.access.url

    @property
    def env(self) -> dict[str, str]:
        """The variables that point a process's SDK here, and away from its user's own configuration."""
        return {
            "MODAL_SERVER_URL": self.url,
            "MODAL_TOKEN_ID": self._token[0],
            "MODAL_TOKEN_SECRET": self._token[1],
            "MODAL_CONFIG_PATH": str(self._started.root / "no-such-config"),
        }

    def sandboxes(self) -> list[SandboxView]:
        """Return every sandbox ever made, oldest first."""
        return [sandbox.view() for sandbox in self._started.workspace.sandboxes.values()]

    def deployment(self, name: str) -> Deployment:
        """What `modal deploy` has made of an App."""
        return self._started.deployments.find(name)

    async def run_function(self, app: str, function: str) -> int:
        """Run a deployed function as its schedule does, now; return the exit code."""
        return await self._started.deployments.run(app, function)

    def container_files(self, name: str) -> list[Path]:
        """The files of a name that containers of deployed functions found at home, oldest first."""
        found = self._started.root.glob(f"ta-*/root/{name}")
        return sorted(found, key=lambda file: file.stat().st_mtime)

    def web_url(self, app: str, function: str) -> str | None:
        """Where a deployed web function answers, when deployments run here."""
        return self._started.hosting.url(f"{app}-{function}")

    def secret(self, name: str) -> dict[str, str] | None:
        """What a named Secret holds."""
        return self._started.vault.named(name)

    @property
    def scheduled(self) -> frozenset[str]:
        """The functions that run each minute, as `<App>-<function>`."""
        return self._started.hosting.scheduled

    @property
    def container_log(self) -> str:
        """What the containers of deployed functions have printed."""
        log = self._started.hosting.log
        return log.read_text() if log.exists() else ""

    def kill(self, sandbox_id: str) -> None:
        """Let a sandbox die as it does when its machine is lost or it is preempted."""
        self._started.workspace.find(sandbox_id).end("died")

    def authenticate(self, rpc: str, metadata: Mapping[str, str | bytes], request: Message) -> None:
        """Raise UNAUTHENTICATED unless the caller may make this call."""
        if request.DESCRIPTOR.file.package == "modal.task_command_router":
            self._started.access.authenticate(metadata, getattr(request, "task_id", ""))
        elif (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != self._token:
            raise GRPCError(Status.UNAUTHENTICATED, f"Token missing or invalid for {rpc}.")

    @property
    def _started(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("the simulated Modal is not started")
        return self._running


class _Running:
    """What exists between start and stop."""

    def __init__(self, gate: SimulatedModal, image: RunnerImage, limits: Limits, *, hosts: bool) -> None:
        isolation = probe()
        self.root = Path(tempfile.mkdtemp(prefix="simulated-modal-"))
        apps, images, vault = Apps(limits), Images(limits), Secrets()
        volumes = Volumes(self.root / "volumes")
        self.workspace = Workspace(
            image=image,
            limits=limits,
            isolation=isolation,
            root=self.root / "sandboxes",
            apps=apps,
            images=images,
            secrets=vault,
            volumes=volumes,
        )
        self.access = Access(self.workspace)
        self._commands = TaskCommands(self.workspace, vault)
        sandboxes = Sandboxes(self.workspace, self.access)
        logs = Logs(self.workspace)
        self.hosting = Hosting(images, vault, self.root, lambda: gate.env, active=hosts)
        self.deployments = Deployments(apps, self.hosting, self.workspace)
        self.vault = vault
        proxies = Proxies(limits.proxies)
        control = (apps, self.deployments, Dicts(), images, vault, proxies, volumes, sandboxes, logs, self.access)
        self._server = _Server(
            [Service(ModalClientBase, control, gate), Service(TaskCommandRouterBase, [self._commands], gate)]
        )
        self._listening = False

    async def listen(self, host: str, port: int) -> None:
        listener = listen(host, port)
        try:
            self.access.url = f"http://{host}:{listener.getsockname()[1]}"
            await self._server.start(sock=listener)
        except BaseException:
            listener.close()
            raise
        self._listening = True

    async def close(self) -> None:
        try:
            await self.hosting.close()
            if self._listening:
                self._server.close()
                self._server.disconnect()
                await self._server.wait_closed()
            await self.workspace.end_all()
            await self._commands.wait_all()
        finally:
            await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)


class _Server(Server):
    """A server that can also hang up; grpclib's own leaves open connections to the client to close."""

    def __init__(self, services: Collection[Service]) -> None:
        super().__init__(services, status_details_codec=custom_detail_codec)
        self._protocols: WeakSet[H2Protocol] = WeakSet()

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self._protocols.add(protocol)
        return protocol

    def disconnect(self) -> None:
        for protocol in self._protocols:
            if hasattr(protocol, "connection"):
                protocol.connection.close()


def _raise_file_limit() -> None:
    # A sandbox takes three file descriptors, and 1,024 is the usual soft limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

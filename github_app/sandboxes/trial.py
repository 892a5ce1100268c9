"""Sandboxes for a look at Modal itself: they run our own scripts, nobody's job, and end with the look."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import modal
import modal.config
import modal.exception

from github_app.errors import SandboxError
from github_app.model import Shape
from github_app.sandboxes.image import ImageRecipe, unpin_builder
from github_app.sandboxes.modal_sandboxes import sandbox_errors
from github_app.sandboxes.scripts import START

# Longer than any look takes; a sandbox that is forgotten ends by then.
_TIMEOUT_S = 900
# The script stands in for run.sh, so that it is started as the runner is: by the same script, as the same user.
_AS_RUNNER = """
echo "given=${OMP_NUM_THREADS:-unset}"
export RUNNER_HOME="$PWD/modal-runner-probe"
mkdir -p "$RUNNER_HOME" && chmod 777 "$RUNNER_HOME"
printf '#!/bin/sh\\n%s\\n' "$PROBE_SCRIPT" > "$RUNNER_HOME/run.sh" && chmod 755 "$RUNNER_HOME/run.sh"
[ -z "${PROBE_VOLUME:-}" ] || export MODAL_RUNNER_CACHE="$PWD$PROBE_VOLUME"
exec /bin/sh -euc "$PROBE_START"
"""


@dataclass
class Trial:
    """One sandbox. `said` are the lines `name=value` that it has printed."""

    sandbox: modal.Sandbox
    began: float
    shape: Shape
    said: dict[str, str] = field(default_factory=dict)
    ended: float | None = None

    def hear(self, line: str) -> None:
        """Take one line: what it says by a name, and else as the beginning of what it `told` besides."""
        name, found, value = line.partition("=")
        if found and name.isidentifier():
            self.said[name] = value.strip()
        elif line.strip():
            told = self.said.get("told")
            self.said["told"] = (f"{told}; {line.strip()}" if told else line.strip())[:300]

    @property
    def id(self) -> str:
        """Modal's id."""
        return str(self.sandbox.object_id)


class Trials:
    """Starts sandboxes of the runners' App, and sees to their end."""

    def __init__(self, app_name: str, recipe: ImageRecipe, client: modal.Client | None = None) -> None:
        self._app_name = f"{app_name}-sandboxes"
        self._recipe = recipe
        self._client = client
        self.all: list[Trial] = []

    @asynccontextmanager
    async def machine(
        self, script: str, shape: Shape, variables: Mapping[str, str] | None = None
    ) -> AsyncIterator[Trial]:
        """Run a script in the runner's image as the runner would be run, on a machine of this shape.

        Raises:
            SandboxError: Modal refused or did not answer.
        """
        app = await self._app()
        async with sandbox_errors("looking up the runner's image"):
            image = await modal.Image.from_name(self._recipe.name, client=self._client).build.aio(app)
        threads = {"MODAL_RUNNER_THREADS": str(max(1, int(shape.cpu[1] * 2)))}
        docker = {"MODAL_RUNNER_DOCKER": "vm"} if shape.docker else {}
        environment = {"PROBE_SCRIPT": script, "PROBE_START": START, **threads, **docker, **(variables or {})}
        async with self._running(["/bin/sh", "-euc", _AS_RUNNER], image, shape, environment) as trial:
            yield trial

    @asynccontextmanager
    async def container(self, script: str, arguments: Sequence[str]) -> AsyncIterator[Trial]:
        """Run a Python script with Modal's SDK and this machine's token: what a container of ours might do.

        Raises:
            SandboxError: Modal refused or did not answer.
        """
        app = await self._app()
        async with sandbox_errors("building the image with Modal's SDK", 600.0):
            image = modal.Image.debian_slim(python_version="3.12").pip_install(f"modal=={modal.__version__}")
            image = await image.build.aio(app)
        async with self._running(
            ["python", "-c", script, *arguments], image, Shape((0.5, 2.0), (512, 1024), _TIMEOUT_S), self._credentials()
        ) as trial:
            yield trial

    async def builder(self) -> str | None:
        """Build an image by the builder's pinned version; None when Modal takes it, else what it says.

        Raises:
            SandboxError: Modal did not answer.
        """
        app = await self._app()
        async with sandbox_errors("building an image by the pinned version", 600.0):
            try:
                await modal.Image.debian_slim(python_version="3.12").run_commands("true").build.aio(app)
            except (modal.exception.VersionError, modal.exception.InvalidError) as error:
                if not unpin_builder():
                    # An administrator named it.
                    raise
                return f"{type(error).__name__}: {str(error)[:200]}"
        return None

    def _credentials(self) -> dict[str, str]:
        """What the SDK needs there. It travels as the sandbox's environment does, and stands in no argument."""
        config = modal.config.config
        names = {"MODAL_TOKEN_ID": "token_id", "MODAL_TOKEN_SECRET": "token_secret", "MODAL_SERVER_URL": "server_url"}
        found = {variable: config.get(name) for variable, name in names.items()}
        environment = config.get("environment")
        return {
            **{variable: str(value) for variable, value in found.items() if value},
            **({"MODAL_ENVIRONMENT": environment} if environment else {}),
            "PROBE_APP": self._app_name,
        }

    async def _app(self) -> modal.App:
        async with sandbox_errors(f"looking up App {self._app_name!r}"):
            return await modal.App.lookup.aio(self._app_name, create_if_missing=True, client=self._client)

    @asynccontextmanager
    async def _running(
        self, command: Sequence[str], image: modal.Image, shape: Shape, environment: Mapping[str, str]
    ) -> AsyncIterator[Trial]:
        clock = asyncio.get_running_loop()
        app = await self._app()
        more: dict[str, Any] = {}
        for path, name in shape.volumes:
            volume = modal.Volume.from_name(name, create_if_missing=True, version=2, client=self._client)
            more.setdefault("volumes", {})[path] = volume
        began = clock.time()
        async with sandbox_errors("starting a sandbox for a look", 600.0):
            sandbox = await modal.Sandbox.create.aio(
                *command,
                app=app,
                image=image,
                name=f"modal-runner-probe-{secrets.token_hex(6)}",
                tags={"probe": "yes"},
                secrets=[modal.Secret.from_dict(dict(environment))],
                timeout=_TIMEOUT_S,
                workdir="/",
                cpu=shape.cpu,
                memory=shape.memory_mib,
                gpu=str(shape.gpu) if shape.gpu else None,
                outbound_domain_allowlist=list(shape.network.domains) or None,
                runtime="vm" if shape.docker else None,
                client=self._client,
                **more,
            )
        trial = Trial(sandbox, began, shape)
        self.all.append(trial)
        try:
            yield trial
        finally:
            trial.ended = clock.time()
            async with sandbox_errors("ending a sandbox of a look"):
                await sandbox.terminate.aio()

    async def lines(self, trial: Trial, seconds: float) -> dict[str, str]:
        """Read what a sandbox says until it is `ready` or has ended.

        Raises:
            SandboxError: it did neither in so many seconds.
        """
        async with sandbox_errors("reading what a sandbox says", seconds):
            rest = ""
            async for chunk in trial.sandbox.stdout:
                *lines, rest = (rest + str(chunk)).split("\n")
                for line in lines:
                    trial.hear(line)
                if "ready" in trial.said:
                    break
        return trial.said

    async def answer(self, trial: Trial, seconds: float) -> str:
        """Wait for a sandbox's end and return the last line that it printed.

        Raises:
            SandboxError: it did not end in so many seconds, or failed.
        """
        async with sandbox_errors("waiting for a sandbox's answer", seconds):
            printed = [str(chunk) async for chunk in trial.sandbox.stdout]
            await trial.sandbox.wait.aio(raise_on_termination=False)
            lines = "".join(printed).strip().splitlines()
            if trial.sandbox.returncode != 0 or not lines:
                complaint = (await trial.sandbox.stderr.read.aio()).strip().splitlines()
                raise SandboxError(f"a look ended with {trial.sandbox.returncode}: {complaint[-1:]}", retryable=False)
            return lines[-1]

    async def forget(self, dicts: Sequence[str], volumes: Sequence[str]) -> None:
        """Delete what a look has made.

        Raises:
            SandboxError: Modal refused or did not answer.
        """
        async with sandbox_errors("deleting what a look has made"):
            for name in dicts:
                await modal.Dict.objects.delete.aio(name, allow_missing=True, client=self._client)
            for name in volumes:
                await modal.Volume.objects.delete.aio(name, allow_missing=True, client=self._client)

"""Running what was deployed: a container for each web function, and one every minute where a schedule says so.

A container finds what a real one finds: the files that the deploy mounted, the variables of its image and Secrets,
and a way to Modal. Nothing else of the checkout is there, save the packages that the image would install.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from modal_proto import api_pb2

from github_app.simulator.listening import listen
from github_app.simulator.modal.images import Images
from github_app.simulator.modal.naming import fresh_id
from github_app.simulator.modal.secrets import Secrets

_PROGRAM = Path(__file__).parent / "container.py"
_KILL_AFTER_S = 35.0  # Modal gives an exiting container 30 s
_EVERY_MINUTE = "* * * * *"


class Hosting:
    """The containers of every deployed App; with `active` off, URLs are given out and nothing runs."""

    def __init__(
        self, images: Images, secrets: Secrets, root: Path, client: Callable[[], Mapping[str, str]], *, active: bool
    ) -> None:
        self._images, self._secrets, self._root, self._client = images, secrets, root, client
        self._active = active
        self._sockets: dict[str, socket.socket] = {}
        self._serving: dict[str, asyncio.subprocess.Process] = {}
        self._schedules: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.log = root / "containers.log"

    def url(self, name: str) -> str | None:
        """Where a web function is reached, from before its first container on; None where nothing runs.

        As on Modal a request waits for a container that is still starting.
        """
        if not self._active:
            return None
        if name not in self._sockets:
            self._sockets[name] = listen()
        host, port = self._sockets[name].getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def scheduled(self) -> frozenset[str]:
        """The functions that run each minute, as `<App>-<function>`."""
        return frozenset(self._schedules)

    async def roll(self, app: str, definitions: Mapping[str, api_pb2.Function]) -> None:
        """Start a container of each web function, and end the one before it; take up the schedules."""
        if not self._active:
            return
        for function, definition in definitions.items():
            name = f"{app}-{function}"
            if definition.webhook_config.type:
                self.url(name)
                old = self._serving.get(name)
                self._serving[name] = await self._start(definition, self._sockets[name])
                if old is not None:
                    self._keep(asyncio.create_task(_end(old)))
                continue
            if name in self._schedules:
                self._schedules.pop(name).cancel()
            if definition.schedule.cron.cron_string == _EVERY_MINUTE:
                self._schedules[name] = asyncio.create_task(self._every_minute(definition))

    async def stop(self, app: str, functions: Mapping[str, str]) -> None:
        """End the containers of an App."""
        names = {f"{app}-{function}" for function in functions}
        for name in names & self._schedules.keys():
            self._schedules.pop(name).cancel()
        await asyncio.gather(*(_end(self._serving.pop(name)) for name in names & self._serving.keys()))

    async def close(self) -> None:
        """End every container."""
        for task in self._schedules.values():
            task.cancel()
        await asyncio.gather(*self._schedules.values(), *self._ending, return_exceptions=True)
        await asyncio.gather(*map(_end, self._serving.values()))
        for each in self._sockets.values():
            each.close()

    async def run(self, definition: api_pb2.Function) -> int:
        """Run a function in a container of its own; return the exit code."""
        process = await self._start(definition)
        try:
            return await process.wait()
        finally:
            await _end(process)

    async def _every_minute(self, definition: api_pb2.Function) -> None:
        while True:
            await asyncio.sleep(60 - time.time() % 60)
            self._keep(asyncio.create_task(self._once(definition)))

    async def _once(self, definition: api_pb2.Function) -> None:
        await self.run(definition)

    async def _start(
        self, definition: api_pb2.Function, listener: socket.socket | None = None
    ) -> asyncio.subprocess.Process:
        home = self._root / fresh_id("ta")
        self._images.write(definition.mount_ids, home)
        sources = [api_pb2.SecretSource(secret_id=each) for each in definition.secret_ids]
        image = {name: value.replace("/root/", f"{home}/root/") for name, value in self._of_image(definition).items()}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        kept |= {"MODAL_TASK_ID": home.name, "MODAL_REGION": "us-east-1"}
        environment = {**kept, **image, **self._secrets.variables(sources), **self._client()}
        descriptors = [] if listener is None else [listener.fileno()]
        with self.log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                # -P: the folder of the program is none to import from.
                *(sys.executable, "-P", str(_PROGRAM), definition.module_name, definition.function_name),
                *map(str, descriptors),
                cwd=home,
                env={**environment, "PYTHONPATH": str(home / "root"), "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=descriptors,
                start_new_session=True,
            )

    def _of_image(self, definition: api_pb2.Function) -> dict[str, str]:
        return self._images.variables(definition.image_id)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _KILL_AFTER_S)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()

"""The simulated GitHub on loopback."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Self

import uvicorn
from starlette.applications import Starlette

from github_app.simulator.github.application import application
from github_app.simulator.github.site import Site
from github_app.simulator.listening import listen


class _Server(uvicorn.Server):
    """A server inside another program, whose signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class SimulatedGitHub(Site):
    """A GitHub on loopback. `start` it, add accounts, register an App, install it, push."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        jwt_clock: Callable[[], float] | None = None,
        *,
        enterprise: bool = False,
    ) -> None:
        """As a Site, at a port of its own."""
        self._socket = listen()
        url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        super().__init__(url, clock, jwt_clock, enterprise=enterprise)
        self._application = application(self)
        self._server = _Server(uvicorn.Config(self._application, log_config=None, lifespan="off", access_log=False))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop listening and drop what is under way."""
        await self.webhooks.close()
        if self._serving is not None:
            # Runners that wait for a job hold their connections open.
            self._server.should_exit = self._server.force_exit = True
            for runner in self.world.runners.values():
                runner.changed.set()
            await self._serving
        self._socket.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def asgi(self) -> Starlette:
        """The whole site, to be served at a further address."""
        return self._application

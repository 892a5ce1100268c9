"""What the tests of the simulated Modal start from: an image, a client, sandboxes at hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import modal
from google.protobuf.message import Message
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal import RunnerImage, SimulatedModal

IMAGE = RunnerImage(
    env={"WHO": "the image", "PATH": "{root}/bin:/usr/bin:/bin"},
    files={"bin/greet": '#!/bin/sh\necho "hello from $WHO"\n'},
)


@asynccontextmanager
async def connect(simulated: SimulatedModal, *, secret: str | None = None) -> AsyncIterator[modal.Client]:
    """Open a client of the real SDK to a simulated Modal.

    `Client.from_env` is one for the whole process and `Client.from_credentials` reads the server's address
    from the environment, so neither can serve several simulations in one process. The constructor can.
    """
    credentials = (simulated.env["MODAL_TOKEN_ID"], secret or simulated.env["MODAL_TOKEN_SECRET"])
    async with modal.Client(simulated.url, api_pb2.CLIENT_TYPE_CLIENT, credentials) as client:
        yield client


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that only other processes bring about."""
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Workshop:
    """A simulated Modal, a client, an App, and sandboxes at hand."""

    simulated: SimulatedModal
    client: modal.Client
    app: modal.App

    async def create(self, *args: str, **options: Any) -> modal.Sandbox:
        image = modal.Image.from_registry("ubuntu:24.04")
        merged: dict[str, Any] = {"image": image, "app": self.app, "client": self.client} | options
        return await modal.Sandbox.create.aio(*args, **merged)

    async def running(self, **options: Any) -> list[str]:
        listed = modal.Sandbox.list.aio(app_id=self.app.app_id, client=self.client, **options)
        return [sandbox.object_id async for sandbox in listed]


class FailsWith:
    """Answers one RPC with an error, always."""

    def __init__(self, rpc: str, status: Status) -> None:
        self._rpc, self._status = rpc, status

    async def before(self, rpc: str, request: Message) -> None:
        if rpc == self._rpc:
            raise GRPCError(self._status, "no")

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        pass


class LosesOneAnswer:
    """Fails the answer of one RPC, after it took effect."""

    def __init__(self, rpc: str) -> None:
        self._rpc = rpc

    async def before(self, rpc: str, request: Message) -> None:
        pass

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        if rpc == self._rpc:
            self._rpc = ""
            raise GRPCError(Status.UNAVAILABLE, "lost")

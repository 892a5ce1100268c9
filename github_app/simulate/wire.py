"""The wire in this process: HTTP requests to an ASGI application, with the time that they take."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
from starlette.types import ASGIApp, Message

from github_app.github.connection import SharedTransport
from github_app.simulate.loop import CONTAINER

T = TypeVar("T")


def in_the_world(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Do what is GitHub's or Modal's: it goes on whatever becomes of the container that has asked for it."""
    return in_container("", work)


def in_container(name: str, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Do what is a container's."""
    context = contextvars.Context()
    context.run(CONTAINER.set, name)
    return asyncio.get_running_loop().create_task(work, context=context)


class Exchange:
    """One request to an application. What it does after its answer goes on."""

    def __init__(self, app: ASGIApp, request: httpx.Request) -> None:
        self._app = app
        self._request = request
        self._sent = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self.answered: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        self.hung_up = asyncio.Event()

    async def run(self) -> None:
        """Let the application answer."""
        url = self._request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self._request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": (url.host, url.port or 80),
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:  # whatever the application lets out
            if not self.answered.done():
                self.answered.set_exception(error)
        if not self.answered.done():
            self.answered.set_exception(httpx.RemoteProtocolError("the connection broke off", request=self._request))

    async def _receive(self) -> Message:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._request.content, "more_body": False}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message.get("headers", ()))
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False) and not self.answered.done():
            self.answered.set_result(
                httpx.Response(self._status, headers=self._headers, content=bytes(self._body), request=self._request)
            )


class WireToGitHub(SharedTransport):
    """The App's way to GitHub. How long it takes is decided where GitHub serves it."""

    def __init__(self, site: ASGIApp, sends: Callable[[httpx.Request], None]) -> None:
        """`sends` is told of each request."""
        # No pool of connections, as there is no network.
        self._rest_version = None
        self._site = site
        self._sends = sends

    async def really_close(self) -> None:
        """There is nothing to close."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send one request, within the time that a real connection would wait for an answer."""
        await request.aread()
        self._sends(request)
        exchange = Exchange(self._site, request)
        in_the_world(exchange.run())
        limits = request.extensions.get("timeout", {})
        try:
            async with asyncio.timeout(limits.get("read")):
                return await asyncio.shield(exchange.answered)
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time", request=request) from error


class WireToApp(httpx.AsyncBaseTransport):
    """GitHub's way to the containers, by the host in the webhook's address."""

    def __init__(self, which: Callable[[int], int]) -> None:
        """`which` of so many containers of one host a delivery goes to."""
        self._which = which
        # By host: the containers that listen there, and their applications.
        self._apps: dict[str, list[tuple[str, ASGIApp]]] = {}

    def listen(self, host: str, container: str, app: ASGIApp) -> None:
        """Let a container serve a host, beside those that do."""
        self._apps.setdefault(host, []).append((container, app))

    def hang_up(self, container: str) -> None:
        """A container is gone."""
        for host, apps in self._apps.items():
            self._apps[host] = [each for each in apps if each[0] != container]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Deliver; a container that is gone refuses the connection."""
        await request.aread()
        apps = self._apps.get(request.url.host)
        if not apps:
            raise httpx.ConnectError("nobody listens", request=request)
        container, app = apps[self._which(len(apps))]
        exchange = Exchange(app, request)
        in_container(container, exchange.run())
        return await asyncio.shield(exchange.answered)

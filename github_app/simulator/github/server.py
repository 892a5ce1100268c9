"""The simulated GitHub as an HTTP server: routes, authentication, rate limits, errors in GitHub's form."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from github_app.simulator.github import api_actions, api_apps, api_checks, api_runners, runner_service
from github_app.simulator.github.actions import Actions
from github_app.simulator.github.auth import ApiError, Authority
from github_app.simulator.github.calls import As, Call, Endpoint, Reply
from github_app.simulator.github.faults import Faults, Hangup, NoFaults
from github_app.simulator.github.limits import RateLimits
from github_app.simulator.github.pages import Pages
from github_app.simulator.github.registration import Registration
from github_app.simulator.github.shapes import Shapes
from github_app.simulator.github.state import Account, App, Installation, Job, World
from github_app.simulator.github.webhooks import Webhooks
from github_app.simulator.listening import listen

_ENDPOINTS: tuple[Endpoint, ...] = (
    *api_apps.ENDPOINTS,
    *api_runners.ENDPOINTS,
    *api_actions.ENDPOINTS,
    *api_checks.ENDPOINTS,
)


_SERVER_VERSION = "2022-11-28"


class _Server(uvicorn.Server):
    """A server inside another program, whose signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class SimulatedGitHub:
    """A GitHub on loopback. `start` it, add accounts, register an App, install it, push."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        jwt_clock: Callable[[], float] | None = None,
        *,
        enterprise: bool = False,
    ) -> None:
        """`enterprise`: a GitHub Enterprise Server, its API below /api/v3 and in the REST version that it knows."""
        self.clock = clock
        self.rest_version = _SERVER_VERSION if enterprise else None
        self.faults: Faults = NoFaults()
        # What nobody has told of the real one: whether a JIT config lets the runner update itself, whether labels are
        # taken and come back as they were sent, and whether a token for chosen repositories may register an
        # organisation's runner.
        self.runners_update = True
        self.labels_lowered = False
        self.labels_refused = False
        self.labels_added = False
        self.narrowed_tokens_register = True
        # Runners that a DELETE deregistered while their Runner.Worker was there to be seen.
        self.deregistered_at_work = 0
        self._socket = listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.calls: Counter[str] = Counter()
        self.world = World()
        self.api_url = f"{self.url}/api/v3" if enterprise else self.url
        self.shapes = Shapes(self.api_url, self.url)
        self.authority = Authority(self.world, clock, jwt_clock or clock)
        self.limits = RateLimits(clock)
        self.webhooks = Webhooks(self.world, clock)
        self.actions = Actions(self.world, self.webhooks, self.shapes, clock)
        self.registration = Registration(self.world, self.shapes, self.webhooks, clock)
        self._application = self._asgi()
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

    def inject(self, faults: Faults) -> None:
        """Let things go wrong from now on."""
        self.faults = self.webhooks.faults = faults
        self.actions.busy_lag_s = faults.busy_lag_s

    def install(self, app: App, account: Account) -> Installation:
        """Install an App on an account, as its owner does with two clicks."""
        installation = Installation(self.world.new_id(), app, account, self.clock())
        self.world.installations[installation.id] = installation
        payload = {
            "action": "created",
            "installation": self.shapes.installation(installation),
            "repositories": [],
            "sender": self.shapes.account(account),
        }
        self.webhooks.send(installation, "installation", payload, None)
        return installation

    @property
    def asgi(self) -> Starlette:
        """The whole site, to be served at a further address."""
        return self._application

    def jobs(self) -> list[Job]:
        """Every job, oldest first."""
        return list(self.world.jobs.values())

    def _asgi(self) -> Starlette:
        prefix = "/api/v3" if self.rest_version else ""
        routes = [self._route(endpoint, counted=True, prefix=prefix) for endpoint in _ENDPOINTS]
        routes += [self._route(endpoint, counted=False) for endpoint in runner_service.ENDPOINTS]
        routes += Pages(self).routes()
        routes.append(Route("/{path:path}", _unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))
        return Starlette(routes=routes)

    def _route(self, endpoint: Endpoint, *, counted: bool, prefix: str = "") -> Route:
        async def serve(request: Request) -> Response:
            if counted:
                self.calls[f"{endpoint.method} {endpoint.path}"] += 1
            headers: dict[str, str] = {}
            try:
                if prefix:
                    self._check_version(request)
                if counted:
                    await self.faults.before(f"{endpoint.method} {endpoint.path}")
                call = await self._call(endpoint, request, headers)
                reply = await endpoint.handler(call)
                if counted:
                    await self.faults.after(f"{endpoint.method} {endpoint.path}")
            except ApiError as error:
                return _error(error, headers)
            except Hangup:
                return _HalfAnswer()
            response = _unless_known(request, _response(reply, headers))
            if response.status_code == 304 and call.token is not None:
                self.limits.refund(f"installation {call.installation.id}")
            return response

        # Starlette adds HEAD to GET; GitHub has it too.
        return Route(prefix + endpoint.path, serve, methods=[endpoint.method])

    def _check_version(self, request: Request) -> None:
        if request.headers.get("x-github-api-version") != self.rest_version:
            raise ApiError(400, f"This server knows the REST version {self.rest_version}.")

    async def _call(self, endpoint: Endpoint, request: Request, headers: dict[str, str]) -> Call:
        """Find out who calls, and charge the request to them."""
        authorization = request.headers.get("authorization", "")
        call = Call(self, request, await request.body())
        if endpoint.needs is not None:
            headers["X-Accepted-GitHub-Permissions"] = "=".join(endpoint.needs)
        if endpoint.caller is As.APP:
            call.calling_app = self.authority.app(authorization)
            headers |= self.limits.spend(f"app {call.app.id}", endpoint.method)
        elif endpoint.caller is As.INSTALLATION:
            call.token = self.authority.installation(authorization, endpoint.needs)
            headers |= self.limits.spend(f"installation {call.installation.id}", endpoint.method)
            if call.token.repositories and "{org}" in endpoint.path and not self.narrowed_tokens_register:
                raise ApiError(403, "Resource not accessible by integration")
        return call


class _HalfAnswer(Response):
    """Announces a body and never sends it; the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _unknown(request: Request) -> Response:
    return JSONResponse({"message": f"{request.method} {request.url.path} is not simulated"}, 501)


def _unless_known(request: Request, response: Response) -> Response:
    """Give each answer an etag, and answer 304 without a body to whoever has it."""
    if request.method != "GET" or response.status_code != 200:
        return response
    etag = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        kept = {name: value for name, value in response.headers.items() if name.startswith("x-")}
        return Response(status_code=304, headers={**kept, "ETag": etag})
    response.headers["ETag"] = etag
    return response


def _response(reply: Reply, headers: Mapping[str, str]) -> Response:
    content = reply.content
    if content is None:
        content = b"" if reply.status == 204 else json.dumps(reply.json).encode()
    media_type = None if reply.status == 204 else reply.media_type
    return Response(content, reply.status, {**headers, **reply.headers}, media_type)


def _error(error: ApiError, headers: Mapping[str, str]) -> Response:
    body = {"message": error.message, "documentation_url": "https://docs.github.com/rest", "status": str(error.status)}
    return JSONResponse(body, error.status, {**headers, **error.headers})

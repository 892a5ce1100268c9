"""The pages that setup serves on loopback: one button, the way back from GitHub, and how far things are."""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from github_app.errors import InputError, SetupError
from github_app.setup.progress import Progress
from github_app.setup.registration import Registration

LOOPBACK = "127.0.0.1"
# Why each permission is asked for; the page and DEPLOY.md say the same.
REASONS = {
    "organization_self_hosted_runners": "Register a just-in-time runner for a queued job; remove one that got none.",
    "administration": "The same for the repositories of a personal account, which have runners of their own.",
    "actions": "Be told of jobs, and read which are queued.",
    "metadata": "Every App has it: the names of the repositories it is installed on.",
    "checks": "Say on the commit why a job is not served.",
}
ELSEWHERE = (
    "This page belongs to the browser in which it was opened first, by the address that the setup printed. If that was "
    "not you, press Ctrl-C there and run it again."
)
# The page looks again every two seconds.
_LOOKS_WITHIN_S = 5.0
_HEADERS = {
    # No form-action: browsers hold the redirects of a form to it as well, and a GitHub may lead to a sign-in elsewhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Form:
    """What the button posts, and where: `web_url` is GitHub's; `owner` is an organisation, or None for oneself."""

    web_url: str
    owner: str | None
    manifest: Mapping[str, Any]

    def action(self, state: str) -> str:
        """The address of GitHub's page that takes a manifest."""
        account = f"/organizations/{quote(self.owner)}" if self.owner else ""
        return f"{self.web_url}{account}/settings/apps/new?state={quote(state)}"


class Pages:
    """The pages of one setup."""

    def __init__(self, form: Form, registration: Registration, progress: Progress, label: str) -> None:
        self._form = form
        self._registration = registration
        self._progress = progress
        self._label = label
        self._looked_at = float("-inf")
        self._has_told_the_end = asyncio.Event()
        # Everyone on this machine reaches loopback: the page is for the browser that came first by this path.
        self._key = secrets.token_urlsafe(16)
        self._session: str | None = None
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("github_app.setup", "pages"), autoescape=True, undefined=jinja2.StrictUndefined
        )

    def asgi(self) -> Starlette:
        """The application. Requests that name another host are refused: a page elsewhere could have sent them here."""
        routes = [
            Route("/", self._start),
            Route("/registered", self._registered),
            Route("/progress", self._show_progress),
            Route("/{key}", self._open),
        ]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"], www_redirect=False)
        return Starlette(routes=routes, middleware=[hosts])

    def first(self, *, pasted: bool = False) -> str:
        """The page with the button; `pasted`: it is opened on another machine, from where nothing leads back."""
        manifest = self._form.manifest
        permissions = [(name, level, REASONS[name]) for name, level in manifest["default_permissions"].items()]
        return self._templates.get_template("start.html").render(
            owner=self._form.owner,
            github=self._form.web_url.removeprefix("https://"),
            manifest=manifest,
            manifest_json=json.dumps(manifest),
            permissions=permissions,
            action=self._form.action(self._registration.state),
            pasted=pasted,
        )

    @property
    def path(self) -> str:
        """The path by which the page is opened, once."""
        return f"/{self._key}"

    async def _open(self, request: Request) -> Response:
        """Take the browser that comes first by the path for the person's; it is known by a cookie from then on."""
        if request.url.hostname != LOOPBACK:
            # GitHub leads back to this address, and a cookie is one host's.
            return RedirectResponse(str(request.url.replace(hostname=LOOPBACK)), 303)
        key: str = request.path_params["key"]
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            return self._elsewhere(404)
        if self._session is not None:
            return RedirectResponse("/", 303) if self._is_ours(request) else self._elsewhere()
        self._session = secrets.token_urlsafe(32)
        answer = RedirectResponse("/", 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        # Lax: GitHub's page leads back here.
        answer.set_cookie(_cookie(request), self._session, httponly=True, samesite="lax")
        return answer

    def _is_ours(self, request: Request) -> bool:
        given = request.cookies.get(_cookie(request), "")
        return self._session is not None and hmac.compare_digest(given.encode(), self._session.encode())

    def _elsewhere(self, status: int = 403) -> Response:
        return self._page(self._templates.get_template("problem.html").render(problem=ELSEWHERE), status)

    async def _start(self, request: Request) -> Response:
        if not self._is_ours(request):
            return self._elsewhere()
        if self._registration.is_over:
            return RedirectResponse("/progress", 303)
        return self._page(self.first())

    async def _registered(self, request: Request) -> Response:
        if not self._is_ours(request):
            return self._elsewhere()
        query = request.query_params
        try:
            # The browser waits here until the code is traded; if it goes away, the trade goes on.
            await asyncio.shield(self._registration.take(query.get("code", ""), query.get("state", "")))
        except SetupError as error:
            problem = self._templates.get_template("problem.html").render(problem=str(error))
            return self._page(problem, 400)
        # Away from the address that holds the code.
        return RedirectResponse("/progress", 303)

    async def _show_progress(self, request: Request) -> Response:
        if not self._is_ours(request):
            return self._elsewhere()
        if not self._registration.is_over:
            return RedirectResponse("/", 303)
        progress, self._looked_at = self._progress, time.monotonic()
        if progress.is_over:
            self._has_told_the_end.set()
        return self._page(
            self._templates.get_template("progress.html").render(
                steps=progress.steps,
                install_url=progress.install_url,
                finished=progress.finished,
                is_over=progress.is_over,
                problem=progress.problem,
                label=self._label,
            )
        )

    async def tell_the_end(self) -> None:
        """Give a page that is open the time to look once more."""
        if time.monotonic() - self._looked_at < _LOOKS_WITHIN_S:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_told_the_end.wait(), _LOOKS_WITHIN_S)

    @staticmethod
    def _page(text: str, status: int = 200) -> Response:
        return HTMLResponse(text, status, _HEADERS)


def _cookie(request: Request) -> str:
    """The cookie's name: browsers tell apart no ports of a host, and two setups may run at once."""
    return f"modal-runner-setup-{request.url.port}"


def bind(port: int) -> socket.socket:
    """Take a port of loopback; 0 is any free one.

    Raises:
        InputError: it is taken.
    """
    try:
        listener = socket.create_server((LOOPBACK, port), backlog=64)
    except OSError as error:
        raise InputError(f"--port {port}: cannot listen there ({os.strerror(error.errno or 0)})") from None
    return listener


@contextlib.asynccontextmanager
async def serving(pages: Pages, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the pages for as long as the block runs."""
    config = uvicorn.Config(
        pages.asgi(), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=3
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """A server within a command, whose Ctrl-C it leaves alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

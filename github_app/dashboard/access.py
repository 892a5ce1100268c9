"""Who asks, and what they see: every page is answered for somebody, and cut to what GitHub lets them see."""

import asyncio
import functools
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from github_app.dashboard.rendering import HEADERS, page
from github_app.dashboard.sessions import Session, Sessions
from github_app.dashboard.sight import Sight, Sights
from github_app.errors import GitHubError, SandboxError, StoreError

_LONGEST_FORM = 4096
_FORM_WITHIN_S = 10.0


@dataclass(frozen=True)
class Visitor:
    """Someone who has signed in, and what they see."""

    session: Session
    sight: Sight


Answer = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, Visitor], Awaitable[Response]]


class Access:
    """Stands before each page."""

    def __init__(self, sessions: Sessions, sights: Sights) -> None:
        self._sessions = sessions
        self._sights = sights

    def looking(self, handler: Handler) -> Answer:
        """For those who have signed in; others are shown the way in."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                visitor = await self._visitor(request)
                return _welcome(request) if visitor is None else await handler(request, visitor)
            except (StoreError, SandboxError) as error:
                return problem("Modal does not answer", str(error), 503)
            except GitHubError as error:
                return problem("GitHub did not say what you may see", str(error), 503)

        return answer

    def changing(self, handler: Handler) -> Answer:
        """The same for what changes something: the form has to be one of ours."""

        @functools.wraps(handler)
        async def checked(request: Request, visitor: Visitor) -> Response:
            return await handler(request, visitor) if await _is_ours(request, visitor.session) else _refused()

        return self.looking(checked)

    def leaving(self, handler: Callable[[Request, Session], Awaitable[Response]]) -> Answer:
        """For whoever has a session, whatever GitHub says of it."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            session = self._sessions.open(request)
            if session is None:
                return _welcome(request)
            return await handler(request, session) if await _is_ours(request, session) else _refused()

        return answer

    async def _visitor(self, request: Request) -> Visitor | None:
        session = self._sessions.open(request)
        if session is None:
            return None
        try:
            return Visitor(session, await self._sights.of(session.login, session.token))
        except GitHubError as error:
            if error.status == 401:
                return None
            raise


def _welcome(request: Request) -> Response:
    if "hx-request" in request.headers:
        # A page that was left open: it is to load anew, which shows the way in.
        return Response(status_code=401, headers=HEADERS | {"HX-Refresh": "true"})
    query = f"?{request.url.query}" if request.url.query else ""
    to = f"{request.url.path}{query}" if request.method == "GET" else "/"
    return page("welcome.html", 200 if to == "/" else 401, person=None, to=to)


def problem(title: str, told: str, status: int) -> Response:
    """A page that says what is wrong."""
    return page("problem.html", status, person=None, title=title, told=told, again="/")


async def not_found(_request: Request, error: Exception) -> Response:
    """What the router has no answer for."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return problem("There is no such page", "Its address may be wrong, or old.", status)


def _refused() -> Response:
    return problem("Not done", "This form is not of your session. Go back, load the page anew.", 403)


async def _is_ours(request: Request, session: Session) -> bool:
    """Tell whether a form carries what was given out with the session."""
    return hmac.compare_digest((await _form(request)).get("csrf", "").encode(), session.csrf.encode())


async def _form(request: Request) -> dict[str, str]:
    """A form of ours, whose fields are short; anything else is empty."""
    body = bytearray()
    try:
        async with asyncio.timeout(_FORM_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LONGEST_FORM:
                    return {}
    except (TimeoutError, ClientDisconnect):
        return {}
    return dict(parse_qsl(body.decode("ascii", "replace")))

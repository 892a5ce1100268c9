"""Signing in with GitHub, and out again (docs: "Generating a user access token for a GitHub App", the web flow)."""

import hmac
import re

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from github_app.dashboard.rendering import HEADERS, page
from github_app.dashboard.sessions import Session, Sessions, base_url
from github_app.dashboard.sight import Sights
from github_app.errors import GitHubError
from github_app.github.people import CALLBACK, People

# A page of ours: no address of another's, which `//host` and a backslash are for browsers.
_OURS = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")

_log = structlog.get_logger(__name__)


class SignIn:
    """The three addresses of it."""

    def __init__(self, people: People, sessions: Sessions, sights: Sights) -> None:
        self._people = people
        self._sessions = sessions
        self._sights = sights

    async def begin(self, request: Request) -> Response:
        """Lead to GitHub; a page to come back to is in the query."""
        wanted = request.query_params.get("to", "/")
        answer = RedirectResponse("/", 303, HEADERS)
        begun = self._sessions.begin(request, answer, wanted if _OURS.fullmatch(wanted) else "/")
        answer.headers["location"] = self._people.authorize_url(
            redirect_uri=base_url(request) + CALLBACK, state=begun.state, challenge=begun.challenge
        )
        return answer

    async def come_back(self, request: Request) -> Response:
        """Take GitHub's answer."""
        begun, query = self._sessions.begun(request), request.query_params
        if begun is None or not hmac.compare_digest(query.get("state", "").encode(), begun.state.encode()):
            return _failed("This sign-in was not begun in this browser, or more than ten minutes ago.")
        if not _CODE.fullmatch(code := query.get("code", "")):
            return _failed("GitHub was told no.")
        try:
            token = await self._people.token(
                code=code, redirect_uri=base_url(request) + CALLBACK, verifier=begun.verifier
            )
            person = await self._people.person(token)
        except GitHubError as error:
            _log.warning("sign_in_failed", reason=str(error))
            return _failed(f"GitHub did not say who you are: {error}.")
        answer = RedirectResponse(begun.back_to, 303, HEADERS)
        self._sessions.start(request, answer, person.login, token)
        _log.info("signed_in", person=person.login)
        return answer

    async def end(self, request: Request, session: Session) -> Response:
        """Sign out: the cookie goes, and GitHub forgets the token, so that no copy of the cookie is good any more."""
        self._sights.forget(session.token)
        try:
            await self._people.revoke(session.token)
        except GitHubError as error:
            _log.warning("token_not_revoked", person=session.login, reason=str(error))
        answer = RedirectResponse("/", 303, HEADERS)
        self._sessions.end(request, answer)
        _log.info("signed_out", person=session.login)
        return answer


def _failed(told: str) -> Response:
    return page("problem.html", 400, person=None, title="Not signed in", told=told, again="/sign-in")

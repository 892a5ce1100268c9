"""How people sign in through an App: the page that asks them, and the exchange of its code for a token.

Docs: "Generating a user access token for a GitHub App", "Refreshing user access tokens", "Troubleshooting OAuth app
access token request errors", "Troubleshooting authorization request errors".
"""

import base64
import hashlib
import hmac
from typing import NoReturn
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from github_app.simulator.github.calls import As, Call, Endpoint, Reply
from github_app.simulator.github.page import hidden, page, read_form, text
from github_app.simulator.github.people import REFRESH_LIFETIME_S, TOKEN_LIFETIME_S, Code, Person, UserToken
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import App

_CARRIED = ("client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method")
_LOOPBACK = {"127.0.0.1", "::1"}
_DESCRIBED = {
    "incorrect_client_credentials": "The client_id and/or client_secret passed are incorrect.",
    "bad_verification_code": "The code passed is incorrect or expired.",
    "bad_refresh_token": "The refresh token passed is incorrect or expired.",
    "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL for this application.",
    "unsupported_grant_type": "The grant type is not supported.",
    "access_denied": "The user has denied your application access.",
    "invalid_request": "code_challenge must be 43 characters long, and code_challenge_method S256.",
}
_ERRORS_PAGE = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-"


class SignIn:
    """The page. Nobody is signed in at the simulated GitHub: whoever looks chooses who to be."""

    def __init__(self, github: Site) -> None:
        self._github = github

    def routes(self) -> list[Route]:
        """Where the page is."""
        return [
            Route("/login/oauth/authorize", self._ask, methods=["GET"]),
            Route("/login/oauth/authorize", self._answer, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        asked = dict(request.query_params)
        found = self._asking(asked)
        if isinstance(found, Response):
            return found
        app, redirect_uri = found
        suggested = asked.get("login", "").lower()
        people = sorted(self._github.people.everyone(), key=lambda person: person.login.lower() != suggested)
        fields = hidden({name: asked[name] for name in _CARRIED if name in asked})
        body = (
            f"<p><b>{text(app.name)}</b> by {text(app.owner.login)} would like to know who you are, and to act for you"
            f" where it is installed. Then it goes on at {text(redirect_uri)}.</p>"
            "<p>This GitHub is simulated: be whom you like.</p>"
            f'<form method="post" action="/login/oauth/authorize">{fields}'
            f"{''.join(map(_button, people))}"
            '<p><button id="cancel" name="cancel" value="1">Cancel</button></p></form>'
        )
        return page(f"Authorize {app.name}", body)

    async def _answer(self, request: Request) -> Response:
        form = await read_form(request)
        found = self._asking(form)
        if isinstance(found, Response):
            return found
        app, redirect_uri = found
        if "cancel" in form:
            return _back(redirect_uri, form, _mistake("access_denied", "authorization-request"))
        person = self._github.people.find(form.get("login", ""))
        if person is None:
            return page("There is no such user", status=422)
        code = self._github.people.agree(person, app, redirect_uri, form.get("code_challenge", ""))
        return _back(redirect_uri, form, {"code": code})

    def _asking(self, asked: dict[str, str]) -> tuple[App, str] | Response:
        """Which App asks and where it goes on, or the answer that it cannot be asked so."""
        app = _app(self._github, asked.get("client_id", ""))
        if app is None:
            return page("Not found", "<p>No App has this client_id.</p>", status=404)
        redirect_uri = asked.get("redirect_uri") or next(iter(app.callback_urls), "")
        if not any(_fits(url, redirect_uri, below=self._github.callbacks_go_below) for url in app.callback_urls):
            mistake = f"<p>redirect_uri_mismatch: {_DESCRIBED['redirect_uri_mismatch']}</p>"
            return page(f"The redirect_uri is not associated with {app.name}", mistake, status=400)
        challenge, method = asked.get("code_challenge"), asked.get("code_challenge_method")
        if (challenge or method) and (len(challenge or "") != 43 or method != "S256"):
            return _back(redirect_uri, asked, _mistake("invalid_request", "authorization-request"))
        return app, redirect_uri


def _button(person: Person) -> str:
    name = f" ({text(person.name)})" if person.name else ""
    return f'<p><button name="login" value="{text(person.login)}">Continue as {text(person.login)}</button>{name}</p>'


def _back(redirect_uri: str, asked: dict[str, str], answer: dict[str, str]) -> Response:
    state = {"state": asked["state"]} if "state" in asked else {}
    joint = "&" if urlsplit(redirect_uri).query else "?"
    return RedirectResponse(f"{redirect_uri}{joint}{urlencode(answer | state)}", 302)


def _fits(registered: str, asked: str, *, below: bool) -> bool:
    """Whether a redirect_uri is a registered callback URL; `below`: or leads to a place below one.

    A loopback address is good at any port (docs: "Authorizing OAuth apps", Loopback redirect urls).
    """
    if asked == registered:
        return True
    try:
        one, other = urlsplit(registered), urlsplit(asked)
    except ValueError:
        return False
    loopback = one.hostname in _LOOPBACK and one.hostname == other.hostname and "@" not in other.netloc
    place, path = one.path or "/", other.path or "/"
    inside = below and ".." not in path.split("/") and path.startswith(place.rstrip("/") + "/")
    return (
        one.scheme == other.scheme
        and (loopback or one.netloc == other.netloc)
        and (path == place or inside)
        and (other.query, other.fragment) == (one.query, "")
    )


class _Refused(Exception):  # noqa: N818 - an answer
    """The exchange comes to nothing, for a reason that has a name."""


async def _exchange(call: Call) -> Reply:
    """A token for a code, or for a refresh token. What is wrong is said with status 200."""
    form = {name: values[0] for name, values in parse_qs(call.raw_body.decode("utf-8", "replace")).items()}
    given = dict(call.request.query_params) | form
    try:
        answer: dict[str, object] = _shape(_bought(call.github, given))
    except _Refused as refused:
        answer = dict(_mistake(str(refused), "oauth-app-access-token-request"))
    if "json" in call.request.headers.get("accept", ""):
        return Reply(answer)
    return Reply(content=urlencode(answer).encode(), media_type="application/x-www-form-urlencoded; charset=utf-8")


def _bought(github: Site, given: dict[str, str]) -> UserToken:
    app = _app(github, given.get("client_id", ""))
    if app is None or given.get("client_secret") not in app.client_secrets:
        raise _Refused("incorrect_client_credentials")
    if given.get("grant_type") == "refresh_token":
        return github.people.renew(given.get("refresh_token", ""), app) or _refuse("bad_refresh_token")
    if given.get("grant_type", "authorization_code") != "authorization_code":
        raise _Refused("unsupported_grant_type")
    code = github.people.take_code(given.get("code", ""), app) or _refuse("bad_verification_code")
    if given.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
        raise _Refused("redirect_uri_mismatch")
    if code.challenge and not _verifies(given.get("code_verifier", ""), code):
        # The docs name no error for a wrong verifier: this one is for what "doesn't match" the first request.
        raise _Refused("bad_verification_code")
    return github.people.issue(app, code.person)


def _verifies(verifier: str, code: Code) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return hmac.compare_digest(challenge, code.challenge.encode())


def _refuse(reason: str) -> NoReturn:
    raise _Refused(reason)


def _mistake(error: str, page_name: str) -> dict[str, str]:
    uri = f"{_ERRORS_PAGE}{page_name}-errors/#{error.replace('_', '-')}"
    return {"error": error, "error_description": _DESCRIBED[error], "error_uri": uri}


def _shape(token: UserToken) -> dict[str, object]:
    return {
        "access_token": token.token,
        "expires_in": TOKEN_LIFETIME_S,
        "refresh_token": token.refresh_token,
        "refresh_token_expires_in": REFRESH_LIFETIME_S,
        "token_type": "bearer",
        "scope": "",
    }


def _app(github: Site, client_id: str) -> App | None:
    return next((app for app in github.world.apps.values() if app.client_id == client_id), None)


# On the host of the pages, and yet called by programs.
ENDPOINTS = (Endpoint("POST", "/login/oauth/access_token", _exchange, As.ANYONE),)

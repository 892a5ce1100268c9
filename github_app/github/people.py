"""People who sign in: their token, and what GitHub lets each of them see.

Docs: "Generating a user access token for a GitHub App", "Installations accessible to the user access token".
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from githubkit import GitHub, OAuthAppAuthStrategy, Response
from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github.connection import TIMEOUT, Call, SharedTransport, T, ask_as
from github_app.settings.github_host import Host

# Where GitHub sends people back to; the App is registered with it.
CALLBACK = "/sign-in/callback"
_PAGE = 100
# Repositories of one installation that are read: 100 pages. Who has more sees those that come first.
_MOST_PAGES = 100


class Person(msgspec.Struct, frozen=True):
    """Somebody at GitHub."""

    id: int
    login: str


class _Account(msgspec.Struct):
    login: str = ""
    type: str = ""


class Reach(msgspec.Struct, frozen=True):
    """An installation of the App that a person has something to do with."""

    id: int
    account: _Account
    suspended_at: str | None = None

    @property
    def owner(self) -> str:
        """The account that it is on."""
        return self.account.login

    @property
    def is_organization(self) -> bool:
        """Whether that is an organisation."""
        return self.account.type == "Organization"


class _Installations(msgspec.Struct):
    installations: list[Reach]


class _Named(msgspec.Struct):
    full_name: str


class _Repositories(msgspec.Struct):
    repositories: list[_Named]


class _Membership(msgspec.Struct):
    role: str = ""
    state: str = ""


class _Token(msgspec.Struct):
    access_token: str = ""
    error: str = ""


class People:
    """What GitHub is asked for people, each with the person's own token."""

    def __init__(self, host: Host, client_id: str, client_secret: SecretStr, transport: SharedTransport) -> None:
        self._host = host
        self._client_id = client_id
        self._client_secret = client_secret
        self._transport = transport

    def authorize_url(self, *, redirect_uri: str, state: str, challenge: str) -> str:
        """Where a person says yes; `challenge` is that of PKCE (RFC 7636), S256."""
        query = {
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._host.web_url}/login/oauth/authorize?{urlencode(query)}"

    async def token(self, *, code: str, redirect_uri: str, verifier: str) -> SecretStr:
        """Trade a code for the person's token.

        Raises:
            GitHubError: GitHub did not answer, or the code is none, or none any more.
        """
        form = {
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        answer = await self._post("/login/oauth/access_token", form)
        if not answer.access_token:
            # Its errors come with 200; only their short names are told on, for the rest is anyone's text.
            name = answer.error if answer.error.replace("_", "").isalpha() else "no token"
            raise GitHubError(f"sign-in: GitHub gave no token ({name})", retryable=False, status=400)
        return SecretStr(answer.access_token)

    async def _post(self, path: str, form: Mapping[str, str]) -> _Token:
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=TIMEOUT) as client:
                answer = await client.post(
                    self._host.web_url + path, data=dict(form), headers={"Accept": "application/json"}
                )
                return msgspec.json.decode(answer.content, type=_Token)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise GitHubError(f"sign-in: no answer from GitHub ({type(error).__name__})", retryable=True) from None

    async def revoke(self, token: SecretStr) -> None:
        """Have GitHub forget a token (docs: "Delete an app token").

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        auth = OAuthAppAuthStrategy(self._client_id, self._client_secret.get_secret_value())
        await ask_as(
            auth,
            "sign-out",
            lambda github: github.rest.apps.async_delete_token(self._client_id, access_token=token.get_secret_value()),
            object,
            api_url=self._host.api_url,
            transport=self._transport,
        )

    async def is_known(self) -> bool:
        """Tell whether GitHub takes the App's client id and secret: it is asked to forget a token that is none.

        Raises:
            GitHubError: GitHub did not answer.
        """
        try:
            await self.revoke(SecretStr("ghu_none"))
        except GitHubError as error:
            if error.status not in {401, 404, 422}:
                raise
            return error.status != 401
        return True

    async def person(self, token: SecretStr) -> Person:
        """Whose token it is.

        Raises:
            GitHubError: 401 when it is none any more.
        """
        return await self._ask(token, "person", lambda github: github.rest.users.async_get_authenticated(), Person)

    async def installations(self, token: SecretStr) -> list[Reach]:
        """The App's installations that a person has something to do with.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found: list[Reach] = []
        for page in range(1, _MOST_PAGES + 1):
            answer = await self._ask(token, "person's installations", _installations(page), _Installations)
            found += answer.installations
            if len(answer.installations) < _PAGE:
                break
        return found

    async def repositories(self, token: SecretStr, installation_id: int) -> frozenset[str]:
        """The names, in lower case, of an installation's repositories that the person may see.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found: set[str] = set()
        for page in range(1, _MOST_PAGES + 1):
            call = _repositories(installation_id, page)
            answer = await self._ask(token, "person's repositories", call, _Repositories)
            found |= {each.full_name.lower() for each in answer.repositories}
            if len(answer.repositories) < _PAGE:
                break
        return frozenset(found)

    async def owns(self, token: SecretStr, organization: str) -> bool | None:
        """Whether the person is an owner of an organisation; None where the App may not know.

        Docs: "Get an organization membership for the authenticated user". Without the permission `members: read`
        GitHub answers 403.

        Raises:
            GitHubError: GitHub refused otherwise, or did not answer.
        """
        try:
            answer = await self._ask(
                token,
                "person's membership",
                lambda github: github.rest.orgs.async_get_membership_for_authenticated_user(organization),
                _Membership,
            )
        except GitHubError as error:
            if error.status == 404:
                return False
            if error.status == 403 and not error.retryable:
                # Others of its 403s say that the person has nothing to do with the organisation.
                return None if "integration" in str(error) else False
            raise
        return answer.role == "admin" and answer.state == "active"

    async def _ask(self, token: SecretStr, name: str, call: Call, answer: type[T]) -> T:
        return await ask_as(token, name, call, answer, api_url=self._host.api_url, transport=self._transport)


def _installations(page: int) -> Call:
    async def call(github: GitHub[Any]) -> Response[Any, Any]:
        return await github.rest.apps.async_list_installations_for_authenticated_user(per_page=_PAGE, page=page)

    return call


def _repositories(installation_id: int, page: int) -> Call:
    async def call(github: GitHub[Any]) -> Response[Any, Any]:
        return await github.rest.apps.async_list_installation_repos_for_authenticated_user(
            installation_id, per_page=_PAGE, page=page
        )

    return call

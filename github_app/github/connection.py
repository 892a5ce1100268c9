"""One GitHub host, spoken to as one App, through githubkit.

What githubkit 0.16.1 does by default and this class does not: its HTTP cache drops every timeout; without an
explicit timeout there is none; its retry sleeps inside the call and repeats POSTs; its client is made anew for each
call unless the transport is shared, and closes a shared one after the call.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar, cast

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from githubkit import (
    AppAuthStrategy,
    GitHub,
    OAuthAppAuthStrategy,
    Response,
    TokenAuthStrategy,
    UnauthAuthStrategy,
)
from githubkit.cache import MemCacheStrategy
from githubkit.versions import LATEST_VERSION
from pydantic import SecretStr

from github_app.clock import Clock
from github_app.counts import Counts
from github_app.errors import GitHubError
from github_app.github.counting import CountingTransport
from github_app.github.errors import github_errors, seconds_to_wait
from github_app.github.tokens import InstallationToken, InstallationTokens, Permissions, TokenAnswer, TokenKey

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_DEADLINE_S = 30.0
# In compressed time the same machine still needs real time to answer.
_SHORTEST_S = 2.0
_USER_AGENT = "modal-runner"
# GitHub answers more than 100 requests at once with a limit (docs: "About secondary rate limits").
_AT_ONCE = 20
# Answers kept to ask "has it changed?" with: those used last.
_MOST_KEPT = 2000

T = TypeVar("T")
Auth = AppAuthStrategy | TokenAuthStrategy | UnauthAuthStrategy | OAuthAppAuthStrategy
Call = Callable[[GitHub[Any]], Awaitable[Response[Any, Any]]]
ConditionalCall = Callable[[GitHub[Any], dict[str, str]], Awaitable[Response[Any, Any]]]


def request(method: str, path: str, **what: Any) -> Call:
    """A call by its path, with `params` or `json`: so are those made that the first job of a process waits for.

    githubkit's method of a call imports models of all that an answer may hold: 35 ms, for what nobody reads.
    """
    headers = {"X-GitHub-Api-Version": LATEST_VERSION}

    async def call(github: GitHub[Any]) -> Response[Any, Any]:
        return await github.arequest(method, path, headers=headers, **what)

    return call


class _Pool(httpx.AsyncClient):
    """httpx's own choice of a transport: HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE count as they do for it."""

    def transport_for(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        """The transport for an address: straight, or through a proxy of the environment."""
        return self._transport_for_url(url)


class SharedTransport(httpx.AsyncBaseTransport):
    """A pool of connections that outlives the clients that githubkit makes for each call."""

    def __init__(self, rest_version: str | None = None, *, trust_env: bool = True) -> None:
        """`rest_version` takes the place of the REST version that githubkit names."""
        # A client that is given a transport looks for no proxy; this one is given none.
        self._pool = _Pool(trust_env=trust_env)
        self._rest_version = rest_version

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and put `retry-after` into seconds: at a date githubkit ends with a bare ValueError."""
        if self._rest_version is not None:
            request.headers["x-github-api-version"] = self._rest_version
        response = await self.send(request)
        if asked := response.headers.get("retry-after"):
            response.headers["retry-after"] = str(math.ceil(seconds_to_wait(asked)))
        return response

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send over the wire."""
        return await self._pool.transport_for(request.url).handle_async_request(request)

    async def aclose(self) -> None:
        """Do nothing: githubkit closes its client after each call, and with it the pool."""

    async def really_close(self) -> None:
        """Close the pool."""
        await self._pool.aclose()


def connect(auth: Auth, api_url: str, transport: httpx.AsyncBaseTransport, scale: float = 1.0) -> GitHub[Any]:
    """Make a githubkit client with real timeouts and no retries of its own."""
    return GitHub(
        auth,
        base_url=api_url,
        user_agent=_USER_AGENT,
        timeout=TIMEOUT if scale == 1.0 else _SHORTEST_S,
        async_transport=transport,
        # A cache of its own: githubkit's default one is shared by all clients, and its keys do not name the host.
        cache_strategy=MemCacheStrategy(),
        http_cache=False,
        auto_retry=False,
    )


class Connection:
    """Calls as the App (its JWT) or as one of its installations (a token)."""

    def __init__(
        self,
        *,
        api_url: str,
        app_id: int,
        private_key: RSAPrivateKey,
        transport: SharedTransport | None = None,
        clock: Clock = Clock(),  # noqa: B008 - it is frozen
        counts: Counts | None = None,
    ) -> None:
        self._api_url = api_url
        self._transport = transport or SharedTransport()
        # githubkit signs with PyJWT, which takes a key object in place of the PEM; a PEM would stand in its repr.
        strategy = AppAuthStrategy(app_id, private_key)  # type: ignore[arg-type]
        self._counts, self._clock = counts or Counts(), clock
        self._app = connect(strategy, api_url, CountingTransport(self._transport, self._counts), clock.scale)
        # Seconds that this machine's clock was ahead of GitHub's at the last answer; None before the first.
        self.clock_skew: float | None = None
        self._kept: OrderedDict[tuple[int, str], tuple[str, object]] = OrderedDict()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._tokens = InstallationTokens(self._exchange, clock.now)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.really_close()

    async def as_app(self, name: str, call: Call, answer: type[T]) -> T:
        """Make `call` with the App's JWT and read its JSON as `answer`.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        response = await _send(name, call, self._app)
        self.clock_skew = _skew(response.headers.get("date"), self.clock_skew)
        return _read(name, response, answer)

    async def page_as_app(self, name: str, call: Call, answer: type[T]) -> tuple[T, str | None]:
        """The same for one page of a list, with the cursor of the next one.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        response = await _send(name, call, self._app)
        following = response.raw_response.links.get("next", {}).get("url", "")
        return _read(name, response, answer), httpx.URL(following).params.get("cursor")

    async def as_installation(
        self,
        name: str,
        call: Call,
        answer: type[T],
        *,
        installation_id: int,
        permissions: Permissions,
        repository_id: int | None = None,
    ) -> T:
        """Make `call` with an installation token of `permissions`; after a 401 once more with a new one.

        Raises:
            GitHubError: GitHub refused or did not answer, the exchange of the token included.
        """
        key = TokenKey(self._api_url, installation_id, permissions, repository_id)
        token = await self._tokens.get(key)
        try:
            return await self._with_token(name, call, answer, token.get_secret_value(), installation_id)
        except GitHubError as error:
            if error.status != 401:
                raise
            self._tokens.refuse(key, token)
        token = await self._tokens.get(key)
        return await self._with_token(name, call, answer, token.get_secret_value(), installation_id)

    def quota_left(self, installation_id: int) -> float:
        """The share of the hourly limit that an installation still has, by GitHub's last answer (0 to 1)."""
        return self._counts.quotas.get(installation_id, (1.0, 0.0))[0]

    async def read_if_changed(
        self,
        name: str,
        call: ConditionalCall,
        answer: type[T],
        *,
        installation_id: int,
        permissions: Permissions,
        key: str,
    ) -> tuple[T, bool]:
        """Read something that seldom changes; tell whether it has: an answer 304 is free of charge.

        Docs: "Best practices for using the REST API", conditional requests.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        etag, known = self._kept.get((installation_id, key), (None, None))
        new_etag = ""

        async def conditional(github: GitHub[Any]) -> Response[Any, Any]:
            nonlocal new_etag
            response = await call(github, {"If-None-Match": etag} if etag else {})
            new_etag = response.headers.get("etag", "")
            return response

        fresh = await self.as_installation(
            name,
            conditional,
            answer | None,  # type: ignore[arg-type]  # None is the empty body of a 304
            installation_id=installation_id,
            permissions=permissions,
        )
        if fresh is None and etag is not None:
            self._kept.pop((installation_id, key), None)
            self._kept[installation_id, key] = (etag, known)
            return cast("T", known), False
        if fresh is None:
            raise GitHubError(f"{name}: an empty answer", retryable=True)
        if new_etag:
            self._kept[installation_id, key] = (new_etag, fresh)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return fresh, True

    async def _with_token(self, name: str, call: Call, answer: type[T], token: str, installation_id: int) -> T:
        # The client is held in a variable: githubkit's namespaces keep only a weak reference to it.
        client = self._app.with_auth(TokenAuthStrategy(token))
        async with self._places:
            response = await _send(name, call, client)
        limit, left = (response.headers.get(f"x-ratelimit-{what}", "") for what in ("limit", "remaining"))
        if limit.isdigit() and left.isdigit() and int(limit):
            self._counts.quota(installation_id, int(left) / int(limit), self._clock.now())
        return _read(name, response, answer)

    async def _exchange(self, key: TokenKey) -> InstallationToken:
        body: dict[str, Any] = {"permissions": dict(key.permissions)}
        if key.repository_id is not None:
            body["repository_ids"] = [key.repository_id]
        answer = await self.as_app(
            "exchange of the installation token",
            request("POST", f"/app/installations/{key.installation_id}/access_tokens", json=body),
            TokenAnswer,
        )
        return answer.seal()


async def ask_anonymously(
    name: str, call: Call, answer: type[T], *, api_url: str, transport: httpx.AsyncBaseTransport
) -> T:
    """Make a call that needs no credentials, and read its JSON as `answer`.

    Raises:
        GitHubError: GitHub refused or did not answer.
    """
    return await ask_as(UnauthAuthStrategy(), name, call, answer, api_url=api_url, transport=transport)


async def ask_as(
    auth: Auth | SecretStr, name: str, call: Call, answer: type[T], *, api_url: str, transport: httpx.AsyncBaseTransport
) -> T:
    """The same as someone, or with a token.

    Raises:
        GitHubError: GitHub refused or did not answer.
    """
    strategy = TokenAuthStrategy(auth.get_secret_value()) if isinstance(auth, SecretStr) else auth
    client = connect(strategy, api_url, transport)
    return _read(name, await _send(name, call, client), answer)


async def _send(name: str, call: Call, client: GitHub[Any]) -> Response[Any, Any]:
    with github_errors(name):
        # httpx limits each read, which a server that sends byte after byte never exceeds.
        async with asyncio.timeout(_DEADLINE_S):
            return await call(client)


def _skew(date: str | None, before: float | None) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return before


def _read(name: str, response: Response[Any, Any], answer: type[T]) -> T:
    """Read just the fields of `answer`: githubkit's full models refuse answers that GitHub's own examples give."""
    try:
        return msgspec.json.decode(response.raw_response.content or b"null", type=answer)
    except msgspec.DecodeError as error:
        # Only the field is named: the answer may hold a token or a JIT config.
        raise GitHubError(f"{name}: an answer that makes no sense ({error})", retryable=False) from None

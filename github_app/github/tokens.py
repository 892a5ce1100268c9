"""Installation tokens: one exchange for many callers, kept until five minutes before they expire.

githubkit's own exchange has neither a timeout nor a lock (20 cold calls made 20 exchanges), and keeps a token after
a 401; so the token is taken here, and calls are made with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec
from pydantic import SecretStr

_MARGIN_S = 300.0

Permissions = tuple[tuple[str, str], ...]


class TokenKey(NamedTuple):
    """What a token is good for. The host is part of it: ids of different GitHub hosts may be equal."""

    host: str
    installation_id: int
    permissions: Permissions
    repository_id: int | None


class InstallationToken(msgspec.Struct, frozen=True):
    """A token and the Unix time at which it expires."""

    token: SecretStr
    expires_at: float


class TokenAnswer(msgspec.Struct, frozen=True):
    """GitHub's answer to the exchange, cut to what is used."""

    token: str
    expires_at: datetime

    def seal(self) -> InstallationToken:
        """Put the token where no repr shows it."""
        return InstallationToken(SecretStr(self.token), self.expires_at.timestamp())


class InstallationTokens:
    """A cache over `exchange`, which asks GitHub for a new token."""

    def __init__(
        self, exchange: Callable[[TokenKey], Awaitable[InstallationToken]], clock: Callable[[], float] = time.time
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._tokens: dict[TokenKey, InstallationToken] = {}
        self._locks: dict[TokenKey, asyncio.Lock] = {}

    async def get(self, key: TokenKey) -> SecretStr:
        """Return a token that is good for five more minutes.

        Raises:
            GitHubError: the exchange failed.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._tokens.get(key)
            if known is None or known.expires_at - _MARGIN_S <= self._clock():
                known = self._tokens[key] = await self._exchange(key)
            return known.token

    def refuse(self, key: TokenKey, token: SecretStr) -> None:
        """Forget `token`, which GitHub answered with 401; a newer one that another caller fetched stays."""
        known = self._tokens.get(key)
        if known is not None and known.token == token:
            del self._tokens[key]


def permissions(wanted: Mapping[str, str]) -> Permissions:
    """Bring permissions into one order, so that equal wishes share a token."""
    return tuple(sorted(wanted.items()))

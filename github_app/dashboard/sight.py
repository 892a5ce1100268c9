"""Who may see what: asked of GitHub, as the person, and asked again every few minutes."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github.people import People, Reach

# What GitHub lets someone see is asked again after so long; where it does not answer, it counts for twice as long.
GOOD_FOR_S = 300.0
# People whose sight is remembered at once.
_MOST_PEOPLE = 500


@dataclass(frozen=True)
class Sight:
    """What one person sees. Everything is in lower case.

    `owned`: accounts of which they see all, and may act on; `unsure`: organisations of which GitHub does not tell us
    whether they own them.
    """

    login: str
    owned: frozenset[str]
    repositories: frozenset[str]
    unsure: frozenset[str] = frozenset()
    # GitHub did not answer when it was asked last: this is some minutes old.
    is_old: bool = False

    @property
    def sees_any(self) -> bool:
        """Whether there is anything that the person may know of."""
        return bool(self.repositories or self.owned)

    def sees(self, repository: str) -> bool:
        """Tell whether the person may know of a repository (`owner/name`)."""
        name = repository.lower()
        return name in self.repositories or name.partition("/")[0] in self.owned

    def owns(self, account: str) -> bool:
        """Tell whether the person may act on what belongs to an account."""
        return account.lower() in self.owned


class Sights:
    """Asks GitHub what people see. What it said is kept for five minutes, in this process alone."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._known: OrderedDict[str, tuple[float, Sight]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Sight]] = {}
        # Tokens that were signed out here; GitHub may not have been told.
        self._ended: OrderedDict[str, None] = OrderedDict()

    async def of(self, login: str, token: SecretStr) -> Sight:
        """What somebody sees.

        Raises:
            GitHubError: 401 when the token is none any more; GitHub refused or did not answer.
        """
        key = _key(token)
        if key in self._ended:
            raise GitHubError("this sign-in was ended", retryable=False, status=401)
        at, known = self._known.get(key, (float("-inf"), None))
        age = time.monotonic() - at
        if known is not None and age < GOOD_FOR_S:
            self._known.move_to_end(key)
            return known
        # Many requests of one page come at once.
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(login, token))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            return await asyncio.shield(asking)
        except GitHubError as error:
            if error.retryable and known is not None and age < 2 * GOOD_FOR_S:
                return replace(known, is_old=True)
            raise

    async def _ask(self, login: str, token: SecretStr) -> Sight:
        reaches = [each for each in await self._people.installations(token) if each.suspended_at is None]
        seen = await asyncio.gather(*(self._repositories(token, reach) for reach in reaches))
        owns = await asyncio.gather(*(self._owns(login, token, reach) for reach in reaches))
        found = Sight(
            login,
            owned=frozenset(reach.owner.lower() for reach, does in zip(reaches, owns, strict=True) if does),
            repositories=frozenset[str]().union(*seen),
            unsure=frozenset(reach.owner.lower() for reach, does in zip(reaches, owns, strict=True) if does is None),
        )
        if _key(token) not in self._ended:
            self._known[_key(token)] = (time.monotonic(), found)
        while len(self._known) > _MOST_PEOPLE:
            self._known.popitem(last=False)
        return found

    async def _repositories(self, token: SecretStr, reach: Reach) -> frozenset[str]:
        """Of an installation that GitHub does not let the person see (single sign-on, an IP allow list), nothing."""
        try:
            return await self._people.repositories(token, reach.id)
        except GitHubError as error:
            if error.status not in {403, 404} or error.retryable:
                raise
            return frozenset()

    async def _owns(self, login: str, token: SecretStr, reach: Reach) -> bool | None:
        if not reach.is_organization:
            return reach.owner.lower() == login.lower()
        return await self._people.owns(token, reach.owner)

    def forget(self, token: SecretStr) -> None:
        """Take this token for none from now on."""
        self._known.pop(_key(token), None)
        self._ended[_key(token)] = None
        while len(self._ended) > _MOST_PEOPLE:
            self._ended.popitem(last=False)


def _key(token: SecretStr) -> str:
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()

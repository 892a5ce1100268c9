"""The App itself: its installations, and the deliveries that GitHub failed to hand over."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from githubkit import GitHub, Response

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.github.connection import Connection, request
from github_app.github.hook_config import AppRecord, AppWebhook

# What an installation permits is read again at most this often, when it was not permitted.
_PERMISSIONS_GOOD_FOR_S = 600.0
# An unknown id is asked for again at most this often: deliveries with made-up ids must not cost a call each.
_ASK_AGAIN_S = 60.0
# GitHub waits ten seconds for the answer to a delivery.
_ANSWER_S = 3.0
_PAGE = 100
_MOST_PAGES = 20
_MOST_DELIVERY_PAGES = 100

_log = structlog.get_logger(__name__)


class Account(msgspec.Struct):
    """The account that an installation is on. An enterprise's has neither `login` nor `type`."""

    login: str = ""
    type: str = ""


class Installation(msgspec.Struct):
    """An installation of the App."""

    id: int
    account: Account | None = None
    suspended_at: str | None = None
    html_url: str = ""
    permissions: dict[str, str] = {}

    @property
    def organization(self) -> str | None:
        """The organisation that it is on; None for a user's or an enterprise's."""
        account = self.account
        return account.login if account and account.login and account.type == "Organization" else None

    def belongs_to(self, owners: Collection[str]) -> bool:
        """Whether it is on one of these accounts, by names in lower case, or on an enterprise."""
        return not self.has_repositories or (self.account is not None and self.account.login.lower() in owners)

    @property
    def has_repositories(self) -> bool:
        """It is on an organisation or a user: an enterprise has no repositories of its own, and no jobs."""
        return bool(self.account and self.account.login)


class FailedDelivery(msgspec.Struct):
    """A delivery that was not answered 2xx. `guid` is the same for each time it is handed over."""

    id: int
    guid: str
    event: str
    status_code: int = 0
    redelivery: bool = False
    delivered_at: datetime | None = None


class AppOnGitHub:
    """What is asked with the App's JWT."""

    def __init__(self, connection: Connection, clock: Clock, owners: Collection[str] = ()) -> None:
        """The installations of the App's owner are served, and those of `owners`."""
        self._connection = connection
        self._clock = clock
        self._webhook = AppWebhook(connection)
        self._owners = {each.lower() for each in owners}
        self._own: AppRecord | None = None
        self._listed_at = float("-inf")
        self._known: dict[int, Installation] = {}
        # Until when an id that GitHub did not list is believed to be none of ours.
        self._unknown_until: dict[int, float] = {}
        self._unreadable_until = float("-inf")
        self._asking = asyncio.Lock()

    async def knows(self, installation_id: int) -> bool:
        """Tell whether an installation is one of the App's; where GitHub cannot say, it is.

        A delivery's signature is checked by then, and the exchange of its token tells in the end: intake does not
        depend on GitHub's API.
        """
        if (answer := self._remembers(installation_id)) is not None:
            return answer
        async with self._asking:
            # Another delivery may have asked meanwhile.
            if (answer := self._remembers(installation_id)) is not None:
                return answer
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self.installations()
            except (GitHubError, TimeoutError) as error:
                _log.warning("installations_unreadable", reason=str(error))
                self._unreadable_until = self._clock.now() + _ASK_AGAIN_S
                return True
            if installation_id not in self._known:
                self._unknown_until[installation_id] = self._clock.now() + _ASK_AGAIN_S
            return installation_id in self._known

    def _remembers(self, installation_id: int) -> bool | None:
        now = self._clock.now()
        if installation_id in self._known or now < self._unreadable_until:
            return True
        return False if now < self._unknown_until.get(installation_id, 0.0) else None

    async def installations(self) -> list[Installation]:
        """Every installation that is served: it is the owner's, or one of those that may use it, and not suspended.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found, owner = await asyncio.gather(self.every_installation(), self._owner())
        strangers = self.strangers_among(found, owner)
        if strangers:
            # The owner may have a new name.
            self._own = None
            strangers = self.strangers_among(found, await self._owner())
        if strangers:
            names = [each.account.login for each in strangers if each.account]
            _log.warning("installations_of_others", count=len(names), accounts=names[:10])
        self._known = {each.id: each for each in found if each.suspended_at is None and each not in strangers}
        self._listed_at = self._clock.now()
        self._unknown_until = {each: until for each, until in self._unknown_until.items() if until > self._clock.now()}
        return list(self._known.values())

    async def permits(self, installation_id: int, permission: str) -> bool:
        """Tell whether an installation gives the App the right to write something, as far as GitHub tells."""
        known = self._known.get(installation_id)
        if known is not None and known.permissions.get(permission) == "write":
            return True
        if self._clock.now() - self._listed_at < _PERMISSIONS_GOOD_FOR_S:
            return False
        async with self._asking:
            if self._clock.now() - self._listed_at >= _PERMISSIONS_GOOD_FOR_S:
                try:
                    await self.installations()
                except GitHubError as error:
                    _log.warning("installations_unreadable", reason=str(error))
                    return False
        known = self._known.get(installation_id)
        return known is not None and known.permissions.get(permission) == "write"

    def strangers_among(self, found: Sequence[Installation], record: AppRecord | None) -> list[Installation]:
        """Installations of accounts that may not use the App: a public one can be installed by anyone.

        An enterprise's App, which names no account, is for all of its organisations.
        """
        owner = record.owner.login.lower() if record else ""
        return [each for each in found if owner and not each.belongs_to({owner, *self._owners})]

    async def home(self) -> str | None:
        """The account that owns the App; None where GitHub does not tell."""
        record = await self._owner()
        return record.owner.login if record else None

    async def _owner(self) -> AppRecord | None:
        """The App's own record, which names its owner; None where GitHub tells nobody.

        Raises:
            GitHubError: it did not answer; who may use the App is not known then.
        """
        if self._own is None:
            try:
                self._own = await self._webhook.app()
            except GitHubError as error:
                if error.retryable:
                    raise
                _log.warning("app_unreadable", reason=str(error))
        return self._own

    async def every_installation(self) -> list[Installation]:
        """Every installation, the suspended ones too.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found: list[Installation] = []
        for page in range(1, _MOST_PAGES + 1):
            wanted = {"per_page": _PAGE, "page": page}
            call = request("GET", "/app/installations", params=wanted)
            batch = await self._connection.as_app("list of installations", call, list[Installation])
            found += batch
            if len(batch) < _PAGE:
                break
        return found

    async def failed_deliveries(self, after: int) -> tuple[list[FailedDelivery], bool]:
        """Deliveries with a greater id than `after` that GitHub failed to hand over; whether these are all.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        failed: list[FailedDelivery] = []
        cursor: str | None = None
        for _ in range(_MOST_DELIVERY_PAGES):
            more: dict[str, Any] = {"cursor": cursor} if cursor else {}

            async def call(github: GitHub[Any], more: dict[str, Any] = more) -> Response[Any, Any]:
                return await github.rest.apps.async_list_webhook_deliveries(per_page=_PAGE, status="failure", **more)

            batch, cursor = await self._connection.page_as_app("list of deliveries", call, list[FailedDelivery])
            failed += [delivery for delivery in batch if delivery.id > after and not 200 <= delivery.status_code < 300]
            if cursor is None or any(delivery.id <= after for delivery in batch):
                return failed, True
        return failed, False

    async def redeliver(self, delivery_id: int) -> None:
        """Ask GitHub to hand a delivery over again (docs: "Redelivering webhooks"; the GUID stays).

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        await self._connection.as_app(
            "redelivery",
            lambda github: github.rest.apps.async_redeliver_webhook_delivery(delivery_id),
            object,
        )

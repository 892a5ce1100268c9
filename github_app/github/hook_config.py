"""The App's own record at GitHub, its webhook, and what became of the deliveries: asked with the App's JWT."""

from datetime import datetime
from typing import Any

import msgspec
from githubkit import GitHub, Response
from pydantic import SecretStr

from github_app.github.connection import Connection, request

_PAGE = 100


class _Owner(msgspec.Struct):
    login: str = ""
    type: str = "Organization"


class AppRecord(msgspec.Struct):
    """The App. `html_url` is its public page; its settings are elsewhere."""

    id: int
    name: str
    html_url: str
    owner: _Owner
    slug: str = ""
    client_id: str = ""
    permissions: dict[str, str] = {}
    events: list[str] = []


class HookConfig(msgspec.Struct):
    """Where deliveries go."""

    url: str = ""
    content_type: str = ""
    # GitHub's description allows a number as well.
    insecure_ssl: str | float = "0"

    @property
    def is_right(self) -> bool:
        """JSON, over TLS that is checked."""
        return self.content_type == "json" and self.insecure_ssl in {"0", 0}


class Delivery(msgspec.Struct):
    """One try to hand an event over. A redelivery has a new id and the old `guid`; code 0 is no answer."""

    id: int
    guid: str
    event: str
    status: str = ""
    status_code: int = 0
    action: str | None = None
    redelivery: bool = False
    # Seconds until the answer.
    duration: float = 0.0
    installation_id: int | None = None
    delivered_at: datetime | None = None

    @property
    def arrived(self) -> bool:
        """Whether it was answered 2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_over(self) -> bool:
        """Whether it arrived or failed; one under way has no code yet."""
        return self.status_code != 0 or self.status not in {"", "pending"}


class AppWebhook:
    """The App's webhook. Docs: "REST API endpoints for GitHub App webhooks"."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def app(self) -> AppRecord:
        """The App that the credentials belong to.

        Raises:
            GitHubError: 401 when id and key are not those of an App; GitHub refused or did not answer.
        """
        return await self._connection.as_app("reading the App", request("GET", "/app"), AppRecord)

    async def config(self) -> HookConfig:
        """Where deliveries go now.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.apps.async_get_webhook_config_for_app()

        return await self._connection.as_app("reading the webhook", call, HookConfig)

    async def point_at(self, url: str, secret: SecretStr) -> None:
        """Send deliveries to `url` as JSON from now on, signed with `secret`.

        It is sent along even where it stays: a webhook that is changed without one may lose the one that it had (docs:
        "REST API endpoints for repository webhooks").

        Raises:
            GitHubError: GitHub refused or did not answer.
        """

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.apps.async_update_webhook_config_for_app(
                url=url, content_type="json", insecure_ssl="0", secret=secret.get_secret_value()
            )

        await self._connection.as_app("setting the webhook", call, object)

    async def deliveries(self) -> list[Delivery]:
        """The last hundred deliveries, newest first.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.apps.async_list_webhook_deliveries(per_page=_PAGE)

        return await self._connection.as_app("list of deliveries", call, list[Delivery])

"""Signing and handing over webhooks: ten seconds for an answer, and no retry unless asked (docs: "Handling failed
webhook deliveries")."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from github_app.simulator.github.faults import Faults, NoFaults
from github_app.simulator.github.state import App, Delivery, Installation, World

ANSWER_LIMIT_S = 10.0


class Webhooks:
    """Hands deliveries over in the background, and keeps a record of each."""

    def __init__(
        self,
        world: World,
        clock: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Deliver over the network, or by `transport`."""
        self._world = world
        self._clock = clock
        # Time runs from the sending, so that a delivery must not wait for a free connection.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx.AsyncClient(
            timeout=None,  # noqa: S113 - limited below
            limits=limits,
            trust_env=False,
            transport=transport,
        )
        self.answer_limit_s = ANSWER_LIMIT_S
        self.faults: Faults = NoFaults()
        self.targets: list[str] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Drop what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()

    def send(
        self, installation: Installation, event: str, payload: dict[str, Any], repository_id: int | None
    ) -> Delivery:
        """Hand over one event, if the App has subscribed to it (the App's own events always are)."""
        delivery = Delivery(
            id=self._world.new_id(),
            guid=str(uuid.uuid4()),
            app=installation.app,
            installation=installation,
            event=event,
            payload=payload,
            repository_id=repository_id,
            delivered_at=self._clock(),
        )
        self._start(delivery)
        return delivery

    def ping(self, app: App) -> None:
        """Hand over the one event that an App gets without an installation, when its webhook is made."""
        delivery = Delivery(
            id=self._world.new_id(),
            guid=str(uuid.uuid4()),
            app=app,
            installation=None,
            event="ping",
            payload={"zen": "Keep it logically awesome.", "hook_id": app.id, "hook": {"type": "App", "id": app.id}},
            repository_id=None,
            delivered_at=self._clock(),
        )
        self._start(delivery)

    def redeliver(self, old: Delivery) -> Delivery:
        """Hand the same over again: a delivery of its own with the old GUID."""
        again = Delivery(
            id=self._world.new_id(),
            guid=old.guid,
            app=old.app,
            installation=old.installation,
            event=old.event,
            payload=old.payload,
            repository_id=old.repository_id,
            delivered_at=self._clock(),
            redelivery=True,
        )
        self._start(again)
        return again

    @property
    def under_way(self) -> int:
        """How many deliveries are still to be handed over."""
        return len(self._under_way)

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _target(self, app: App) -> str:
        """The App's webhook URL; several `targets` stand for the containers behind it, each in its turn."""
        if not self.targets:
            return app.hook_url
        self.targets.append(self.targets.pop(0))
        return self.targets[-1]

    def _start(self, delivery: Delivery) -> None:
        times = self.faults.hand_over(delivery)
        if times:
            self._world.deliveries[delivery.id] = delivery
        for seconds in times:
            task = asyncio.create_task(self._hand_over(delivery, seconds))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _hand_over(self, delivery: Delivery, seconds: float) -> None:
        await asyncio.sleep(seconds)
        app = delivery.app
        body = json.dumps(delivery.payload).encode()
        delivery.request_headers = _headers(delivery, app.id, app.webhook_secret, body)
        began = self._clock()
        if self.faults.breaks_connection():
            delivery.status = "failed to connect to host"
            return
        try:
            async with asyncio.timeout(self.answer_limit_s):
                answer = await self._client.post(self._target(app), content=body, headers=delivery.request_headers)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            delivery.status = "timed out" if isinstance(error, TimeoutError) else "failed to connect to host"
        else:
            delivery.status_code = answer.status_code
            delivery.status = "OK" if answer.is_success else f"Invalid HTTP Response: {answer.status_code}"
            delivery.response = answer.text[:2000]
        delivery.duration = self._clock() - began


def _headers(delivery: Delivery, app_id: int, secret: str, body: bytes) -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/5112a7f",
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Hook-ID": str(app_id),
        "X-GitHub-Hook-Installation-Target-ID": str(app_id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature-256": f"sha256={signature}",
    }

"""Making an App from a manifest (docs: "Registering a GitHub App from a manifest").

A form posts the manifest; GitHub makes the App and sends the browser back with a one-use code, which is good for an
hour and buys the App's secrets once.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.shapes import Shapes
from github_app.simulator.github.state import Account, App, World
from github_app.simulator.github.webhooks import Webhooks

_CODE_LIFETIME_S = 3600.0
_MOST_CALLBACKS = 10


@dataclass(frozen=True)
class _Conversion:
    app: App
    pem: str
    expires_at: float


class Registration:
    """Pending conversions, each good once."""

    def __init__(
        self, world: World, shapes: Shapes, webhooks: Webhooks, clock: Callable[[], float] = time.time
    ) -> None:
        self._world = world
        self._shapes = shapes
        self._webhooks = webhooks
        self._clock = clock
        self._pending: dict[str, _Conversion] = {}

    def register(self, owner: Account, manifest_json: str) -> tuple[str, str]:
        """Make the App and return (redirect URL of the manifest, code).

        Raises:
            ApiError: 422 with what is wrong in the manifest.
        """
        manifest = _checked(manifest_json)
        slug = re.sub(r"[^a-z0-9]+", "-", str(manifest["name"]).lower()).strip("-")
        if any(app.slug == slug for app in self._world.apps.values()):
            raise ApiError(422, "Name is already taken")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        app = App(
            id=self._world.new_id(),
            owner=owner,
            name=manifest["name"],
            slug=slug,
            client_id=f"Iv23li{secrets.token_hex(7)}",
            public_key=key.public_key(),
            webhook_secret=secrets.token_hex(20),
            hook_url=str(manifest["hook_attributes"]["url"]),
            permissions={"metadata": "read", **manifest.get("default_permissions", {})},
            events=list(manifest.get("default_events", [])),
            external_url=manifest["url"],
            created_at=self._clock(),
            client_secrets=[secrets.token_hex(20)],
            callback_urls=list(manifest.get("callback_urls", [])),
            request_oauth_on_install=bool(manifest.get("request_oauth_on_install", False)),
        )
        self._world.apps[app.id] = app
        self._webhooks.ping(app)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        code = secrets.token_hex(20)
        self._pending[code] = _Conversion(app, pem.decode(), self._clock() + _CODE_LIFETIME_S)
        return str(manifest["redirect_url"]), code

    def convert(self, code: str) -> dict[str, Any]:
        """Give out the App's secrets for a code, once."""
        pending = self._pending.pop(code, None)
        if pending is None or pending.expires_at <= self._clock():
            raise ApiError(404, "Not Found")
        return {
            **self._shapes.app(pending.app),
            "client_secret": pending.app.client_secrets[0],
            "webhook_secret": pending.app.webhook_secret,
            "pem": pending.pem,
        }


def _checked(manifest_json: str) -> dict[str, Any]:
    try:
        manifest = json.loads(manifest_json)
    except ValueError:
        raise ApiError(422, "Invalid manifest: it is not JSON") from None
    if not isinstance(manifest, dict):
        raise ApiError(422, "Invalid manifest: it is not an object")
    for name in ("name", "url", "redirect_url"):
        if not isinstance(manifest.get(name), str) or not manifest[name]:
            raise ApiError(422, f'Invalid manifest: "{name}" wasn\'t supplied.')
    hook = manifest.get("hook_attributes")
    if not isinstance(hook, dict) or not isinstance(hook.get("url"), str):
        raise ApiError(422, 'Invalid manifest: "hook_attributes.url" wasn\'t supplied.')
    if not isinstance(manifest.get("default_permissions", {}), dict):
        raise ApiError(422, 'Invalid manifest: "default_permissions" is not an object.')
    if not isinstance(manifest.get("default_events", []), list):
        raise ApiError(422, 'Invalid manifest: "default_events" is not a list.')
    callbacks = manifest.get("callback_urls", [])
    if not isinstance(callbacks, list) or not all(isinstance(url, str) for url in callbacks):
        raise ApiError(422, 'Invalid manifest: "callback_urls" is not a list of URLs.')
    if wrong := wrong_callbacks(callbacks):
        raise ApiError(422, f"Invalid manifest: {wrong}")
    return manifest


def wrong_callbacks(urls: Collection[str]) -> str | None:
    """What is wrong with callback URLs (docs: "About the user authorization callback URL"), or None."""
    if len(urls) > _MOST_CALLBACKS:
        return f"There may be at most {_MOST_CALLBACKS} callback URLs."
    if any(urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc for url in urls):
        return "A callback URL is not a URL."
    return None

"""The App's manifest, from manifest.yml (docs: "Registering a GitHub App from a manifest")."""

from importlib.resources import files
from typing import Any

import msgspec

from github_app.github.people import CALLBACK

# GitHub's limit; the names of all Apps are one namespace.
LONGEST_NAME = 34


def load_manifest() -> dict[str, Any]:
    """Read manifest.yml as GitHub takes it, still without the URLs that registration fills in."""
    text = files("github_app").joinpath("manifest.yml").read_text(encoding="utf-8")
    manifest: dict[str, Any] = msgspec.yaml.decode(text)
    return manifest


def registration_manifest(*, name: str, hook_url: str, redirect_url: str, personal: bool) -> dict[str, Any]:
    """The manifest for one registration.

    `personal`: a personal account has runners of single repositories alone, which need a wider permission.
    """
    manifest = load_manifest()
    permissions = dict(manifest["default_permissions"])
    if personal:
        del permissions["organization_self_hosted_runners"]
        permissions["administration"] = "write"
    return manifest | {
        "name": name,
        "hook_attributes": {"url": hook_url, "active": True},
        "redirect_url": redirect_url,
        # Of the dashboard, which is served beside `/webhook`.
        "callback_urls": [hook_url.removesuffix("/webhook") + CALLBACK],
        "default_permissions": permissions,
    }

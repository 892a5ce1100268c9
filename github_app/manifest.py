"""The App's manifest, from manifest.yml."""

from importlib.resources import files
from typing import Any

import msgspec


def load_manifest() -> dict[str, Any]:
    """Read manifest.yml as GitHub takes it, still without the URLs that registration fills in."""
    text = files("github_app").joinpath("manifest.yml").read_text(encoding="utf-8")
    manifest: dict[str, Any] = msgspec.yaml.decode(text)
    return manifest

"""The recipe of the runner image: GitHub's own runner image and what workflows expect beside it.

The image is published under a name that carries the recipe's hash: it is built once for each recipe, and a launch
looks it up by name, which never builds (modal.com/docs/guide/images).
"""

import hashlib
from dataclasses import dataclass

import modal

# Public, Ubuntu 24.04, with user `runner`, git, curl, jq, unzip and docker; without these:
_PACKAGES = "build-essential git-lfs locales openssh-client pkg-config python3-pip python3-venv rsync xz-utils zip zstd"


@dataclass(frozen=True)
class ImageRecipe:
    """What the image is made of: a base, and the Dockerfile lines that follow."""

    base: str
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name to publish under and to look up by."""
        digest = hashlib.sha256("\n".join((self.base, *self.lines)).encode()).hexdigest()
        return f"modal-runner:{digest[:16]}"

    def image(self) -> modal.Image:
        """The definition; nothing is built yet."""
        return modal.Image.from_registry(self.base).dockerfile_commands(*self.lines)


def runner_image(runner_version: str) -> ImageRecipe:
    """Describe the image with actions/runner of `runner_version`."""
    return ImageRecipe(
        base=f"ghcr.io/actions/actions-runner:{runner_version}",
        lines=(
            "USER root",
            f"RUN apt-get update && apt-get install -y {_PACKAGES} && rm -rf /var/lib/apt/lists/*",
            "ENTRYPOINT []",
        ),
    )

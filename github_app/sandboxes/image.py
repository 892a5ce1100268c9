"""The recipe of the runner images: the official runner, and what workflows expect of a hosted Ubuntu.

An image is published under a name that carries the recipe's hash: it is built once for each recipe, and a launch
looks it up by name, which never builds (modal.com/docs/guide/images).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import modal

_BASE = "ubuntu:24.04"
# All of Ubuntu's own archive.
_PACKAGES = (
    "build-essential ca-certificates curl docker-buildx docker-compose-v2 docker.io gh git git-lfs iptables jq locales "
    "openssh-client pkg-config python3 python3-pip python3-venv rsync sudo tzdata unzip util-linux xz-utils zip zstd"
)
_RUNNER = "https://github.com/actions/runner/releases/download/v{version}/actions-runner-linux-x64-{version}.tar.gz"
_ENVIRONMENT = (
    "ENV DEBIAN_FRONTEND=noninteractive LANG=en_US.UTF-8 ImageOS=ubuntu24 "
    "RUNNER_TOOL_CACHE=/opt/hostedtoolcache AGENT_TOOLSDIRECTORY=/opt/hostedtoolcache"
)


# Which variables are the image's own, so that a sandbox can tell those of a Modal Secret from them.
_ENV_NAMES = (
    r"RUN env -0 | tr '\n' ' ' | tr '\0' '\n' | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' "
    "> /etc/modal-runner-env"
)


@dataclass(frozen=True)
class ImageRecipe:
    """What an image is made of: a base, and the Dockerfile lines that follow."""

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


def runner_image(
    version: str,
    sha256: str | None = None,
    *,
    base: str | None = None,
    apt: Sequence[str] = (),
    pip: Sequence[str] = (),
    dockerfile: Sequence[str] = (),
) -> ImageRecipe:
    """Describe an image with actions/runner of `version`, whose archive has to have `sha256`.

    `base` has to be an Ubuntu of 22.04 or newer, or made from one.
    """
    check = f'echo "{sha256}  runner.tar.gz" | sha256sum --check - && ' if sha256 else ""
    lines = [
        "USER root",
        _ENVIRONMENT,
        (
            f"RUN apt-get update && apt-get install -y --no-install-recommends {_PACKAGES} "
            "&& locale-gen en_US.UTF-8 && rm -rf /var/lib/apt/lists/*"
        ),
        # As in GitHub's own image of the runner: the user, its number, its groups.
        (
            "RUN useradd --create-home --uid 1001 --shell /bin/bash --groups docker,sudo runner "
            "&& echo 'runner ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/runner "
            "&& install -d -o runner -g runner /opt/hostedtoolcache"
        ),
        (
            f"RUN cd /home/runner && curl -fsSL -o runner.tar.gz {_RUNNER.format(version=version)} && {check}"
            "tar xzf runner.tar.gz && rm runner.tar.gz && ./bin/installdependencies.sh && chown -R runner:runner ."
        ),
    ]
    if apt:
        lines.append(f"RUN apt-get update && apt-get install -y {' '.join(apt)} && rm -rf /var/lib/apt/lists/*")
    if pip:
        quoted = " ".join(f"'{package}'" for package in pip)
        lines.append(f"RUN python3 -m pip install --break-system-packages {quoted}")
    return ImageRecipe(base or _BASE, (*lines, *dockerfile, _ENV_NAMES, "ENTRYPOINT []"))

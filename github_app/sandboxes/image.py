"""The recipe of the runner images: the official runner, and what workflows expect of a hosted Ubuntu.

An image is published under a name that carries the recipe's hash: it is built once for each recipe, and a launch
looks it up by name, which never builds (modal.com/docs/guide/images). docs/image.md compares it with GitHub's own.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import modal

from github_app.routing.catalog import RUNNER_SHA256, RUNNER_VERSION

# The version of Modal's image builder that the recipe is tried with; the environment may have another one.
BUILDER_VERSION = "2025.06"
BUILDER_VARIABLE = "MODAL_IMAGE_BUILDER_VERSION"
# By its digest (that of the index, of September 2026), so that a tag that is moved changes nothing here.
_BASE = "ubuntu:24.04@sha256:69cecf4bbf72d2d44a9eef1b71fb98c7fb973d78af11399deccef19beb008ad9"
# The default version of GitHub's ubuntu-24.04.
NODE_VERSION = "22.23.2"
# All of Ubuntu's own archive, by names that 22.04 has too. What GitHub's image has, as far as it is small.
PACKAGES = (
    *("acl", "autoconf", "automake", "bc", "bind9-dnsutils", "bison", "brotli", "build-essential", "bzip2"),
    *("ca-certificates", "cmake", "curl", "docker-buildx", "docker-compose-v2", "docker.io", "file", "flex", "gh"),
    *("git", "git-lfs", "gnupg", "iproute2", "iptables", "iputils-ping", "jq", "less", "libsqlite3-dev", "libssl-dev"),
    *("libtool", "libyaml-dev", "locales", "lsb-release", "lz4", "m4", "net-tools", "netcat-openbsd", "ninja-build"),
    *("openssh-client", "parallel", "patchelf", "pigz", "pipx", "pkg-config", "python-is-python3", "python3"),
    *("python3-dev", "python3-pip", "python3-venv", "rsync", "software-properties-common", "sqlite3", "sudo", "time"),
    *("tree", "tzdata", "unzip", "util-linux", "wget", "xz-utils", "zip", "zstd"),
)
_RUNNER = "https://github.com/actions/runner/releases/download/v{version}/actions-runner-linux-x64-{version}.tar.gz"
_ENVIRONMENT = (
    "ENV DEBIAN_FRONTEND=noninteractive LANG=en_US.UTF-8 ACCEPT_EULA=Y "
    # In place of pip's own setting, which 22.04's pip does not know as an option.
    "PIP_BREAK_SYSTEM_PACKAGES=1 PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/opt/pipx_bin "
    "RUNNER_TOOL_CACHE=/opt/hostedtoolcache AGENT_TOOLSDIRECTORY=/opt/hostedtoolcache"
)
# Before anything of Modal's: its builder up to 2024.10 begins by calling python and pip.
_FIRST = (
    "USER root",
    _ENVIRONMENT,
    (
        f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(PACKAGES)} "
        "&& locale-gen en_US.UTF-8 && rm -rf /var/lib/apt/lists/* "
        # Those builders go on with `pip install --upgrade`, which cannot replace the pip that is Debian's.
        "&& python3 -m pip install --no-cache-dir --ignore-installed pip wheel"
    ),
)
_NODE = f"node-v{NODE_VERSION}-linux-x64.tar.xz"
_NODES = f"https://nodejs.org/dist/v{NODE_VERSION}"
_TOOLS = (
    # As in GitHub's images: the user, its number, its groups, what sudo keeps, what may be written without it.
    (
        "RUN { id runner || useradd --create-home --uid 1001 --shell /bin/bash runner; } "
        "&& usermod --append --groups docker,sudo runner "
        """&& printf '%s\\n' 'runner ALL=(ALL) NOPASSWD:ALL' """
        """'Defaults env_keep += "DEBIAN_FRONTEND PIP_BREAK_SYSTEM_PACKAGES"' > /etc/sudoers.d/runner """
        "&& install -d -o runner -g runner /opt/hostedtoolcache /opt/pipx /opt/pipx_bin /usr/share/dotnet "
        "/home/runner/.config /home/runner/.local /home/runner/.local/bin && chmod 777 /opt /usr/local/bin "
        """&& printf '%s\\n' 'APT::Get::Assume-Yes "true";' 'Acquire::Retries "10";' > /etc/apt/apt.conf.d/90runner """
        "&& git config --system --add safe.directory '*'"
    ),
    (
        f"RUN cd /tmp && curl -fsSLO {_NODES}/{_NODE} "
        f"&& curl -fsSL {_NODES}/SHASUMS256.txt | grep ' {_NODE}$' | sha256sum --check - "
        f"&& tar -xJf {_NODE} -C /usr/local --strip-components=1 --no-same-owner && rm {_NODE} "
        "&& npm install --global yarn && chmod -R a+rwX /usr/local/lib/node_modules"
    ),
    (
        "RUN cd /tmp && curl -fsSLo aws.zip https://awscli.amazonaws.com/awscli-exe-linux-x86_64.zip "
        "&& unzip -q aws.zip && ./aws/install && rm -rf aws aws.zip"
    ),
)


def pin_builder() -> None:
    """Have Modal build by the version that the recipe is tried with, unless the environment names one."""
    os.environ.setdefault(BUILDER_VARIABLE, BUILDER_VERSION)


def unpin_builder() -> bool:
    """Have Modal build by its environment's own version from now on; tell whether that is a change."""
    if os.environ.get(BUILDER_VARIABLE) != BUILDER_VERSION:
        return False
    # Empty, so that it is not set again; the SDK takes that for unset.
    os.environ[BUILDER_VARIABLE] = ""
    return True


@dataclass(frozen=True)
class ImageRecipe:
    """What an image is made of: a base, and the Dockerfile lines that follow, the `first` ones before Modal's own."""

    base: str
    lines: tuple[str, ...]
    first: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name to publish under and to look up by."""
        digest = hashlib.sha256("\n".join((self.base, *self.first, *self.lines)).encode()).hexdigest()
        return f"modal-runner:{digest[:32]}"

    def image(self) -> modal.Image:
        """The definition; nothing is built yet."""
        base = modal.Image.from_registry(self.base, setup_dockerfile_commands=list(self.first))
        return base.dockerfile_commands(*self.lines)


def checksum(version: str) -> str | None:
    """The SHA-256 of a version's archive, where it is known without asking."""
    return RUNNER_SHA256 if version == RUNNER_VERSION else None


def runner_image(
    version: str,
    sha256: str | None = None,
    *,
    base: str | None = None,
    apt: Sequence[str] = (),
    pip: Sequence[str] = (),
    dockerfile: Sequence[str] = (),
) -> ImageRecipe:
    """Describe an image with actions/runner of `version`, whose archive has to have `sha256` (None: the known one).

    `base` has to be an Ubuntu of 22.04 or newer, or made from one. What changes every month comes last.
    """
    lines = [*_TOOLS]
    if apt:
        lines.append(f"RUN apt-get update && apt-get install -y {' '.join(apt)} && rm -rf /var/lib/apt/lists/*")
    if pip:
        quoted = " ".join(f"'{package}'" for package in pip)
        lines.append(f"RUN python3 -m pip install {quoted}")
    sha256 = sha256 or checksum(version)
    check = f'echo "{sha256}  runner.tar.gz" | sha256sum --check - && ' if sha256 else ""
    lines += [
        *dockerfile,
        "USER root",
        (
            f"RUN cd /home/runner && curl -fsSL -o runner.tar.gz {_RUNNER.format(version=version)} && {check}"
            "tar xzf runner.tar.gz && rm runner.tar.gz && ./bin/installdependencies.sh && chown -R runner:runner . "
            "&& rm -rf /var/lib/apt/lists/*"
        ),
        "ENTRYPOINT []",
    ]
    return ImageRecipe(base or _BASE, tuple(lines), _FIRST)

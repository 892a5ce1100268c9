"""What a demo has beside its files: secrets and variables, the policy of this folder, and whether Docker is here."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from github_app.errors import InputError
from github_app.settings.load import load_config, load_routing_settings
from github_app.settings.toml_file import FILE

# Of the environment the app gets these and no others: what decides about jobs, and is no secret.
_POLICY = ("MODAL_RUNNER_CONFIG", "RUNNER_LABEL", "MAX_CONCURRENT", "MAX_CONCURRENT_PER_REPO", "BLOCK_NETWORK")
_DOCKER = "unix:///var/run/docker.sock"
_ANSWERS_WITHIN_S = 1.0


@dataclass(frozen=True)
class Policy:
    """The settings that are honoured, and how they are said."""

    settings: Mapping[str, str]
    said: tuple[str, ...]
    labels: tuple[str, ...]


def policy() -> Policy:
    """What this folder and the environment say about jobs.

    Raises:
        ConfigError: it is not right; lists everything.
    """
    given = {name: os.environ[name] for name in _POLICY if os.environ.get(name)}
    settings = load_routing_settings()
    file = settings.modal_runner_config or (Path(FILE) if Path(FILE).exists() else None)
    load_config(file)
    if file is not None:
        given["MODAL_RUNNER_CONFIG"] = str(file.absolute())
    said = [f"honoured: {file}"] if file else []
    said += [f"honoured: {name}={value}" for name, value in given.items() if name != "MODAL_RUNNER_CONFIG"]
    return Policy(given, tuple(said), settings.runner_label)


def pairs(file: Path | None, option: str) -> Mapping[str, str]:
    """NAME=VALUE lines; empty ones and those that begin with # do not count. A value in quotes is without them.

    Raises:
        InputError: it cannot be read, or a line is of another form.
    """
    if file is None:
        return {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{option} {file}: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, is_pair, value = line.strip().removeprefix("export ").partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not is_pair or not name.strip().isidentifier():
            raise InputError(f"{option} {file}:{number}: not of the form NAME=VALUE")
        value = value.strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name.strip().upper()] = value[1:-1] if quoted else value
    return found


def docker_answers() -> bool:
    """Whether a Docker daemon is at the other end of DOCKER_HOST, or where it is by default."""
    address = urlsplit(os.environ.get("DOCKER_HOST") or _DOCKER)
    try:
        if address.scheme == "unix":
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(_ANSWERS_WITHIN_S)
            client.connect(address.path)
        else:
            client = socket.create_connection((address.hostname or "", address.port or 2375), _ANSWERS_WITHIN_S)
        with client:
            client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in client.recv(64)
    except OSError:
        return False

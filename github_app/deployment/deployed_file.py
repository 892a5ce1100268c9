"""The administrator's file of a deployment: kept in its Secret, so that it can be read back and is not lost unseen."""

import base64
import difflib
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from github_app.errors import ConfigError, InputError
from github_app.settings.masked import CannotMaskError, masked
from github_app.settings.toml_file import FILE

# Beside the settings, which a sandbox of a minute reads in one go.
FILE_VARIABLE = "MODAL_RUNNER_FILE"
# Modal's Secrets take values of 32 KiB (modal.com/docs/guide/secrets); packed, a file takes a third or less.
_LONGEST = 32_000


def text_of(file: Path | None) -> str:
    """What is to be deployed; empty without a file.

    Raises:
        ConfigError: it cannot be read, or is too long for a Secret.
    """
    if file is None:
        return ""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: cannot be read ({type(error).__name__})"]) from None
    if len(packed(text)) > _LONGEST:
        raise ConfigError([f"{file}: even packed it is longer than the {_LONGEST:,} bytes that a Secret takes of it"])
    return text


def packed(text: str) -> str:
    """The file as the Secret keeps it; that there is none is kept too."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def deployed_text(stored: Mapping[str, str]) -> str | None:
    """The file that is deployed, empty where none is; None where an older version deployed it and nothing is known.

    Raises:
        ConfigError: what the Secret keeps was not written by this.
    """
    kept = stored.get(FILE_VARIABLE)
    if not kept:
        return None
    try:
        return zlib.decompress(base64.b64decode(kept, validate=True)).decode()
    except (ValueError, zlib.error):
        raise ConfigError([f"{FILE_VARIABLE} in the App's Secret is not what a deploy keeps there: unset it"]) from None


def refuse_to_drop(stored: Mapping[str, str], text: str) -> None:
    """Deploy no emptiness over a file: its routes, limits and refusals would be gone without a word.

    Raises:
        InputError: there is a file, and none is to be deployed.
    """
    if deployed_text(stored) and not text.strip():
        raise InputError(
            f"the deployment has a {FILE}, and there is none here: its routes, profiles and limits would be gone. "
            f"`modal-runner config show --deployed --file --unmasked > {FILE}` brings it here; "
            "`modal-runner redeploy --no-config` drops it"
        )


def difference(before: str | None, after: str) -> list[str]:
    """What changes in the file, as a unified diff with the values of variables masked; no line when nothing does."""
    if (before or "") == after:
        return []
    try:
        old, new = masked(before or ""), masked(after)
        changed = sorted(_changed(tomllib.loads(before or ""), tomllib.loads(after)))
    except (CannotMaskError, tomllib.TOMLDecodeError):
        return [f"{FILE} changes; it is written so that its variables cannot be masked, and is not shown"]
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{FILE} as deployed", f"{FILE} as it lies here", lineterm="", n=2
    )
    told = [*lines, *(f"the value of {name} changes" for name in changed)]
    return told or [f"{FILE} changes in nothing that counts"]


def _changed(old: object, new: object, path: str = "") -> Iterator[str]:
    """The variables that have another value, by their full names."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() & new.keys():
            yield from _changed(old[key], new[key], f"{path}.{key}" if path else key)
    elif old != new and (".env." in path or ".secret_env." in path):
        yield path

"""Reading the administrator's file, `modal-runner.toml`, alone or along with the environment."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from github_app.errors import ConfigError
from github_app.settings import pasted
from github_app.settings.environment import load_settings
from github_app.settings.fields import Settings
from github_app.settings.file import FILE, Config
from github_app.settings.mistakes import contradictions, numbered, sentence, unknown_names


def load_config(path: Path | None) -> Config:
    """Read the file; with no path, `modal-runner.toml` of this directory, or nothing.

    Raises:
        ConfigError: lists everything that is wrong, with line numbers.
    """
    if path is None and not Path(FILE).exists():
        return Config()
    path = path or Path(FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read ({type(error).__name__})"]) from None
    return parse_config(text, str(path))


def load_all() -> tuple[Settings, Config]:
    """Read the environment and the file.

    Raises:
        ConfigError: lists everything that is wrong with either.
    """
    problems: list[str] = []
    named = os.environ.get("MODAL_RUNNER_CONFIG", "").strip()
    path = pasted.path(Path(named)) if named else None
    try:
        settings = load_settings()
    except ConfigError as error:
        problems += error.problems
    try:
        config = load_config(path)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return settings, config


def parse_config(text: str, name: str = FILE) -> Config:
    """Read the file's text; `name` stands in messages.

    Raises:
        ConfigError: lists everything that is wrong, with line numbers.
    """
    raw: dict[str, Any] = {}
    try:
        raw = tomllib.loads(text)
        found = Config.model_validate(raw)
    except tomllib.TOMLDecodeError as error:
        # Its text is the only place where Python 3.11 to 3.13 tell the line.
        line = re.search(r"at line (\d+)", str(error))
        raise ConfigError([f"{name}:{line[1] if line else 1}: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{name}: it is nested too deep"]) from None
    except ValidationError as error:
        problems = [(each["loc"], sentence(each["type"], each["msg"])) for each in error.errors()]
        raise ConfigError(numbered(name, text, problems + unknown_names(raw))) from None
    if wrong := unknown_names(raw) + contradictions(found):
        raise ConfigError(numbered(name, text, wrong))
    return found

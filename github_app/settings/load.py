"""Reading what the operator decides: environment, a deployment's Secret, modal-runner.toml; all problems at once."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from github_app.errors import ConfigError
from github_app.settings import pasted
from github_app.settings.plain_words import in_plain_words
from github_app.settings.toml_file import FILE, Config
from github_app.settings.toml_mistakes import (
    Location,
    contradictions,
    numbered,
    sentence,
    unknown_names,
    without_mistakes,
)
from github_app.settings.variables import STORED, RoutingSettings, Settings

S = TypeVar("S", bound=RoutingSettings)


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigError: lists everything that is wrong, without any value.
    """
    return _load_as(Settings)


def load_routing_settings() -> RoutingSettings:
    """Read that part of the environment which needs no credentials.

    Raises:
        ConfigError: lists everything that is wrong, without any value.
    """
    return _load_as(RoutingSettings)


def settings_of(variables: Mapping[str, str]) -> Settings:
    """Read these variables as the environment is read, and the environment not at all.

    Raises:
        ConfigError: lists everything that is wrong, without any value.
    """
    names = {**STORED, "modal_app_name": "MODAL_APP_NAME"}
    return _load_as(_Given, {name: variables[key] for name, key in names.items() if variables.get(key)})


def problems_of(given: Mapping[str, str]) -> list[str]:
    """What is wrong with single settings by themselves, by their names as fields."""
    try:
        _Given(**given)  # type: ignore[arg-type]  # pydantic converts
    except ValidationError as error:
        # What is missing besides is in the Secret.
        wrong = [(str(each["loc"][0]), each) for each in error.errors() if each["loc"]]
        return [_problem(field, each) for field, each in wrong if field in given]
    return []


class _Given(Settings):
    """Settings that come from what they are made with alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _load_as(kind: type[S], given: Mapping[str, object] | None = None) -> S:
    try:
        return kind(**(given or {}))  # type: ignore[arg-type]  # pydantic converts, and fills in the environment
    except ValidationError as error:
        raise ConfigError([_problem(str(e["loc"][0]), e) for e in error.errors()]) from None


def _problem(field: str, error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return f"{field.upper()}: missing. {Settings.model_fields[field].description}"
    return f"{field.upper()}: {in_plain_words(error['type'], error['msg'], error.get('ctx'))}"


def load_config(path: Path | None) -> Config:
    """Read the file; with no path, `modal-runner.toml` of this directory, or nothing.

    Raises:
        ConfigError: lists everything that is wrong, with line numbers.
    """
    if path is None and not Path(FILE).exists():
        return Config()
    path = path or Path(FILE)
    return parse_config(file_text(path), str(path))


def file_text(path: Path) -> str:
    """The text of the file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read ({type(error).__name__})"]) from None


def named_file() -> Path | None:
    """The file that the environment names, whatever else is wrong there."""
    named = os.environ.get("MODAL_RUNNER_CONFIG", "").strip()
    return pasted.path(Path(named)) if named else None


def load_all() -> tuple[Settings, Config]:
    """Read the environment and the file.

    Raises:
        ConfigError: lists everything that is wrong with either.
    """
    problems: list[str] = []
    path = named_file()
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
    found, wrong = read_config(text, name)
    if wrong:
        raise ConfigError(wrong)
    return found


def read_config(text: str, name: str = FILE) -> tuple[Config, list[str]]:
    """Read as much of the file's text as makes sense, and say what is wrong in it, by its lines."""
    raw: dict[str, Any] = {}
    try:
        raw = tomllib.loads(text)
        found = Config.model_validate(raw)
    except tomllib.TOMLDecodeError as error:
        # Its text is the only place where Python 3.11 to 3.13 tell the line.
        line = re.search(r"at line (\d+)", str(error))
        return Config(), [f"{name}:{line[1] if line else 1}: {error}"]
    except RecursionError:
        return Config(), [f"{name}: it is nested too deep"]
    except ValidationError as error:
        problems = [
            (each["loc"], sentence(each["type"], each["msg"], each["loc"], each.get("ctx"))) for each in error.errors()
        ]
        return _rest(raw, [place for place, _ in problems]), numbered(name, text, problems + unknown_names(raw))
    return found, numbered(name, text, unknown_names(raw) + contradictions(found))


def _rest(raw: dict[str, Any], wrong: list[Location]) -> Config:
    try:
        return Config.model_validate(without_mistakes(raw, wrong))
    except ValidationError:
        return Config()

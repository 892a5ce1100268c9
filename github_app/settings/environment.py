"""Reading the settings: from the environment, or from what a deployment's Secret holds; all problems told at once."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from github_app.errors import ConfigError
from github_app.settings.fields import STORED, RoutingSettings, Settings

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
        raise ConfigError([_problem(e["type"], str(e["loc"][0]), e["msg"]) for e in error.errors()]) from None


def _problem(kind: str, field: str, message: str) -> str:
    if kind == "missing":
        message = f"missing. {Settings.model_fields[field].description}"
    return f"{field.upper()}: {message.removeprefix('Value error, ')}"

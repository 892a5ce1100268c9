"""The settings: read once from the environment, all problems told at once.

Secret fields are `SecretStr`, which has no readable repr. Modal's SDK reads its own `MODAL_*` variables.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AliasChoices, Field, HttpUrl, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from github_app.catalog import REGIONS, RUNNER_VERSION
from github_app.errors import ConfigError
from github_app.host import Host, host
from github_app.network import cidr
from github_app.policy import PATTERN

# Environment variables that hold nothing come from unset CI variables and empty lines of env files.
_CONFIG = SettingsConfigDict(
    extra="ignore", env_ignore_empty=True, hide_input_in_errors=True, frozen=True, populate_by_name=True
)
DomainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d+)?$")]
DictPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$")]


class RoutingSettings(BaseSettings):
    """What decides about jobs; needs no credentials. Each field is the variable of the same name in capitals."""

    model_config = _CONFIG

    modal_runner_config: Path | None = Field(
        None, description="The administrator's file. Unset: `modal-runner.toml` where the App starts, if there is one."
    )
    modal_app_name: DictPrefix = Field(
        "modal-runner",
        description="Modal App; sandboxes live in `<name>-sandboxes`, records in `<name>-<kind>`.",
    )
    runner_label: Annotated[tuple[str, ...], NoDecode] = Field(
        ("modal",), description="The label that selects us; several with commas between.", min_length=1
    )
    allowed_repos: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Globs of repositories, commas between; public ones in full. Unset: all private repositories.",
    )
    runner_group_id: int | None = Field(
        None, description="Runner group that runners join. Unset: the default group.", gt=0
    )
    block_network: bool = Field(
        default=False,
        description="`true`: sandboxes reach GitHub's own runner domains and nothing else. Wins over ALLOWED_CIDRS.",
    )
    allowed_cidrs: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="IPv4 ranges that sandboxes may reach beside GitHub's domains; a JSON list, or commas between.",
    )
    cache_volume_name: str | None = Field(
        None,
        description="Mounts a Modal Volume of this name at /cache, one for each repository unless the file shares it.",
        pattern=r"^[A-Za-z0-9._-]{1,40}$",
    )
    modal_region: str | None = Field(
        None,
        validation_alias=AliasChoices("MODAL_REGION", "SANDBOX_REGION"),
        description="Where sandboxes run. Unset: anywhere, which is cheapest; a pinned region costs 1.5 to 1.75 times. "
        "In a Modal Secret write `SANDBOX_REGION`: there this name is Modal's own.",
    )
    sandbox_extra_env: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {}, description="Variables for every sandbox: a JSON object of strings, or NAME=value with commas between."
    )
    github_enterprise_domain: DomainName | None = Field(
        None, description="Host of a GitHub Enterprise Server, or SUBDOMAIN.ghe.com. Unset: github.com."
    )
    github_api_url: HttpUrl | None = Field(None, description="Overrides the REST API's base alone.")
    keep_warm: int = Field(
        0,
        description="On Modal: web containers that are always up (1: no cold start); read when deploying.",
        ge=0,
        le=1,
    )
    sweep_cron: str = Field(
        "* * * * *",
        description="On Modal: when to sweep; read when deploying. Less often is cheaper and repairs later.",
        pattern=r"^[0-9*/,-]+( [0-9A-Za-z*/,-]+){4}$",
    )
    max_concurrent_per_repo: int | None = Field(
        None, description="Most runners at once for one repository; further jobs wait. Unset: no cap.", gt=0
    )
    max_concurrent: int | None = Field(None, description="Most runners at once in all. Unset: no cap.", gt=0)
    runner_version: str = Field(
        RUNNER_VERSION, description="Version of actions/runner in the image.", pattern=r"^\d+\.\d+\.\d+$"
    )
    runner_sha256: str | None = Field(
        None,
        description="SHA-256 of that version's linux-x64 archive, as GitHub's list of runner downloads has it.",
        pattern=r"^[0-9a-f]{64}$",
    )

    @property
    def host(self) -> Host:
        """The GitHub that is spoken to."""
        override = str(self.github_api_url).rstrip("/") if self.github_api_url else None
        return host(self.github_enterprise_domain, override)

    @field_validator("allowed_repos", mode="before")
    @classmethod
    def _globs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        globs = [glob.strip() for glob in value.split(",") if glob.strip()]
        if wrong := [glob for glob in globs if not PATTERN.fullmatch(glob)]:
            raise ValueError(f"{', '.join(wrong)}: not of the form owner/repo (with *, ? or [...] as wildcards)")
        return tuple(globs)

    @field_validator("runner_label", mode="before")
    @classmethod
    def _labels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        if wrong := [name for name in names if "/" in name or ":" in name]:
            raise ValueError(f"{', '.join(wrong)}: a label that selects us has neither '/' nor ':'")
        return names

    @field_validator("allowed_cidrs", mode="before")
    @classmethod
    def _ranges(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        listed = _json(value) if value.lstrip().startswith("[") else value.split(",")
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise ValueError("no list of ranges; write for example 203.0.113.0/24,198.51.100.0/24")
        return tuple(cidr(each) for each in listed if each.strip())

    @field_validator("modal_region", mode="before")
    @classmethod
    def _region(cls, value: object) -> object:
        # The original project's default was a name of AWS.
        region = {"us-east-1": "us-east"}.get(str(value), value)
        if region is not None and region not in REGIONS:
            nearest = get_close_matches(str(region), REGIONS, n=1, cutoff=0.0)[0]
            raise ValueError(f"{region!r} is no region of Modal. Nearest: {nearest}. All: {', '.join(REGIONS)}")
        return region

    @field_validator("sandbox_extra_env", mode="before")
    @classmethod
    def _variables(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            found = _json(value)
        else:
            # What is wrong is told by its place: its text may be a secret with a comma in it.
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if wrong := [str(n) for n, part in enumerate(parts, 1) if not _VARIABLE.fullmatch(part.partition("=")[0])]:
                raise ValueError(f"part {', '.join(wrong)} is not NAME=value; values with commas need the JSON form")
            if bare := [str(n) for n, part in enumerate(parts, 1) if "=" not in part]:
                raise ValueError(f"part {', '.join(bare)} has no '='; values with commas need the JSON form")
            found = dict(part.partition("=")[::2] for part in parts)
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            raise ValueError('no object of strings; write for example {"NAME": "value"}')
        if not all(_VARIABLE.fullmatch(name) for name in found):
            raise ValueError("a key is not the name of a variable; these have letters, digits and '_' alone")
        return found


class Settings(RoutingSettings):
    """Everything that the environment decides; each field is the variable of the same name in capitals."""

    webhook_secret: SecretStr = Field(
        description="Signs GitHub's deliveries; made by GitHub at registration.", min_length=1
    )
    webhook_secret_old: SecretStr | None = Field(
        None, description="Signs them too, while `rotate-secret` is under way; else unset."
    )
    github_app_id: int = Field(description="The App's number, on its settings page.", gt=0)
    github_client_id: str | None = Field(None, description="The App's client id, on its settings page.")
    github_client_secret: SecretStr | None = Field(None, description="For the dashboard's sign-in.")
    github_private_key_path: Path | None = Field(None, description="A file with the PEM, instead of the PEM.")
    github_private_key: SecretStr = Field(
        SecretStr(""), description="The App's private key, PEM.", validate_default=True
    )
    sweep_interval_seconds: int = Field(60, description="How often `serve` sweeps by itself; 0 turns that off.", ge=0)

    @field_validator("github_private_key", mode="after")
    @classmethod
    def _key_that_signs(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        path = info.data.get("github_private_key_path")
        if value.get_secret_value():
            # Env files and CI variables make "\\n" of a PEM's line ends.
            pem = value.get_secret_value().replace("\\n", "\n")
        elif path is not None:
            pem = _read(path)
        else:
            raise ValueError(f"missing (or GITHUB_PRIVATE_KEY_PATH); {_KEY_ADVICE}")
        _load(pem)
        return SecretStr(pem)

    @property
    def webhook_secrets(self) -> list[SecretStr]:
        """What deliveries may be signed with."""
        old = self.webhook_secret_old
        return [self.webhook_secret] if old is None else [self.webhook_secret, old]

    def secrets(self) -> list[str]:
        """Every secret value, for the log's redaction."""
        values = [getattr(self, name) for name in type(self).model_fields]
        own = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        extra = [value.get_secret_value() for value in self.sandbox_extra_env.values()]
        # A flag like `1` is no secret, and to mask it would make the log unreadable.
        return own + [value for value in extra if len(value) >= SECRET_LENGTH]

    @property
    def private_key(self) -> RSAPrivateKey:
        """The App's key. As a key object it signs in 1 ms (a PEM string takes 43 ms) and has no readable repr."""
        return _load(self.github_private_key.get_secret_value())


# The variable of each setting that a deployment's Secret may hold. Modal sets MODAL_REGION in its containers by itself;
# name and file belong to the deployment.
STORED = {
    name: name.upper() for name in Settings.model_fields if name not in {"modal_app_name", "modal_runner_config"}
} | {"modal_region": "SANDBOX_REGION"}
SECRET_LENGTH = 8
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        # What was read is not quoted: it may hold secrets.
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"no JSON{at}") from None


_KEY_ADVICE = "give the PEM that the App's settings page made under 'Private keys'"


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


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file of GITHUB_PRIVATE_KEY_PATH cannot be read ({type(error).__name__})") from None


def _load(pem: str) -> RSAPrivateKey:
    # The causes are not chained: a parser's message may quote what it read.
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ValueError(f"the key is encrypted; {_KEY_ADVICE}") from None
    except ValueError:
        raise ValueError(f"the key does not parse; {_KEY_ADVICE}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"not an RSA key; {_KEY_ADVICE}")  # noqa: TRY004 - pydantic collects ValueErrors
    return key

"""The settings: every variable, what it says, and how what was pasted into it is read.

Secret fields are `SecretStr`, which has no readable repr. Modal's SDK reads its own `MODAL_*` variables.
"""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import (
    AliasChoices,
    Field,
    HttpUrl,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from github_app.routing.catalog import REGIONS, RUNNER_VERSION
from github_app.routing.network import cidr
from github_app.routing.policy import PATTERN
from github_app.settings import pasted
from github_app.settings.github_host import Host, host

# Environment variables that hold nothing come from unset CI variables and empty lines of env files.
_CONFIG = SettingsConfigDict(
    extra="ignore",
    env_ignore_empty=True,
    hide_input_in_errors=True,
    frozen=True,
    populate_by_name=True,
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
        ("modal",), description="The label that selects us; several with commas between, or a JSON list.", min_length=1
    )
    allowed_repos: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Globs of repositories, commas between; public ones in full. Unset: all private repositories.",
    )
    allowed_owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Accounts beside the App's owner whose installations are served, commas between. Only a public App "
        "can be installed by others.",
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
    github_web_url: HttpUrl | None = Field(None, description="Overrides the base of GitHub's pages alone.")
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
    otel_exporter_otlp_endpoint: HttpUrl | None = Field(
        None,
        description="Where traces of jobs go: a collector that takes OTLP over HTTP. Unset: none are made. Needs the "
        "extra `otel`; on Modal read when deploying, too.",
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
    def traces_to(self) -> str | None:
        """The address of the collector, if there is one."""
        return str(self.otel_exporter_otlp_endpoint) if self.otel_exporter_otlp_endpoint else None

    @property
    def host(self) -> Host:
        """The GitHub that is spoken to."""
        api_url, web_url = (str(url).rstrip("/") if url else None for url in (self.github_api_url, self.github_web_url))
        return host(self.github_enterprise_domain, api_url, web_url)

    @model_validator(mode="before")
    @classmethod
    def _without_blanks_around(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value.strip() if isinstance(value, str) else value for name, value in data.items()}

    @field_validator("allowed_repos", mode="before")
    @classmethod
    def _globs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        globs = pasted.names(value)
        if wrong := [glob for glob in globs if not PATTERN.fullmatch(glob)]:
            raise ValueError(f"{', '.join(wrong)}: not of the form owner/repo (with *, ? or [...] as wildcards)")
        return globs

    @field_validator("allowed_owners", mode="before")
    @classmethod
    def _owners(cls, value: object) -> object:
        return pasted.names(value) if isinstance(value, str) else value

    @field_validator("runner_label", mode="before")
    @classmethod
    def _labels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return pasted.labels(value)

    @field_validator("allowed_cidrs", mode="before")
    @classmethod
    def _ranges(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(cidr(each) for each in pasted.names(value, "ranges"))

    @field_validator("modal_region", mode="before")
    @classmethod
    def _region(cls, value: object) -> object:
        # The original project's default was a name of AWS.
        region = value.lower() if isinstance(value, str) else value
        region = {"us-east-1": "us-east"}.get(str(region), region)
        if region is not None and region not in REGIONS:
            nearest = get_close_matches(str(region), REGIONS, n=1, cutoff=0.0)[0]
            raise ValueError(f"{region!r} is no region of Modal. Nearest: {nearest}. All: {', '.join(REGIONS)}")
        return region

    @field_validator("sandbox_extra_env", mode="before")
    @classmethod
    def _variables(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return pasted.variables(value)

    @field_validator("github_enterprise_domain", mode="before")
    @classmethod
    def _domain(cls, value: object) -> object:
        return pasted.enterprise_domain(value)

    @field_validator("runner_version", "runner_sha256", mode="before")
    @classmethod
    def _release(cls, value: object) -> object:
        return value.lower().removeprefix("v") if isinstance(value, str) else value

    @field_validator("otel_exporter_otlp_endpoint", mode="after")
    @classmethod
    def _without_a_secret(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value is not None and (value.username or value.password):
            raise ValueError("no user and no password may stand in the address; put them in OTEL_EXPORTER_OTLP_HEADERS")
        return value

    @field_validator("modal_runner_config", mode="after")
    @classmethod
    def _below_home(cls, value: Path | None) -> Path | None:
        return value and pasted.path(value)


_SECRETS = (
    *("webhook_secret", "webhook_secret_old", "github_client_secret", "github_client_id", "metrics_token"),
    "otel_exporter_otlp_headers",
)


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
    github_client_secret: SecretStr | None = Field(
        None, description="For the dashboard's sign-in; without it there is no dashboard."
    )
    dashboard: bool = Field(default=True, description="`off`: there is no dashboard, and nobody can sign in.")
    metrics_token: SecretStr | None = Field(
        None, description="The bearer token with which Prometheus may read /metrics; unset, there is no such page."
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        None, description="Headers that the collector of traces wants: name=value, with commas between."
    )
    github_private_key_path: Path | None = Field(None, description="A file with the PEM, instead of the PEM.")
    github_private_key: SecretStr = Field(
        SecretStr(""), description="The App's private key, PEM.", validate_default=True
    )
    _trimmed: tuple[str, ...] = PrivateAttr(())
    sweep_interval_seconds: int = Field(60, description="How often `serve` sweeps by itself; 0 turns that off.", ge=0)

    @field_validator("github_private_key", mode="after")
    @classmethod
    def _key_that_signs(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        path = info.data.get("github_private_key_path")
        if value.get_secret_value():
            key = pasted.pem(value.get_secret_value())
        elif isinstance(path, Path):
            key = pasted.pem(_read(path))
        else:
            raise pasted.no_key()
        pasted.private_key(key)
        return SecretStr(key)

    @field_validator("github_app_id", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return pasted.app_id(value)

    @model_validator(mode="wrap")
    @classmethod
    def _trim(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Take blanks and line ends away that were pasted around a secret: no secret of GitHub's has any."""
        trimmed = []
        if isinstance(data, dict):
            for name in _SECRETS:
                value = data.get(name)
                text = value.get_secret_value() if isinstance(value, SecretStr) else value
                if isinstance(text, str) and text != text.strip():
                    data[name] = text.strip()
                    trimmed.append(name.upper())
        made = handler(data)
        made._trimmed = tuple(trimmed)  # noqa: SLF001 - of its own class
        return made

    @property
    def trimmed(self) -> tuple[str, ...]:
        """The variables of secrets around which there were blanks or line ends."""
        return self._trimmed

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
        return pasted.private_key(self.github_private_key.get_secret_value(), checked=True)


# The variable of each setting that a deployment's Secret may hold. Modal sets MODAL_REGION in its containers by itself;
# name and file belong to the deployment.
STORED = {
    name: name.upper() for name in Settings.model_fields if name not in {"modal_app_name", "modal_runner_config"}
} | {"modal_region": "SANDBOX_REGION"}
SECRET_LENGTH = 8


def _read(path: Path) -> str:
    try:
        return pasted.path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file of GITHUB_PRIVATE_KEY_PATH cannot be read ({type(error).__name__})") from None

"""The app as it is deployed in a simulation: its key, its settings, its containers' clocks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_app.clock import Clock
from github_app.routing.profiles import Profile, Route
from github_app.settings.load import settings_of
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings
from github_app.simulate.plan import KINDS_OF_ACCOUNTS, ORGANIZATION

# 2026-01-01; the loop's time is counted from here.
ORIGIN = 1_767_225_600.0
WEBHOOK_SECRET = "canary-webhook-secret"  # noqa: S105 - of nobody's


@dataclass(frozen=True)
class Version:
    """What a redeploy changes: the caps, and the machine that plain labels get."""

    cap_per_repository: int
    cap_in_all: int
    vcpu: float | None


# A redeploy leads to the next one.
VERSIONS = (Version(8, 18, None), Version(5, 11, 4.0), Version(10, 22, 4.0))


@dataclass(frozen=True)
class VirtualClock(Clock):
    """A container's clock: `time` of the loop, and how far it is off."""

    time: Callable[[], float] = float
    skew: float = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return ORIGIN + self.time() + self.skew


@cache
def app_key() -> rsa.RSAPrivateKey:
    """The App's key, one for all seeds of a process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class _WithKey(Settings):
    """The settings, whose key is read once and not for each container."""

    @property
    def private_key(self) -> rsa.RSAPrivateKey:
        """The App's key."""
        return app_key()


@cache
def settings(version: Version) -> Settings:
    """What every container of a version is configured with; the environment is not read."""
    pem = app_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    given = settings_of(
        {
            "GITHUB_APP_ID": "1",
            "GITHUB_PRIVATE_KEY": pem.decode(),
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "ALLOWED_OWNERS": ",".join(KINDS_OF_ACCOUNTS),
            "GITHUB_API_URL": "http://github.invalid",
            "MAX_CONCURRENT_PER_REPO": str(version.cap_per_repository),
            "MAX_CONCURRENT": str(version.cap_in_all),
        }
    )
    return _WithKey.model_construct(**dict(given))


def config(version: Version, warm: int) -> Config:
    """The administrator's file of a version, by which so many runners wait for jobs with plain labels."""
    defaults = Profile(cpu=version.vcpu)
    if not warm:
        return Config(defaults=defaults)
    waiting = Profile(warm=warm, warm_labels=("self-hosted", "modal"), warm_scope=(ORGANIZATION,))
    return Config(defaults=defaults, profiles={"waiting": waiting}, routes=(Route(name="all", profile="waiting"),))

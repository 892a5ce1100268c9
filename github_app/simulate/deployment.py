"""The app as it is deployed in a simulation: its key, its settings, its containers' clocks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_app.clock import Clock
from github_app.settings.load import settings_of
from github_app.settings.variables import Settings
from github_app.simulate.plan import CAP_IN_ALL, CAP_PER_REPOSITORY

# 2026-01-01; the loop's time is counted from here.
ORIGIN = 1_767_225_600.0
WEBHOOK_SECRET = "canary-webhook-secret"  # noqa: S105 - of nobody's


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
def settings() -> Settings:
    """What every container is configured with; the environment is not read."""
    pem = app_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    given = settings_of(
        {
            "GITHUB_APP_ID": "1",
            "GITHUB_PRIVATE_KEY": pem.decode(),
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "GITHUB_API_URL": "http://github.invalid",
            "MAX_CONCURRENT_PER_REPO": str(CAP_PER_REPOSITORY),
            "MAX_CONCURRENT": str(CAP_IN_ALL),
        }
    )
    return _WithKey.model_construct(**dict(given))

"""Fixtures for the tests of the production code."""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import modal
import pytest
import pytest_asyncio
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_app.settings.variables import Settings
from github_app.simulator.modal import RunnerImage, SimulatedModal
from tests.worlds.control_plane import ControlPlane, running
from tests.worlds.modal_workshop import connect
from tests.worlds.stub_github import StubGitHub, stub_github


def pytest_configure() -> None:
    """Let the log go where pytest sees it, whichever test is the first that makes something write to it."""
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
    configure = structlog.configure

    def without_cache(*args: Any, **given: Any) -> None:
        # A logger that one test has used would go on writing where that test wanted it.
        configure(*args, **{**given, "cache_logger_on_first_use": False})

    structlog.configure = without_cache


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Where a command that runs in this process sends the log to ends with the test."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """The app, running, for tests that leave nothing of theirs in it; they need its loop: `loop_scope="session"`.

    It does not sweep, so that a call that is seen is one that a delivery has caused.
    """
    async with running(tmp_path_factory.mktemp("app"), settings={"SWEEP_INTERVAL_SECONDS": "0"}) as plane:
        yield plane


@pytest.fixture(scope="session")
def private_key() -> rsa.RSAPrivateKey:
    """A key for an App."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def pem(private_key: rsa.RSAPrivateKey) -> str:
    """The same key as GitHub hands it out."""
    return private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


@pytest.fixture
async def stub() -> AsyncIterator[StubGitHub]:
    """A GitHub that answers what the test plans."""
    async with stub_github() as stub:
        yield stub


@pytest.fixture
async def sleeping_modal() -> AsyncIterator[SimulatedModal]:
    """A simulated Modal whose runner does nothing but sleep."""
    image = RunnerImage(env={"RUNNER_HOME": "{root}/runner"}, files={"runner/run.sh": "#!/bin/sh\nexec sleep 300\n"})
    async with SimulatedModal(image=image) as simulated:
        yield simulated


@pytest.fixture
async def client(sleeping_modal: SimulatedModal) -> AsyncIterator[modal.Client]:
    """The SDK's client to it."""
    async with connect(sleeping_modal) as client:
        yield client


@pytest.fixture
def settings_environment(monkeypatch: pytest.MonkeyPatch, pem: str) -> pytest.MonkeyPatch:
    """An environment with the least settings, all of them right; to be changed by the test."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEBHOOK_SECRET", "canary-webhook-secret")
    monkeypatch.setenv("GITHUB_APP_ID", "12345")
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", pem)
    return monkeypatch

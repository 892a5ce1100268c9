"""What runs inside Modal's containers: the web face for GitHub, and the sweep."""

import contextlib
import os
from collections.abc import AsyncIterator

import structlog
from starlette.applications import Starlette

from github_app import log
from github_app.clock import Clock
from github_app.compose import compose
from github_app.settings.load import load_all
from github_app.settings.make_rules import secrets_of, warnings
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings
from github_app.sweep import SweepReport
from github_app.web import create_app

_log = structlog.get_logger(__name__)


def web_app() -> Starlette:
    """The web application. Its images are looked up before the first delivery is taken.

    Raises:
        ConfigError: the settings, or the administrator's file, are not right.
    """
    settings, config = _settings()
    parts = compose(settings, config, Clock())

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await parts.prepare()
        try:
            yield
        finally:
            await parts.reconciler.record_newborns()
            await parts.tallies.flush()
            await parts.connection.close()

    return create_app(parts.service, settings.webhook_secrets, lifespan, parts.metrics, parts.dashboard)


async def sweep() -> SweepReport:
    """Sweep once, as the schedule does every minute.

    Raises:
        ConfigError: the settings, or the administrator's file, are not right.
    """
    parts = compose(*_settings(), Clock())
    try:
        await parts.prepare()
        return await parts.sweep.run()
    finally:
        await parts.connection.close()


def _settings() -> tuple[Settings, Config]:
    # Modal says here in which region the container is; that is nobody's wish for the sandboxes.
    os.environ.pop("MODAL_REGION", None)
    settings, config = load_all()
    log.configure(settings.secrets() + secrets_of(config))
    for warning in warnings(settings, config):
        _log.warning("configuration", warning=warning)
    return settings, config

"""`modal-runner serve`: the App under uvicorn, configured by the environment alone."""

import asyncio
import socket
from typing import Annotated

import structlog
import typer
import uvicorn

from github_app import log
from github_app.errors import ConfigError
from github_app.github import Connection, Runners
from github_app.launch import Launcher
from github_app.reconcile import Reconciler
from github_app.sandboxes import ModalSandboxes, runner_image
from github_app.service import Service
from github_app.settings import Settings, load_settings
from github_app.store import ModalDictStore
from github_app.web import create_app

# Cloud hosts and `docker stop` kill ten seconds after SIGTERM.
_SHUTDOWN_S = 8

_log = structlog.get_logger(__name__)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 8000,
) -> None:
    """Serve GitHub's webhooks outside Modal.

    Settings come from the environment (WEBHOOK_SECRET, GITHUB_APP_ID, GITHUB_PRIVATE_KEY, ...), Modal's token from
    MODAL_TOKEN_ID and MODAL_TOKEN_SECRET or ~/.modal.toml. A missing runner image is built before the first answer.

    Example: modal-runner serve --host 0.0.0.0 --port 8000
    """
    settings = load_settings()
    log.configure(settings.secrets())
    asyncio.run(_serve(settings, _bind(host, port)))


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is done, so that a taken one is told at once."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError([f"--host {host} --port {port}: cannot listen there ({error.strerror or error})"]) from None


async def _serve(settings: Settings, listener: socket.socket) -> None:
    connection = Connection(api_url=settings.api_url, app_id=settings.github_app_id, private_key=settings.private_key)
    try:
        with listener:
            sandboxes = ModalSandboxes(settings.modal_app_name, runner_image(settings.runner_version))
            await sandboxes.prepare()
            app = create_app(_service(settings, connection, sandboxes), settings.webhook_secret)
            config = uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_SHUTDOWN_S
            )
            address, port = listener.getsockname()[:2]
            _log.info("serving", host=address, port=port, github=settings.api_url)
            await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        await connection.close()


def _service(settings: Settings, connection: Connection, sandboxes: ModalSandboxes) -> Service:
    store = ModalDictStore(settings.modal_app_name)
    runners = Runners(connection, settings.runner_group_id)
    launcher = Launcher(store=store, runners=runners, sandboxes=sandboxes)
    label = settings.runner_label
    reconciler = Reconciler(store=store, launcher=launcher, runners=runners, sandboxes=sandboxes, runner_label=label)
    return Service(store=store, launcher=launcher, reconciler=reconciler, runner_label=label)

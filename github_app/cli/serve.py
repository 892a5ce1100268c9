"""`modal-runner serve`: the App under uvicorn, configured by the environment alone."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from typing import Annotated, NoReturn

import structlog
import typer
import uvicorn

from github_app import log
from github_app.clock import Clock
from github_app.compose import Parts, compose
from github_app.errors import InputError
from github_app.modal_wait import first_answer
from github_app.settings.load import load_all
from github_app.settings.make_rules import secrets_of, warnings
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings
from github_app.web import create_app
from github_app.web.server import Listener, server

_log = structlog.get_logger(__name__)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 8000,
    time_scale: Annotated[float, typer.Option(hidden=True, min=1.0)] = 1.0,
    time_origin: Annotated[float, typer.Option(hidden=True)] = 0.0,
) -> None:
    """Serve GitHub's webhooks outside Modal.

    Settings come from the environment (WEBHOOK_SECRET, GITHUB_APP_ID, GITHUB_PRIVATE_KEY, ...), Modal's token from
    MODAL_TOKEN_ID and MODAL_TOKEN_SECRET or ~/.modal.toml. A missing runner image is built before the first answer.

    Example: modal-runner serve --host 0.0.0.0 --port 8000
    """
    # What runs for good waits as long as each call may take.
    first_answer.came()
    settings, config = load_all()
    log.configure(settings.secrets() + secrets_of(config))
    signal.signal(signal.SIGTERM, _leave)
    # A soak compresses time by giving the clock another scale; nothing else differs.
    asyncio.run(_serve(settings, config, _bind(host, port), Clock(time_scale, time_origin)))


def _leave(signum: int, _frame: object) -> NoReturn:
    """End by way of every `finally`: uvicorn raises the signal anew as soon as it has answered what it had to."""
    raise SystemExit(128 + signum)


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is done, so that a taken one is told at once."""
    with contextlib.ExitStack() as on_failure:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            # asyncio turns Nagle's algorithm off only where the protocol is named; with it an answer may take 40 ms.
            listener = on_failure.enter_context(Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            raise InputError(f"--host {host} --port {port}: cannot listen there ({error.strerror or error})") from None
        on_failure.pop_all()
        return listener


async def _serve(settings: Settings, config: Config, listener: socket.socket, clock: Clock) -> None:
    parts = compose(settings, config, clock)
    try:
        with listener:
            for warning in warnings(settings, config):
                _log.warning("configuration", warning=warning)
            await parts.prepare()
            app = create_app(parts.service, settings.webhook_secrets, metrics=parts.metrics, dashboard=parts.dashboard)
            served = server(app)
            address, port = listener.getsockname()[:2]
            _log.info("serving", host=address, port=port, github=settings.host.api_url)
            async with _repairing(parts, settings.sweep_interval_seconds, served, clock):
                await served.serve(sockets=[listener])
    finally:
        await parts.reconciler.record_newborns()
        await parts.tallies.flush()
        await parts.connection.close()


@contextlib.asynccontextmanager
async def _repairing(parts: Parts, interval: int, server: uvicorn.Server, clock: Clock) -> AsyncIterator[None]:
    """Sweep on start and then every `interval` seconds, until the server is told to stop.

    Sweeps may overlap: one may wait long for a GPU. Without sweeps, what was put off before a restart goes on.
    """
    under_way: set[asyncio.Task[object]] = set()

    async def keep_sweeping() -> None:
        while not server.should_exit:
            one = asyncio.create_task(parts.sweep.run())
            under_way.add(one)
            one.add_done_callback(under_way.discard)
            await clock.sleep(interval)

    under_way.add(asyncio.create_task(keep_sweeping() if interval else parts.reconciler.reconcile()))
    try:
        yield
    finally:
        ended = list(under_way)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

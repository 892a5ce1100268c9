"""Putting the dashboard together."""

from dataclasses import dataclass

from pydantic import SecretStr
from starlette.applications import Starlette

from github_app.clock import Clock
from github_app.dashboard.access import Access
from github_app.dashboard.acting import Acts
from github_app.dashboard.reading import Readings
from github_app.dashboard.routes import Dashboard
from github_app.dashboard.sessions import Sessions
from github_app.dashboard.sight import Sights
from github_app.dashboard.sign_in import SignIn
from github_app.dashboard.tails import Tails
from github_app.github.connection import SharedTransport
from github_app.github.people import People
from github_app.routing.rules import Rules
from github_app.runners.capacity import Caps
from github_app.runners.versions import RunnerVersion
from github_app.sandboxes import ModalSandboxes
from github_app.settings.github_host import Host
from github_app.store import ModalDictStore


@dataclass(frozen=True)
class SignInSettings:
    """What signing in with GitHub needs."""

    host: Host
    client_id: str
    client_secret: SecretStr
    webhook_secret: SecretStr


def dashboard(
    settings: SignInSettings,
    *,
    rules: Rules,
    caps: Caps,
    store: ModalDictStore,
    sandboxes: ModalSandboxes,
    version: RunnerVersion,
    acts: Acts,
    transport: SharedTransport,
    clock: Clock,
) -> Starlette:
    """Make its ASGI application."""
    people = People(settings.host, settings.client_id, settings.client_secret, transport)
    sessions = Sessions(settings.client_secret, settings.webhook_secret, clock)
    sights = Sights(people)
    pages = Dashboard(
        access=Access(sessions, sights),
        sign_in=SignIn(people, sessions, sights),
        readings=Readings(store, rules, caps, version, clock),
        acts=acts,
        rules=rules,
        tails=Tails(sandboxes),
        web_url=settings.host.web_url,
    )
    return pages.application()

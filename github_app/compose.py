"""Putting the parts together: one way for `serve`, for `sweep` and for the functions on Modal."""

import os
from dataclasses import dataclass

import modal

from github_app.capacity import Caps, Slots
from github_app.claims import Claims
from github_app.clock import Clock
from github_app.ending import Endings
from github_app.github import AppOnGitHub, Connection, Jobs, Runners
from github_app.launch import Launcher
from github_app.pacing import PacedRunners, WriteBudget
from github_app.policy import Policy
from github_app.reconcile import Reconciler
from github_app.routing import Rules
from github_app.sandboxes import ModalSandboxes, runner_image
from github_app.service import Service
from github_app.settings import Settings
from github_app.store import ModalDictStore
from github_app.sweep import Sweep
from github_app.versions import RunnerVersion


@dataclass(frozen=True)
class Parts:
    """What the entry points use."""

    connection: Connection
    sandboxes: ModalSandboxes
    service: Service
    reconciler: Reconciler
    sweep: Sweep


def compose(settings: Settings, clock: Clock, client: modal.Client | None = None) -> Parts:
    """Build everything from the settings, and connect to nothing yet. Modal's own `client` is the environment's."""
    # The SDK's own retry of a throttled call has no end; a launch is put off instead, with the reason in sight.
    os.environ.setdefault("MODAL_MAX_THROTTLE_WAIT", "20")
    connection = Connection(
        api_url=settings.api_url,
        app_id=settings.github_app_id,
        private_key=settings.private_key,
        clock=clock,
    )
    store = ModalDictStore(settings.modal_app_name, client)
    sandboxes = ModalSandboxes(
        settings.modal_app_name,
        runner_image(settings.runner_version),
        client,
        allowed_repos=settings.allowed_repos,
    )
    runners = Runners(connection, settings.runner_group_id)
    jobs = Jobs(connection)
    app = AppOnGitHub(connection, clock)
    rules = Rules(settings.runner_label, Policy(settings.allowed_repos))
    caps = Caps(settings.max_concurrent_per_repo, settings.max_concurrent)
    claims = Claims(store, clock)
    budget = WriteBudget(store, clock)
    version = RunnerVersion(store, settings.runner_version, clock)
    deregistration = PacedRunners(runners, budget, clock)
    endings = Endings(store=store, runners=deregistration, sandboxes=sandboxes, clock=clock)
    launcher = Launcher(
        store=store,
        runners=runners,
        sandboxes=sandboxes,
        deregistration=deregistration,
        claims=claims,
        slots=Slots(store, caps, clock),
        budget=budget,
        version=version,
        clock=clock,
    )
    reconciler = Reconciler(store=store, launcher=launcher, endings=endings, rules=rules, clock=clock)
    service = Service(
        store=store,
        installations=app,
        jobs=jobs,
        reconciler=reconciler,
        rules=rules,
        version=version,
        capped=bool(caps),
        clock=clock,
    )
    sweep = Sweep(
        store=store,
        app=app,
        jobs=jobs,
        runners=runners,
        sandboxes=sandboxes,
        endings=endings,
        service=service,
        reconciler=reconciler,
        claims=claims,
        budget=budget,
        version=version,
        clock=clock,
    )
    return Parts(connection, sandboxes, service, reconciler, sweep)

"""Putting the parts together: one way for `serve`, for `sweep` and for the functions on Modal."""

import os
from dataclasses import dataclass

import modal

from github_app.clock import Clock
from github_app.github import AppOnGitHub, Checks, Connection, Jobs, RunnerGroups, Runners
from github_app.github.connection import SharedTransport
from github_app.jobs.intake import Intake
from github_app.jobs.service import Service
from github_app.routing.route import Rules
from github_app.runners.capacity import Caps, Slots
from github_app.runners.claims import Claims
from github_app.runners.ending import Endings
from github_app.runners.halts import Halts
from github_app.runners.jit import JitRequests
from github_app.runners.launch import Launcher
from github_app.runners.pacing import PacedNotices, PacedRunners, WriteBudget
from github_app.runners.reconcile import Reconciler
from github_app.runners.settling import Settling
from github_app.runners.suspicions import Suspicions
from github_app.runners.versions import RunnerVersion
from github_app.runners.vouching import Vouchers
from github_app.sandboxes import ImageRecipe, ModalSandboxes, pin_builder, runner_image, unpin_builder
from github_app.settings.config import Config, make_rules
from github_app.settings.settings import RoutingSettings, Settings
from github_app.store import PROBES, ModalDictStore
from github_app.sweep import Sweep

# Of the assumptions that a probe looks at, those that steer.
SUDO, PINNED_BUILDER = 1, 22


@dataclass(frozen=True)
class Parts:
    """What the entry points use."""

    connection: Connection
    sandboxes: ModalSandboxes
    service: Service
    reconciler: Reconciler
    endings: Endings
    sweep: Sweep
    rules: Rules
    app: AppOnGitHub
    runners: Runners
    store: ModalDictStore

    async def prepare(self) -> None:
        """Look up or build the images, and go by what the last probe found, where there are two ways.

        Raises:
            SandboxError, StoreError: Modal refused, did not answer, or could not build an image.
        """
        probed = await self.store.get(PROBES, "last")
        if probed is not None and probed.report.state(PINNED_BUILDER) == "does-not-hold":
            unpin_builder()
        self.sandboxes.sudo_fails = probed is not None and probed.report.state(SUDO) == "does-not-hold"
        await self.sandboxes.prepare()


def compose(settings: Settings, config: Config, clock: Clock, client: modal.Client | None = None) -> Parts:
    """Build everything, and connect to nothing yet; without `client` Modal's is the environment's."""
    # The SDK's own retry of a throttled call has no end; a launch is put off instead, with the reason in sight.
    os.environ.setdefault("MODAL_MAX_THROTTLE_WAIT", "20")
    pin_builder()
    connection = Connection(
        api_url=settings.host.api_url,
        transport=SharedTransport(settings.host.rest_version),
        app_id=settings.github_app_id,
        private_key=settings.private_key,
        clock=clock,
    )
    store = ModalDictStore(settings.modal_app_name, client)
    rules = make_rules(settings, config)
    sandboxes = ModalSandboxes(
        settings.modal_app_name,
        images_of(settings, config),
        client,
        rules=rules,
    )
    runners = Runners(connection, settings.runner_group_id)
    jobs = Jobs(connection)
    app = AppOnGitHub(connection, clock, owners=settings.allowed_owners)
    per_profile = {name: each.max_concurrent for name, each in config.profiles.items() if each.max_concurrent}
    caps = Caps(settings.max_concurrent_per_repo, settings.max_concurrent, per_profile)
    claims = Claims(store, clock)
    budget = WriteBudget(store, clock)
    version = RunnerVersion(store, settings.runner_version, clock)
    deregistration = PacedRunners(runners, budget, clock)
    endings = Endings(store=store, runners=deregistration, sandboxes=sandboxes, clock=clock)
    notices = PacedNotices(Checks(connection), app=app, store=store, launches=budget, clock=clock)
    halts = Halts(
        store=store,
        runs=jobs,
        groups=RunnerGroups(connection),
        notices=notices,
        claims=claims,
        suspicions=Suspicions(store, clock),
        clock=clock,
    )
    vouchers = Vouchers(jobs, config.limits.ask_above, store=store, clock=clock)
    launcher = Launcher(
        store=store,
        jit=JitRequests(
            runners=runners, deregistration=deregistration, sandboxes=sandboxes, budget=budget, clock=clock
        ),
        sandboxes=sandboxes,
        deregistration=deregistration,
        endings=endings,
        claims=claims,
        slots=Slots(store, caps, clock),
        budget=budget,
        version=version,
        halts=halts,
        vouchers=vouchers,
        clock=clock,
    )
    settling = Settling(store, sandboxes, clock)
    reconciler = Reconciler(
        store=store, launcher=launcher, endings=endings, settling=settling, rules=rules, clock=clock
    )
    # GitHub waits for our answer while we ask it something.
    patience_s = settings.host.answer_limit_s / 3
    service = Service(
        store=store,
        installations=app,
        intake=Intake(store=store, jobs=jobs, vouchers=vouchers, patience_s=patience_s, clock=clock),
        runs=jobs,
        notices=notices,
        reconciler=reconciler,
        rules=rules,
        version=version,
        capped=bool(caps),
        patience_s=patience_s,
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
        settling=settling,
        claims=claims,
        budget=budget,
        version=version,
        halts=halts,
        vouchers=vouchers,
        redelivery_window_s=settings.host.redelivery_window_s,
        clock=clock,
    )
    return Parts(connection, sandboxes, service, reconciler, endings, sweep, rules, app, runners, store)


def images_of(settings: RoutingSettings, config: Config) -> dict[str, ImageRecipe]:
    """The default image and those of the administrator's file."""
    version, sha256 = settings.runner_version, settings.runner_sha256
    extra = {
        name: runner_image(version, sha256, base=each.base, apt=each.apt, pip=each.pip, dockerfile=each.dockerfile)
        for name, each in config.images.items()
    }
    return {"default": runner_image(version, sha256), **extra}

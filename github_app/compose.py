"""Putting the parts together: one way for `serve`, for `sweep` and for the functions on Modal."""

import functools
import hashlib
import os
from dataclasses import dataclass

import modal
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from github_app.clock import Clock
from github_app.counts import Counts
from github_app.github import AppOnGitHub, Checks, Connection, Jobs, RunnerGroups, Runners
from github_app.github.connection import SharedTransport
from github_app.jobs.intake import Intake
from github_app.jobs.runner_events import RunnerEvents
from github_app.jobs.service import Service
from github_app.jobs.workflow_runs import Runs
from github_app.routing.rules import Rules
from github_app.runners.admission_queue import AdmissionQueue
from github_app.runners.admitting import Admissions
from github_app.runners.capacity import Caps, Slots
from github_app.runners.claims import Claims
from github_app.runners.ending import Endings
from github_app.runners.halts import Halts
from github_app.runners.jit import JitRequests
from github_app.runners.launch import Launcher
from github_app.runners.newborns import Newborns
from github_app.runners.notices import PacedNotices
from github_app.runners.planning import Planner
from github_app.runners.reconcile import Reconciler
from github_app.runners.seats import Seats
from github_app.runners.second_looks import Suspicions
from github_app.runners.settling import Settling
from github_app.runners.versions import RunnerVersion
from github_app.runners.vouching import Vouchers
from github_app.runners.write_limit import PacedRunners, WriteBudget
from github_app.sandboxes import ImageRecipe, ModalSandboxes, pin_builder, runner_image, unpin_builder
from github_app.sandboxes.scripts import START
from github_app.settings.make_rules import make_rules
from github_app.settings.toml_file import Config
from github_app.settings.variables import RoutingSettings, Settings
from github_app.store import PROBES, ModalDictStore
from github_app.store.tallies import Tallies
from github_app.sweep import Sweep
from github_app.sweep.tracing import Tracing
from github_app.web.metrics import Metrics

# Of the assumptions that a probe looks at, those that steer.
SUDO, PINNED_BUILDER = 1, 22


@dataclass(frozen=True)
class Outside:
    """What leads out of the process: to GitHub, to the records, to the sandboxes."""

    github: SharedTransport
    store: ModalDictStore
    sandboxes: ModalSandboxes


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
    tallies: Tallies
    tracing: Tracing
    seats: Seats
    metrics: Metrics
    # None: it is switched off, or nobody could sign in.
    dashboard: ASGIApp | None

    async def prepare(self) -> None:
        """Look up or build the images, and go by what the last probe found, where there are two ways.

        Raises:
            ConfigError: traces are wanted, and what sends them is not installed.
            SandboxError, StoreError: Modal refused, did not answer, or could not build an image.
        """
        self.tracing.check()
        probed = await self.store.get(PROBES, "last")
        if probed is not None and probed.report.state(PINNED_BUILDER) == "does-not-hold":
            unpin_builder()
        self.sandboxes.sudo_fails = probed is not None and probed.report.state(SUDO) == "does-not-hold"
        await self.sandboxes.prepare()


@dataclass(frozen=True)
class _Inputs:
    """What everything is built from."""

    settings: Settings
    config: Config
    rules: Rules
    caps: Caps
    tracing: Tracing
    clock: Clock


@dataclass(frozen=True)
class _GitHub:
    """GitHub's side: one connection, and what is asked through it."""

    connection: Connection
    app: AppOnGitHub
    jobs: Jobs
    runners: Runners
    groups: RunnerGroups
    checks: Checks


@dataclass(frozen=True)
class _Modal:
    """Modal's side: the records, what this process counts among them, and the sandboxes."""

    store: ModalDictStore
    tallies: Tallies
    sandboxes: ModalSandboxes


@dataclass(frozen=True)
class _Runners:
    """What starts runners and ends them."""

    claims: Claims
    budget: WriteBudget
    version: RunnerVersion
    notices: PacedNotices
    halts: Halts
    vouchers: Vouchers
    endings: Endings
    settling: Settling
    newborns: Newborns
    seats: Seats
    reconciler: Reconciler


def compose(
    settings: Settings,
    config: Config,
    clock: Clock,
    client: modal.Client | None = None,
    *,
    outside: Outside | None = None,
) -> Parts:
    """Build everything, and connect to nothing yet; without `client` Modal's is the environment's.

    A simulation gives an `outside` of its own.
    """
    # The SDK's own retry of a throttled call has no end; a launch is put off instead, with the reason in sight.
    os.environ.setdefault("MODAL_MAX_THROTTLE_WAIT", "20")
    pin_builder()
    tracing = Tracing(settings.traces_to, settings.otel_exporter_otlp_headers, settings.modal_app_name)
    inputs = _Inputs(settings, config, make_rules(settings, config), caps_of(settings, config), tracing, clock)
    outside = outside or Outside(
        SharedTransport(settings.host.rest_version),
        ModalDictStore(settings.modal_app_name, client),
        ModalSandboxes(settings.modal_app_name, images_of(settings, config), client, rules=inputs.rules),
    )
    tallies = Tallies(outside.store, Counts(), clock)
    github = _on_github(settings, clock, outside.github, tallies.counts)
    on_modal = _Modal(outside.store, tallies, outside.sandboxes)
    runners = _runners(inputs, github, on_modal)
    service = _service(inputs, github, on_modal, runners)
    return Parts(
        connection=github.connection,
        sandboxes=on_modal.sandboxes,
        service=service,
        reconciler=runners.reconciler,
        endings=runners.endings,
        sweep=_sweep(inputs, github, on_modal, runners, service),
        rules=inputs.rules,
        app=github.app,
        runners=github.runners,
        store=on_modal.store,
        tallies=tallies,
        tracing=inputs.tracing,
        seats=runners.seats,
        metrics=Metrics(on_modal.store, runners.version, settings.metrics_token, clock),
        dashboard=_dashboard(inputs, github.app, outside.github, on_modal, runners),
    )


def _on_github(settings: Settings, clock: Clock, transport: SharedTransport, counts: Counts) -> _GitHub:
    connection = Connection(
        api_url=settings.host.api_url,
        transport=transport,
        app_id=settings.github_app_id,
        private_key=settings.private_key,
        clock=clock,
        counts=counts,
    )
    return _GitHub(
        connection,
        AppOnGitHub(connection, clock, owners=settings.allowed_owners),
        Jobs(connection),
        Runners(connection, settings.runner_group_id),
        RunnerGroups(connection),
        Checks(connection),
    )


def caps_of(settings: RoutingSettings, config: Config) -> Caps:
    """How many runners there may be at once."""
    per_profile = {name: each.max_concurrent for name, each in config.profiles.items() if each.max_concurrent}
    return Caps(settings.max_concurrent_per_repo, settings.max_concurrent, per_profile)


def _runners(inputs: _Inputs, github: _GitHub, on_modal: _Modal) -> _Runners:
    store, sandboxes, clock = on_modal.store, on_modal.sandboxes, inputs.clock
    claims, budget = Claims(store, clock, on_modal.tallies.counts), WriteBudget(store, clock)
    version = RunnerVersion(store, inputs.settings.runner_version, clock)
    deregistration = PacedRunners(github.runners, budget, clock)
    endings = Endings(store=store, runners=deregistration, sandboxes=sandboxes, clock=clock)
    settling = Settling(store, sandboxes, clock)
    notices = PacedNotices(github.checks, app=github.app, store=store, launches=budget, clock=clock)
    halts = Halts(
        store=store,
        runs=github.jobs,
        groups=github.groups,
        notices=notices,
        claims=claims,
        suspicions=Suspicions(store, clock),
        budget=budget,
        clock=clock,
    )
    vouchers = Vouchers(github.jobs, inputs.config.limits.ask_above, store=store, budget=budget, clock=clock)
    jit = JitRequests(
        runners=github.runners, deregistration=deregistration, sandboxes=sandboxes, budget=budget, clock=clock
    )
    newborns = Newborns(store, clock)
    admissions = Admissions(
        store=store,
        claims=claims,
        slots=Slots(store, inputs.caps, clock),
        budget=budget,
        version=version,
        halts=halts,
        vouchers=vouchers,
        clock=clock,
    )
    launcher = Launcher(
        store=store,
        jit=jit,
        sandboxes=sandboxes,
        deregistration=deregistration,
        endings=endings,
        claims=claims,
        admissions=admissions,
        newborns=newborns,
        clock=clock,
    )
    seats = Seats(store=store, rules=inputs.rules, release=_release(inputs), clock=clock)
    reconciler = Reconciler(
        store=store,
        admissions=admissions,
        queue=AdmissionQueue(store=store, admissions=admissions, clock=clock),
        launcher=launcher,
        endings=endings,
        settling=settling,
        newborns=newborns,
        planner=Planner(store=store, newborns=newborns, seats=seats, rules=inputs.rules, clock=clock),
        seats=seats,
        clock=clock,
    )
    return _Runners(claims, budget, version, notices, halts, vouchers, endings, settling, newborns, seats, reconciler)


def _service(inputs: _Inputs, github: _GitHub, on_modal: _Modal, runners: _Runners) -> Service:
    store, clock = on_modal.store, inputs.clock
    # GitHub waits for our answer while we ask it something.
    patience_s = inputs.settings.host.answer_limit_s / 3
    intake = Intake(store=store, jobs=github.jobs, vouchers=runners.vouchers, patience_s=patience_s, clock=clock)
    return Service(
        store=store,
        installations=github.app,
        intake=intake,
        runs=Runs(github.jobs, intake, patience_s, clock),
        notices=runners.notices,
        reconciler=runners.reconciler,
        runner_events=RunnerEvents(store=store, newborns=runners.newborns, reconciler=runners.reconciler, clock=clock),
        rules=inputs.rules,
        version=runners.version,
        capped=bool(inputs.caps),
        tallies=on_modal.tallies,
        clock=clock,
    )


def _sweep(inputs: _Inputs, github: _GitHub, on_modal: _Modal, runners: _Runners, service: Service) -> Sweep:
    return Sweep(
        store=on_modal.store,
        app=github.app,
        jobs=github.jobs,
        runners=github.runners,
        groups=github.groups,
        sandboxes=on_modal.sandboxes,
        endings=runners.endings,
        service=service,
        reconciler=runners.reconciler,
        settling=runners.settling,
        claims=runners.claims,
        budget=runners.budget,
        version=runners.version,
        halts=runners.halts,
        vouchers=runners.vouchers,
        seats=runners.seats,
        tallies=on_modal.tallies,
        tracing=inputs.tracing,
        redelivery_window_s=inputs.settings.host.redelivery_window_s,
        caps=inputs.caps,
        clock=inputs.clock,
    )


def _dashboard(
    inputs: _Inputs, app: AppOnGitHub, transport: SharedTransport, on_modal: _Modal, runners: _Runners
) -> ASGIApp | None:
    settings = inputs.settings
    if not settings.dashboard or not settings.github_client_id or settings.github_client_secret is None:
        return None
    client_id, client_secret = settings.github_client_id, settings.github_client_secret

    @functools.cache
    def built() -> Starlette:
        # A container that starts for a delivery has no use for templates and sessions.
        from github_app.dashboard import Acts, SignInSettings, dashboard

        return dashboard(
            SignInSettings(settings.host, client_id, client_secret, settings.webhook_secret),
            rules=inputs.rules,
            caps=inputs.caps,
            store=on_modal.store,
            sandboxes=on_modal.sandboxes,
            version=runners.version,
            acts=Acts(runners.endings, runners.version, app),
            transport=transport,
            clock=inputs.clock,
        )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await built()(scope, receive, send)

    return serve


def _release(inputs: _Inputs) -> str:
    """A short digest of what a sandbox is made by: where it changes, runners that wait are replaced."""
    settings = inputs.settings
    env = {name: value.get_secret_value() for name, value in settings.sandbox_extra_env.items()}
    says = {name: str(getattr(settings, name)) for name in RoutingSettings.model_fields}
    made_by = (sorted(says.items()), inputs.config.model_dump_json(), sorted(env.items()), START)
    return hashlib.sha256(repr(made_by).encode()).hexdigest()[:8]


def images_of(settings: RoutingSettings, config: Config) -> dict[str, ImageRecipe]:
    """The default image and those of the administrator's file."""
    version, sha256 = settings.runner_version, settings.runner_sha256
    extra = {
        name: runner_image(version, sha256, base=each.base, apt=each.apt, pip=each.pip, dockerfile=each.dockerfile)
        for name, each in config.images.items()
    }
    return {"default": runner_image(version, sha256), **extra}

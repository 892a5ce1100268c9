"""The whole of the setup. Each step looks first at what is there, so a run goes on where an earlier one stopped."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from github_app.clock import Clock
from github_app.compose import compose
from github_app.deployment import SettingsSecret, Workspace, look_up_workspace, rollout
from github_app.deployment.deployed_file import FILE_VARIABLE, refuse_to_drop, text_of
from github_app.errors import DeploymentError, GitHubError, InputError, ModalRunnerError, SetupError
from github_app.foreign_text import visible
from github_app.github import AppRecord, AppWebhook, Installation, NewApp, Runners
from github_app.model import RunnerRelease
from github_app.probe import Probe, Wanted, show_what_fails
from github_app.routing.units import as_money, number_of
from github_app.settings.load import settings_of
from github_app.settings.make_rules import refuse_unsound
from github_app.settings.pasted import names
from github_app.settings.toml_file import Config
from github_app.settings.variables import STORED, RoutingSettings, Settings
from github_app.setup.arrival import delivered, installed, warming
from github_app.setup.credentials import keep, rescue, rescue_file, rescued, write_env_file
from github_app.setup.mismatch import check_host, check_owner
from github_app.setup.pages import bind, serving
from github_app.setup.progress import Progress
from github_app.setup.register import Registering, Wish, variables_of
from github_app.setup.registration import STOPPED, Registration

# What Modal's first plan runs at once (modal.com/pricing).
MOST_AT_ONCE = 100


class Setup:
    """One run of `modal-runner setup`."""

    def __init__(
        self,
        wish: Wish,
        *,
        routing: RoutingSettings,
        config: Config,
        file: Path | None,
        progress: Progress,
        port: int,
        env_file: Path | None,
        probes: bool = True,
    ) -> None:
        """`probes`: it ends with a look at what is assumed of GitHub and Modal."""
        self._wish = wish
        self._routing = routing
        self._config = config
        self._text = text_of(file)
        self._progress = progress
        self._port = port
        self._env_file = env_file
        self._secret = SettingsSecret(wish.app_name)
        self._workspace = Workspace("")
        self._probes = probes
        # Of the deployment, once it is made; and whether its App was registered in this run.
        self._settings: Settings | None = None
        self._registered = False

    async def run(self) -> None:
        """Do every step that is not done yet.

        Raises:
            SetupError, DeploymentError, SandboxError, GitHubError, InputError: with what to do; to run it again is
            always safe.
        """
        refuse_unsound(self._routing, self._config)
        known = await self._modal()
        version = await self._version(known)
        if version and "GITHUB_APP_ID" in known:
            await self._secret.store(version)
        known |= version
        if "GITHUB_APP_ID" in known:
            asked = self._routing.github_enterprise_domain
            check_host(known.get("GITHUB_ENTERPRISE_DOMAIN"), asked, self._secret.name)
        async with self._images(known) as images:
            if "GITHUB_APP_ID" in known:
                await self._go_on(known, images)
            else:
                await self._from_the_start(known, images)
        await self._look()

    async def _modal(self) -> dict[str, str]:
        """Check Modal's token, and read what an earlier run has stored."""
        self._progress.begin("Modal: check the token, and look for what an earlier run has stored")
        self._workspace = await look_up_workspace()
        left = rescued(self._wish.app_name)
        if left:
            there = await self._secret.read(["GITHUB_APP_ID"]) or {}
            if there.get("GITHUB_APP_ID", left.get("GITHUB_APP_ID")) != left.get("GITHUB_APP_ID"):
                raise SetupError(
                    f"{rescue_file(self._wish.app_name)} holds another App than the Secret {self._secret.name}: delete "
                    "the file if the Secret is right, or the Secret if the file is"
                )
            await keep(self._secret, self._wish.app_name, left, self._progress)
        known = left or await self._secret.read([*STORED.values(), FILE_VARIABLE]) or {}
        refuse_to_drop(known, self._text)
        known.pop(FILE_VARIABLE, None)
        if "GITHUB_APP_ID" not in known and await self._secret.holds("GITHUB_APP_ID"):
            raise SetupError(
                f"The Secret {self._secret.name} holds an App, and its values could not be read in a sandbox: run this "
                "again, for a second App must not be made"
            )
        found = "an App is registered already" if "GITHUB_APP_ID" in known else "nothing stored yet"
        self._progress.done(f"workspace {self._workspace.name or '(unnamed)'}; {found}")
        return known

    async def _version(self, known: dict[str, str]) -> dict[str, str]:
        if "RUNNER_VERSION" in known:
            return {}
        domain = known.get("GITHUB_ENTERPRISE_DOMAIN", self._routing.github_enterprise_domain)
        release = await rollout.public_release(self._wish.host, domain)
        return {} if release is None or release.sha256 is None else rollout.version_variables(release)

    @contextlib.asynccontextmanager
    async def _images(self, known: dict[str, str]) -> AsyncIterator["asyncio.Task[str]"]:
        """Build the runner's image while the person is busy with the browser."""
        given = {name.lower(): value for name, value in known.items() if name in ("RUNNER_VERSION", "RUNNER_SHA256")}
        routing = self._routing.model_copy(update=given)
        task = asyncio.create_task(rollout.build_images(routing, self._config))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _from_the_start(self, known: dict[str, str], images: "asyncio.Task[str]") -> None:
        if self._env_file is not None and self._env_file.exists():
            raise InputError(f"--env-file {self._env_file}: there is such a file already; name a new one")
        where = self._wish.owner or "your personal account"
        self._progress.begin(f"GitHub: register an App on {where}, with a button in your browser")
        listener = bind(self._port)

        async def keep_it(app: NewApp) -> None:
            known.update(self._with(app, known))
            await self._check_alone(app)
            await keep(self._secret, self._wish.app_name, known, self._progress)

        registering = Registering(
            self._wish,
            port=listener.getsockname()[1],
            hook_url=self._workspace.web_url(self._wish.app_name, "web"),
            label=_label(known),
            progress=self._progress,
            keep=keep_it,
            rescue=lambda app: rescue(self._wish.app_name, self._with(app, known)),
        )
        async with serving(registering.pages, listener), _told_of_a_stop(registering.registration):
            app = await registering.new_app()
            registering.registration.succeed()
            kept = f"its key and secrets are in the Modal Secret {self._secret.name}"
            self._progress.done(f"App {app.name} of {app.owner}; {kept}")
            try:
                await self._go_on(known, images, app)
            except BaseException as error:
                self._progress.problem = str(error) if isinstance(error, ModalRunnerError) else STOPPED
                raise
            finally:
                await registering.pages.tell_the_end()

    def _with(self, app: NewApp, known: Mapping[str, str]) -> dict[str, str]:
        # GitHub's description allows an App without a secret; its deliveries are signed from the first one on.
        secret = app.webhook_secret.get_secret_value() if app.webhook_secret else secrets.token_hex(32)
        # What a thief of the webhook's secret can start has a bound then.
        cap = {"MAX_CONCURRENT": str(self._routing.max_concurrent or MOST_AT_ONCE)}
        stored = {name: value for name, value in known.items() if value}
        return {**cap, **stored, **variables_of(app, secret), **self._host_variables()}

    async def _check_alone(self, app: NewApp) -> None:
        """See that no other run has stored an App while this one waited for the person.

        Raises:
            SetupError: one has.
        """
        try:
            overtaken = await self._secret.holds("GITHUB_APP_ID")
        except DeploymentError:
            return  # `keep` waits for Modal
        if overtaken:
            page = self._wish.host.app_settings_page(app.slug, self._wish.owner)
            raise SetupError(
                f"Another setup has meanwhile stored its App in the Secret {self._secret.name}. The App {app.name}, "
                f"which was just made, is not used: delete it at {page}/advanced, and run this again"
            )

    def _host_variables(self) -> dict[str, str]:
        """Which GitHub it is, as the environment says."""
        found = {}
        if self._routing.github_enterprise_domain:
            found["GITHUB_ENTERPRISE_DOMAIN"] = self._routing.github_enterprise_domain
        for name in ("GITHUB_API_URL", "GITHUB_WEB_URL"):
            if url := os.environ.get(name):
                found[name] = url
        return found

    async def _go_on(self, known: dict[str, str], images: "asyncio.Task[str]", new: NewApp | None = None) -> None:
        """All after the registration; `new` is the App that was registered in this run."""
        if self._env_file is not None:
            write_env_file(self._env_file, known)
        settings = settings_of({**known, "MODAL_APP_NAME": self._wish.app_name})
        self._settings, self._registered = settings, new is not None
        parts = compose(settings, self._config, Clock())
        webhook = AppWebhook(parts.connection)
        try:
            record = await self._check_app(webhook)
            url = await self._deploy(settings, images)
            self._progress.begin(f"GitHub: deliver events to {url}")
            # With the secret that is stored, whatever GitHub made or an earlier run left undone.
            await webhook.point_at(url, settings.webhook_secret)
            self._progress.done()
            # The page, if there is one, leads there by itself.
            opens_browser = self._wish.opens_browser and new is None
            async with warming(url):
                found = await installed(parts.app, record, self._progress, opens_browser=opens_browser)
            installations = found.installations
            await delivered(webhook, parts.app, found, self._progress)
            if "RUNNER_VERSION" not in known:
                await self._take_offered_version(settings, parts.runners, installations)
        finally:
            await parts.connection.close()
        self._finish(_label(known))

    async def _check_app(self, webhook: AppWebhook) -> AppRecord:
        """See that the credentials are those of an App of the right owner.

        Raises:
            SetupError: they are not.
        """
        try:
            record = await webhook.app()
        except GitHubError as error:
            if error.status not in {401, 404}:
                raise
            raise SetupError(
                f"The App in the Secret {self._secret.name} is not known to GitHub any more ({error}). If it was "
                "deleted, run `modal-runner uninstall` and then `modal-runner setup` again"
            ) from error
        check_owner(record, self._wish.owner, self._secret.name)
        return record

    async def _deploy(self, settings: Settings, images: "asyncio.Task[str]") -> str:
        self._progress.begin("Modal: build the runner's image (minutes, the first time)")
        told = await images
        release = RunnerRelease(settings.runner_version, settings.runner_sha256)
        checked = "its checksum checked" if release.sha256 else "without a checksum"
        self._progress.done(". ".join(filter(None, (f"actions/runner {release.version}, {checked}", told))))
        self._progress.begin("Modal: deploy the web function and the sweep")
        url = await rollout.deploy(settings, self._workspace, self._text)
        self._progress.done(url)
        return url

    async def _take_offered_version(
        self, settings: Settings, runners: Runners, installations: list[Installation]
    ) -> None:
        """On a GitHub whose releases nobody can read, take the version that it offers its organisations."""
        self._progress.begin("GitHub: ask for the version of actions/runner that it offers")
        release = await rollout.offered_release(runners, installations)
        if release is None or release.sha256 is None:
            told = "none" if release is None else f"{release.version}, without a checksum"
            self._progress.done(f"{told}; {settings.runner_version} stays")
            return
        await self._secret.store(rollout.version_variables(release))
        newer = settings.model_copy(update={"runner_version": release.version, "runner_sha256": release.sha256})
        await rollout.build_images(newer, self._config)
        await rollout.deploy(newer, self._workspace, self._text)
        self._settings = newer
        self._progress.done(release.version)

    async def _look(self) -> None:
        """Look at what is assumed of GitHub and Modal; the setup has come true whatever is seen."""
        if not self._probes or self._settings is None:
            return
        console = self._progress.console
        wanted = Wanted(registered=self._registered and self._wish.opens_browser)
        most = as_money(Probe.cost_before(wanted))
        console.print(
            f"\nLast, a look at what is assumed of GitHub and Modal: a minute or two, about {most} by list prices. "
            "--no-probe leaves it out.",
            highlight=False,
        )
        parts = compose(self._settings, self._config, Clock())
        try:
            show_what_fails(await Probe(self._settings, self._config, parts).run(wanted), console)
        except ModalRunnerError as error:
            console.print(
                f"It could not be made: {visible(str(error), lines=True)}\nRun `modal-runner probe`.",
                highlight=False,
                markup=False,
            )
        finally:
            await parts.connection.close()

    def _finish(self, label: str) -> None:
        say = self._progress.console.print
        self._progress.finished = True
        if self._registered and self._settings is not None:
            most = number_of(self._settings.max_concurrent or 0, "runner")
            say(f"\nAt most {most} at once: `modal-runner redeploy --set MAX_CONCURRENT=N` changes it.")
        say(f"\nReady. Give a job this line, and it runs on Modal:\n\n    runs-on: \\[self-hosted, {label}]\n")
        say(f'With a GPU: \\[self-hosted, {label}, "gpu:h100"]. Look after it: modal-runner doctor', highlight=False)


@contextlib.asynccontextmanager
async def _told_of_a_stop(registration: Registration) -> AsyncIterator[None]:
    try:
        yield
    finally:
        registration.stop()


def _label(known: Mapping[str, str]) -> str:
    """The label that selects the App, as its settings say."""
    default: tuple[str, ...] = RoutingSettings.model_fields["runner_label"].default
    return names(known.get("RUNNER_LABEL", default[0]))[0]

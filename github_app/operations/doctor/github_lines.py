"""What can be seen at GitHub: the App, its permissions, its webhook, where it is installed, what it reaches."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC

from github_app.compose import Parts
from github_app.github import AppRecord, AppWebhook, Installation, Jobs, RunnerGroup, RunnerGroups, barriers
from github_app.github.connection import SharedTransport
from github_app.github.jobs import Unmetered
from github_app.github.manifest import registration_manifest
from github_app.github.people import CALLBACK, People
from github_app.github.wire import Repository
from github_app.model import Place, Scope
from github_app.operations.doctor.check import Check, failed, ok
from github_app.routing.globs import matches
from github_app.routing.profiles import Profile
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings

_LEVELS = {"read": 1, "write": 2, "admin": 3}
# A JWT is dated back a minute, and GitHub takes none from the future.
_SKEW_S = 30.0
_SOON_S = 7 * 24 * 3600.0
_MOST_PAGES = 20


class OnGitHub:
    """The checks that need the App's credentials."""

    def __init__(self, settings: Settings, config: Config, parts: Parts, web_url: str | None) -> None:
        self._settings = settings
        self._config = config
        self._parts = parts
        self._web_url = web_url
        self._webhook = AppWebhook(parts.connection)
        self._jobs = Jobs(parts.connection)
        self._groups = RunnerGroups(parts.connection)
        self._app: AppRecord | None = None
        self._installations: list[Installation] = []
        # Of accounts that may not use the App.
        self._strangers: list[Installation] = []

    def checks(self) -> dict[str, tuple[Callable[[], Awaitable[Check]], str]]:
        """Every check by its name."""
        status = "check the network, and https://www.githubstatus.com"
        return {
            "app": (self.app, status),
            "clock": (self.clock, status),
            "permissions": (self.permissions, status),
            "installations": (self.installations, status),
            "webhook": (self.webhook, status),
            "deliveries": (self.deliveries, status),
            "repositories": (self.repositories, status),
            "runners": (self.runners, status),
            "runner-group": (self.runner_group, status),
            "runner-version": (self.runner_version, status),
            "dashboard": (self.dashboard, status),
        }

    @property
    def _page(self) -> str:
        app = self._app
        if app is None:
            return "the App's settings page"
        organization = None if app.owner.type == "User" else app.owner.login
        return self._settings.host.app_settings_page(app.slug, organization)

    async def app(self) -> Check:
        """Id and key are those of an App."""
        self._app = await self._webhook.app()
        every = await self._parts.app.every_installation()
        self._strangers = self._parts.app.strangers_among(every, self._app)
        self._installations = [each for each in every if each not in self._strangers]
        return ok("app", f"{self._app.name} (id {self._app.id}) of {self._app.owner.login}")

    async def clock(self) -> Check:
        """This machine's clock agrees with GitHub's."""
        skew = self._parts.connection.clock_skew
        if skew is None:
            return ok("clock", "GitHub told no time")
        if abs(skew) > _SKEW_S:
            return failed("clock", f"{skew:+.0f} s off GitHub's", "set this machine's clock by NTP")
        return ok("clock", "agrees with GitHub's within half a minute")

    async def permissions(self) -> Check:
        """The App has what manifest.yml asks for, and each installation has agreed."""
        app = self._app or await self._webhook.app()
        is_own = app.owner.type == "User"
        wanted = registration_manifest(name="", hook_url="", redirect_url="", personal=is_own)
        lacks = _lacking(app.permissions, wanted["default_permissions"])
        events = sorted(set(wanted["default_events"]) - set(app.events))
        if lacks or events:
            what = ", ".join([*lacks, *(f"event {each}" for each in events)])
            return failed("permissions", f"the App lacks {what}", f"add it at {self._page}/permissions")
        for each in self._installations:
            if each.permissions and (lacks := _lacking(each.permissions, wanted["default_permissions"])):
                cure = f"an owner opens {each.html_url or 'the installation'} and accepts the request"
                return failed("permissions", f"{_login(each)} has not agreed to {', '.join(lacks)}", cure)
        more = sorted(set(app.permissions) - set(wanted["default_permissions"]) - {"checks", "members"})
        spare = f"; not needed: {', '.join(more)}" if more else ""
        return ok("permissions", f"as in manifest.yml{spare}")

    async def dashboard(self) -> Check:
        """People can sign in, as far as GitHub tells: which callback URLs the App has it tells nobody."""
        settings = self._settings
        if not settings.dashboard:
            return ok("dashboard", "switched off (DASHBOARD)")
        if not settings.github_client_id or settings.github_client_secret is None:
            return ok("dashboard", "nobody can sign in; `modal-runner setup --add-sign-in` sees to that")
        transport = SharedTransport(settings.host.rest_version)
        try:
            people = People(settings.host, settings.github_client_id, settings.github_client_secret, transport)
            good = await people.is_known()
        finally:
            await transport.really_close()
        if not good:
            return failed(
                "dashboard", "GITHUB_CLIENT_SECRET is none of the App's", "run `modal-runner setup --add-sign-in`"
            )
        return ok("dashboard", f"people sign in where the App has the callback URL {self._web_url or 'URL'}{CALLBACK}")

    async def installations(self) -> Check:
        """The App is installed somewhere, and not suspended there; by others than its owner only where they may."""
        app = self._app or await self._webhook.app()
        if self._strangers:
            names = ", ".join(map(_login, self._strangers))
            cure = f"make the App private at {self._page}/advanced; who may use it belongs into ALLOWED_OWNERS"
            return failed("installations", f"{len(self._strangers)} of others are not served: {names}", cure)
        suspended = [each for each in self._installations if each.suspended_at]
        if suspended:
            names = ", ".join(map(_login, suspended))
            cure = f"an owner opens {suspended[0].html_url or 'the installation'} and unsuspends the App"
            return failed("installations", f"suspended on {names}", cure)
        if self._installations and not any(each.has_repositories for each in self._installations):
            cure = f"install it on an organisation: {app.html_url}/installations/new"
            return failed("installations", "only on an enterprise, which has no jobs of its own", cure)
        if not self._installations:
            return failed("installations", "there is none", f"install the App: {app.html_url}/installations/new")
        return ok("installations", ", ".join(map(_login, self._installations)))

    async def webhook(self) -> Check:
        """Deliveries go to the web function, as JSON, over checked TLS."""
        config = await self._webhook.config()
        base = self._web_url
        if base is not None and config.url != f"{base}/webhook":
            cure = "run `modal-runner redeploy`, which sets it"
            return failed("webhook", f"deliveries go to {config.url}, and the App answers at {base}/webhook", cure)
        if not config.is_right:
            cure = f"content type application/json, SSL verification on: {self._page}"
            return failed("webhook", f"content type {config.content_type}, insecure_ssl {config.insecure_ssl}", cure)
        return ok("webhook", config.url)

    async def deliveries(self) -> Check:
        """The last ones were answered 2xx; a 401 means that the secrets differ."""
        last = [each for each in await self._webhook.deliveries() if each.event != "ping" and each.is_over]
        if not last:
            return ok("deliveries", "none yet")
        bad = [each for each in last if not each.arrived]
        told = f"{len(bad)} of the last {len(last)} failed"
        if last[0].status_code == 401:
            cure = "the webhook's secret differs: run `modal-runner rotate-secret`"
            return failed("deliveries", f"the last one was refused, with 401; {told}", cure)
        if not last[0].arrived:
            why = f"the last one ended with {last[0].status_code or last[0].status}; {told}"
            return failed("deliveries", why, f"look at {self._page}/advanced and at the line `deployment`")
        return ok("deliveries", f"the last one arrived; {told}, and the sweep asks for those of jobs again")

    async def repositories(self) -> Check:
        """Some are reached, and some of them admitted."""
        names = [each.full_name for each in await self._reached()]
        if not names:
            cure = "an owner chooses repositories: Settings > GitHub Apps > Configure > Repository access"
            return failed("repositories", "the App reaches none", cure)
        return ok("repositories", f"{len(names)} reached, such as {names[0]}")

    async def runners(self) -> Check:
        """Self-hosted runners may be registered: GitHub lists them to the App."""
        counts = [(place.scope, len(await self._parts.runners.list(place))) for place in self._organizations()]
        told = ", ".join(f"{scope}: {count}" for scope, count in counts)
        return ok("runners", f"listed ({told})" if told else "no organisation; repositories have runners of their own")

    async def runner_group(self) -> Check:
        """The groups that runners join are there, and admit the repositories."""
        told = []
        for place in self._organizations():
            groups = await self._groups.every(place)
            for wanted in self._wanted_groups:
                found = next((each for each in groups if each.is_meant(wanted)), None)
                if found is None:
                    listed = ", ".join(f"{int(each.id)} ({each.name})" for each in groups)
                    cure = f"set RUNNER_GROUP_ID, or runner_group in modal-runner.toml, to one of: {listed}"
                    return failed("runner-group", f"{place.scope} has no group {wanted}", cure)
                if why := await self._too_wide(place, found, self._resting_on(wanted)):
                    cure = "choose its repositories: organisation settings > Actions > Runner groups > "
                    return failed("runner-group", why, cure + found.name)
                # A group of a profile's own is meant for its repositories alone.
                out = await self._kept_out(place, found) if wanted == self._settings.runner_group_id else []
                if out:
                    cure = f"change that, or mean it: organisation settings > Actions > Runner groups > {found.name}"
                    return failed(
                        "runner-group", f"of the repositories served, {len(out)} get no runner: {out[0]}", cure
                    )
                told.append(f"{place.scope}: {_policy(found)}")
        return ok("runner-group", "; ".join(told) or "repositories have none")

    def _resting_on(self, group: int | None) -> list[str]:
        """The profiles whose secrets rest on a group."""
        resting = {name: each for name, each in self._config.profiles.items() if each.needs_boundary}
        return [
            name for name, each in resting.items() if each.trust != "labels" and group in self._groups_of(name, each)
        ]

    def _groups_of(self, name: str, profile: Profile) -> set[int | None]:
        """The groups that a profile's runners join: a route may say another one."""
        own = profile.runner_group or self._parts.rules.defaults.runner_group
        return {each.runner_group or own for each in self._config.routes if each.profile == name} or {own}

    async def _too_wide(self, place: Place, group: RunnerGroup, resting: list[str]) -> str | None:
        """Which repository a group admits that may not have what rests on it, in a sentence."""
        if not resting:
            return None
        told = f"and the secrets of profile {resting[0]} rest on it"
        if group.visibility != "selected":
            return f"{group.name} admits every repository, {told}"
        routes = [each for each in self._config.routes if each.profile in resting]
        globs = [glob for each in routes for glob in each.repositories or ("*/*",)]
        admitted = sorted(await self._groups.admitted(place, int(group.id)))
        foreign = [name for name in admitted if not any(matches(name, glob) for glob in globs)]
        return f"{group.name} admits {foreign[0]}, {told}" if foreign else None

    @property
    def _wanted_groups(self) -> list[int | None]:
        """The ids of the groups that runners join; None is the default group."""
        profiles = [self._config.defaults, *self._config.profiles.values()]
        given = [*(each.runner_group for each in profiles), *(each.runner_group for each in self._config.routes)]
        named = {each for each in given if each is not None}
        return [self._settings.runner_group_id, *sorted(named - {self._settings.runner_group_id})]

    async def _kept_out(self, place: Place, group: RunnerGroup) -> list[str]:
        """What keeps the repositories that are served from the group's runners, a sentence each."""
        served = [
            each
            for each in await self._reached()
            if each.owner.login == place.scope.owner
            and self._parts.rules.policy.refusal(each.full_name, private=each.private) is None
        ]
        chosen = await self._groups.admitted(place, int(group.id)) if group.visibility == "selected" else None
        found = [barriers(group, each.full_name, private=each.private, chosen=chosen) for each in served]
        return [each[0] for each in found if each]

    async def runner_version(self) -> Check:
        """GitHub takes the version of actions/runner for some time yet."""
        version = self._settings.runner_version
        redeploy = "run `modal-runner redeploy`, which takes the newest"
        for place in self._organizations():
            ends = await self._groups.end_of_life(place, version)
            if ends is not None and ends.timestamp() - time.time() < _SOON_S:
                return failed("runner-version", f"GitHub takes {version} until {ends:%Y-%m-%d}", redeploy)
            newest = (await self._parts.runners.newest_release(place)).version
            if ends is None and _releases_behind(version, newest) > 1:
                why = f"{version} is old: GitHub offers {newest}, and takes an older one for 30 days"
                return failed("runner-version", why, redeploy)
            until = f", taken until {ends.astimezone(UTC):%Y-%m-%d}" if ends else ""
            is_newest = "the newest" if version == newest else f"taken for 30 days from the release of {newest} on"
            return ok("runner-version", f"{version} is {is_newest}{until}")
        return ok("runner-version", f"{version}; no organisation tells the newest")

    def _organizations(self) -> list[Place]:
        return [
            Place(Scope(each.organization), each.id)
            for each in self._installations
            if each.organization and not each.suspended_at
        ]

    async def _reached(self) -> list[Repository]:
        """The repositories that the App reaches."""
        found: list[Repository] = []
        for each in self._installations:
            page, more = 1, each.has_repositories and not each.suspended_at
            while more and page <= _MOST_PAGES:
                batch, more = await self._jobs.repositories(each.id, page, Unmetered())
                found += batch
                page += 1
        return found


def _policy(group: RunnerGroup) -> str:
    who = "chosen repositories alone" if group.visibility == "selected" else "every private repository"
    public = " and public ones" if group.allows_public_repositories else ""
    workflows = f", for the workflows {', '.join(group.selected_workflows)}" if group.restricted_to_workflows else ""
    return f"{group.name} admits {who}{public}{workflows}"


def _lacking(has: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [f"{name}: {level}" for name, level in wanted.items() if _LEVELS.get(has.get(name, ""), 0) < _LEVELS[level]]


def _login(installation: Installation) -> str:
    return installation.account.login if installation.has_repositories and installation.account else "an enterprise"


def _releases_behind(version: str, newest: str) -> int:
    """About how many; actions/runner has a minor version for each."""
    (old_major, old_minor, _), (major, minor, _) = (
        tuple(int(part) for part in each.split(".")) for each in (version, newest)
    )
    return 99 if major > old_major else minor - old_minor

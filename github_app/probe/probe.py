"""The whole look: on Modal and at GitHub at once, and brought together with what earlier ones found."""

import asyncio
import contextlib
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import modal
import modal.config
import msgspec

from github_app.compose import Parts, images_of
from github_app.deployment import Functions, look_up_workspace
from github_app.errors import ModalRunnerError
from github_app.github import AppWebhook, Jobs
from github_app.github.jobs import Unmetered
from github_app.github.wire import Repository
from github_app.model import Gpu, Hold, Place, Scope
from github_app.probe import on_github
from github_app.probe.assumptions import BY_ID
from github_app.probe.on_github import OnGitHub
from github_app.probe.on_modal import DOCKER, PLAIN, OnModal, guarded, with_gpu
from github_app.probe.result import complete, found, unknown
from github_app.routing.catalog import usd_per_minute
from github_app.sandboxes.trial import Trials
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings
from github_app.store import CLAIMS, PROBES, ModalDictStore
from github_app.store.notes import Probed, ProbeReport, ProbeResult

_LAST = "last"
# What each part is reckoned at before it is made: minutes of a machine, longer than it takes.
_MINUTES = 2.0
_PLAIN_MACHINES = 4.0


@dataclass(frozen=True)
class Wanted:
    """What is to be looked at beside the plain things. `registered`: an App was registered just now, by a browser."""

    gpu: Gpu | None = None
    docker: bool = False
    registered: bool = False


class Probe:
    """Looks, and keeps what was seen."""

    def __init__(self, settings: Settings, config: Config, parts: Parts, client: modal.Client | None = None) -> None:
        self._settings = settings
        self._parts = parts
        self._store = ModalDictStore(settings.modal_app_name, client)
        self._client = client
        self._trials = Trials(settings.modal_app_name, images_of(settings, config)["default"], client)
        self._modal = OnModal(
            self._trials, parts.sandboxes, settings.github_enterprise_domain, lambda: parts.connection.clock_skew
        )
        self._github = OnGitHub(parts.connection, parts.runners)
        # Of the workspace, the App, the accounts and repositories.
        self._names: set[str] = {settings.modal_app_name, f"{settings.modal_app_name}-sandboxes"}

    @staticmethod
    def cost_before(wanted: Wanted) -> float:
        """About what a probe costs, by list prices: its machines for two minutes each."""
        machines = _PLAIN_MACHINES * usd_per_minute(PLAIN)
        if wanted.docker:
            machines += usd_per_minute(DOCKER)
        if wanted.gpu is not None:
            machines += usd_per_minute(with_gpu(wanted.gpu))
        return round(machines * _MINUTES, 2)

    async def run(self, wanted: Wanted) -> ProbeReport:
        """Look at everything that is wanted, and keep it.

        Raises:
            SandboxError, StoreError: Modal did not answer at all.
        """
        await self._learn_names()
        # First of all, for it decides how all images are built.
        builder = await guarded((22,), self._modal.builder)
        await self._parts.sandboxes.prepare()
        parts = await asyncio.gather(self._on_modal(wanted), self._at_github(wanted))
        earlier = await last(self._store)
        seen = [*builder, *parts[0], *parts[1], *await self._records()]
        results = complete(seen, earlier)
        return await self._keep(ProbeReport(results, self._modal.cost_usd))

    async def add(self, report: ProbeReport, results: Sequence[ProbeResult]) -> ProbeReport:
        """Keep what was seen besides.

        Raises:
            StoreError: Modal did not answer.
        """
        now = {each.id: each for each in results}
        merged = tuple(now.get(each.id, each) for each in report.results)
        return await self._keep(ProbeReport(merged, report.cost_usd))

    async def _keep(self, report: ProbeReport) -> ProbeReport:
        versions = {
            "modal-runner": version("modal-runner"),
            "modal": version("modal"),
            "python": platform.python_version(),
            "actions/runner": self._settings.runner_version,
        }
        kept = tuple(msgspec.structs.replace(each, evidence=self._redacted(each.evidence)) for each in report.results)
        await self._store.put(PROBES, _LAST, Probed(time.time(), ProbeReport(kept, report.cost_usd), versions))
        return report

    def _redacted(self, text: str) -> str:
        """Leave out whose accounts these are: a record is made to be sent on."""
        for name in sorted(self._names, key=len, reverse=True):
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "…", text, flags=re.IGNORECASE)
        return text

    async def _learn_names(self) -> None:
        with contextlib.suppress(ModalRunnerError):
            self._names.add((await look_up_workspace(self._client)).name)
        with contextlib.suppress(ModalRunnerError):
            for each in await self._parts.app.installations():
                self._names.add(each.account.login if each.account else "")
                if each.has_repositories:
                    await self._learn_repositories(each.id)
        self._names.add(modal.config.config.get("environment") or "")
        self._names.discard("")

    async def _learn_repositories(self, installation_id: int) -> None:
        # One that is suspended lists none.
        with contextlib.suppress(ModalRunnerError):
            listed, _ = await Jobs(self._parts.connection).repositories(installation_id, 1, Unmetered())
            self._names |= {name for repository in listed for name in (repository.full_name, repository.name)}

    async def _on_modal(self, wanted: Wanted) -> list[ProbeResult]:
        looks = [
            guarded((1, 2, 7, 20), self._modal.plain),
            guarded((19,), self._modal.network),
            guarded((9, 11), self._modal.containers),
            guarded((15,), self._modal.volume),
        ]
        if wanted.docker:
            looks.append(guarded((3,), self._modal.docker))
        if (gpu := wanted.gpu) is not None:
            looks.append(guarded((4,), lambda: self._modal.gpu(gpu)))
        return [result for results in await asyncio.gather(*looks) for result in results]

    async def _records(self) -> list[ProbeResult]:
        """Whether a launch waits for a limit of Modal's."""
        claims = (await self._store.all(CLAIMS)).values()
        throttled = next((each for each in claims if each.hold is Hold.MODAL_CAPACITY), None)
        if throttled is None:
            return [unknown(21, BY_ID[21].needs)]
        return [found(21, f"a launch waits: {throttled.reason}", holds=False)]

    async def _at_github(self, wanted: Wanted) -> list[ProbeResult]:
        results = await guarded((5, 6, 18), self._registration)
        deliveries = await guarded((10, 14), self._github.deliveries)
        cold = next(each for each in deliveries if each.id == 10)
        results += [each for each in deliveries if each.id != 10]
        results += await guarded((10,), lambda: self._ping(cold))
        if wanted.registered:
            results.append(found(13, "GitHub sent the browser back to this machine", holds=True))
        return results

    async def _registration(self) -> list[ProbeResult]:
        for each in await self._parts.app.installations():
            if each.organization:
                repositories, _ = await Jobs(self._parts.connection).repositories(each.id, 1, Unmetered())
                place = Place(Scope(each.organization), each.id)
                return await self._github.registration(place, _first(repositories))
        why = "the App is installed on no organisation: install it on one, run it again"
        return [unknown(number, why) for number in (5, 6, 18)]

    async def _ping(self, cold: ProbeResult) -> list[ProbeResult]:
        base = await Functions(self._settings.modal_app_name, self._client).web_url()
        url = f"{base}/webhook" if base else (await AppWebhook(self._parts.connection).config()).url
        seconds = await on_github.ping(url, self._settings.webhook_secret)
        return [on_github.answered(seconds, cold)]


def _first(repositories: Sequence[Repository]) -> Repository | None:
    return next(iter(repositories), None)


async def last(store: ModalDictStore) -> Probed | None:
    """The record of the last probe.

    Raises:
        StoreError: the store did not answer.
    """
    return await store.get(PROBES, _LAST)

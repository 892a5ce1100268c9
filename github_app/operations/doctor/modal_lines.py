"""What can be seen on Modal: whether the App is deployed, with what image, and whether it sweeps."""

import time
from collections.abc import Awaitable, Callable, Mapping

import httpx

from github_app.compose import images_of
from github_app.deployment import Functions
from github_app.operations.doctor.check import Check, failed, ok
from github_app.probe import counted, hopeless, last
from github_app.routing.units import as_span, number_of
from github_app.runners.versions import RunnerVersion
from github_app.sandboxes import ModalSandboxes
from github_app.settings.toml_file import Config
from github_app.settings.variables import RoutingSettings, Settings
from github_app.store import SWEEPS, ModalDictStore
from github_app.views.sweeping import every_s, late

_FIRST_WITHIN_S = 180.0
_ANSWER_S = 20.0
# What a new workspace may run at once (modal.com/pricing, Starter plan).
_CONTAINERS, _GPUS = 100, 10

Checks = Mapping[str, tuple[Callable[[], Awaitable[Check]], str]]


class OnModal:
    """The checks that Modal's token alone can make; each with its cure if the check itself fails."""

    def __init__(
        self,
        settings: RoutingSettings,
        config: Config,
        store: ModalDictStore,
        version: RunnerVersion,
        *,
        served_elsewhere: bool,
        cure: str = "run `modal-runner redeploy`",
    ) -> None:
        """`served_elsewhere`: the settings are in the environment, as for `modal-runner serve`."""
        self._cure = cure
        self._settings = settings
        self._config = config
        self._store = store
        self._version = version
        self._served_elsewhere = served_elsewhere
        self.web_url: str | None = None

    def checks(self) -> Checks:
        """Every check by its name."""
        reach = "check Modal's token and status page (https://status.modal.com)"
        return {
            "deployment": (self.deployment, self._cure),
            "runner-image": (self.runner_image, self._cure),
            "records": (self.records, reach),
            "sweep": (self.sweep, reach),
            "modal-limits": (self.limits, reach),
        }

    async def deployment(self) -> Check:
        """The web function is there and answers."""
        self.web_url = await Functions(self._settings.modal_app_name).web_url()
        if self.web_url is None and self._served_elsewhere:
            return ok("deployment", "no web function on Modal: `modal-runner serve` takes the deliveries")
        if self.web_url is None:
            return failed("deployment", f"App {self._settings.modal_app_name} has no web function on Modal", self._cure)
        try:
            async with httpx.AsyncClient(timeout=_ANSWER_S) as client:
                answer = await client.get(f"{self.web_url}/healthz")
        except httpx.HTTPError as error:
            why = f"{self.web_url} does not answer ({type(error).__name__})"
            return failed(
                "deployment", why, f"look at `modal app logs {self._settings.modal_app_name}`, then {self._cure}"
            )
        if answer.status_code != 200:
            logs = f"look at `modal app logs {self._settings.modal_app_name}`"
            return failed("deployment", f"{self.web_url}/healthz answers {answer.status_code}", logs)
        told = _health(answer)
        if told is not None:
            return failed("deployment", f"{self.web_url} answers, and says: {told}", self._cure)
        return ok("deployment", f"{self.web_url} answers")

    async def runner_image(self) -> Check:
        """Every image that a sandbox may be asked for is built."""
        recipes = images_of(self._settings, self._config)
        missing = await ModalSandboxes(self._settings.modal_app_name, recipes).missing_images()
        if missing:
            return failed("runner-image", f"not built: {', '.join(missing)}", self._cure)
        return ok("runner-image", f"built: {', '.join(recipes)}, with actions/runner {self._settings.runner_version}")

    async def records(self) -> Check:
        """The Dicts can be read, and GitHub has not refused the runner's version."""
        if refused := await self._version.refused():
            return failed("records", refused, self._cure)
        return ok("records", "can be read")

    async def sweep(self) -> Check:
        """It ran a short time ago."""
        last = await self._store.get(SWEEPS, "last")
        made = await self._store.get(SWEEPS, "deployed")
        now, every = time.time(), self._sweeps_every_s()
        told = late(last.at if last else None, made.at if made else None, now, every)
        if told is not None:
            return failed("sweep", told, self._revive())
        if last is None and made is not None and now - made.at < _FIRST_WITHIN_S:
            return ok("sweep", f"deployed {as_span(now - made.at)} ago; the first is due")
        if last is None:
            return failed("sweep", "none has come to its end yet", f"wait two minutes after a start; then {self._cure}")
        ago = as_span(now - last.at)
        if last.problems:
            cure = "`modal-runner sweep --dry-run` lists them"
            return failed("sweep", f"the last one, {ago} ago, had {number_of(last.problems, 'problem')}", cure)
        schedule = "" if every else f", by {self._settings.sweep_cron}"
        return ok("sweep", f"the last one came to its end {ago} ago{schedule}")

    def _sweeps_every_s(self) -> float | None:
        if self._served_elsewhere and isinstance(self._settings, Settings):
            return self._settings.sweep_interval_seconds or None
        return every_s(self._settings.sweep_cron)

    def _revive(self) -> str:
        if self._served_elsewhere:
            return "look whether `modal-runner serve` runs, answers at /healthz and logs `swept`; start it again"
        return f"look at `modal app logs {self._settings.modal_app_name}`, then {self._cure}"

    async def probe(self) -> Check:
        """What the last probe found of what is assumed of GitHub and Modal, and when."""
        made = await last(self._store)
        if made is None:
            return ok("probe", "none was made yet: `modal-runner probe` looks at what is assumed of GitHub and Modal")
        told = f"made {_ago(time.time() - made.at)} ago: {counted(made.report)}"
        if lost := hopeless(made.report):
            return failed("probe", f"{told}; does not hold: {lost[0].assumption}", lost[0].consequence or "")
        return ok("probe", told)

    async def limits(self) -> Check:
        """The caps asked for are within what Modal runs at once."""
        cap = self._settings.max_concurrent
        plan = f"Modal's Starter plan runs {_CONTAINERS} containers and {_GPUS} GPUs at once, its others more"
        if cap is None:
            return ok("modal-limits", f"MAX_CONCURRENT is not set; {plan}; what is over it waits")
        above = "above" if cap > _CONTAINERS else "within"
        return ok("modal-limits", f"MAX_CONCURRENT={cap} is {above} Starter's; {plan}; what is over it waits")


def _ago(seconds: float) -> str:
    if seconds < 7200:
        return number_of(round(seconds / 60), "minute")
    return number_of(round(seconds / 3600), "hour") if seconds < 172_800 else number_of(round(seconds / 86_400), "day")


def _health(answer: httpx.Response) -> str | None:
    """What is wrong by the App's own word, which is given with 200 too; None when nothing is."""
    try:
        told = answer.json()
    except ValueError:
        return "something that is not the App's"
    if not isinstance(told, dict) or told.get("status") == "ok":
        return None
    return str(told.get("reason") or told.get("status"))

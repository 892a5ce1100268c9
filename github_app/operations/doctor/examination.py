"""The examination: in order, and each line on its own, so that one thing that is wrong hides no other."""

from collections.abc import Awaitable, Callable, Mapping

from github_app.clock import Clock
from github_app.compose import compose
from github_app.deployment import SettingsSecret, look_up_workspace
from github_app.errors import ConfigError, DeploymentError, ModalRunnerError
from github_app.modal_errors import LOG_IN, REACH
from github_app.operations.doctor.check import Check, Report, failed, guarded, ok, unknown
from github_app.operations.doctor.github_lines import OnGitHub
from github_app.operations.doctor.modal_lines import OnModal
from github_app.runners.versions import RunnerVersion
from github_app.settings.load import settings_of
from github_app.settings.make_rules import warnings
from github_app.settings.toml_file import Config
from github_app.settings.variables import STORED, RoutingSettings, Settings
from github_app.store import ModalDictStore

_SETUP = "run `modal-runner setup --org ORGANISATION`"
_REDEPLOY = "run `modal-runner redeploy`"
_ON_MODAL = ("deployment", "runner-image", "records", "sweep", "modal-limits")
_ON_GITHUB = (
    *("app", "clock", "permissions", "installations", "webhook"),
    *("deliveries", "repositories", "runners", "runner-group", "runner-version", "dashboard"),
)


async def examine(routing: RoutingSettings, config: Config, given: Callable[[], Settings] | None) -> Report:
    """Look at everything. `given` reads the settings of the environment; None: they are in the Modal Secret."""
    report = Report([], [])
    token = await _token()
    report.checks.append(token)
    settings = await _settings(routing, given, report, has_modal=token.status == "ok")
    report.warnings = warnings(settings or routing, config)
    web_url = None
    modal: OnModal | None = None
    if token.status == "ok":
        known = settings or routing
        store = ModalDictStore(known.modal_app_name, create=False)
        cure = "see the line `settings`" if report.checks[-1].cure == _SETUP else _REDEPLOY
        version = RunnerVersion(store, known.runner_version, Clock())
        modal = OnModal(known, config, store, version, served_elsewhere=given is not None, cure=cure)
        await _all(modal.checks(), report)
        web_url = modal.web_url
    else:
        report.checks += [unknown(name, "there is no way to Modal", "see the line `modal-token`") for name in _ON_MODAL]
    await _github(settings, config, web_url, report)
    if modal is not None:
        report.checks.append(await guarded("probe", modal.probe(), "run `modal-runner probe`"))
    else:
        report.checks.append(unknown("probe", "there is no way to Modal", "see the line `modal-token`"))
    report.ok = all(check.status == "ok" for check in report.checks)
    return report


async def _token() -> Check:
    try:
        workspace = await look_up_workspace()
    except DeploymentError as error:
        return failed("modal-token", str(error), REACH if error.retryable else LOG_IN)
    return ok("modal-token", f"workspace {workspace.name or '(unnamed)'}")


async def _settings(
    routing: RoutingSettings, given: Callable[[], Settings] | None, report: Report, *, has_modal: bool
) -> Settings | None:
    """The settings with the App's credentials, if they are there and right."""
    secret = SettingsSecret(routing.modal_app_name)
    where = "the environment" if given else f"the Modal Secret {secret.name}"
    try:
        if given is not None:
            settings = given()
        elif not has_modal:
            report.checks.append(
                unknown(
                    "settings", "there is no way to Modal, and the environment has none", "see the line `modal-token`"
                )
            )
            return None
        else:
            stored = await secret.read(STORED.values(), makes_app=False)
            if stored is None:
                report.checks.append(failed("settings", f"there is no {where.removeprefix('the ')}", _SETUP))
                return None
            settings = settings_of({**stored, "MODAL_APP_NAME": routing.modal_app_name})
    except ConfigError as error:
        cure = f"mend {where}: docs/settings.md"
        report.checks.append(failed("settings", f"{where}: " + "; ".join(error.problems), cure))
        return None
    except ModalRunnerError as error:
        report.checks.append(failed("settings", str(error), _REDEPLOY))
        return None
    report.checks.append(ok("settings", f"complete, in {where}"))
    return settings


async def _github(settings: Settings | None, config: Config, web_url: str | None, report: Report) -> None:
    if settings is None:
        missing = "the App's credentials are not there"
        report.checks += [unknown(name, missing, "see the line `settings`") for name in _ON_GITHUB]
        return
    parts = compose(settings, config, Clock())
    try:
        checks = OnGitHub(settings, config, parts, web_url).checks()
        first, cure = checks["app"]
        report.checks.append(await guarded("app", first(), cure))
        if report.checks[-1].status != "ok":
            rest = [name for name in _ON_GITHUB if name != "app"]
            report.checks += [unknown(name, "GitHub does not know the App", "see the line `app`") for name in rest]
            return
        await _all({name: check for name, check in checks.items() if name != "app"}, report)
    finally:
        await parts.connection.close()


async def _all(checks: Mapping[str, tuple[Callable[[], Awaitable[Check]], str]], report: Report) -> None:
    for name, (check, cure) in checks.items():
        report.checks.append(await guarded(name, check(), cure))

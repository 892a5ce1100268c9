"""What an operator does after the setup: doctor, redeploy, rotate-secret, uninstall."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from grpclib import GRPCError, Status

from github_app.github.manifest import load_manifest
from github_app.model import Place, RunnerRecord, Scope
from github_app.sandboxes.image import BUILDER_VERSION
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import NoFaults
from github_app.store import RUNNERS, SWEEPS, ModalDictStore
from github_app.store.notes import Swept
from tests.worlds.modal_workshop import connect
from tests.worlds.records import SHAPE
from tests.worlds.setup_run import PATH, WORKFLOW, Site, site

_LINES = (
    *("modal-token", "settings", "deployment", "runner-image", "records", "sweep", "modal-limits"),
    *("app", "clock", "permissions", "installations", "webhook"),
    *("deliveries", "repositories", "runners", "runner-group", "runner-version", "dashboard", "probe"),
)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Site]:
    """A deployment that was just set up."""
    async with site(tmp_path) as made:
        await made.set_up()
        yield made


async def _doctor(it: Site) -> dict[str, dict[str, Any]]:
    """The lines of a doctor who found something, by name."""
    code, text = await it.run("doctor", "--json")
    found = json.loads(text)

    assert found["ok"] is (code == 0)
    assert [check["name"] for check in found["checks"]] == list(_LINES)
    assert all(check["cure"] for check in found["checks"] if check["status"] != "ok")
    return {check["name"]: check for check in found["checks"]}


def _bad(lines: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in lines.items() if check["status"] != "ok"]


async def test_all_holds_after_a_setup_and_a_sweep_and_the_doctor_changes_nothing(it: Site) -> None:
    # No sweep comes in between.
    assert it.modal.scheduled == {"modal-runner-sweep"}
    await it.run("redeploy", "--set", "SWEEP_CRON=*/30 * * * *", "--keep-version")
    assert not it.modal.scheduled
    await it.modal.run_function("modal-runner", "sweep")
    calls, secret = it.modal.calls.copy(), it.secret
    lines = await _doctor(it)
    code, text = await it.run("doctor")
    written = {
        name for name in (it.modal.calls - calls) if name.startswith(("Dict", "Secret", "Image", "Function", "App"))
    }

    assert _bad(lines) == []
    assert (code, "failed" in text.replace("0 of the last 1 failed", "")) == (0, False)
    assert not written & {
        "DictUpdate",
        "DictPop",
        "SecretUpdate",
        "ImageGetOrCreate",
        "ImagePublish",
        "FunctionCreate",
    } - {
        "ImageGetOrCreate"  # of the sandbox that reads the Secret
    }
    assert it.secret == secret


async def test_without_any_credentials_each_line_says_what_is_missing(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        bare = {name: value for name, value in it.environment.items() if not name.startswith("MODAL_TOKEN")}
        code, text = await it.run("doctor", environment=bare)
        fresh = await _doctor(it)

    assert code == 1
    assert [name for name in _LINES if name not in text] == []
    assert "modal setup" in text
    assert "Traceback" not in text
    assert "modal-runner setup" in fresh["settings"]["cure"]


async def test_what_is_wrong_at_github_comes_with_the_click_that_mends_it(it: Site) -> None:
    await it.modal.run_function("modal-runner", "sweep")
    [app] = it.github.world.apps.values()
    [installation] = it.github.world.installations.values()
    [group] = it.github.world.groups["octo-org"]
    installation.granted = {"metadata": "read", "actions": "read", "organization_self_hosted_runners": "read"}
    app.hook_url = "https://elsewhere.example.com/webhook"
    pending = await _doctor(it)
    installation.granted = None
    group.selected = []
    grouped = await _doctor(it)
    group.selected, group.workflows = None, ["octo-org/other/.github/workflows/x.yml@refs/heads/main"]
    restricted = await _doctor(it)
    next(iter(it.github.world.repositories.values())).private = False
    group.workflows = None
    public = await _doctor(it)
    installation.suspended_at = time.time()
    suspended = await _doctor(it)
    it.github.world.installations.clear()
    none = await _doctor(it)
    app.permissions = {"metadata": "read"}
    app.events = []
    lacking = await _doctor(it)
    it.github.world.apps.clear()
    gone = await _doctor(it)

    assert "has not agreed to organization_self_hosted_runners: write" in pending["permissions"]["detail"]
    assert "accepts the request" in pending["permissions"]["cure"]
    assert "https://elsewhere.example.com/webhook" in pending["webhook"]["detail"]
    assert "redeploy" in pending["webhook"]["cure"]
    assert "1 get no runner: the runner group Default does not admit octo-org/" in grouped["runner-group"]["detail"]
    assert "restricted to the workflows octo-org/other/.github/workflows/x.yml" in restricted["runner-group"]["detail"]
    # A public repository that nobody has allowed is not served anyway.
    assert public["runner-group"]["status"] == "ok"
    assert "unsuspends" in suspended["installations"]["cure"]
    assert f"/apps/{app.slug}/installations/new" in none["installations"]["cure"]
    assert "event workflow_job" in lacking["permissions"]["detail"]
    assert lacking["permissions"]["cure"].endswith(f"/organizations/octo-org/settings/apps/{app.slug}/permissions")
    assert gone["app"]["status"] == "failed"
    assert "private key" in gone["app"]["cure"]


async def test_a_refusal_of_githubs_is_told_with_its_click(it: Site) -> None:
    for message, click in (
        ("This installation has been suspended", "Unsuspend"),
        ("... the `octo-org` organization has an IP allow list enabled, and your IP address is not", "IP allow list"),
        ("Resource protected by organization SAML enforcement.", "single sign-on"),
        ("Repository level self-hosted runners are disabled on this repository", "allows self-hosted runners"),
        ("GitHub Actions is disabled for this organization", "turns GitHub Actions on"),
    ):
        it.github.inject(_Refuses("GET /orgs/{org}/actions/runners", message))
        lines = await _doctor(it)

        assert message in lines["runners"]["detail"]
        assert click in lines["runners"]["cure"]


async def test_deliveries_that_were_refused_lead_to_the_secret(it: Site) -> None:
    [app] = it.github.world.apps.values()
    right, app.webhook_secret = app.webhook_secret, "another"
    repository = it.github.world.repositories["octo-org/octo-repo"]
    it.github.actions.push(repository, {PATH: json.dumps(WORKFLOW).encode()}, PATH, {"job": 0.2})
    await it.github.webhooks.settle()
    lines = await _doctor(it)
    app.webhook_secret = right

    assert lines["deliveries"]["status"] == "failed"
    assert "rotate-secret" in lines["deliveries"]["cure"]


async def test_a_redeploy_takes_the_newest_runner_and_changed_settings_and_mends_the_webhook(it: Site) -> None:
    [app] = it.github.world.apps.values()
    secret = app.webhook_secret
    app.hook_url = "https://elsewhere.example.com/webhook"
    unchecked = await it.run("redeploy", "--set", "RUNNER_VERSION=2.900.0")
    older = await it.run("redeploy", "--set", "RUNNER_VERSION=2.900.0", "--set", f"RUNNER_SHA256={'ab' * 32}")
    old_version, old_checksum = it.secret["RUNNER_VERSION"], it.secret["RUNNER_SHA256"]
    outdated = await _doctor(it)
    code, text = await it.run("redeploy", "--set", "MAX_CONCURRENT=5")
    await it.job_runs()

    assert older[0] == 0, older[1]
    assert (unchecked[0], "RUNNER_SHA256" in unchecked[1]) == (2, True)
    assert (old_version, old_checksum) == ("2.900.0", "ab" * 32)
    assert "GitHub offers 2.999.1" in outdated["runner-version"]["detail"]
    assert code == 0, text
    assert (it.secret["RUNNER_VERSION"], it.secret["MAX_CONCURRENT"]) == ("2.999.1", "5")
    assert app.hook_url == f"{it.modal.web_url('modal-runner', 'web')}/webhook"
    assert app.webhook_secret == secret


class OtherBuilder:
    """A Modal whose builder has gone on since the images were built."""

    async def before(self, rpc: str, request: Any) -> None:
        if rpc == "ImageGetOrCreate" and request.builder_version == BUILDER_VERSION:
            raise GRPCError(Status.INVALID_ARGUMENT, "this version of the builder is no more")

    async def after(self, rpc: str, request: Any, response: Any) -> None:
        if rpc == "EnvironmentGetOrCreate":
            response.metadata.settings.image_builder_version = "2026.10"
        if rpc == "ClientHello":
            response.image_builder_version = "2026.10"


async def test_a_redeploy_goes_by_the_builder_that_there_is(it: Site) -> None:
    it.modal.interceptor = OtherBuilder()
    code, text = await it.run("redeploy", "--keep-version")
    await it.job_runs()

    assert code == 0, text
    assert "this version of the builder is no more" in text


async def test_a_setting_that_cannot_be_changed_so_changes_nothing(it: Site) -> None:
    before, version = it.secret, it.modal.deployment("modal-runner").version
    for given, says in (
        ("WEBHOOK_SECRET=x", "is a secret"),
        ("SANDBOX_EXTRA_ENV=TOKEN=x", "is a secret"),
        ("MODAL_RUNNER_CONFIG=other.toml", "is no setting"),
        ("SWEEP_CRON=nonsense", "SWEEP_CRON"),
        ("MAX_CONCURRENT", "NAME=VALUE"),
        ("MAX_CONCURRENT=many", "MAX_CONCURRENT"),
    ):
        code, text = await it.run("redeploy", "--set", given)

        assert code == 2
        assert says in text
        assert (it.secret, it.modal.deployment("modal-runner").version) == (before, version)


async def test_a_new_webhook_secret_is_at_both_ends_and_no_delivery_is_refused_meanwhile(it: Site) -> None:
    [app] = it.github.world.apps.values()
    before = app.webhook_secret
    command = await it.start("rotate-secret")
    await command.until("forget the old one")
    await it.job_runs()
    code = await command.end()
    await it.job_runs()
    deliveries = it.github.world.deliveries.values()

    assert code == 0, command.text
    assert app.webhook_secret == it.secret["WEBHOOK_SECRET"] != before
    assert not it.secret["WEBHOOK_SECRET_OLD"]
    assert before not in command.text
    assert [each.status_code for each in deliveries if each.event == "workflow_job" and each.status_code >= 400] == []


async def test_a_new_private_key_is_tried_before_it_is_stored(it: Site) -> None:
    [app] = it.github.world.apps.values()
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    for number, key in enumerate(keys):
        (it.folder / f"{number}.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
    app.public_key = keys[1].public_key()
    foreign = await it.run("rotate-secret", "--private-key", "0.pem")
    code, text = await it.run("rotate-secret", "--private-key", "1.pem")
    await it.job_runs()

    assert (foreign[0], "it is none of App" in foreign[1]) == (2, True)
    assert code == 0, text
    assert it.secret["GITHUB_PRIVATE_KEY"] == (it.folder / "1.pem").read_text()


async def test_uninstalling_asks_then_ends_the_jobs_that_run_and_leaves_nothing_on_modal(it: Site) -> None:
    repository = it.github.world.repositories["octo-org/octo-repo"]
    it.github.actions.push(repository, {PATH: json.dumps(WORKFLOW).encode()}, PATH, {"job": 60.0})
    deadline = time.monotonic() + 30
    while it.github.jobs()[0].status != "in_progress":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    unasked = await it.run("uninstall")
    kept = it.secret
    code, text = await it.run("uninstall", "--yes")
    again = await it.run("uninstall", "--yes")
    unread = RunnerRecord("modal-1-1", 1, Place(Scope("octo-org"), 1), ("modal",), SHAPE, 7, time.time())
    async with connect(it.modal) as client:
        await ModalDictStore("modal-runner", client).put(RUNNERS, unread.name, unread)
    orphaned = await it.run("uninstall", "--yes")
    left = await it.run("status", "--json")

    assert (unasked[0], "--yes" in unasked[1], bool(kept)) == (2, True, True)
    assert "running: 1 sandbox;" in text
    assert "still busy for GitHub, which fails their jobs" in text
    assert json.loads(left[1])["jobs"] == json.loads(left[1])["runners"] == []
    assert code == 0, text
    assert not it.secret
    assert [each for each in it.modal.sandboxes() if each.ended_at is None] == []
    assert f"/organizations/octo-org/settings/apps/{next(iter(it.github.world.apps.values())).slug}" in text
    assert again[0] == 0, again[1]
    assert again[1].count("skipped: ") == 4
    assert "skipped: there is no Secret modal-runner-settings" in again[1]
    assert orphaned[0] == 1
    assert "failed: recorded: 1 runner, and GitHub cannot be asked, for there is no Secret" in orphaned[1]


async def test_an_idle_runner_is_deregistered_when_the_app_is_removed(it: Site) -> None:
    # Nobody takes the runner: the job is cancelled before it was picked up.
    it.github.inject(_NeverOnline())
    repository = it.github.world.repositories["octo-org/octo-repo"]
    it.github.actions.push(repository, {PATH: json.dumps(WORKFLOW).encode()}, PATH, {"job": 0.2})
    deadline = time.monotonic() + 30
    while not it.github.world.runners:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    code, text = await it.run("uninstall", "--yes")

    assert code == 0, text
    assert "gone: 1 runner" in text
    assert not it.github.world.runners


async def test_the_administrators_file_that_is_named_is_checked_and_then_deployed(
    it: Site,
) -> None:
    (it.folder / "modal-runner.toml").write_text("[limits]\ncpu = 1\n")
    (it.folder / "b.toml").write_text('[[routes]]\nname = "none"\nrefuse = "Not here."\n')
    named = {**it.environment, "MODAL_RUNNER_CONFIG": "b.toml"}
    code, text = await it.run("redeploy", environment=named)
    explained = await it.run("explain", "modal", "--repo", "octo-org/octo-repo", "--deployed", environment=named)
    deployed = [file.read_text() for file in it.modal.container_files("modal-runner.toml")]
    (it.folder / "b.toml").write_text("[nonsense]\n")
    wrong = await it.run("redeploy", environment=named)
    elsewhere = {**it.environment, "MODAL_RUNNER_CONFIG": ""}
    (it.folder / "modal-runner.toml").unlink()
    shown = await it.run("config", "show", "--deployed", environment=elsewhere)
    text_of_it = await it.run("config", "show", "--deployed", "--file", environment=elsewhere)
    dropped = await it.run("redeploy", "--keep-version", environment=elsewhere)
    rotated = await it.run("rotate-secret", environment=elsewhere)
    kept = await it.run("config", "show", "--deployed", "--file", environment=elsewhere)
    (it.folder / "modal-runner.toml").write_text('[limits]\ncpu = 2\n[defaults.env]\nTOKEN = "canary-token"\n')
    changed = await it.run("redeploy", "--keep-version", "--yes", environment=elsewhere)
    meant = await it.run("redeploy", "--keep-version", "--no-config", environment=elsewhere)
    none_left = await it.run("config", "show", "--deployed", "--file", environment=elsewhere)
    examined = await it.run("doctor", environment=named)

    assert code == 0, text
    assert (explained[0], "Not here." in explained[1]) == (1, True)
    assert 'refuse = "Not here."' in deployed[-1]
    assert (wrong[0], "nonsense" in wrong[1]) == (2, True)
    assert (examined[0], "configuration" in examined[1]) == (1, True)
    assert 'routes[0].refuse = "Not here."  # deployed file' in shown[1]
    assert "GITHUB_APP_ID" in shown[1]
    assert re.search(r"MAX_CONCURRENT=\d+  # Secret", shown[1])
    assert text_of_it == kept == (0, '[[routes]]\nname = "none"\nrefuse = "Not here."\n')
    assert (dropped[0], "config show --deployed --file" in dropped[1]) == (2, True)
    assert rotated[0] == 0, rotated[1]
    assert changed[0] == 0, changed[1]
    assert '-refuse = "Not here."' in changed[1]
    assert "+cpu = 2" in changed[1]
    assert "canary-token" not in changed[1]
    assert meant[0] == 0, meant[1]
    assert none_left[0] == 1


async def test_that_no_sweep_ends_any_more_is_told_in_plain_words(it: Site) -> None:
    async with connect(it.modal) as client:
        store = ModalDictStore("modal-runner", client)
        await store.put(SWEEPS, "last", Swept(time.time() - 720, 0))
    late, status = (await _doctor(it))["sweep"], await it.run("status")
    told = "the last sweep ended 12m ago, and one comes every minute: the App is stopped or frozen"
    credentials = {name: it.secret[name] for name in ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "WEBHOOK_SECRET")}
    served = {**it.environment, **credentials}
    by_serve = json.loads((await it.run("doctor", "--json", environment=served))[1])["checks"]
    seldom = await it.run("status", "--json", environment={**served, "SWEEP_INTERVAL_SECONDS": "900"})
    off = await it.run("status", "--json", environment={**served, "SWEEP_INTERVAL_SECONDS": "0"})

    assert (late["status"], told in late["detail"]) == ("failed", True)
    assert "modal app logs" in late["cure"]
    assert f"LATE: {told}" in " ".join(status[1].split())
    assert [each["cure"] for each in by_serve if each["name"] == "sweep"] == [
        "look whether `modal-runner serve` runs, answers at /healthz and logs `swept`; start it again"
    ]
    assert json.loads(seldom[1])["sweep_late"] is json.loads(off[1])["sweep_late"] is None


async def test_why_and_explain_read_the_secret_once(it: Site) -> None:
    await it.job_runs()
    number = it.github.jobs()[-1].id
    known = f"https://github.com/octo-org/octo-repo/actions/runs/1/job/{number}"

    async def reads(*arguments: str) -> tuple[int, int, str]:
        before = it.modal.calls["SandboxCreateV2"]
        code, text = await it.run(*arguments)
        return it.modal.calls["SandboxCreateV2"] - before, code, text

    why, explained = await reads("why", known), await reads("explain", known, "--deployed")
    nowhere = await reads("explain", known.replace(str(number), str(number + 10_000)), "--deployed")

    assert why[:2] == (1, 0), why[2]
    assert explained[:2] == (1, 0), explained[2]
    assert nowhere[:2] == (1, 2), nowhere[2]
    assert "GitHub knows no job" in nowhere[2]


async def test_the_sweep_by_hand_finds_its_settings_in_the_secret(it: Site) -> None:
    code, text = await it.run("sweep", "--dry-run")
    version = await it.run("runner-version")

    assert code == 0, text
    assert version[1].startswith("RUNNER_VERSION=2.999.1\nRUNNER_SHA256=")


async def test_commands_without_a_deployment_say_what_to_run_first(tmp_path: Path) -> None:
    async with site(tmp_path) as it:
        for command in ("redeploy", "rotate-secret", "sweep", "runner-version"):
            code, text = await it.run(command)

            assert code == 2
            assert "modal-runner setup" in text


def test_the_manifest_asks_for_no_more_than_it_must() -> None:
    manifest = load_manifest()

    assert manifest["default_permissions"] == {
        "organization_self_hosted_runners": "write",
        "actions": "read",
        "metadata": "read",
    }
    assert manifest["default_events"] == ["workflow_job"]
    assert manifest["public"] is False


class _Refuses(NoFaults):
    def __init__(self, call: str, message: str) -> None:
        self._call, self._message = call, message

    async def before(self, call: str) -> None:
        if call == self._call:
            raise ApiError(403, self._message)


class _NeverOnline(NoFaults):
    def conduct(self) -> str | None:
        return "never-online"

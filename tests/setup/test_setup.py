"""`modal-runner setup`: from nothing to the first job; and every way in which it can go wrong on the way."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from google.protobuf.message import Message
from grpclib import GRPCError, Status

from github_app.settings.load import settings_of
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import NoFaults
from tests.worlds.setup_run import OCTO, Page, Site, form_of, site


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def test_a_job_runs_after_one_button_and_one_installation(it: Site) -> None:
    await it.set_up()
    await it.job_runs()
    [app] = it.github.world.apps.values()

    assert "runs-on: [self-hosted, modal]" in it.commands[0].text
    assert app.hook_url == f"{it.modal.web_url('modal-runner', 'web')}/webhook"
    assert app.permissions == {"organization_self_hosted_runners": "write", "actions": "read", "metadata": "read"}
    assert app.events == ["workflow_job"]


async def test_the_key_is_in_the_modal_secret_and_nowhere_else(it: Site) -> None:
    await it.set_up()
    secrets = [it.secret[name] for name in ("GITHUB_PRIVATE_KEY", "GITHUB_CLIENT_SECRET", "WEBHOOK_SECRET")]
    lines = [line for secret in secrets for line in secret.splitlines() if len(line) > 20]
    written = [file.read_text(errors="replace") for file in it.folder.rglob("*") if file.is_file()]

    assert settings_of(it.secret).github_app_id == next(iter(it.github.world.apps))
    assert len(lines) > 20
    assert not [line for line in lines if any(line in text for text in (it.commands[0].text, *written))]
    assert not list(it.folder.glob("*.html"))


async def test_the_version_of_the_runner_and_its_checksum_come_from_github(it: Site) -> None:
    await it.set_up()

    assert it.secret["RUNNER_VERSION"] == "2.999.1"
    assert len(it.secret["RUNNER_SHA256"]) == 64
    assert "actions/runner 2.999.1, its checksum checked" in it.commands[0].text


async def test_a_second_run_makes_no_second_app_and_changes_nothing(it: Site) -> None:
    await it.set_up()
    before = it.secret
    code, text = await it.run(*OCTO)

    assert code == 0, text
    assert "an App is registered already" in text
    assert len(it.github.world.apps) == 1
    assert it.secret == before


async def test_after_ctrl_c_before_the_button_it_begins_anew(it: Site) -> None:
    setup = await it.start(*OCTO)
    await it.page_of(setup)
    await setup.until("press Enter")
    setup.interrupt()
    code = await setup.end()
    await it.set_up()

    assert code == 130
    assert "Run the same command again" in setup.text
    assert "Traceback" not in setup.text
    assert not list(it.folder.glob("*.html"))


async def test_after_ctrl_c_before_the_installation_it_goes_on_with_the_same_app(it: Site) -> None:
    setup = await it.start(*OCTO)
    await it.registers(setup)
    await setup.until("installations/new")
    setup.interrupt()
    await setup.end()
    again = await it.start(*OCTO)
    await it.installs(again)

    assert await again.end() == 0, again.text
    assert len(it.github.world.apps) == 1


async def test_the_key_survives_a_modal_that_is_out_of_reach_until_the_next_run(it: Site) -> None:
    it.modal.interceptor = _Fails("SecretGetOrCreate")
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    answering = asyncio.create_task(it.person.get(back))
    await setup.until("trying again")
    setup.interrupt()
    code = await setup.end()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    [rescue] = (it.folder / "home").iterdir()
    mode = stat.S_IMODE(rescue.stat().st_mode)
    it.modal.interceptor = None
    again = await it.start(*OCTO)
    await it.installs(again)

    assert code == 130
    assert str(rescue) in setup.text
    assert mode == 0o600
    assert await again.end() == 0, again.text
    assert len(it.github.world.apps) == 1
    assert not rescue.exists()
    assert "GITHUB_PRIVATE_KEY" in it.secret


async def test_a_stop_while_the_code_is_traded_waits_for_the_key(it: Site) -> None:
    it.github.inject(_ConversionTakes(1.5))
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    answering = asyncio.create_task(it.person.get(back))
    await setup.until("trading it")
    setup.interrupt()
    await setup.until("as soon as GitHub has answered")
    setup.interrupt()
    code, page = await setup.end(), await answering
    again = await it.start(*OCTO)
    await it.installs(again)

    assert code == 130
    assert "Traceback" not in setup.text
    assert "The setup was stopped" in page.text
    assert await again.end() == 0, again.text
    assert len(it.github.world.apps) == 1


async def test_a_stop_while_a_code_is_traded_for_nothing_is_a_stop(it: Site) -> None:
    it.github.inject(_ConversionTakes(1.0))
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    it.ahead_s[0] = 3700
    answering = asyncio.create_task(it.person.get(back))
    await setup.until("trading it")
    setup.interrupt()
    code = await setup.end()
    await answering

    assert code == 130
    assert not list((it.folder / "home").iterdir())


async def test_a_stop_while_modal_is_slow_to_store_keeps_the_key(it: Site) -> None:
    it.modal.interceptor = _Hangs()
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    answering = asyncio.create_task(it.person.get(back))
    async with asyncio.timeout(20):
        while not it.modal.interceptor.asked:
            await asyncio.sleep(0.05)
    setup.interrupt()
    code = await setup.end()
    await asyncio.gather(answering, return_exceptions=True)
    [rescue] = (it.folder / "home").iterdir()

    assert code == 130
    assert "BEGIN RSA PRIVATE KEY" in rescue.read_text()


async def test_of_two_setups_at_once_one_is_told_that_the_other_was_first(it: Site) -> None:
    first, second = await it.start(*OCTO), await it.start(*OCTO, "--name", "another")
    pages = [await it.page_of(each) for each in (first, second)]
    await it.person.get((await it.press(pages[0])).headers["location"])
    late = await it.press(pages[1])
    await it.person.get(late.headers["location"])
    code = await second.end()

    assert code == 1
    assert "Another setup has meanwhile stored its App" in second.text
    assert it.secret["GITHUB_APP_ID"] == str(min(it.github.world.apps))


async def test_a_modal_that_comes_back_is_waited_for(it: Site) -> None:
    it.modal.interceptor = _Fails("SecretGetOrCreate")
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    registered = asyncio.create_task(it.person.get(back))
    await setup.until("trying again")
    it.modal.interceptor = None
    page = await registered
    await it.installs(setup)

    assert page.status_code == 303
    assert await setup.end() == 0, setup.text


@pytest.mark.parametrize("number", [1, 15])
async def test_the_key_survives_a_connection_that_breaks_off_while_modal_is_out_of_reach(it: Site, number: int) -> None:
    it.modal.interceptor = _Fails("SecretGetOrCreate")
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    answering = asyncio.create_task(it.person.get(back))
    await setup.until("trying again")
    setup.process.send_signal(number)
    await setup.end()
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
    [rescue] = (it.folder / "home").iterdir()

    assert "BEGIN RSA PRIVATE KEY" in rescue.read_text()


async def test_a_truncated_paste_does_not_spoil_the_right_one(it: Site) -> None:
    setup = await it.start(*OCTO)
    page = await it.page_of(setup)
    await setup.until("press Enter")
    back = (await it.press(page)).headers["location"]
    await setup.say(parse_qs(urlsplit(back).query)["code"][0][:20])
    await setup.until("good once, for an hour")
    await setup.say(back)
    await setup.until("its key and secrets are in")

    assert len(it.github.world.apps) == 1
    assert "GITHUB_PRIVATE_KEY" in it.secret


async def test_a_stored_app_is_not_taken_for_ones_own_account_nor_for_another_server(it: Site) -> None:
    await it.set_up()
    own = await it.run("setup", "--personal", "--no-browser", "--no-probe")
    server = await it.run(*OCTO, "--host", "ghes.example.com")

    assert (own[0], server[0]) == (1, 1)
    assert "For your own account, give the deployment another name" in own[1]
    assert "holds an App on github.com" in server[1]


async def test_a_second_run_goes_by_how_deliveries_fare_now(it: Site) -> None:
    await it.set_up()
    it.github.world.deliveries.clear()
    quiet = await it.run(*OCTO)
    [app] = it.github.world.apps.values()
    app.webhook_secret = "another"
    mended = await it.run(*OCTO)

    assert quiet[0] == 0, quiet[1]
    assert mended[0] == 0, mended[1]
    assert app.webhook_secret == it.secret["WEBHOOK_SECRET"]


async def test_an_answer_with_a_foreign_state_is_refused_and_the_right_one_still_taken(it: Site) -> None:
    setup = await it.start(*OCTO)
    page = await it.page_of(setup)
    foreign = await it.person.get(f"{page.address}/registered?code=abc&state=guessed")
    none = await it.person.get(f"{page.address}/registered?code=abc")
    right = await it.person.get((await it.press(page)).headers["location"])

    assert (foreign.status_code, none.status_code) == (400, 400)
    assert "does not belong to the setup that is running here" in foreign.text
    assert "Back to the first page" in foreign.text
    assert right.status_code == 303


async def test_a_second_tab_or_a_replayed_answer_is_told_that_it_comes_too_late(it: Site) -> None:
    setup = await it.start(*OCTO)
    first, second = await it.page_of(setup), await it.page_of(setup)
    back = (await it.press(first)).headers["location"]
    await it.person.get(back)
    other = await it.press(second, name="another-name")
    replayed, late = await it.person.get(back), await it.person.get(other.headers["location"])
    start = await it.person.get(first.address)

    assert (replayed.status_code, late.status_code) == (400, 400)
    assert "answered already" in replayed.text
    assert "delete it" in late.text
    assert (start.status_code, start.headers["location"]) == (303, "/progress")


async def test_an_expired_code_is_explained_and_the_button_works_again(it: Site) -> None:
    setup = await it.start(*OCTO)
    back = (await it.press(await it.page_of(setup))).headers["location"]
    it.ahead_s[0] = 3700
    expired = await it.person.get(back)
    it.github.world.apps.clear()
    again = await it.registers(setup)

    await setup.until("good once, for an hour")

    assert expired.status_code == 400
    assert "good once, for an hour" in expired.text
    assert again.status_code == 303


async def test_a_name_that_is_taken_is_changed_on_githubs_page(it: Site) -> None:
    other = it.github.world.add_account("other-org")
    setup = await it.start(*OCTO)
    page = await it.page_of(setup)
    it.github.registration.register(other, page.manifest)
    taken = await it.press(page)
    renamed = await it.person.get((await it.press(page, name="octo runners")).headers["location"])

    assert taken.status_code == 422
    assert "already taken" in taken.text
    assert renamed.status_code == 303


async def test_without_rights_in_the_organisation_the_same_page_serves_an_owner_later(it: Site) -> None:
    it.organization.owned = False
    setup = await it.start(*OCTO)
    page = await it.page_of(setup)
    refused = await it.press(page)
    advice = (await it.person.get(page.address)).text
    it.organization.owned = True
    done = await it.person.get((await it.press(page)).headers["location"])

    assert refused.status_code == 403
    assert "ask an owner of octo-org" in advice
    assert done.status_code == 303


async def test_an_app_made_on_another_account_is_not_used(it: Site) -> None:
    it.github.world.add_account("other-org")
    setup = await it.start(*OCTO)
    page = await it.page_of(setup)
    elsewhere = page.action.replace("octo-org", "other-org")
    answer = await it.press(Page(page.address, elsewhere, page.manifest))
    back = await it.person.get(answer.headers["location"])

    assert back.status_code == 400
    assert "belongs to other-org, not to octo-org" in back.text
    assert not it.secret


async def test_a_github_that_fails_in_the_middle_is_told_and_the_button_works_again(it: Site) -> None:
    it.github.inject(_ConversionFails())
    setup = await it.start(*OCTO)
    failed = await it.registers(setup)
    it.github.inject(NoFaults())
    it.github.world.apps.clear()
    again = await it.registers(setup)

    assert failed.status_code == 400
    assert "502" in failed.text
    assert again.status_code == 303


@pytest.mark.parametrize("whole_address", [True, False])
async def test_without_a_browser_here_the_address_or_the_code_is_pasted(it: Site, *, whole_address: bool) -> None:
    setup = await it.start(*OCTO)
    await setup.until("press Enter")
    file = next(it.folder.glob("*.html"))
    address, page = (await it.page_of(setup)).address, file.read_text()
    answer = await it.press(Page(address, *form_of(page)))
    back = answer.headers["location"]
    await setup.say("nonsense?code=&state=")
    await setup.until("does not belong|no code")
    await setup.say(back if whole_address else parse_qs(urlsplit(back).query)["code"][0])
    await it.installs(setup)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600 if file.exists() else True
    assert await setup.end() == 0, setup.text


async def test_the_page_answers_to_its_own_host_alone(it: Site) -> None:
    setup = await it.start(*OCTO)
    address = (await it.page_of(setup)).address
    rebound = await it.person.get(address, headers={"Host": "evil.example.com"})
    own = await it.person.get(address)

    assert rebound.status_code == 400
    assert "frame-ancestors 'none'" in own.headers["content-security-policy"]
    assert own.headers["referrer-policy"] == "no-referrer"


async def test_the_page_is_for_the_browser_that_opened_it_and_shows_nothing_to_another(it: Site) -> None:
    setup = await it.start("setup", "--personal", "--no-browser", "--no-probe")
    address = (await setup.until(r"open (http://127\.0\.0\.1:\d+/\S+) and"))[1]
    page = await it.page_of(setup)
    state = parse_qs(urlsplit(page.action).query)["state"][0]
    async with httpx.AsyncClient(trust_env=False) as stranger:
        paths = ("/", "/progress", "/guessed", f"/registered?code=abcdefgh&state={state}", urlsplit(address).path)
        answers = [await stranger.get(f"{page.address}{path}") for path in paths]
    again = await it.person.get(address)

    assert [each.status_code for each in answers] == [403, 403, 404, 403, 403]
    assert not any(state in each.text for each in answers)
    assert again.status_code == 303


async def test_the_app_of_another_account_is_not_taken_for_ones_own(it: Site) -> None:
    it.github.world.add_account("octocat", "User")
    setup = await it.start("setup", "--personal", "--login", "someone", "--no-browser", "--no-probe")
    page = await it.page_of(setup)
    answer = await it.press(page)
    told = await it.person.get(answer.headers["location"])

    assert (told.status_code, "GITHUB_APP_ID" in it.secret) == (400, False)
    assert "not to someone" in told.text


async def test_the_settings_are_written_to_a_private_file_on_request_and_the_command_can_be_repeated(it: Site) -> None:
    command = (*OCTO, "--env-file", "settings.env")
    setup = await it.start(*command)
    await it.registers(setup)
    await it.installs(setup)
    code = await setup.end()
    file = it.folder / "settings.env"
    variables = dict(line.partition("=")[::2] for line in file.read_text().splitlines())
    read = settings_of({name: json.loads(value) for name, value in variables.items()})
    again = await it.run(*command)
    file.write_text("of another App")
    other, text = await it.run(*command)

    assert (code, again[0]) == (0, 0), setup.text + again[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read.github_private_key.get_secret_value() == it.secret["GITHUB_PRIVATE_KEY"]
    assert (other, "--env-file settings.env" in text) == (2, True)


async def test_a_personal_account_asks_for_the_wider_permission(it: Site) -> None:
    it.github.world.add_account("octocat", "User")
    setup = await it.start("setup", "--personal", "--no-browser", "--no-probe")
    page = await it.page_of(setup)

    assert page.action.startswith("https://github.com/settings/apps/new?state=")
    assert json.loads(page.manifest)["default_permissions"] == {
        "actions": "read",
        "metadata": "read",
        "administration": "write",
    }


async def test_an_enterprise_server_is_registered_at_and_remembered(tmp_path: Path) -> None:
    async with site(tmp_path, enterprise=True) as it:
        setup = await it.start(*OCTO, "--host", "ghes.example.com")
        page = await it.page_of(setup)
        answer = await it.press(page, prefix="https://ghes.example.com")
        await it.person.get(answer.headers["location"])
        await it.installs(setup)

        assert await setup.end() == 0, setup.text
        assert it.secret["GITHUB_ENTERPRISE_DOMAIN"] == "ghes.example.com"
        # Nobody reads a server's releases without signing in; its organisations are told.
        assert it.secret["RUNNER_VERSION"] == "2.999.1"


async def test_another_organisation_needs_a_deployment_of_its_own(it: Site) -> None:
    await it.set_up()
    it.github.world.add_account("other-org")
    code, text = await it.run("setup", "--org", "other-org", "--no-browser", "--no-probe")

    assert code == 1
    assert "MODAL_APP_NAME=modal-runner-other-org" in text


async def test_an_app_that_was_deleted_at_github_is_told_of(it: Site) -> None:
    await it.set_up()
    it.github.world.apps.clear()
    code, text = await it.run(*OCTO)

    assert code == 1
    assert "modal-runner uninstall" in text


@pytest.mark.parametrize("token", [{}, {"MODAL_TOKEN_ID": "ak-wrong", "MODAL_TOKEN_SECRET": "as-wrong"}])
async def test_without_a_token_of_modals_it_ends_at_once(it: Site, token: dict[str, str]) -> None:
    environment = {name: value for name, value in it.environment.items() if not name.startswith("MODAL_TOKEN")} | token
    code, text = await it.run(*OCTO, environment=environment)

    assert code == 1
    assert "modal setup" in text
    assert "Traceback" not in text


async def test_modal_out_of_reach_is_told_in_a_sentence(it: Site) -> None:
    code, text = await it.run(*OCTO, environment={**it.environment, "MODAL_SERVER_URL": "http://127.0.0.1:9"})

    assert code == 1
    assert "Modal cannot be reached at http://127.0.0.1:9 (MODAL_SERVER_URL): see that" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--org ORGANISATION, or --personal"),
        (("--org", "octo-org", "--personal"), "--org octo-org and --personal were both given"),
        (("--org", "https://github.com/octo-org"), "as in github.com/NAME"),
        (("--org", "octo-org", "--host", "https://ghes.example.com"), "the name of the host alone"),
        (("--org", "octo-org", "--name", "x" * 35), "1 to 34 characters"),
        (("--org", "octo-org", "--port", "99999"), "less than or equal to 65535"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    it: Site, arguments: tuple[str, ...], says: str
) -> None:
    code, text = await it.run("setup", *arguments)

    assert code == 2
    assert says in text
    assert not it.modal.calls


class _Fails:
    """One RPC of Modal's is out of order."""

    def __init__(self, rpc: str) -> None:
        self._rpc = rpc

    async def before(self, rpc: str, request: Message) -> None:
        # To look a Secret up is the same RPC, without variables.
        if rpc == self._rpc and getattr(request, "env_dict", None):
            raise GRPCError(Status.UNAVAILABLE, "out of order")

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        """Go on."""


class _ConversionFails(NoFaults):
    async def before(self, call: str) -> None:
        if call == "POST /app-manifests/{code}/conversions":
            raise ApiError(502, "Bad Gateway")


class _ConversionTakes(NoFaults):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def before(self, call: str) -> None:
        if call == "POST /app-manifests/{code}/conversions":
            await asyncio.sleep(self._seconds)


class _Hangs:
    """Once an App was registered, Modal does not answer about Secrets any more."""

    def __init__(self) -> None:
        self._looked_up = 0
        self.asked = False

    async def before(self, rpc: str, _request: Message) -> None:
        # At first it is looked up twice: to read it, and to see that it holds no App.
        if rpc == "SecretGetOrCreate":
            self._looked_up += 1
            if self._looked_up > 2:
                self.asked = True
                await asyncio.sleep(30)

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        """Go on."""

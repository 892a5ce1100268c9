"""How people sign in through an App at the simulated GitHub: the page, the code, the token, and the App's settings."""

import base64
import hashlib
import html
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import NoFaults
from tests.worlds.github_sign_in import CALLBACK, Visitor, fields_of
from tests.worlds.github_workshop import Hub, code_of, post_manifest

pytest_plugins = ["tests.worlds.github_fixtures"]

VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture
def visitor(hub: Hub) -> Visitor:
    hub.app.callback_urls = [CALLBACK, "http://127.0.0.1/back"]
    hub.github.add_person("octo-dev", name="Dora Developer")
    return Visitor(hub)


def back(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where an answer leads, and with which parameters."""
    url = urlsplit(answer.headers["location"])
    return url._replace(query="").geturl(), dict(parse_qsl(url.query))


async def test_the_page_says_who_asks_and_offers_each_person(visitor: Visitor) -> None:
    visitor.hub.github.add_person("octo-owner", roles={"octo-org": "admin"})
    visitor.hub.github.world.add_account("mona", kind="User")
    page = await visitor.ask(login="mona")
    buttons = re.findall(r">(Continue as \S+)</button>", page.text)

    assert page.status_code == 200
    assert "Authorize modal-runner" in page.text
    assert "octo-org" in page.text
    assert CALLBACK in page.text
    assert "(Dora Developer)" in page.text
    assert buttons == ["Continue as mona", "Continue as octo-dev", "Continue as octo-owner"]


async def test_who_continues_is_led_back_with_a_code_and_the_state(visitor: Visitor) -> None:
    page = await visitor.ask(state="a&b", redirect_uri=CALLBACK)
    place, given = back(await visitor.press(page, login="octo-dev"))

    assert place == CALLBACK
    assert given.keys() == {"code", "state"}
    assert given["state"] == "a&b"


async def test_without_a_redirect_uri_the_first_callback_url_is_meant_and_without_a_state_none_comes_back(
    visitor: Visitor,
) -> None:
    place, given = back(await visitor.press(await visitor.ask(), login="octo-dev"))

    assert place == CALLBACK
    assert given.keys() == {"code"}


async def test_who_cancels_is_led_back_with_the_reason(visitor: Visitor) -> None:
    page = await visitor.ask(state="s", redirect_uri=CALLBACK)
    place, given = back(await visitor.press(page, cancel="1"))

    assert place == CALLBACK
    assert (given["error"], given["state"]) == ("access_denied", "s")
    assert given["error_description"] == "The user has denied your application access."
    assert given["error_uri"].endswith("/troubleshooting-authorization-request-errors/#access-denied")
    assert "code" not in given


@pytest.mark.parametrize(
    ("redirect_uri", "fits"),
    [
        (CALLBACK, True),
        (f"{CALLBACK}/below", False),
        (f"{CALLBACK}?next=1", False),
        (f"{CALLBACK}/", False),
        ("http://app.example.com/callback", False),
        ("https://app.example.com:8443/callback", False),
        ("https://app.example.com.evil.example/callback", False),
        ("https://app.example.com@evil.example/callback", False),
        ("http://127.0.0.1/back", True),
        ("http://127.0.0.1:4711/back", True),
        ("http://127.0.0.1:4711/other", False),
        ("http://127.0.0.1@evil.example/back", False),
        ("http://me@127.0.0.1:4711/back", False),
        ("http://localhost:4711/back", False),
        ("https://[", False),
        ("javascript:alert(1)", False),
    ],
)
async def test_a_redirect_uri_is_a_callback_url_and_on_loopback_has_any_port(
    visitor: Visitor, redirect_uri: str, *, fits: bool
) -> None:
    page = await visitor.ask(redirect_uri=redirect_uri)
    posted = await visitor.post(client_id=visitor.hub.app.client_id, redirect_uri=redirect_uri, login="octo-dev")

    assert (page.status_code, posted.status_code) == ((200, 302) if fits else (400, 400))
    assert fits or "redirect_uri_mismatch" in page.text


async def test_a_redirect_uri_below_a_callback_url_is_good_where_that_is_so(visitor: Visitor) -> None:
    visitor.hub.github.callbacks_go_below = True
    uris = [f"{CALLBACK}/below", f"{CALLBACK}/../other", f"{CALLBACK}-other", "https://evil.example/callback/below"]

    assert [(await visitor.ask(redirect_uri=uri)).status_code for uri in uris] == [200, 400, 400, 400]


async def test_an_app_that_is_not_there_and_one_without_a_callback_url_cannot_ask(visitor: Visitor) -> None:
    assert (await visitor.ask(client_id="Iv23linothing")).status_code == 404
    visitor.hub.app.callback_urls = []
    assert (await visitor.ask()).status_code == 400


async def test_nobody_continues_as_somebody_who_is_not_there(visitor: Visitor) -> None:
    assert (await visitor.press(await visitor.ask(), login="nobody")).status_code == 422


async def test_names_that_are_html_are_shown_as_they_are(visitor: Visitor) -> None:
    hostile = '"><script>alert(1)</script>'
    visitor.hub.app.name = hostile
    visitor.hub.github.add_person("o<i>cto", name=hostile)
    page = await visitor.ask(state=hostile, redirect_uri=CALLBACK)

    assert "<script>" not in page.text
    assert "<i>" not in page.text
    assert hostile in html.unescape(page.text)
    assert fields_of(page)["state"] == hostile
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert back(await visitor.press(page, login="o<i>cto"))[1]["state"] == hostile


async def test_a_code_buys_a_token_with_its_refresh_token(visitor: Visitor) -> None:
    answer = await visitor.buy(code=await visitor.code(), redirect_uri=CALLBACK)
    got = answer.json()

    assert answer.status_code == 200
    assert re.fullmatch(r"ghu_[0-9a-f]{36}", got.pop("access_token"))
    assert re.fullmatch(r"ghr_[0-9a-f]{76}", got.pop("refresh_token"))
    assert got == {"expires_in": 28800, "refresh_token_expires_in": 15897600, "token_type": "bearer", "scope": ""}


async def test_who_does_not_accept_json_is_answered_with_a_form(visitor: Visitor) -> None:
    answer = await visitor.buy(accept="*/*", code=await visitor.code())
    refused = await visitor.buy(accept="*/*", code="nonsense")

    assert answer.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert parse_qs(answer.text)["access_token"][0].startswith("ghu_")
    assert parse_qs(refused.text)["error"] == ["bad_verification_code"]


async def test_what_buys_a_token_may_stand_in_the_query(visitor: Visitor) -> None:
    query = visitor.credentials | {"code": await visitor.code()}
    answer = await visitor.hub.client.post(
        "/login/oauth/access_token", params=query, headers={"Accept": "application/json"}
    )

    assert answer.json()["token_type"] == "bearer"


async def refusal(visitor: Visitor, **given: Any) -> str:
    """The name of the error that an exchange ends with."""
    answer = await visitor.buy(**given)

    assert answer.status_code == 200
    assert answer.json().keys() == {"error", "error_description", "error_uri"}
    return str(answer.json()["error"])


async def test_a_code_is_good_once(visitor: Visitor) -> None:
    code = await visitor.code()

    assert "access_token" in (await visitor.buy(code=code)).json()
    assert await refusal(visitor, code=code) == "bad_verification_code"


async def test_a_code_is_good_for_ten_minutes(visitor: Visitor) -> None:
    codes = [await visitor.code() for _ in range(2)]
    visitor.hub.clock.now += 599
    in_time = await visitor.buy(code=codes[0])
    visitor.hub.clock.now += 1

    assert "access_token" in in_time.json()
    assert await refusal(visitor, code=codes[1]) == "bad_verification_code"


@pytest.mark.parametrize(
    "wrong", [{"client_secret": "wrong"}, {"client_secret": ""}, {"client_id": "Iv23linothing"}, {"client_id": ""}]
)
async def test_wrong_credentials_are_refused_and_cost_no_code(visitor: Visitor, wrong: dict[str, str]) -> None:
    code = await visitor.code()

    assert await refusal(visitor, code=code, **wrong) == "incorrect_client_credentials"
    assert "access_token" in (await visitor.buy(code=code)).json()


async def test_a_code_of_another_app_is_refused(visitor: Visitor) -> None:
    await post_manifest(visitor.hub.client, "octo-org", name="another", callback_urls=[CALLBACK])
    another = next(app for app in visitor.hub.github.world.apps.values() if app.slug == "another")
    foreign = {"client_id": another.client_id, "client_secret": another.client_secrets[0]}

    assert await refusal(visitor, code=await visitor.code(), **foreign) == "bad_verification_code"


async def test_a_redirect_uri_other_than_that_of_the_code_is_refused(visitor: Visitor) -> None:
    code = await visitor.code(redirect_uri=CALLBACK)

    assert await refusal(visitor, code=code, redirect_uri="http://127.0.0.1/back") == "redirect_uri_mismatch"


@pytest.mark.parametrize("verifier", [{}, {"code_verifier": "w" * 50}, {"code_verifier": CHALLENGE}])
async def test_a_code_with_a_challenge_is_refused_without_its_verifier(
    visitor: Visitor, verifier: dict[str, str]
) -> None:
    code = await visitor.code(code_challenge=CHALLENGE, code_challenge_method="S256")

    assert await refusal(visitor, code=code, **verifier) == "bad_verification_code"


async def test_a_code_with_a_challenge_is_good_with_its_verifier(visitor: Visitor) -> None:
    code = await visitor.code(code_challenge=CHALLENGE, code_challenge_method="S256")

    assert "access_token" in (await visitor.buy(code=code, code_verifier=VERIFIER)).json()


@pytest.mark.parametrize(
    "challenge",
    [
        {"code_challenge": CHALLENGE},
        {"code_challenge": CHALLENGE, "code_challenge_method": "plain"},
        {"code_challenge": "short", "code_challenge_method": "S256"},
        {"code_challenge_method": "S256"},
    ],
)
async def test_a_challenge_that_github_does_not_know_leads_back(visitor: Visitor, challenge: dict[str, str]) -> None:
    assert back(await visitor.ask(**challenge))[1]["error"] == "invalid_request"


async def test_a_refresh_token_buys_new_ones_and_ends_the_old(visitor: Visitor) -> None:
    old = (await visitor.buy(code=await visitor.code())).json()
    visitor.hub.clock.now += 28800
    given = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}
    new = (await visitor.buy(**given)).json()

    assert await refusal(visitor, **given) == "bad_refresh_token"
    assert (await visitor.hub.call("GET", "/user", token=old["access_token"])).status_code == 401
    assert (await visitor.hub.call("GET", "/user", token=new["access_token"])).json()["login"] == "octo-dev"


async def test_a_refresh_token_ends_after_six_months(visitor: Visitor) -> None:
    old = (await visitor.buy(code=await visitor.code())).json()
    visitor.hub.clock.now += 15897600
    given = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}

    assert await refusal(visitor, **given) == "bad_refresh_token"


async def test_another_way_to_a_token_is_refused(visitor: Visitor) -> None:
    assert await refusal(visitor, grant_type="password") == "unsupported_grant_type"


async def test_the_exchange_can_go_wrong_as_any_call(visitor: Visitor) -> None:
    class Down(NoFaults):
        async def before(self, call: str) -> None:
            if call == "POST /login/oauth/access_token":
                raise ApiError(503, "Service unavailable")

    code = await visitor.code()
    visitor.hub.github.inject(Down())

    assert (await visitor.buy(code=code)).status_code == 503
    assert visitor.hub.github.calls["POST /login/oauth/access_token"] == 1


async def test_a_manifest_names_callback_urls_and_whether_installing_asks_for_a_sign_in(hub: Hub) -> None:
    answer = await post_manifest(
        hub.client, "octo-org", name="signing", callback_urls=[CALLBACK], request_oauth_on_install=True
    )
    made = (await hub.client.post(f"/app-manifests/{code_of(answer)}/conversions")).json()
    app = hub.github.world.apps[made["id"]]
    installed = await hub.client.post("/apps/signing/installations")

    assert app.callback_urls == [CALLBACK]
    assert app.client_secrets == [made["client_secret"]]
    assert installed.headers["location"] == f"/login/oauth/authorize?client_id={app.client_id}"
    assert (await hub.client.get(installed.headers["location"])).status_code == 200


@pytest.mark.parametrize(
    ("callback_urls", "wrong"),
    [
        (CALLBACK, "not a list"),
        ([5], "not a list"),
        ([f"{CALLBACK}/{number}" for number in range(11)], "at most 10"),
        (["app.example.com"], "not a URL"),
        (["javascript:alert(1)"], "not a URL"),
    ],
)
async def test_callback_urls_that_cannot_be_taken_are_refused(hub: Hub, callback_urls: object, wrong: str) -> None:
    answer = await post_manifest(hub.client, "octo-org", name="signing", callback_urls=callback_urls)

    assert answer.status_code == 422
    assert wrong in html.unescape(answer.text)


SETTINGS = "/organizations/octo-org/settings/apps/modal-runner"


async def test_an_app_that_was_made_without_gets_callback_urls_on_its_settings_page(hub: Hub) -> None:
    before = await hub.client.get(SETTINGS)
    form = {"callback_urls": f"{CALLBACK}\r\nhttp://127.0.0.1/back", "request_oauth_on_install": "on"}
    saved = await hub.client.post(SETTINGS, data=form)
    after = await hub.client.get(saved.headers["location"])

    assert "https://" not in before.text
    assert " checked" not in before.text
    assert hub.app.callback_urls == [CALLBACK, "http://127.0.0.1/back"]
    assert hub.app.request_oauth_on_install
    assert f"{CALLBACK}\nhttp://127.0.0.1/back</textarea>" in after.text
    assert " checked" in after.text
    assert hub.app.client_id in after.text
    await hub.client.post(SETTINGS, data={"callback_urls": CALLBACK})
    assert (hub.app.callback_urls, hub.app.request_oauth_on_install) == ([CALLBACK], False)


async def test_a_callback_url_that_cannot_be_taken_changes_nothing(hub: Hub) -> None:
    hub.app.callback_urls = [CALLBACK]
    answer = await hub.client.post(SETTINGS, data={"callback_urls": "<b>"})

    assert answer.status_code == 422
    assert "not a URL" in answer.text
    assert hub.app.callback_urls == [CALLBACK]


async def test_a_new_client_secret_is_shown_once_and_the_old_one_stays_good(visitor: Visitor) -> None:
    old = visitor.credentials["client_secret"]
    made = await visitor.hub.client.post(f"{SETTINGS}/client-secrets")
    secret = re.findall(r'<code id="client-secret">([0-9a-f]{40})</code>', made.text)[0]
    page = (await visitor.hub.client.get(SETTINGS)).text

    assert secret not in page
    assert secret[-8:] in page
    for each in (secret, old):
        assert "access_token" in (await visitor.buy(code=await visitor.code(), client_secret=each)).json()


async def test_the_settings_of_an_app_are_its_owners(hub: Hub) -> None:
    elsewhere = ["/settings/apps/modal-runner", "/organizations/rivals/settings/apps/modal-runner", f"{SETTINGS}-2"]
    for path in elsewhere:
        assert (await hub.client.get(path)).status_code == 404
    hub.organization.owned = False

    assert (await hub.client.get(SETTINGS)).status_code == 404
    assert (await hub.client.post(SETTINGS)).status_code == 404
    assert (await hub.client.post(f"{SETTINGS}/client-secrets")).status_code == 404


async def test_the_settings_of_a_personal_app_are_at_the_persons(hub: Hub) -> None:
    hub.github.world.add_account("mona", kind="User")
    await post_manifest(hub.client, "", name="own", callback_urls=[CALLBACK])

    assert CALLBACK in (await hub.client.get("/settings/apps/own")).text

"""Apps made from a manifest, limits, and what the simulated GitHub does not simulate."""

import html
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from github_app.simulator.github.limits import PER_HOUR, POINTS_PER_MINUTE
from tests.worlds.github_checked import CheckedGitHub
from tests.worlds.github_workshop import Hub, code_of, post_manifest

pytest_plugins = ["tests.worlds.github_fixtures"]


async def test_a_manifest_leads_back_with_the_state_and_a_code_for_the_apps_secrets(hub: Hub) -> None:
    answer = await post_manifest(hub.client, "octo-org", "a&b", name="Second App")
    back = urlsplit(answer.headers["location"])
    made = await hub.client.post(f"/app-manifests/{code_of(answer)}/conversions")

    assert answer.status_code == 302
    assert back._replace(query="").geturl() == "https://app.example.com/registered"
    assert parse_qs(back.query)["state"] == ["a&b"]
    assert made.status_code == 201
    assert made.json()["slug"] == "second-app"
    assert made.json()["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert {"client_id", "client_secret", "webhook_secret"} <= made.json().keys()
    assert made.json()["permissions"]["metadata"] == "read"


async def test_a_code_is_good_once(hub: Hub) -> None:
    path = f"/app-manifests/{code_of(await post_manifest(hub.client, 'octo-org', name='again'))}/conversions"

    assert [(await hub.client.post(path)).status_code for _ in range(2)] == [201, 404]


async def test_a_code_is_good_for_an_hour(hub: Hub) -> None:
    path = f"/app-manifests/{code_of(await post_manifest(hub.client, 'octo-org', name='late'))}/conversions"
    hub.clock.now += 3600

    assert (await hub.client.post(path)).status_code == 404


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": None}, "name"),
        ({"url": ""}, "url"),
        ({"redirect_url": None}, "redirect_url"),
        ({"hook_attributes": None}, "hook_attributes.url"),
        ({"hook_attributes": {"active": True}}, "hook_attributes.url"),
        ({"default_permissions": ["actions"]}, "default_permissions"),
        ({"default_events": "workflow_job"}, "default_events"),
        ({"name": "Modal Runner!"}, "already taken"),
    ],
)
async def test_a_manifest_that_cannot_be_taken_is_refused_with_what_is_wrong(
    hub: Hub, changes: dict[str, Any], wrong: str
) -> None:
    answer = await post_manifest(hub.client, "octo-org", **changes)

    assert answer.status_code == 422
    assert wrong in html.unescape(answer.text)


@pytest.mark.parametrize("form", [{}, {"manifest": "{"}, {"manifest": "[]"}])
async def test_a_form_without_a_manifest_is_refused(hub: Hub, form: dict[str, str]) -> None:
    answer = await hub.client.post("/organizations/octo-org/settings/apps", data=form)

    assert answer.status_code == 422


async def test_an_app_is_made_for_an_organisation_that_is_there_or_for_the_user_who_is(
    checked_github: CheckedGitHub,
) -> None:
    async with httpx.AsyncClient(base_url=checked_github.url, trust_env=False) as client:
        before = [await post_manifest(client, login) for login in ("nobody", "")]
        checked_github.world.add_account("mona", kind="User")
        answer = await post_manifest(client, "")
        made = await client.post(f"/app-manifests/{code_of(answer)}/conversions")

    assert [each.status_code for each in before] == [404, 404]
    assert made.json()["owner"]["login"] == "mona"


async def test_meta_is_there_for_anyone(hub: Hub) -> None:
    assert (await hub.client.get("/meta")).json()["hooks"] == ["127.0.0.0/8"]


async def test_each_answer_tells_what_is_left_of_the_rate_limit(hub: Hub) -> None:
    answers = [await hub.call("GET", "/installation/repositories") for _ in range(2)]
    app = await hub.as_app("GET", "/app")
    headers = answers[1].headers

    assert [answer.headers["x-ratelimit-used"] for answer in answers] == ["1", "2"]
    assert headers["x-ratelimit-limit"] == str(PER_HOUR)
    assert headers["x-ratelimit-remaining"] == str(PER_HOUR - 2)
    assert int(headers["x-ratelimit-reset"]) == hub.clock.now + 3600
    assert headers["x-ratelimit-resource"] == "core"
    # The token was asked for by the App, which has a limit of its own.
    assert app.headers["x-ratelimit-used"] == "2"


async def test_over_the_hourly_limit_calls_are_refused_until_the_reset(hub: Hub) -> None:
    first = await hub.call("GET", "/installation/repositories")
    for _ in range(PER_HOUR - 1):
        hub.clock.now += 0.1  # ten calls a second are within the other limit
        hub.github.limits.spend(f"installation {hub.installation.id}", "GET")
    over = await hub.call("GET", "/installation/repositories")
    hub.clock.now = float(first.headers["x-ratelimit-reset"])
    hub.headers.clear()
    after = await hub.call("GET", "/installation/repositories")

    assert over.status_code == 403
    assert over.headers["x-ratelimit-remaining"] == "0"
    assert "retry-after" not in over.headers
    assert (after.status_code, after.headers["x-ratelimit-used"]) == (200, "1")


async def test_too_many_points_in_a_minute_are_refused_with_when_to_come_back(hub: Hub) -> None:
    path = "/orgs/octo-org/actions/runners/1"
    for _ in range(POINTS_PER_MINUTE // 5):
        hub.github.limits.spend(f"installation {hub.installation.id}", "DELETE")
    over = await hub.call("DELETE", path)
    hub.clock.now += int(over.headers["retry-after"])

    assert over.status_code == 429
    assert 0 < int(over.headers["retry-after"]) <= 61
    assert "secondary rate limit" in over.json()["message"]
    assert hub.github.limits.secondary_hits == 1
    assert (await hub.call("DELETE", path)).status_code == 404


async def test_installations_have_limits_of_their_own(hub: Hub) -> None:
    other = hub.github.install(hub.app, hub.github.world.add_account("other-org"))
    token = await hub.token(other)
    await hub.call("GET", "/installation/repositories")
    answer = await hub.call("GET", "/installation/repositories", token=token)

    assert answer.headers["x-ratelimit-used"] == "1"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/orgs/octo-org/teams"), ("PUT", "/app/hook/config"), ("POST", "/graphql")]
)
async def test_what_is_not_simulated_says_so_by_name(hub: Hub, method: str, path: str) -> None:
    answer = await hub.as_app(method, path)

    assert answer.status_code == 501
    assert answer.json()["message"] == f"{method} {path} is not simulated"


async def test_calls_are_counted_by_route(hub: Hub) -> None:
    await hub.call("GET", "/orgs/octo-org/actions/runners/1")
    await hub.call("GET", "/orgs/octo-org/actions/runners/2")

    assert hub.github.calls["GET /orgs/{org}/actions/runners/{runner_id}"] == 2

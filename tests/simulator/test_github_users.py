"""What a user's token may ask of the simulated GitHub, and what it never shows."""

import base64

import httpx
import pytest

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import Hangup, NoFaults
from github_app.simulator.github.limits import PER_HOUR
from github_app.simulator.github.state import Installation
from tests.worlds.github_sign_in import CALLBACK, Visitor
from tests.worlds.github_workshop import Hub, post_manifest

pytest_plugins = ["tests.worlds.github_fixtures"]

MEMBERSHIP = "/user/memberships/orgs/octo-org"


@pytest.fixture
def visitor(hub: Hub) -> Visitor:
    """An organisation of two private repositories and a public one; an owner, two members and a stranger."""
    hub.app.callback_urls = [CALLBACK]
    hub.github.world.add_repository(hub.organization, "secret")
    hub.github.world.add_repository(hub.organization, "open", private=False)
    hub.github.add_person("octo-owner", roles={"octo-org": "admin"})
    hub.github.add_person("octo-dev", name="Dora Developer", roles={"Octo-Org": "member"}, sees={"octo-org/Demo"})
    hub.github.add_person("octo-new", roles={"octo-org": "member"}, pending=True)
    hub.github.add_person("octo-guest")
    return Visitor(hub)


async def names(visitor: Visitor, token: str, installation: Installation | None = None) -> list[str] | int:
    """The names of the repositories that a token shows of an installation, or the status of a refusal."""
    number = (installation or visitor.hub.installation).id
    answer = await visitor.hub.call("GET", f"/user/installations/{number}/repositories", token=token)
    if answer.status_code != 200:
        return answer.status_code
    found = [each["name"] for each in answer.json()["repositories"]]
    assert answer.json()["total_count"] == len(found)
    return found


async def installed(visitor: Visitor, token: str) -> list[int]:
    answer = (await visitor.hub.call("GET", "/user/installations", token=token)).json()
    assert answer["total_count"] == len(answer["installations"])
    return [each["id"] for each in answer["installations"]]


async def test_a_token_says_whose_it_is(visitor: Visitor) -> None:
    user = (await visitor.hub.call("GET", "/user", token=await visitor.token())).json()

    assert (user["login"], user["name"], user["type"]) == ("octo-dev", "Dora Developer", "User")
    assert isinstance(user["id"], int)


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("octo-owner", ["demo", "secret", "open"]),
        ("octo-dev", ["demo", "open"]),
        ("octo-new", 404),
        ("octo-guest", 404),
    ],
)
async def test_each_sees_of_an_installation_what_is_theirs_to_see(
    visitor: Visitor, login: str, expected: list[str] | int
) -> None:
    token = await visitor.token(login)

    assert await names(visitor, token) == expected
    assert await installed(visitor, token) == ([visitor.hub.installation.id] if isinstance(expected, list) else [])


async def test_what_the_installation_does_not_have_is_not_shown(visitor: Visitor) -> None:
    world = visitor.hub.github.world
    visitor.hub.installation.selected = [world.repositories["octo-org/secret"]]

    assert await names(visitor, await visitor.token("octo-owner")) == ["secret"]
    # Who belongs to the organisation is told of the installation also where nothing in it is theirs.
    assert await names(visitor, await visitor.token("octo-dev")) == []


async def test_who_is_no_member_sees_the_one_repository_that_was_given(visitor: Visitor) -> None:
    visitor.hub.github.add_person("octo-guest", sees={"octo-org/secret"})
    token = await visitor.token("octo-guest")

    assert await names(visitor, token) == ["secret"]
    assert await installed(visitor, token) == [visitor.hub.installation.id]


async def test_the_owner_of_a_personal_account_sees_all_of_it_and_nobody_else_does(visitor: Visitor) -> None:
    mona = visitor.hub.github.world.add_account("mona", kind="User")
    visitor.hub.github.world.add_repository(mona, "dotfiles")
    installation = visitor.hub.github.install(visitor.hub.app, mona)
    own, other = await visitor.token("mona"), await visitor.token("octo-owner")

    assert await names(visitor, own, installation) == ["dotfiles"]
    assert await installed(visitor, own) == [installation.id]
    assert await names(visitor, other, installation) == 404
    assert await installed(visitor, other) == [visitor.hub.installation.id]


async def test_each_repository_says_what_the_person_may_do_there(visitor: Visitor) -> None:
    path = f"/user/installations/{visitor.hub.installation.id}/repositories"
    answers = [
        await visitor.hub.call("GET", path, token=await visitor.token(f"octo-{who}")) for who in ("owner", "dev")
    ]
    rights = [answer.json()["repositories"][0]["permissions"] for answer in answers]

    assert [(each["admin"], each["push"], each["pull"]) for each in rights] == [
        (True, True, True),
        (False, False, True),
    ]


async def test_the_lists_come_in_pages(visitor: Visitor) -> None:
    token = await visitor.token("octo-owner")
    other = visitor.hub.github.world.add_account("other-org")
    visitor.hub.github.add_person("octo-owner", roles={"other-org": "admin"})
    visitor.hub.github.install(visitor.hub.app, other)
    lists = {
        "installations": "/user/installations",
        "repositories": f"/user/installations/{visitor.hub.installation.id}/repositories",
    }
    for name, path in lists.items():
        found, url, pages = [], f"{path}?per_page=1", 0
        while url:
            answer = await visitor.hub.call("GET", url, token=token)
            found += [each["id"] for each in answer.json()[name]]
            pages, url = pages + 1, answer.links.get("next", {}).get("url", "")

        assert pages == len(set(found)) == answer.json()["total_count"]


async def test_installations_of_another_app_are_not_shown(visitor: Visitor) -> None:
    await post_manifest(visitor.hub.client, "octo-org", name="another")
    another = next(app for app in visitor.hub.github.world.apps.values() if app.slug == "another")
    foreign = visitor.hub.github.install(another, visitor.hub.organization)
    token = await visitor.token("octo-owner")

    assert await names(visitor, token, foreign) == 404
    assert await installed(visitor, token) == [visitor.hub.installation.id]


async def test_a_suspended_installation_shows_nothing(visitor: Visitor) -> None:
    token = await visitor.token("octo-owner")
    visitor.hub.installation.suspended_at = visitor.hub.clock()

    assert await names(visitor, token) == 403
    assert (await visitor.hub.call("GET", MEMBERSHIP, token=token)).status_code == 403


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("octo-owner", ("admin", "active")),
        ("octo-dev", ("member", "active")),
        ("octo-new", ("member", "pending")),
        ("octo-guest", None),
    ],
)
async def test_a_membership_is_told_where_the_app_may_read_members(
    visitor: Visitor, login: str, expected: tuple[str, str] | None
) -> None:
    visitor.hub.app.permissions["members"] = "read"
    answer = await visitor.hub.call("GET", MEMBERSHIP, token=await visitor.token(login))
    told = answer.json()

    assert answer.status_code == (200 if expected else 404)
    if expected:
        assert (told["role"], told["state"]) == expected
        assert (told["organization"]["login"], told["user"]["login"]) == ("octo-org", login)


async def test_a_membership_is_not_told_without_the_permission_and_the_refusal_names_it(visitor: Visitor) -> None:
    token = await visitor.token("octo-owner")
    asked_for = await visitor.hub.call("GET", MEMBERSHIP, token=token)
    visitor.hub.app.permissions["members"] = "read"
    visitor.hub.installation.granted = {"metadata": "read"}
    not_granted = await visitor.hub.call("GET", MEMBERSHIP, token=token)
    visitor.hub.github.world.add_account("rivals")
    visitor.hub.github.add_person("octo-owner", roles={"rivals": "admin"})
    not_installed = await visitor.hub.call("GET", "/user/memberships/orgs/rivals", token=token)

    for answer in (asked_for, not_granted, not_installed):
        assert answer.status_code == 403
        assert answer.json()["message"] == "Resource not accessible by integration"
        assert answer.headers["x-accepted-github-permissions"] == "members=read"
    assert (await visitor.hub.call("GET", "/user/memberships/orgs/nobody", token=token)).status_code == 404


async def give_back(visitor: Visitor, token: object, **changes: str) -> httpx.Response:
    """Revoke a token, as the App does that has it."""
    given = visitor.credentials | changes
    basic = base64.b64encode(f"{given['client_id']}:{given['client_secret']}".encode()).decode()
    path = f"/applications/{changes.get('path', visitor.hub.app.client_id)}/token"
    body = {"access_token": token} if token is not None else {}
    return await visitor.hub.client.request("DELETE", path, json=body, headers={"Authorization": f"Basic {basic}"})


async def test_a_revoked_token_ends_alone(visitor: Visitor) -> None:
    revoked, other = await visitor.token(), await visitor.token()
    answer = await give_back(visitor, revoked)

    assert answer.status_code == 204
    assert "x-ratelimit-used" in answer.headers
    assert (await visitor.hub.call("GET", "/user", token=revoked)).status_code == 401
    assert (await visitor.hub.call("GET", "/user", token=other)).status_code == 200
    assert (await give_back(visitor, revoked)).status_code == 404


async def test_a_token_is_revoked_by_its_own_app_alone(visitor: Visitor) -> None:
    token = await visitor.token()
    await post_manifest(visitor.hub.client, "octo-org", name="another")
    another = next(app for app in visitor.hub.github.world.apps.values() if app.slug == "another")
    foreign = {"client_id": another.client_id, "client_secret": another.client_secrets[0]}
    answers = [
        await give_back(visitor, token, client_secret="wrong"),
        await give_back(visitor, token, **foreign),
        await give_back(visitor, token, path=another.client_id, **foreign),
        await give_back(visitor, None),
        await give_back(visitor, 5),
    ]

    assert [answer.status_code for answer in answers] == [401, 404, 404, 422, 422]
    assert (await visitor.hub.call("GET", "/user", token=token)).status_code == 200


@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic", "Basic !", "Basic //8="])
async def test_only_who_has_the_client_secret_revokes(visitor: Visitor, authorization: str) -> None:
    path = f"/applications/{visitor.hub.app.client_id}/token"
    headers = {"Authorization": authorization} if authorization else {}

    assert (await visitor.hub.client.request("DELETE", path, json={}, headers=headers)).status_code == 401


async def test_a_token_ends_after_eight_hours(visitor: Visitor) -> None:
    token = await visitor.token()
    visitor.hub.clock.now += 28799
    before = await visitor.hub.call("GET", "/user", token=token)
    visitor.hub.clock.now += 1
    after = await visitor.hub.call("GET", "/user", token=token)

    assert (before.status_code, after.status_code) == (200, 401)
    assert after.json()["message"] == "Bad credentials"


async def test_the_tokens_of_users_installations_and_apps_do_not_do_for_each_other(visitor: Visitor) -> None:
    hub, token = visitor.hub, await visitor.token("octo-owner")
    users = ["/user", "/user/installations", f"/user/installations/{hub.installation.id}/repositories", MEMBERSHIP]

    assert [(await hub.call("GET", path)).status_code for path in users] == [403] * 4
    assert [(await hub.as_app("GET", path)).status_code for path in users] == [401] * 4
    assert [(await hub.client.get(path)).status_code for path in users] == [401] * 4
    assert (await hub.call("GET", "/app", token=token)).status_code == 401
    assert (await hub.call("GET", "/installation/repositories", token=token)).status_code == 403


async def test_a_user_has_one_rate_limit_whatever_the_token(visitor: Visitor) -> None:
    tokens = [await visitor.token(), await visitor.token(), await visitor.token("octo-owner")]
    answers = [await visitor.hub.call("GET", "/user", token=token) for token in tokens]
    conditional = {"Authorization": f"Bearer {tokens[0]}", "If-None-Match": answers[0].headers["etag"]}
    unchanged = await visitor.hub.client.get("/user", headers=conditional)
    again = await visitor.hub.call("GET", "/user", token=tokens[0])

    assert [answer.headers["x-ratelimit-used"] for answer in answers] == ["1", "2", "1"]
    assert answers[0].headers["x-ratelimit-limit"] == str(PER_HOUR)
    assert (unchanged.status_code, again.headers["x-ratelimit-used"]) == (304, "3")


async def test_over_the_hourly_limit_a_user_is_refused(visitor: Visitor) -> None:
    token = await visitor.token()
    person = visitor.hub.github.people.find("octo-dev")
    assert person is not None
    for _ in range(PER_HOUR):
        visitor.hub.clock.now += 0.1  # ten calls a second are within the other limit
        visitor.hub.github.limits.spend(f"user {person.account.id}", "GET")
    over = await visitor.hub.call("GET", "/user", token=token)

    assert over.status_code == 403
    assert over.json()["message"] == f"API rate limit exceeded for user ID {person.account.id}."


async def test_calls_of_users_go_wrong_as_any_others(visitor: Visitor) -> None:
    class Broken(NoFaults):
        async def before(self, call: str) -> None:
            if call == "GET /user":
                raise ApiError(502, "Server Error")

        async def after(self, call: str) -> None:
            if call == "GET /user/installations":
                raise Hangup

    token = await visitor.token()
    visitor.hub.github.inject(Broken())

    assert (await visitor.hub.call("GET", "/user", token=token)).status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        await visitor.hub.call("GET", "/user/installations", token=token)
    assert visitor.hub.github.calls["GET /user/installations"] == 1

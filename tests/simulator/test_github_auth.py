"""Who may call the simulated GitHub: App JWTs, installation tokens, permissions, and what they reach."""

import re
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from githubkit import AppAuthStrategy, GitHub
from githubkit.exception import RequestFailed

from tests.worlds.github_workshop import LABELS, Hub, post_manifest

pytest_plugins = ["tests.worlds.github_fixtures"]


async def test_the_jwt_of_the_apps_key_is_taken_with_app_id_or_client_id(hub: Hub) -> None:
    for issuer in (str(hub.app.id), hub.app.client_id):
        headers = {"Authorization": f"Bearer {hub.jwt({'iss': issuer})}"}
        answer = await hub.client.get("/app", headers=headers)

        assert answer.json()["slug"] == "modal-runner"


@pytest.mark.parametrize(
    ("claim", "offset", "reason"),
    [
        ("exp", -1, "must be a numeric value in the future"),
        ("exp", 0, "must be a numeric value in the future"),
        ("exp", 601, "too far in the future"),
        ("iat", 1, "must be an Integer"),
    ],
)
async def test_a_jwt_whose_times_do_not_hold_is_refused(hub: Hub, claim: str, offset: int, reason: str) -> None:
    token = hub.jwt({claim: int(hub.clock()) + offset})
    answer = await hub.client.get("/app", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401
    assert reason in answer.json()["message"]


@pytest.mark.parametrize(
    "claims",
    [{"iss": "4711"}, {"iss": None}, {"exp": None}, {"exp": "soon"}, {"iat": None}, {"iat": "now"}, {"iat": 1.5}],
)
async def test_a_jwt_whose_claims_are_unknown_missing_or_of_another_type_is_refused(
    hub: Hub, claims: dict[str, object]
) -> None:
    answer = await hub.client.get("/app", headers={"Authorization": f"Bearer {hub.jwt(claims)}"})

    assert answer.status_code == 401


async def test_a_jwt_of_another_key_or_algorithm_is_refused(hub: Hub) -> None:
    foreign = hub.jwt(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    for token in (foreign, hub.jwt(algorithm="RS512"), "nonsense", await hub.token()):
        answer = await hub.client.get("/app", headers={"Authorization": f"Bearer {token}"})

        assert answer.status_code == 401


async def test_a_call_without_credentials_is_refused(hub: Hub) -> None:
    for path in ("/app", "/orgs/octo-org/actions/runners"):
        for headers in ({}, {"Authorization": "Basic b2N0bzpjYXQ="}, {"Authorization": "Bearer"}):
            answer = await hub.client.get(path, headers=headers)

            assert answer.status_code == 401


async def test_a_jwt_does_not_do_for_an_installation(hub: Hub) -> None:
    assert (await hub.as_app("GET", "/orgs/octo-org/actions/runners")).status_code == 401


async def test_githubkit_signs_in_as_app_and_as_installation(hub: Hub) -> None:
    hub.clock.now = time.time()
    pem = hub.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    auth = AppAuthStrategy(hub.app.id, pem)
    app = GitHub(auth, base_url=hub.github.url, http_cache=False, timeout=5.0, trust_env=False)
    found = (await app.rest.apps.async_get_org_installation("octo-org")).json()
    installation = app.with_auth(app.auth.as_installation(found["id"]))
    made = await installation.rest.actions.async_generate_runner_jitconfig_for_org(
        "octo-org", name="modal-1-1", runner_group_id=1, labels=LABELS
    )
    runner = made.parsed_data.runner

    assert [label.name for label in runner.labels] == LABELS
    assert hub.github.calls["POST /app/installations/{installation_id}/access_tokens"] == 1
    with pytest.raises(RequestFailed) as caught:
        await installation.rest.actions.async_get_self_hosted_runner_for_org("octo-org", runner.id + 1)
    assert caught.value.response.status_code == 404


async def test_tokens_come_in_both_formats_in_turn(hub: Hub) -> None:
    tokens = [await hub.token() for _ in range(4)]

    assert all(re.fullmatch(r"ghs_[A-Za-z0-9._-]{36,}", token) for token in tokens)
    assert [len(token) == 40 for token in tokens] in ([True, False] * 2, [False, True] * 2)
    assert sorted(token.count(".") for token in tokens) == [0, 0, 2, 2]


async def test_a_token_ends_after_an_hour(hub: Hub) -> None:
    token = await hub.token()
    hub.clock.now += 3599
    before = await hub.call("GET", "/installation/repositories", token=token)
    hub.clock.now += 1
    after = await hub.call("GET", "/installation/repositories", token=token)

    assert (before.status_code, after.status_code) == (200, 401)
    assert after.json()["message"] == "Bad credentials"


async def test_a_revoked_token_ends_alone(hub: Hub) -> None:
    revoked, other = await hub.token(), await hub.token()

    assert (await hub.call("DELETE", "/installation/token", token=revoked)).status_code == 204
    assert (await hub.call("GET", "/installation/repositories", token=revoked)).status_code == 401
    assert (await hub.call("GET", "/installation/repositories", token=other)).status_code == 200


async def test_a_narrowed_token_has_no_other_permission_and_the_refusal_names_it(hub: Hub) -> None:
    minted = await hub.mint(permissions={"organization_self_hosted_runners": "read"})
    token = minted.json()["token"]
    allowed = await hub.call("GET", "/orgs/octo-org/actions/runners", token=token)
    refused = await hub.call("DELETE", "/orgs/octo-org/actions/runners/1", token=token)
    other = await hub.call("GET", "/repos/octo-org/demo/actions/runs", token=token)

    assert minted.json()["permissions"] == {"organization_self_hosted_runners": "read"}
    assert [answer.status_code for answer in (allowed, refused, other)] == [200, 403, 403]
    assert refused.headers["x-accepted-github-permissions"] == "organization_self_hosted_runners=write"
    assert other.headers["x-accepted-github-permissions"] == "actions=read"


@pytest.mark.parametrize("permissions", [{"actions": "write"}, {"checks": "write"}])
async def test_a_token_cannot_have_more_than_was_granted(hub: Hub, permissions: dict[str, str]) -> None:
    assert (await hub.mint(permissions=permissions)).status_code == 422


@pytest.mark.parametrize("body", [{"permissions": {"actions": "most"}}, {"permissions": ["actions"]}])
async def test_permissions_that_make_no_sense_are_refused(hub: Hub, body: dict[str, Any]) -> None:
    with hub.github.bad_requests():
        assert (await hub.mint(**body)).status_code == 422


async def test_a_token_for_chosen_repositories_does_not_reach_the_others(hub: Hub) -> None:
    hub.github.world.add_repository(hub.organization, "other")
    token = await hub.token(repository_ids=[hub.repository.id])
    listed = await hub.call("GET", "/installation/repositories", token=token)
    statuses = [
        (await hub.call("GET", f"/repos/octo-org/{name}/actions/runs", token=token)).status_code
        for name in ("demo", "other")
    ]

    assert [repository["name"] for repository in listed.json()["repositories"]] == ["demo"]
    assert statuses == [200, 404]


async def test_a_token_cannot_be_had_for_a_repository_of_somebody_else(hub: Hub) -> None:
    foreign = hub.github.world.add_repository(hub.github.world.add_account("rivals"), "secret")

    assert (await hub.mint(repository_ids=[foreign.id])).status_code == 422
    assert (await hub.mint(repositories=["demo", "secret"])).status_code == 422


async def test_what_belongs_to_another_organisation_is_not_found(hub: Hub) -> None:
    rivals = hub.github.world.add_account("rivals")
    repository = hub.github.world.add_repository(rivals, "secret")
    run = hub.push("  build:\n    runs-on: modal\n    steps: [run: 'true']\n", repository)
    paths = [
        "/orgs/rivals/actions/runners",
        "/orgs/rivals/actions/runner-groups",
        "/orgs/nobody/actions/runners",
        "/repos/rivals/secret/actions/runs",
        f"/repos/octo-org/demo/actions/runs/{run.id}",
        f"/repos/octo-org/demo/actions/runs/{run.id}/jobs",
        f"/repos/octo-org/demo/actions/jobs/{run.jobs[0].id}",
        "/repos/rivals/secret/actions/runners",
    ]

    assert [(await hub.call("GET", path)).status_code for path in paths] == [404] * len(paths)
    assert (await hub.as_app("GET", "/orgs/rivals/installation")).status_code == 404
    assert (await hub.as_app("GET", "/repos/rivals/secret/installation")).status_code == 404


async def test_an_installation_of_another_app_is_not_found(hub: Hub) -> None:
    await post_manifest(hub.client, "octo-org", name="another")
    another = next(app for app in hub.github.world.apps.values() if app.slug == "another")
    foreign = hub.github.install(another, hub.organization)

    assert (await hub.mint(foreign)).status_code == 404
    assert (await hub.as_app("GET", f"/app/installations/{foreign.id}")).status_code == 404
    assert [i["id"] for i in (await hub.as_app("GET", "/app/installations")).json()] == [hub.installation.id]


async def test_an_installation_is_found_by_organisation_repository_and_id(hub: Hub) -> None:
    number = hub.installation.id
    paths = ["/orgs/Octo-Org/installation", "/repos/octo-org/demo/installation", f"/app/installations/{number}"]

    assert [(await hub.as_app("GET", path)).json()["id"] for path in paths] == [number] * 3
    assert (await hub.as_app("GET", "/repos/octo-org/none/installation")).status_code == 404

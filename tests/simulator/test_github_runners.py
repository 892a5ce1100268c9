"""Just-in-time runners of the simulated GitHub: registered, listed, removed."""

from typing import Any

import pytest

from tests.worlds.github_workshop import LABELS, Hub, jit_files

pytest_plugins = ["tests.worlds.github_fixtures"]


async def test_a_jit_config_holds_the_three_files_of_a_runner_with_just_the_labels_given(hub: Hub) -> None:
    answer = await hub.jit("modal-7-1")
    runner = answer.json()["runner"]
    files = jit_files(answer.json()["encoded_jit_config"])

    assert answer.status_code == 201
    assert [label["name"] for label in runner["labels"]] == LABELS
    assert (runner["name"], runner["status"], runner["busy"]) == ("modal-7-1", "offline", False)
    assert set(files) == {".runner", ".credentials", ".credentials_rsaparams"}
    assert (files[".runner"]["agentId"], files[".runner"]["agentName"]) == (runner["id"], "modal-7-1")


async def test_a_personal_accounts_runners_are_registered_at_its_repository(hub: Hub) -> None:
    mona = hub.github.world.add_account("mona", kind="User")
    for name in ("dotfiles", "other"):
        hub.github.world.add_repository(mona, name)
    token = await hub.token(hub.github.install(hub.app, mona))
    body = {"name": "modal-1-1", "runner_group_id": 1, "labels": LABELS}
    statuses = [
        (await hub.call("POST", f"{at}/actions/runners/generate-jitconfig", body, token=token)).status_code
        for at in ("/repos/mona/dotfiles", "/orgs/mona", "/repos/mona/dotfiles", "/repos/mona/other")
    ]
    listed = await hub.call("GET", "/repos/mona/dotfiles/actions/runners", token=token)
    number = listed.json()["runners"][0]["id"]
    got = await hub.call("GET", f"/repos/mona/dotfiles/actions/runners/{number}", token=token)
    elsewhere = await hub.call("GET", f"/repos/mona/other/actions/runners/{number}", token=token)
    deleted = await hub.call("DELETE", f"/repos/mona/dotfiles/actions/runners/{number}", token=token)

    assert statuses == [201, 404, 409, 201]
    assert (got.status_code, elsewhere.status_code, deleted.status_code) == (200, 404, 204)


async def test_a_name_is_taken_until_its_runner_is_removed(hub: Hub) -> None:
    runner = await hub.runner("modal-1-1")
    taken = await hub.jit("modal-1-1")
    await hub.call("DELETE", f"/orgs/octo-org/actions/runners/{runner.id}")

    assert taken.status_code == 409
    assert "Already exists" in taken.json()["message"]
    assert (await hub.jit("modal-1-1")).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"runner_group_id": None},
        {"runner_group_id": "1"},
        {"runner_group_id": True},
        {"labels": None},
        {"labels": []},
        {"labels": [f"label-{n}" for n in range(101)]},
        {"labels": [1]},
        {"name": None},
    ],
)
async def test_a_jit_request_outside_the_contract_is_refused(hub: Hub, body: dict[str, Any]) -> None:
    with hub.github.bad_requests():
        assert (await hub.jit(**body)).status_code == 422

    assert not hub.github.world.runners


@pytest.mark.parametrize("body", [{"runner_group_id": 99}, {"name": ""}, {"name": "n" * 65}, {"labels": [""]}])
async def test_a_jit_request_that_makes_no_sense_is_refused(hub: Hub, body: dict[str, Any]) -> None:
    assert (await hub.jit(**body)).status_code == 422


async def test_the_longest_name_and_the_most_labels_are_taken(hub: Hub) -> None:
    assert (await hub.jit("n" * 64, labels=[f"label-{n}" for n in range(100)])).status_code == 201


async def test_a_body_that_is_no_json_object_is_refused(hub: Hub) -> None:
    path = "/orgs/octo-org/actions/runners/generate-jitconfig"
    headers = {"Authorization": f"token {await hub.token()}"}
    with hub.github.bad_requests():
        for content in (b"{", b"[]", b"\xff"):
            assert (await hub.client.post(path, content=content, headers=headers)).status_code == 400


async def test_runners_are_listed_in_pages(hub: Hub) -> None:
    for number in range(3):
        await hub.runner(f"modal-{number}-1")
    first = await hub.call("GET", "/orgs/octo-org/actions/runners?per_page=2")
    second = await hub.call("GET", first.links["next"]["url"])

    assert [runner["name"] for runner in first.json()["runners"]] == ["modal-0-1", "modal-1-1"]
    assert [runner["name"] for runner in second.json()["runners"]] == ["modal-2-1"]
    assert first.json()["total_count"] == second.json()["total_count"] == 3
    assert "next" not in second.links


async def test_a_runner_is_found_by_its_whole_name(hub: Hub) -> None:
    for name in ("modal-1-1", "modal-1-10"):
        await hub.runner(name)
    found = (await hub.call("GET", "/orgs/octo-org/actions/runners?name=modal-1-1")).json()

    assert [runner["name"] for runner in found["runners"]] == ["modal-1-1"]
    assert found["total_count"] == 1


async def test_a_runner_shows_offline_online_and_busy(hub: Hub) -> None:
    runner = await hub.runner()

    async def shown() -> tuple[str, bool]:
        body = (await hub.call("GET", f"/orgs/octo-org/actions/runners/{runner.id}")).json()
        return body["status"], body["busy"]

    assert await shown() == ("offline", False)
    await runner.online()
    assert await shown() == ("online", False)
    hub.push_job()
    assert await shown() == ("online", True)


async def test_a_busy_runner_is_not_deleted_and_one_that_is_gone_is_not_found(hub: Hub) -> None:
    runner = await (await hub.runner()).online()
    hub.push_job()
    path = f"/orgs/octo-org/actions/runners/{runner.id}"
    busy = await hub.call("DELETE", path)
    await runner.finish()

    assert busy.status_code == 422
    assert [(await hub.call(method, path)).status_code for method in ("GET", "DELETE")] == [404, 404]


async def test_a_deleted_runner_that_waits_for_a_job_is_told_at_once(hub: Hub) -> None:
    runner = await (await hub.runner()).online()
    await hub.call("DELETE", f"/orgs/octo-org/actions/runners/{runner.id}")
    answer = await runner.told()

    assert answer.status_code == 404
    assert answer.json()["message"] == "The runner no longer exists on the server."


async def test_an_organisation_has_its_default_runner_group(hub: Hub) -> None:
    answer = (await hub.call("GET", "/orgs/octo-org/actions/runner-groups")).json()

    assert [(group["id"], group["name"], group["default"]) for group in answer["runner_groups"]] == [
        (1, "Default", True)
    ]
    assert answer["total_count"] == 1


async def test_a_runner_is_known_by_its_secret_alone(hub: Hub) -> None:
    runner = await hub.runner()
    runner.secret += "x"

    assert (await runner.call("POST", "session")).status_code == 401


async def test_a_runner_has_one_session(hub: Hub) -> None:
    runner = await (await hub.runner()).online()

    assert (await runner.call("POST", "session")).status_code == 409

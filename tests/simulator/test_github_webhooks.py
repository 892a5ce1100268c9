"""Deliveries of the simulated GitHub: signed, recorded, listed, handed over again when asked."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from tests.worlds.github_workshop import NOWHERE, Hub

pytest_plugins = ["tests.worlds.github_fixtures"]


async def test_a_delivery_is_signed_over_its_raw_bytes(hub: Hub) -> None:
    hub.push_job()
    await hub.github.webhooks.settle()

    for headers, body in hub.receiver.received:
        digest = hmac.new(hub.app.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
        assert headers["x-hub-signature-256"] == f"sha256={digest}"


async def test_a_delivery_carries_the_headers_of_github(hub: Hub) -> None:
    hub.push_job()
    await hub.github.webhooks.settle()
    headers = next(headers for headers, _ in hub.receiver.received if headers["x-github-event"] == "workflow_job")

    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["x-github-hook-installation-target-id"] == str(hub.app.id)
    assert headers["x-github-hook-installation-target-type"] == "integration"
    assert len(headers["x-github-delivery"]) == 36


async def test_registering_pings_and_installing_is_delivered_too(hub: Hub) -> None:
    await hub.github.webhooks.settle()
    (headers, body) = next(each for each in hub.receiver.received if each[0]["x-github-event"] != "ping")

    assert len(hub.receiver.received) == 2
    assert headers["x-github-event"] == "installation"
    assert json.loads(body)["action"] == "created"
    assert json.loads(body)["installation"]["id"] == hub.installation.id


async def test_only_the_installation_of_the_jobs_owner_is_told(hub: Hub) -> None:
    rivals = hub.github.world.add_account("rivals")
    hub.push_job(repository=hub.github.world.add_repository(rivals, "secret"))
    hub.push_job("ours")
    await hub.github.webhooks.settle()

    assert hub.receiver.events == [("queued", "ours")]


async def test_a_job_of_a_personal_account_is_delivered_without_an_organization(hub: Hub) -> None:
    mona = hub.github.world.add_account("mona", kind="User")
    hub.github.install(hub.app, mona)
    hub.push_job(repository=hub.github.world.add_repository(mona, "dotfiles"))
    await hub.github.webhooks.settle()
    payload = json.loads(hub.receiver.received[-1][1])

    assert payload["repository"]["owner"]["type"] == "User"
    assert "organization" not in payload


async def test_deliveries_follow_the_hook_config(hub: Hub) -> None:
    await hub.github.webhooks.settle()
    url = f"{hub.receiver.url}?moved"
    changed = await hub.as_app("PATCH", "/app/hook/config", {"url": url, "secret": "new", "content_type": "json"})
    hub.push_job()
    await hub.github.webhooks.settle()
    headers, body = hub.receiver.received[-1]

    assert changed.json() == (await hub.as_app("GET", "/app/hook/config")).json()
    assert (changed.json()["url"], changed.json()["secret"]) == (url, "********")
    assert headers["x-hub-signature-256"] == f"sha256={hmac.new(b'new', body, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize(
    ("body", "status"), [({"url": 5}, 422), ({"secret": None}, 422), ({"content_type": "form"}, 501)]
)
async def test_a_hook_config_that_cannot_be_kept_is_refused(hub: Hub, body: dict[str, Any], status: int) -> None:
    before = await hub.as_app("GET", "/app/hook/config")
    with hub.github.bad_requests():
        assert (await hub.as_app("PATCH", "/app/hook/config", body)).status_code == status

    assert (await hub.as_app("GET", "/app/hook/config")).json() == before.json()


async def test_a_refused_delivery_is_recorded_and_not_tried_again(hub: Hub) -> None:
    hub.receiver.status = 503
    hub.push_job()
    await hub.github.webhooks.settle()
    [failed] = (await hub.as_app("GET", "/app/hook/deliveries?status=failure")).json()[:1]
    whole = (await hub.as_app("GET", f"/app/hook/deliveries/{failed['id']}")).json()

    assert hub.receiver.events == [("queued", "build")]
    assert (failed["event"], failed["action"], failed["status_code"]) == ("workflow_job", "queued", 503)
    assert (failed["installation_id"], failed["repository_id"]) == (hub.installation.id, hub.repository.id)
    assert failed["status"] != "OK"
    assert whole["request"]["headers"]["X-GitHub-Delivery"] == failed["guid"]
    assert whole["request"]["payload"]["workflow_job"]["name"] == "build"


async def test_a_delivery_that_nobody_takes_is_a_failure(hub: Hub) -> None:
    await hub.github.webhooks.settle()
    for url in (NOWHERE, "https://", "nonsense"):
        hub.app.hook_url = url
        hub.push_job()
    await hub.github.webhooks.settle()
    failed = (await hub.as_app("GET", "/app/hook/deliveries?status=failure")).json()

    assert [(each["status"], each["status_code"]) for each in failed] == [("failed to connect to host", 0)] * 3


async def test_a_delivery_that_is_answered_too_late_has_timed_out(hub: Hub) -> None:
    await hub.github.webhooks.settle()
    hub.receiver.answers.clear()
    hub.github.webhooks.answer_limit_s = 0.1
    hub.push_job()
    await hub.github.webhooks.settle()
    [failed] = (await hub.as_app("GET", "/app/hook/deliveries?status=failure")).json()

    assert hub.receiver.events == [("queued", "build")]
    assert (failed["status"], failed["status_code"]) == ("timed out", 0)


async def test_a_delivery_under_way_is_neither_success_nor_failure(hub: Hub) -> None:
    await hub.github.webhooks.settle()
    hub.receiver.answers.clear()
    hub.push_job()
    found = [
        [each["event"] for each in (await hub.as_app("GET", f"/app/hook/deliveries?status={status}")).json()]
        for status in ("success", "failure")
    ]

    assert found == [["installation", "ping"], []]


async def test_deliveries_are_listed_newest_first_page_by_page(hub: Hub) -> None:
    for name in ("a", "b", "c", "d"):
        hub.push_job(name)
    await hub.github.webhooks.settle()
    pages, url = [], "/app/hook/deliveries?per_page=2"
    while url:
        answer = await hub.as_app("GET", url)
        pages.append([each["id"] for each in answer.json()])
        url = answer.links.get("next", {}).get("url", "")
        hub.push_job("later")  # what comes in meanwhile moves no page

    ids = [each for page in pages for each in page]

    assert [len(page) for page in pages] == [2, 2, 2]
    assert ids == sorted(ids, reverse=True)


async def test_a_cursor_that_is_none_is_refused(hub: Hub) -> None:
    assert (await hub.as_app("GET", "/app/hook/deliveries?cursor=yesterday")).status_code == 422


async def test_a_redelivery_is_another_delivery_of_the_same_guid_and_payload(hub: Hub) -> None:
    await hub.github.webhooks.settle()
    hub.receiver.status = 500
    hub.push_job()
    await hub.github.webhooks.settle()
    [failed] = (await hub.as_app("GET", "/app/hook/deliveries?status=failure")).json()
    hub.receiver.status = 202
    asked = await hub.as_app("POST", f"/app/hook/deliveries/{failed['id']}/attempts")
    await hub.github.webhooks.settle()
    newest, *_ = (await hub.as_app("GET", "/app/hook/deliveries")).json()
    (first, first_body), (second, second_body) = hub.receiver.received[-2:]

    assert asked.status_code == 202
    assert first["x-github-delivery"] == second["x-github-delivery"] == failed["guid"] == newest["guid"]
    assert first_body == second_body
    assert newest["id"] != failed["id"]
    assert (failed["redelivery"], newest["redelivery"], newest["status"]) == (False, True, "OK")
    # The failure stays on record: whoever looks for what is missing has to know it by its GUID.
    assert [each["id"] for each in (await hub.as_app("GET", "/app/hook/deliveries?status=failure")).json()] == [
        failed["id"]
    ]


async def test_an_unknown_delivery_is_not_found(hub: Hub) -> None:
    assert (await hub.as_app("GET", "/app/hook/deliveries/1")).status_code == 404
    assert (await hub.as_app("POST", "/app/hook/deliveries/1/attempts")).status_code == 404

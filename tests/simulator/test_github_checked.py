"""The check of the simulated GitHub against GitHub's own contract does bite."""

import json
from pathlib import Path
from typing import Any

import pytest

from github_app.simulator.github.shapes import Shapes
from tests.worlds.github_checked import CheckedGitHub, event_breaches
from tests.worlds.github_workshop import Hub

pytest_plugins = ["tests.worlds.github_fixtures"]

PAYLOADS = sorted((Path(__file__).parent.parent / "contract" / "payloads").glob("*.json"))


def breaches_of(github: CheckedGitHub) -> str:
    """What `check` raises; it is settled with that."""
    with pytest.raises(AssertionError) as raised:
        github.check()
    github.breaches.clear()
    return str(raised.value)


async def test_a_field_that_an_answer_lacks_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shapes, "runner_group", lambda *_: {"id": 1, "name": "Default"})
    await hub.call("GET", "/orgs/octo-org/actions/runner-groups")
    found = breaches_of(hub.github)

    assert "GET /orgs/octo-org/actions/runner-groups, answer 200: $.runner_groups[0]: 'default' is a required" in found


async def test_a_field_of_another_type_in_a_request_is_named(hub: Hub) -> None:
    await hub.jit(runner_group_id="1")

    assert "request: $.runner_group_id: '1' is not of type 'integer'" in breaches_of(hub.github)


async def test_a_bad_request_that_is_not_refused_is_a_breach_also_where_it_is_meant(hub: Hub) -> None:
    with hub.github.bad_requests():
        assert (await hub.jit(work_folder=5)).status_code == 201

    assert "$.work_folder" in breaches_of(hub.github)


async def test_an_endpoint_that_fails_is_a_breach(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Shapes, "runner_group")
    answer = await hub.call("GET", "/orgs/octo-org/actions/runner-groups")

    assert answer.status_code == 500
    assert "GET /orgs/octo-org/actions/runner-groups failed: AttributeError" in breaches_of(hub.github)


async def test_a_delivery_outside_its_schema_is_a_breach(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Shapes.job
    monkeypatch.setattr(Shapes, "job", lambda self, job: whole(self, job) | {"labels": "modal", "status": "idle"})
    hub.push_job()
    found = breaches_of(hub.github)
    hub.github.world.deliveries.clear()

    assert "workflow_job queued: $.workflow_job.labels: 'modal' is not of type 'array'" in found
    assert "$.workflow_job.status" in found


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_githubs_own_examples_are_within_the_schemas(path: Path) -> None:
    payload: dict[str, Any] = json.loads(path.read_text())
    breaches = event_breaches(payload)

    # The oldest example is from before jobs had these fields.
    newer = ("created_at", "head_branch", "run_attempt", "workflow_name") if "_0_" in path.stem else ()
    missing = [f"workflow_job in_progress: $.workflow_job: {name!r} is a required property" for name in newer]
    assert sorted(breaches) == missing

"""Check runs (docs: "REST API endpoints for check runs")."""

from typing import Any

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.calls import Call, Endpoint, Reply
from github_app.simulator.github.state import CheckRun


async def _check(call: Call) -> Reply:
    repository = call.repository()
    body = call.body()
    if not isinstance(body.get("name"), str) or not isinstance(body.get("head_sha"), str):
        raise ApiError(422, 'Invalid request. "name" and "head_sha" have to be supplied.')
    output = body.get("output") or {}
    made = CheckRun(
        call.github.world.new_id(),
        call.installation.app,
        repository,
        body["head_sha"],
        body["name"],
        body.get("status", "queued"),
        body.get("conclusion"),
        output.get("title", ""),
        output.get("summary", ""),
        body.get("external_id", ""),
    )
    call.github.world.check_runs[made.id] = made
    return Reply(_shape(made, call.github.api_url, call.github.url), 201)


def _shape(check: CheckRun, api: str, web: str) -> dict[str, Any]:
    url = f"{api}/repos/{check.repository.full_name}/check-runs/{check.id}"
    return {
        "id": check.id,
        "node_id": f"CR_{check.id}",
        "head_sha": check.sha,
        "name": check.name,
        "url": url,
        "html_url": f"{web}/{check.repository.full_name}/runs/{check.id}",
        "details_url": None,
        "status": check.status,
        "conclusion": check.conclusion,
        "started_at": None,
        "completed_at": None,
        "external_id": check.external_id,
        "check_suite": None,
        "output": {
            "title": check.title,
            "summary": check.summary,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{url}/annotations",
        },
        "app": None,
        "pull_requests": [],
    }


ENDPOINTS = (Endpoint("POST", "/repos/{owner}/{repo}/check-runs", _check, needs=("checks", "write")),)

"""Runners of an organisation or a repository (docs: "REST API endpoints for self-hosted runners")."""

import base64
import hashlib
import json
import re

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.calls import As, Call, Endpoint, Reply, not_found
from github_app.simulator.github.state import Account, Repository, Runner, RunnerGroup

_LONGEST_NAME = 64
_MOST_LABELS = 100


async def _create_jit_config(call: Call) -> Reply:
    home = _home(call)
    name, labels, group = _jit_request(call, home)
    if any(runner.name == name for runner in call.github.world.runners_of(home)):
        raise ApiError(409, "Already exists - A runner with the name already exists.")
    if call.github.labels_refused and any(re.search(r"[:/=]", label) for label in labels):
        raise ApiError(422, "Invalid request: labels")
    if call.github.labels_lowered:
        labels = tuple(re.sub(r"[^a-z0-9-]", "-", label.lower()) for label in labels)
    runner = call.github.world.add_runner(name, labels, home, group)
    runner.conduct, runner.created_at = call.github.faults.conduct(), call.github.clock()
    shape = call.github.shapes.runner(runner)
    if call.github.labels_added:
        shape["labels"].append({"id": 0, "name": "X64", "type": "read-only"})
    body = {
        "runner": shape,
        "encoded_jit_config": encode_jit_config(runner, call.github.url, updates=call.github.runners_update),
    }
    return Reply(body, 201)


def _jit_request(call: Call, home: Account | Repository) -> tuple[str, tuple[str, ...], RunnerGroup]:
    body = call.body()
    name, labels, group_id = body.get("name"), body.get("labels"), body.get("runner_group_id")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise ApiError(422, f"Invalid runner name: 1 to {_LONGEST_NAME} characters are required.")
    if not isinstance(labels, list) or not 0 < len(labels) <= _MOST_LABELS:
        raise ApiError(422, f"Invalid labels: 1 to {_MOST_LABELS} are required.")
    if not all(isinstance(label, str) and 0 < len(label) <= 256 for label in labels):
        raise ApiError(422, "Invalid labels: each is a string of 1 to 256 characters.")
    owner = home if isinstance(home, Account) else home.owner
    group = next((g for g in call.github.world.groups[owner.login.lower()] if g.id == group_id), None)
    if group is None or isinstance(group_id, bool):  # to Python, true equals 1
        raise ApiError(422, "Invalid runner group id.")
    return name, tuple(labels), group


def encode_jit_config(runner: Runner, url: str, *, updates: bool = True) -> str:
    """A JIT config as actions/runner reads it: base64 of {file name: base64 of the file}."""
    files = {
        ".runner": {
            "agentId": runner.id,
            "agentName": runner.name,
            "ephemeral": True,
            "serverUrl": url,
            "conduct": runner.conduct,
            **({} if updates else {"DisableUpdate": "True"}),
        },
        ".credentials": {"scheme": "OAuth", "data": {"clientId": str(runner.id)}},
        ".credentials_rsaparams": {"d": runner.secret},
    }
    encoded = {name: base64.b64encode(json.dumps(content).encode()).decode() for name, content in files.items()}
    return base64.b64encode(json.dumps(encoded).encode()).decode()


async def _list(call: Call) -> Reply:
    runners = call.github.world.runners_at(_home(call), call.listed_at)
    if name := call.query("name"):
        runners = [runner for runner in runners if runner.name == name]
    found, link = call.page(runners)
    body = {"total_count": len(runners), "runners": [call.github.shapes.runner(r) for r in found]}
    return Reply(body, headers=link)


async def _get(call: Call) -> Reply:
    return Reply(call.github.shapes.runner(_runner(call)))


async def _delete(call: Call) -> Reply:
    runner = _runner(call)
    if runner.busy or (runner.job is not None and not call.github.deletes_by_flag):
        raise ApiError(422, f"Runner {runner.name} is currently running a job and cannot be deleted.")
    call.github.deregistered_at_work += runner.works
    call.github.actions.remove_runner(runner)
    return Reply(status=204)


async def _groups(call: Call) -> Reply:
    owner = call.organization()
    groups = call.github.world.groups[owner.login.lower()]
    found, link = call.page(groups)
    shapes = call.github.shapes
    body = {"total_count": len(groups), "runner_groups": [shapes.runner_group(g, owner) for g in found]}
    return Reply(body, headers=link)


async def _group(call: Call) -> Reply:
    return Reply(call.github.shapes.runner_group(_own_group(call), call.organization()))


async def _group_repositories(call: Call) -> Reply:
    group = _own_group(call)
    found, link = call.page(group.selected or [])
    shapes = call.github.shapes
    body = {"total_count": len(group.selected or []), "repositories": [shapes.repository(r) for r in found]}
    return Reply(body, headers=link)


def _own_group(call: Call) -> RunnerGroup:
    groups = call.github.world.groups[call.organization().login.lower()]
    wanted = call.number("runner_group_id")
    found = next((group for group in groups if group.id == wanted), None)
    if found is None:
        raise not_found()
    return found


async def _newest_release(call: Call) -> Reply:
    if (call.path("owner"), call.path("repo")) != ("actions", "runner"):
        raise not_found()
    version = call.github.newest_runner
    name = f"actions-runner-linux-x64-{version}.tar.gz"
    digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    return Reply({"tag_name": f"v{version}", "assets": [{"name": name, "digest": digest}]})


async def _downloads(call: Call) -> Reply:
    call.organization()
    version = call.github.newest_runner
    name = f"actions-runner-linux-x64-{version}.tar.gz"
    return Reply(
        [
            {
                "os": "linux",
                "architecture": "x64",
                "download_url": f"{call.github.url}/actions/runner/releases/download/v{version}/{name}",
                "filename": name,
                "sha256_checksum": hashlib.sha256(name.encode()).hexdigest(),
            }
        ]
    )


def _home(call: Call) -> Account | Repository:
    return call.organization() if "org" in call.request.path_params else call.repository()


def _runner(call: Call) -> Runner:
    runner = call.github.world.runners.get(call.number("runner_id"))
    if runner is None or runner.home is not _home(call):
        raise not_found()
    return runner


def _both(path: str, org: tuple[str, str], repository: tuple[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(f"/orgs/{{org}}{path}", org), (f"/repos/{{owner}}/{{repo}}{path}", repository)]


_WRITE = (("organization_self_hosted_runners", "write"), ("administration", "write"))
_READ = (("organization_self_hosted_runners", "read"), ("administration", "read"))

ENDPOINTS = (
    # Before the one that takes any id.
    Endpoint("GET", "/orgs/{org}/actions/runners/downloads", _downloads, needs=_READ[0]),
    *(
        Endpoint("POST", path, _create_jit_config, needs=needs)
        for path, needs in _both("/actions/runners/generate-jitconfig", *_WRITE)
    ),
    *(Endpoint("GET", path, _list, needs=needs) for path, needs in _both("/actions/runners", *_READ)),
    *(Endpoint("GET", path, _get, needs=needs) for path, needs in _both("/actions/runners/{runner_id}", *_READ)),
    *(Endpoint("DELETE", path, _delete, needs=needs) for path, needs in _both("/actions/runners/{runner_id}", *_WRITE)),
    Endpoint("GET", "/orgs/{org}/actions/runner-groups", _groups, needs=_READ[0]),
    Endpoint("GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}", _group, needs=_READ[0]),
    Endpoint(
        "GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories", _group_repositories, needs=_READ[0]
    ),
    Endpoint("GET", "/repos/{owner}/{repo}/releases/latest", _newest_release, As.ANYONE),
)

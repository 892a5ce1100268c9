"""manifest.yml: what GitHub takes, and no permission more or less than what the code calls for."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from github_app.github.manifest import LONGEST_NAME, load_manifest, registration_manifest
from github_app.setup.pages import REASONS

PROJECT = Path(__file__).parents[2]
CONTRACT = json.loads((Path(__file__).parents[1] / "contract" / "api.github.com.trim.json").read_text())
# Docs: "Registering a GitHub App from a manifest", GitHub App Manifest parameters.
_KEYS = {
    *("name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url", "description", "public"),
    *("default_events", "default_permissions", "request_oauth_on_install", "setup_on_update"),
}
# What each call needs (docs: "Permissions required for GitHub Apps"); None: the App's JWT, or nobody's.
_ORG, _PERSONAL = ("organization_self_hosted_runners", "write"), ("administration", "write")
_READS_ORG, _READS_PERSONAL = ("organization_self_hosted_runners", "read"), ("administration", "read")
_NEEDS: dict[str, tuple[str, str] | None] = {
    "async_create_from_manifest": None,
    "POST /app/installations/{}/access_tokens": None,
    "GET /app": None,
    "async_get_latest_release": None,
    "async_get_webhook_config_for_app": None,
    "GET /app/installations": None,
    "async_list_webhook_deliveries": None,
    "async_redeliver_webhook_delivery": None,
    "async_update_webhook_config_for_app": None,
    # By a person's own token, and the App's client secret (github/people.py).
    "async_get_authenticated": None,
    "async_get_membership_for_authenticated_user": None,
    "async_list_installation_repos_for_authenticated_user": None,
    "async_list_installations_for_authenticated_user": None,
    "async_delete_token": None,
    "async_list_repos_accessible_to_installation": ("metadata", "read"),
    "async_get_job_for_workflow_run": ("actions", "read"),
    "async_get_workflow_run": ("actions", "read"),
    "async_list_jobs_for_workflow_run": ("actions", "read"),
    "async_list_workflow_runs_for_repo": ("actions", "read"),
    "POST /orgs/{}/actions/runners/generate-jitconfig": _ORG,
    "async_delete_self_hosted_runner_from_org": _ORG,
    "async_list_self_hosted_runners_for_org": _READS_ORG,
    "async_list_runner_applications_for_org": _READS_ORG,
    "GET /orgs/{}/actions/runner-groups": _READS_ORG,
    "async_list_repo_access_to_self_hosted_runner_group_in_org": _READS_ORG,
    "async_get_runner_version_deprecation_for_org": _READS_ORG,
    "POST /repos/{}/{}/actions/runners/generate-jitconfig": _PERSONAL,
    "async_delete_self_hosted_runner_from_repo": _PERSONAL,
    "async_list_self_hosted_runners_for_repo": _READS_PERSONAL,
    "async_create": ("checks", "write"),
}
_LEVELS = {"read": 1, "write": 2}
_OPTIONAL = {"checks"}


def _called() -> set[str]:
    """Every method of githubkit that the code names, and every path, with `{}` for what is put into it."""
    found = set()
    for file in (PROJECT / "github_app" / "github").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("async_") and node.attr != "async_transport":
                found.add(node.attr)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "request":
                found.add(" ".join(map(_literal, node.args)))
    return found


def _literal(argument: ast.expr) -> str:
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)


def _manifest(*, personal: bool) -> dict[str, Any]:
    return registration_manifest(
        name="modal-runner",
        hook_url="https://example.com/webhook",
        redirect_url="http://127.0.0.1:1/",
        personal=personal,
    )


def test_every_call_is_one_whose_permission_is_known() -> None:
    assert _called() == set(_NEEDS)


@pytest.mark.parametrize("personal", [False, True])
def test_the_manifest_grants_what_the_calls_need_and_no_more(*, personal: bool) -> None:
    granted = _manifest(personal=personal)["default_permissions"]
    other = _ORG[0] if personal else _PERSONAL[0]
    needed: dict[str, int] = {"metadata": 1}
    for name, level in filter(None, _NEEDS.values()):
        if name not in _OPTIONAL | {other}:
            needed[name] = max(needed.get(name, 0), _LEVELS[level])

    assert {name: _LEVELS[level] for name, level in granted.items()} == needed


@pytest.mark.parametrize("personal", [False, True])
def test_github_knows_every_key_permission_and_event(*, personal: bool) -> None:
    manifest = _manifest(personal=personal)
    permissions = CONTRACT["components"]["schemas"]["app-permissions"]["properties"]

    assert manifest.keys() <= _KEYS
    assert {"name", "url", "hook_attributes", "redirect_url"} <= manifest.keys()
    assert all(level in permissions[name]["enum"] for name, level in manifest["default_permissions"].items())
    assert manifest["default_events"] == ["workflow_job"]
    assert len(load_manifest()["name"]) <= LONGEST_NAME
    assert manifest["public"] is False


@pytest.mark.parametrize("personal", [False, True])
def test_the_page_and_deploy_md_say_why_each_permission_is_asked_for(*, personal: bool) -> None:
    guide = (PROJECT / "DEPLOY.md").read_text()
    names = _manifest(personal=personal)["default_permissions"].keys()

    assert names <= REASONS.keys()
    assert [name for name in {*names, *_OPTIONAL} if f"`{name}:" not in guide] == []

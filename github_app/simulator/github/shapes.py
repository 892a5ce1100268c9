"""GitHub's JSON for each thing, as in its OpenAPI description and webhook schemas."""

import math
from datetime import UTC, datetime
from typing import Any

from github_app.simulator.github.links import REPOSITORY_FACTS, REPOSITORY_LINKS, USER_LINKS
from github_app.simulator.github.state import (
    Account,
    App,
    Delivery,
    Installation,
    Job,
    Repository,
    Runner,
    RunnerGroup,
    WorkflowRun,
)

Json = dict[str, Any]


class Shapes:
    """The shapes, for a GitHub that is reached at these two bases (without a slash at the end)."""

    def __init__(self, api: str, web: str) -> None:
        self._api = api
        self._web = web

    def account(self, account: Account) -> Json:
        url = f"{self._api}/users/{account.login}"
        return {
            "login": account.login,
            "id": account.id,
            "node_id": _node("U", account.id),
            "avatar_url": f"{self._web}/avatars/{account.id}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self._web}/{account.login}",
            "type": account.kind,
            "site_admin": False,
            **{name: url + tail for name, tail in USER_LINKS.items()},
        }

    def organization(self, account: Account) -> Json:
        url = f"{self._api}/orgs/{account.login}"
        tails = {"repos_url": "/repos", "events_url": "/events", "hooks_url": "/hooks", "issues_url": "/issues"}
        return {
            "login": account.login,
            "id": account.id,
            "node_id": _node("O", account.id),
            "url": url,
            "members_url": url + "/members{/member}",
            "public_members_url": url + "/public_members{/member}",
            "avatar_url": f"{self._web}/avatars/{account.id}",
            "description": None,
            **{name: url + tail for name, tail in tails.items()},
        }

    def repository(self, repository: Repository) -> Json:
        url = f"{self._api}/repos/{repository.full_name}"
        html = f"{self._web}/{repository.full_name}"
        return {
            **REPOSITORY_FACTS,
            "id": repository.id,
            "node_id": _node("R", repository.id),
            "name": repository.name,
            "full_name": repository.full_name,
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "owner": self.account(repository.owner),
            "url": url,
            "html_url": html,
            "clone_url": f"{html}.git",
            "git_url": f"{html}.git",
            "ssh_url": f"{html}.git",
            "svn_url": html,
            "created_at": iso(0),
            "updated_at": iso(0),
            "pushed_at": iso(0),
            **{name: url + tail for name, tail in REPOSITORY_LINKS.items()},
            "forks_count": repository.forks,
            "forks": repository.forks,
        }

    def app(self, app: App) -> Json:
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": _node("A", app.id),
            "client_id": app.client_id,
            "owner": self.account(app.owner),
            "name": app.name,
            "description": None,
            "external_url": app.external_url,
            "html_url": f"{self._web}/apps/{app.slug}",
            "created_at": iso(app.created_at),
            "updated_at": iso(app.created_at),
            "permissions": app.permissions,
            "events": app.events,
        }

    def installation(self, installation: Installation) -> Json:
        url = f"{self._api}/app/installations/{installation.id}"
        return {
            "id": installation.id,
            "account": self.account(installation.account),
            "app_id": installation.app.id,
            "app_slug": installation.app.slug,
            "target_id": installation.account.id,
            "target_type": installation.account.kind,
            "single_file_name": None,
            "repository_selection": "all" if installation.selected is None else "selected",
            "access_tokens_url": f"{url}/access_tokens",
            "repositories_url": f"{self._api}/installation/repositories",
            "html_url": f"{self._web}/organizations/{installation.account.login}/settings/installations/"
            + str(installation.id),
            "events": installation.app.events,
            "permissions": installation.permissions,
            "created_at": iso(installation.created_at),
            "updated_at": iso(installation.created_at),
            "suspended_by": None,
            "suspended_at": None if installation.suspended_at is None else iso(installation.suspended_at),
        }

    def runner(self, runner: Runner) -> Json:
        return {
            "id": runner.id,
            "name": runner.name,
            "runner_group_id": runner.group.id,
            "os": "Linux" if runner.online else "unknown",
            "status": "online" if runner.online else "offline",
            "busy": runner.busy,
            "ephemeral": True,
            "labels": [{"id": n, "name": label, "type": "custom"} for n, label in enumerate(runner.labels, 1)],
        }

    def runner_group(self, group: RunnerGroup, owner: Account) -> Json:
        url = f"{self._api}/orgs/{owner.login}/actions/runner-groups/{group.id}"
        return {
            "id": group.id,
            "name": group.name,
            "visibility": "all" if group.selected is None else "selected",
            "default": group.default,
            "runners_url": f"{url}/runners",
            "inherited": False,
            "allows_public_repositories": group.allows_public_repositories,
            "restricted_to_workflows": group.workflows is not None,
            "selected_workflows": group.workflows or [],
        }

    def run(self, run: WorkflowRun, at: float = math.inf) -> Json:
        """A run as it was at a moment."""
        over = run.status_at(at) == "completed"
        repository = self.repository(run.repository)
        url = f"{repository['url']}/actions/runs/{run.id}"
        tails = ("jobs", "logs", "cancel", "rerun", "artifacts")
        return {
            "id": run.id,
            "node_id": _node("WFR", run.id),
            "name": run.name,
            "path": run.path,
            "display_title": run.name,
            "run_number": run.number,
            "run_attempt": run.attempt,
            "event": run.event,
            "status": run.status_at(at),
            "conclusion": run.conclusion if over else None,
            "workflow_id": run.id,
            "head_branch": run.head_branch,
            "head_sha": run.sha,
            "url": url,
            "html_url": f"{repository['html_url']}/actions/runs/{run.id}",
            "created_at": iso(run.created_at),
            "updated_at": iso(run.updated_at),
            "run_started_at": iso(run.created_at),
            "actor": self.account(run.repository.owner),
            "triggering_actor": self.account(run.repository.owner),
            "head_commit": _commit(run),
            "head_repository": self.repository(run.fork) if run.fork else repository,
            "repository": repository,
            "check_suite_url": f"{repository['url']}/check-suites/{run.id}",
            "workflow_url": f"{repository['url']}/actions/workflows/{run.id}",
            "pull_requests": [],
            **{f"{tail}_url": f"{url}/{tail}" for tail in tails},
        }

    def job(self, job: Job, at: float = math.inf) -> Json:
        """A job, as the REST API and the `workflow_job` event show it, as it was at a moment."""
        repository = f"{self._api}/repos/{job.run.repository.full_name}"
        status = job.status_at(at)
        runner = job.runner if status in {"in_progress", "completed"} else None
        over = status == "completed"
        return {
            "id": job.id,
            "run_id": job.run.id,
            "run_url": f"{repository}/actions/runs/{job.run.id}",
            "run_attempt": job.attempt,
            "node_id": _node("J", job.id),
            "head_sha": job.run.sha,
            "head_branch": job.run.head_branch,
            "url": f"{repository}/actions/jobs/{job.id}",
            "html_url": f"{self._web}/{job.run.repository.full_name}/actions/runs/{job.run.id}/job/{job.id}",
            "status": status,
            "conclusion": job.conclusion if over else None,
            "created_at": iso(job.created_at),
            "started_at": iso(job.started_at if runner and job.started_at else job.created_at),
            "completed_at": iso(job.completed_at) if over and job.completed_at else None,
            "name": job.instance.name,
            "steps": [],
            "check_run_url": f"{repository}/check-runs/{job.id}",
            "labels": list(job.instance.labels),
            "runner_id": runner.id if runner else None,
            "runner_name": runner.name if runner else None,
            "runner_group_id": runner.group.id if runner else None,
            "runner_group_name": runner.group.name if runner else None,
            "workflow_name": job.run.name,
        }

    def job_event(self, action: str, job: Job, installation: Installation) -> Json:
        """The payload of a `workflow_job` delivery."""
        repository = job.run.repository
        payload = {
            "action": action,
            "workflow_job": _event_job(action, self.job(job)),
            "repository": self.repository(repository),
            "sender": self.account(repository.owner),
            "installation": {"id": installation.id, "node_id": _node("I", installation.id)},
        }
        if repository.owner.kind == "Organization":
            payload["organization"] = self.organization(repository.owner)
        return payload

    def delivery(self, delivery: Delivery, *, whole: bool = False) -> Json:
        item: Json = {
            "id": delivery.id,
            "guid": delivery.guid,
            "delivered_at": iso(delivery.delivered_at),
            "redelivery": delivery.redelivery,
            "duration": round(delivery.duration, 2),
            "status": delivery.status,
            "status_code": delivery.status_code,
            "event": delivery.event,
            "action": delivery.payload.get("action"),
            "installation_id": delivery.installation.id if delivery.installation else None,
            "repository_id": delivery.repository_id,
            "throttled_at": None,
        }
        if whole:
            item["request"] = {"headers": delivery.request_headers, "payload": delivery.payload}
            item["response"] = {"headers": {}, "payload": delivery.response}
        return item


def iso(moment: float) -> str:
    """Unix seconds as GitHub writes them."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node(kind: str, number: int) -> str:
    return f"{kind}_{number:x}"


def _commit(run: WorkflowRun) -> Json:
    person = {"name": run.repository.owner.login, "email": "push@example.com"}
    return {
        "id": run.sha,
        "tree_id": run.sha,
        "message": run.name,
        "timestamp": iso(run.created_at),
        "author": person,
        "committer": person,
    }


def _event_job(action: str, job: Json) -> Json:
    """Webhooks show a job in progress with at least one step."""
    if action == "in_progress":
        step = {"name": "Set up job", "status": "in_progress", "conclusion": None, "number": 1}
        job["steps"] = [{**step, "started_at": job["started_at"], "completed_at": None}]
    return job

"""What starts a run: the events that the simulated GitHub knows, as the `github` context tells them.

Docs: "Events that trigger workflows", "Webhook events and payloads", "Contexts reference".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MAIN = "main"
_NOBODY = "0" * 40
_PULL_REQUEST = 1
_HEAD_BRANCH = "change"


@dataclass(frozen=True)
class Event:
    """An event by GitHub's name for it; `ref` is what it concerns, `branch` the one that a pull request is for.

    `inputs` are those of a manual run.
    """

    name: str = "push"
    ref: str = f"refs/heads/{MAIN}"
    branch: str = MAIN
    inputs: Mapping[str, str] = field(default_factory=dict)
    schedule: str = ""


# By the name that the demo takes. A tag is a push too.
EVENTS = {
    "push": Event(),
    "tag": Event(ref="refs/tags/v1.0.0"),
    "pull_request": Event("pull_request", f"refs/pull/{_PULL_REQUEST}/merge"),
    "workflow_dispatch": Event("workflow_dispatch"),
    "schedule": Event("schedule"),
}


@dataclass(frozen=True)
class Commit:
    """The commit that an event is about."""

    sha: str
    message: str
    timestamp: str


def on_branch(event: Event, branch: str) -> Event:
    """The same event of another branch; a tag is of none."""
    ref = f"refs/heads/{branch}" if event.ref.startswith("refs/heads/") else event.ref
    return replace(event, ref=ref, branch=branch)


def context_of(
    event: Event, repository: Mapping[str, Any], sender: Mapping[str, Any], commit: Commit
) -> dict[str, Any]:
    """The part of the `github` context that an event makes; `repository` and `sender` as the API shows them."""
    pull_request = event.name == "pull_request"
    return {
        "event_name": event.name,
        "event": {**_payload(event, repository, sender, commit), "repository": repository, "sender": sender},
        "ref": event.ref,
        "ref_name": f"{_PULL_REQUEST}/merge" if pull_request else event.ref.split("/", 2)[2],
        "ref_type": "tag" if event.ref.startswith("refs/tags/") else "branch",
        "ref_protected": False,
        "head_ref": _HEAD_BRANCH if pull_request else "",
        "base_ref": event.branch if pull_request else "",
        "sha": commit.sha,
        "repository": repository["full_name"],
        "repository_id": str(repository["id"]),
        "repository_owner": sender["login"],
        "repository_owner_id": str(sender["id"]),
        "actor": sender["login"],
        "triggering_actor": sender["login"],
    }


def _payload(
    event: Event, repository: Mapping[str, Any], sender: Mapping[str, Any], commit: Commit
) -> Mapping[str, Any]:
    match event.name:
        case "pull_request":
            return {
                "action": "opened",
                "number": _PULL_REQUEST,
                "pull_request": _pull_request(event, repository, sender, commit),
            }
        case "workflow_dispatch":
            return {"inputs": dict(event.inputs), "ref": event.ref}
        case "schedule":
            return {"schedule": event.schedule}
    told = _told(repository, sender, commit)
    return {
        "ref": event.ref,
        "before": _NOBODY,
        "after": commit.sha,
        "base_ref": None,
        "created": True,
        "deleted": False,
        "forced": False,
        "compare": f"{repository['html_url']}/commit/{commit.sha}",
        "commits": [told],
        "head_commit": told,
        "pusher": {"name": sender["login"], "email": f"{sender['login']}@users.noreply.github.com"},
    }


def _told(repository: Mapping[str, Any], sender: Mapping[str, Any], commit: Commit) -> Mapping[str, Any]:
    # Actions is told of a commit without the names of its files (docs: `push`).
    who = {"name": sender["login"], "email": f"{sender['login']}@users.noreply.github.com", "username": sender["login"]}
    return {
        "id": commit.sha,
        "message": commit.message,
        "timestamp": commit.timestamp,
        "url": f"{repository['html_url']}/commit/{commit.sha}",
        "distinct": True,
        "author": who,
        "committer": who,
    }


def _pull_request(
    event: Event, repository: Mapping[str, Any], sender: Mapping[str, Any], commit: Commit
) -> Mapping[str, Any]:
    url = f"{repository['html_url']}/pull/{_PULL_REQUEST}"
    side = {"sha": commit.sha, "repo": repository, "user": sender}
    return {
        "number": _PULL_REQUEST,
        "state": "open",
        "title": commit.message,
        "body": None,
        "draft": False,
        "merged": False,
        "html_url": url,
        "user": sender,
        "labels": [],
        "author_association": "OWNER",
        "head": {**side, "ref": _HEAD_BRANCH, "label": f"{sender['login']}:{_HEAD_BRANCH}"},
        "base": {**side, "ref": event.branch, "label": f"{sender['login']}:{event.branch}"},
    }

"""What an App may ask with a user's token, and how it gives the token back.

Docs: "REST API endpoints for users", "... for GitHub App installations", "... for organization members", "... for OAuth
authorizations".
"""

from typing import Any

from github_app.simulator.github.auth import ApiError, permits
from github_app.simulator.github.calls import As, Call, Endpoint, Reply, not_found
from github_app.simulator.github.people import Person
from github_app.simulator.github.shapes import iso
from github_app.simulator.github.state import Installation, Repository

_MEMBERS = ("members", "read")


async def _user(call: Call) -> Reply:
    person = call.person
    return Reply(
        {
            **call.github.shapes.account(person.account),
            # What is private is for tokens with an account permission, which our App has no use for.
            "user_view_type": "public",
            "name": person.name,
            **dict.fromkeys(("company", "blog", "location", "email", "hireable", "bio", "twitter_username")),
            **dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0),
            "created_at": iso(0),
            "updated_at": iso(0),
        }
    )


async def _installations(call: Call) -> Reply:
    own = [each for each in call.github.world.installations.values() if _may_see(call, each)]
    found, link = call.page(own)
    body = {"total_count": len(own), "installations": [call.github.shapes.installation(each) for each in found]}
    return Reply(body, headers=link)


async def _repositories(call: Call) -> Reply:
    installation = call.github.world.installations.get(call.number("installation_id"))
    if installation is None or not _may_see(call, installation):
        raise not_found()
    if installation.suspended_at is not None:
        raise ApiError(403, "This installation has been suspended")
    own = _visible(call, installation)
    found, link = call.page(own)
    body = {
        "total_count": len(own),
        "repository_selection": "all" if installation.selected is None else "selected",
        "repositories": [
            call.github.shapes.repository(each) | {"permissions": _rights(call.person, each)} for each in found
        ],
    }
    return Reply(body, headers=link)


async def _membership(call: Call) -> Reply:
    organization = call.github.world.accounts.get(call.path("org").lower())
    if organization is None or organization.kind != "Organization":
        raise not_found()
    # A user's token may do what the App may there, and the person may.
    permissions = [
        each.permissions
        for each in call.github.world.installations.values()
        if each.app is call.app and each.account is organization and each.suspended_at is None
    ]
    if not any(permits(each, _MEMBERS) for each in permissions):
        raise ApiError(403, "Resource not accessible by integration")
    membership = call.person.memberships.get(organization.login.lower())
    if membership is None:
        raise not_found()
    shown = call.github.shapes.organization(organization)
    return Reply(
        {
            "url": f"{shown['url']}/memberships/{call.person.login}",
            "state": membership.state,
            "role": membership.role,
            "organization_url": shown["url"],
            "organization": shown,
            "user": call.github.shapes.account(call.person.account),
        }
    )


async def _delete_token(call: Call) -> Reply:
    if call.path("client_id") != call.app.client_id:
        raise not_found()
    given = call.body().get("access_token")
    if not isinstance(given, str) or not given:
        raise ApiError(422, 'Invalid request. "access_token" wasn\'t supplied.')
    token = call.github.people.token(given)
    if token is None or token.app is not call.app:
        raise not_found()
    call.github.people.revoke(token)
    return Reply(status=204)


def _may_see(call: Call, installation: Installation) -> bool:
    if installation.app is not call.app:
        return False
    return call.person.belongs_to(installation.account) or bool(_visible(call, installation))


def _visible(call: Call, installation: Installation) -> list[Repository]:
    """What the installation has and the person has too."""
    repositories = call.github.world.repositories.values()
    return [each for each in repositories if installation.reaches(each) and call.person.has(each)]


def _rights(person: Person, repository: Repository) -> dict[str, Any]:
    owns = person.administers(repository.owner)
    return {"admin": owns, "maintain": owns, "push": owns, "triage": owns, "pull": True}


ENDPOINTS = (
    Endpoint("GET", "/user", _user, As.USER),
    Endpoint("GET", "/user/installations", _installations, As.USER),
    Endpoint("GET", "/user/installations/{installation_id}/repositories", _repositories, As.USER),
    Endpoint("GET", "/user/memberships/orgs/{org}", _membership, As.USER, needs=_MEMBERS),
    Endpoint("DELETE", "/applications/{client_id}/token", _delete_token, As.CLIENT),
)

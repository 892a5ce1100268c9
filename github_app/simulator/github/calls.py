"""One API call: who makes it, with what, and what an endpoint is."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from starlette.requests import Request

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.people import Person, UserToken
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import Account, App, Installation, InstallationToken, Repository

T = TypeVar("T")


class As(Enum):
    """Who may call an endpoint."""

    ANYONE = "anyone"
    APP = "app"
    INSTALLATION = "installation"
    USER = "user"
    CLIENT = "client"


@dataclass
class Call:
    """A request whose caller is known."""

    github: Site
    request: Request
    raw_body: bytes
    calling_app: App | None = None
    token: InstallationToken | None = None
    user_token: UserToken | None = None

    @property
    def app(self) -> App:
        """The App that calls, or for which a user calls."""
        return self.user_token.app if self.user_token else _known(self.calling_app)

    @property
    def installation(self) -> Installation:
        """The installation that calls."""
        return _known(self.token).installation

    @property
    def person(self) -> Person:
        """The user who calls."""
        return _known(self.user_token).person

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """A number in the path; 404 when it is none."""
        value = self.path(name)
        if not value.isascii() or not value.isdigit():
            raise not_found()
        return int(value)

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        return self.request.query_params.get(name, default)

    def body(self) -> dict[str, Any]:
        """The JSON object of the body; an absent one is empty."""
        try:
            value = json.loads(self.raw_body or b"{}")
        except ValueError:
            raise ApiError(400, "Problems parsing JSON") from None
        if not isinstance(value, dict):
            raise ApiError(400, "Body should be a JSON object")
        return value

    def organization(self) -> Account:
        """The organisation of the path, if the caller is installed on it."""
        account = self.github.world.accounts.get(self.path("org").lower())
        if account is None or account.kind != "Organization" or account is not self.installation.account:
            raise not_found()
        return account

    def repository(self) -> Repository:
        """The repository of the path, if the caller is installed on its owner."""
        name = f"{self.path('owner')}/{self.path('repo')}".lower()
        repository = self.github.world.repositories.get(name)
        if repository is None or not self.reaches(repository):
            raise not_found()
        return repository

    def reaches(self, repository: Repository) -> bool:
        """Whether the caller's token is good for a repository."""
        chosen = _known(self.token).repositories
        return self.installation.reaches(repository) and (chosen is None or repository in chosen)

    @property
    def listed_at(self) -> float:
        """The moment that a list shows."""
        return self.github.clock() - self.github.lists_lag_s

    def page(self, items: list[T]) -> tuple[list[T], dict[str, str]]:
        """Cut a list by `per_page` and `page`, with the `Link` header that tells of more."""
        size = min(100, max(1, _whole(self.query("per_page"), 30)))
        number = max(1, _whole(self.query("page"), 1))
        rest = len(items) > number * size
        link = {"Link": f'<{self.request.url.include_query_params(page=number + 1)}>; rel="next"'} if rest else {}
        return items[(number - 1) * size : number * size], link


@dataclass
class Reply:
    """What an endpoint answers; None is no body."""

    json: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    media_type: str = "application/json; charset=utf-8"


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Endpoint:
    """A route of the REST API. `needs` is the permission of the installation's token, or of a user's installation."""

    method: str
    path: str
    handler: Handler
    caller: As = As.INSTALLATION
    needs: tuple[str, str] | None = None


def not_found() -> ApiError:
    """GitHub's answer for what is not there and for what the caller may not see."""
    return ApiError(404, "Not Found")


def _whole(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else default


def _known(value: T | None) -> T:
    if value is None:
        raise ApiError(401, "Requires authentication")
    return value

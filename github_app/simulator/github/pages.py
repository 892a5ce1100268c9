"""The pages of GitHub that a person at the browser meets: making an App from a manifest, and installing it.

Docs: "Registering a GitHub App from a manifest", "Installing your own GitHub App".
"""

import json
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.page import hidden, page, read_form, text
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import Account, App


class Pages:
    """The pages, for whoever is signed in: the owner of every account that is not marked otherwise."""

    def __init__(self, github: Site) -> None:
        self._github = github

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [
            *(
                Route(f"{prefix}/settings/apps{end}", answer, methods=["POST"])
                for prefix in ("/organizations/{org}", "")
                for end, answer in (("/new", self._new_app), ("", self._create_app))
            ),
            Route("/apps/{slug}/installations/new", self._choose, methods=["GET"]),
            Route("/apps/{slug}/installations", self._install, methods=["POST"]),
        ]

    async def _new_app(self, request: Request) -> Response:
        """Take the manifest that a page posted, and ask whether the App is to be made, under which name."""
        owner = self._owner(request)
        if owner is None or not owner.owned:
            return page("You have no rights here", status=404 if owner is None else 403)
        manifest = (await read_form(request)).get("manifest", "")
        return _confirm(request, owner, manifest, _name_in(manifest))

    async def _create_app(self, request: Request) -> Response:
        """Make the App, and send the browser back with the code."""
        owner = self._owner(request)
        if owner is None or not owner.owned:
            return page("You have no rights here", status=404 if owner is None else 403)
        form = await read_form(request)
        manifest = form.get("manifest", "")
        if name := form.get("name"):
            manifest = json.dumps(json.loads(manifest) | {"name": name})
        try:
            redirect, code = self._github.registration.register(owner, manifest)
        except ApiError as error:
            return _confirm(request, owner, manifest, _name_in(manifest), wrong=error)
        state = request.query_params.get("state", "")
        return RedirectResponse(f"{redirect}?{urlencode({'code': code, 'state': state})}", 302)

    async def _choose(self, request: Request) -> Response:
        app = self._app(request)
        if app is None:
            return page("Not found", status=404)
        form = (
            f'<form method="post" action="/apps/{app.slug}/installations"><button id="install">Install</button></form>'
        )
        return page(f"Install {app.name} on {app.owner.login}", form)

    async def _install(self, request: Request) -> Response:
        app = self._app(request)
        if app is None:
            return page("Not found", status=404)
        self._github.install(app, app.owner)
        if app.request_oauth_on_install:
            return RedirectResponse(f"/login/oauth/authorize?{urlencode({'client_id': app.client_id})}", 302)
        return page(f"{app.name} is installed")

    def _owner(self, request: Request) -> Account | None:
        accounts = self._github.world.accounts
        if login := request.path_params.get("org"):
            return accounts.get(str(login).lower())
        # The page of whoever is signed in, here the first user.
        return next((a for a in accounts.values() if a.kind == "User"), None)

    def _app(self, request: Request) -> App | None:
        slug = request.path_params["slug"]
        return next((app for app in self._github.world.apps.values() if app.slug == slug), None)


def _name_in(manifest: str) -> str:
    try:
        return str(json.loads(manifest)["name"])
    except (ValueError, KeyError, TypeError):
        return ""


def _confirm(request: Request, owner: Account, manifest: str, name: str, wrong: ApiError | None = None) -> Response:
    query = urlencode({"state": request.query_params.get("state", "")})
    action = request.url.path.removesuffix("/new")
    error = f'<p id="error">{text(wrong.message)}</p>' if wrong else ""
    form = (
        f'{error}<form method="post" action="{action}?{query}">'
        f"{hidden({'manifest': manifest})}"
        f'<input name="name" value="{text(name)}">'
        f'<button id="create">Create GitHub App for {text(owner.login)}</button></form>'
    )
    return page("Create GitHub App", form, status=wrong.status if wrong else 200)

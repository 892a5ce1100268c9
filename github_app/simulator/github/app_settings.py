"""An App's settings, as its owner sees them: where people come back to who sign in, and client secrets.

Docs: "Modifying a GitHub App registration", "About the user authorization callback URL".
"""

import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from github_app.simulator.github.page import page, read_form, text
from github_app.simulator.github.registration import wrong_callbacks
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import App


class AppSettings:
    """The page, for whoever is signed in: the owner of every account that is not marked otherwise."""

    def __init__(self, github: Site) -> None:
        self._github = github

    def routes(self) -> list[Route]:
        """Where the page is, and what its two buttons call."""
        return [
            Route(f"{prefix}/settings/apps/{{slug}}{end}", answer, methods=[method])
            for prefix in ("/organizations/{org}", "")
            for method, end, answer in (
                ("GET", "", self._show),
                ("POST", "", self._save),
                ("POST", "/client-secrets", self._new_secret),
            )
        ]

    async def _show(self, request: Request) -> Response:
        app = self._app(request)
        return _settings(request, app) if app else page("Not found", status=404)

    async def _save(self, request: Request) -> Response:
        app = self._app(request)
        if app is None:
            return page("Not found", status=404)
        form = await read_form(request)
        urls = form.get("callback_urls", "").split()
        if wrong := wrong_callbacks(urls):
            return _settings(request, app, wrong)
        app.callback_urls = urls
        app.request_oauth_on_install = "request_oauth_on_install" in form
        return RedirectResponse(request.url.path, 303)

    async def _new_secret(self, request: Request) -> Response:
        """Make one more secret, which is shown this once; the others stay good."""
        app = self._app(request)
        if app is None:
            return page("Not found", status=404)
        secret = secrets.token_hex(20)
        app.client_secrets.append(secret)
        back = text(request.url.path.removesuffix("/client-secrets"))
        body = (
            "<p>Make sure to copy your new client secret now. You won't be able to see it again.</p>"
            f'<p><code id="client-secret">{secret}</code></p><p><a href="{back}">Back</a></p>'
        )
        return page(f"A new client secret of {app.name}", body)

    def _app(self, request: Request) -> App | None:
        owner, slug = request.path_params.get("org"), request.path_params["slug"]
        for app in self._github.world.apps.values():
            at = app.owner.login.lower() if app.owner.kind == "Organization" else None
            if app.slug == slug and at == (owner.lower() if owner else None) and app.owner.owned:
                return app
        return None


def _settings(request: Request, app: App, wrong: str | None = None) -> Response:
    here = text(request.url.path)
    error = f'<p id="error">{text(wrong)}</p>' if wrong else ""
    ticked = " checked" if app.request_oauth_on_install else ""
    urls = text("\n".join(app.callback_urls), lines=True)
    known = "".join(f"<li><code>…{secret[-8:]}</code></li>" for secret in app.client_secrets)
    body = (
        f"{error}<p>App ID: {app.id}</p><p>Client ID: <code>{text(app.client_id)}</code></p>"
        f"<h2>Client secrets</h2><ul>{known}</ul>"
        f'<form method="post" action="{here}/client-secrets">'
        '<button id="generate">Generate a new client secret</button></form>'
        f'<h2>Identifying and authorizing users</h2><form method="post" action="{here}">'
        "<p><label>Callback URLs, one a line<br>"
        f'<textarea name="callback_urls" rows="10" cols="80">\n{urls}</textarea></label></p>'
        f'<p><label><input type="checkbox" name="request_oauth_on_install"{ticked}> '
        "Request user authorization (OAuth) during installation</label></p>"
        '<p><button id="save">Save changes</button></p></form>'
    )
    return page(app.name, body, status=422 if wrong else 200)

"""The simulated GitHub over HTTP: routes, authentication, rate limits, errors in GitHub's form."""

import hashlib
import json
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from github_app.simulator.github import (
    api_actions,
    api_apps,
    api_checks,
    api_runners,
    api_users,
    runner_service,
    sign_in,
)
from github_app.simulator.github.app_settings import AppSettings
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.calls import As, Call, Endpoint, Reply
from github_app.simulator.github.faults import Hangup
from github_app.simulator.github.overview import Overview
from github_app.simulator.github.pages import Pages
from github_app.simulator.github.sign_in import SignIn
from github_app.simulator.github.site import Site

_ENDPOINTS: tuple[Endpoint, ...] = (
    *api_apps.ENDPOINTS,
    *api_runners.ENDPOINTS,
    *api_actions.ENDPOINTS,
    *api_checks.ENDPOINTS,
    *api_users.ENDPOINTS,
)


def application(site: Site) -> Starlette:
    """The whole of a site over HTTP: its API, what runners ask, and its pages."""
    prefix = "/api/v3" if site.rest_version else ""
    routes = [_route(site, endpoint, counted=True, prefix=prefix) for endpoint in _ENDPOINTS]
    routes += [_route(site, endpoint, counted=False) for endpoint in runner_service.ENDPOINTS]
    routes += [_route(site, endpoint, counted=True) for endpoint in sign_in.ENDPOINTS]
    routes += SignIn(site).routes() + Pages(site).routes() + AppSettings(site).routes() + Overview(site).routes()
    routes.append(Route("/{path:path}", _unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))
    return Starlette(routes=routes)


def _route(site: Site, endpoint: Endpoint, *, counted: bool, prefix: str = "") -> Route:
    async def serve(request: Request) -> Response:
        if counted:
            site.calls[f"{endpoint.method} {endpoint.path}"] += 1
        headers: dict[str, str] = {}
        try:
            if prefix:
                _check_version(site, request)
            if counted:
                await site.faults.before(f"{endpoint.method} {endpoint.path}")
            call = await _call(site, endpoint, request, headers)
            reply = await endpoint.handler(call)
            if counted:
                await site.faults.after(f"{endpoint.method} {endpoint.path}")
        except ApiError as error:
            return _error(error, headers)
        except Hangup:
            return _HalfAnswer()
        response = _unless_known(request, _response(reply, headers))
        if response.status_code == 304 and (call.token or call.user_token):
            site.limits.refund(_payer(call))
        return response

    # Starlette adds HEAD to GET; GitHub has it too.
    return Route(prefix + endpoint.path, serve, methods=[endpoint.method])


def _check_version(site: Site, request: Request) -> None:
    if request.headers.get("x-github-api-version") != site.rest_version:
        raise ApiError(400, f"This server knows the REST version {site.rest_version}.")


async def _call(site: Site, endpoint: Endpoint, request: Request, headers: dict[str, str]) -> Call:
    """Find out who calls, and charge the request to them."""
    authorization = request.headers.get("authorization", "")
    call = Call(site, request, await request.body())
    if endpoint.needs is not None:
        headers["X-Accepted-GitHub-Permissions"] = "=".join(endpoint.needs)
    if endpoint.caller is As.APP:
        call.calling_app = site.authority.app(authorization)
    elif endpoint.caller is As.CLIENT:
        call.calling_app = site.authority.client(authorization)
    elif endpoint.caller is As.USER:
        call.user_token = site.authority.user(authorization)
    elif endpoint.caller is As.INSTALLATION:
        call.token = site.authority.installation(authorization, endpoint.needs)
    if endpoint.caller is not As.ANYONE:
        headers |= site.limits.spend(_payer(call), endpoint.method)
    narrowed = call.token is not None and call.token.repositories
    if narrowed and "{org}" in endpoint.path and not site.narrowed_tokens_register:
        raise ApiError(403, "Resource not accessible by integration")
    return call


def _payer(call: Call) -> str:
    """Whose rate limit a call is charged to."""
    if call.token is not None:
        return f"installation {call.installation.id}"
    return f"user {call.person.account.id}" if call.user_token is not None else f"app {call.app.id}"


class _HalfAnswer(Response):
    """Announces a body and never sends it; the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _unknown(request: Request) -> Response:
    return JSONResponse({"message": f"{request.method} {request.url.path} is not simulated"}, 501)


def _unless_known(request: Request, response: Response) -> Response:
    """Give each answer an etag, and answer 304 without a body to whoever has it."""
    if request.method != "GET" or response.status_code != 200:
        return response
    etag = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
    if request.headers.get("if-none-match") == etag:
        kept = {name: value for name, value in response.headers.items() if name.startswith("x-")}
        return Response(status_code=304, headers={**kept, "ETag": etag})
    response.headers["ETag"] = etag
    return response


def _response(reply: Reply, headers: Mapping[str, str]) -> Response:
    content = reply.content
    if content is None:
        content = b"" if reply.status == 204 else json.dumps(reply.json).encode()
    media_type = None if reply.status == 204 else reply.media_type
    return Response(content, reply.status, {**headers, **reply.headers}, media_type)


def _error(error: ApiError, headers: Mapping[str, str]) -> Response:
    body = {"message": error.message, "documentation_url": "https://docs.github.com/rest", "status": str(error.status)}
    return JSONResponse(body, error.status, {**headers, **error.headers})

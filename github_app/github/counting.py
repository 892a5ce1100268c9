"""Requests to GitHub, counted by route and status on their way out."""

import re

import httpx

from github_app.counts import Counted, Counts

# As GitHub's documentation writes them: what the app asks, and the commands that look after it.
ROUTES = (
    "GET /app",
    "GET /app/hook/config",
    "PATCH /app/hook/config",
    "GET /app/hook/deliveries",
    "POST /app/hook/deliveries/{delivery_id}/attempts",
    "GET /app/installations",
    "POST /app/installations/{installation_id}/access_tokens",
    "GET /installation/repositories",
    "GET /orgs/{org}/actions/runner-groups",
    "GET /orgs/{org}/actions/runner-groups/{runner_group_id}/repositories",
    "GET /orgs/{org}/actions/runners",
    "GET /orgs/{org}/actions/runners/downloads",
    "POST /orgs/{org}/actions/runners/generate-jitconfig",
    "GET /orgs/{org}/actions/runners/{runner_id}",
    "DELETE /orgs/{org}/actions/runners/{runner_id}",
    "GET /orgs/{org}/actions/runners/deprecations/{version}",
    "GET /repos/{owner}/{repo}/actions/jobs/{job_id}",
    "GET /repos/{owner}/{repo}/actions/runners",
    "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig",
    "GET /repos/{owner}/{repo}/actions/runners/{runner_id}",
    "DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}",
    "GET /repos/{owner}/{repo}/actions/runs",
    "GET /repos/{owner}/{repo}/actions/runs/{run_id}",
    "GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs",
    "POST /repos/{owner}/{repo}/check-runs",
    "GET /repos/{owner}/{repo}/installation",
)
OTHER = "other"
_PATTERNS = {route: re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route))) for route in ROUTES}
# Before the paths of GitHub Enterprise Server (docs: "Getting started with the REST API").
_PREFIX = "/api/v3"


def route_of(method: str, path: str) -> str:
    """The route of a request, in which nothing stands that someone has named."""
    asked = f"{method} {path.removeprefix(_PREFIX)}"
    return next((route for route, pattern in _PATTERNS.items() if pattern.fullmatch(asked)), OTHER)


class CountingTransport(httpx.AsyncBaseTransport):
    """Sends through another transport, and counts what comes of it."""

    def __init__(self, sender: httpx.AsyncBaseTransport, counts: Counts) -> None:
        self._sender = sender
        self._counts = counts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and count by the class of the status; `none` where no answer came."""
        status = "none"
        try:
            response = await self._sender.handle_async_request(request)
            status = f"{response.status_code // 100}xx"
            return response
        finally:
            self._counts.add(Counted.GITHUB_REQUESTS, route_of(request.method, request.url.path), status)

    async def aclose(self) -> None:
        """Hand on that githubkit closes its client."""
        await self._sender.aclose()

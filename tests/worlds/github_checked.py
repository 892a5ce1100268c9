"""A simulated GitHub whose every exchange is held against what GitHub itself publishes."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from openapi_core import Config, OpenAPI
from openapi_core.templating.responses.exceptions import ResponseNotFound
from openapi_core.testing import MockRequest, MockResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from github_app.simulator.github import SimulatedGitHub

_CONTRACT = Path(__file__).parent.parent / "contract"
# The runner's protocol, the pages for people, and what the description was not cut to.
_NO_API = re.compile(
    r"^/_runner/|^(/organizations/[^/]+)?/settings/|^/apps/|^/login/oauth/|/releases/latest$"
    r"|/user/memberships/|/applications/"
)
_HOST = "https://api.github.com"  # the only server that GitHub's description names


class CheckedGitHub(SimulatedGitHub):
    """Collects each breach of GitHub's contract; `check`, and so `stop`, raises them."""

    def __init__(self, **options: Any) -> None:
        self.breaches: list[str] = []
        self._description = _openapi("ghes-3.19.trim.json" if options.get("enterprise") else "api.github.com.trim.json")
        self._bad_requests_allowed = False
        super().__init__(**options)
        self.asgi.add_middleware(_Checking, github=self)

    async def stop(self) -> None:
        await super().stop()
        self.check()

    @contextlib.contextmanager
    def bad_requests(self) -> Iterator[None]:
        """Here requests break the contract on purpose: they must be refused, and then fail no test."""
        self._bad_requests_allowed = True
        try:
            yield
        finally:
            self._bad_requests_allowed = False

    def check(self) -> None:
        """Fail if an API call or a `workflow_job` delivery has broken the contract until now."""
        payloads = [delivery.payload for delivery in self.world.deliveries.values() if delivery.event == "workflow_job"]
        breaches = [*self.breaches, *(breach for payload in payloads for breach in event_breaches(payload))]

        assert not breaches, "\n".join(breaches)

    def take(self, request: MockRequest, response: MockResponse) -> None:
        """Check one exchange."""
        where = f"{request.method.upper()} {request.path}"
        refused = response.status_code >= 400
        if not (self._bad_requests_allowed and refused and response.status_code < 500):
            wrong = self._description.iter_request_errors(request)
            self.breaches += [f"{where}, request: {text}" for error in wrong for text in _texts(error)]
        errors = list(self._description.iter_response_errors(request, response))
        # GitHub's description is silent about most refusals: 401, 403, 429 and 5xx are missing nearly everywhere, 404
        # and 422 at some operations. They are held against `error_breaches` alone.
        # Of conditional requests, whose answer is 304, only its docs tell.
        if refused or response.status_code == 304:
            errors = [error for error in errors if not isinstance(error, ResponseNotFound)]
        if refused:
            self.breaches += [f"{where}, answer {response.status_code}: {text}" for text in error_breaches(response)]
        for error in errors:
            self.breaches += [f"{where}, answer {response.status_code}: {text}" for text in _texts(error)]


def error_breaches(response: MockResponse) -> list[str]:
    """What a refusal lacks. The published `basic-error` requires no field at all; GitHub sends these three."""
    body = json.loads(response.data)
    return [name for name in ("message", "documentation_url", "status") if not isinstance(body.get(name), str)]


def event_breaches(payload: dict[str, Any]) -> list[str]:
    """What GitHub's schema for the event's action has against a `workflow_job` payload."""
    action = payload["action"]
    errors = _event_validator(action).iter_errors(json.loads(json.dumps(payload)))
    return [f"workflow_job {action}: {_named(error)}" for error in errors]


class _Checking:
    """Sees each exchange of the REST API, of which the runner's protocol and the manifest page are no part."""

    def __init__(self, app: ASGIApp, github: CheckedGitHub) -> None:
        self._app = app
        self._github = github

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _NO_API.search(scope["path"]):
            await self._app(scope, receive, send)
            return
        received, sent = bytearray(), list[Message]()

        async def receiving() -> Message:
            message = await receive()
            received.extend(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            # Kept before it is sent, and checked before the caller has the whole of it.
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._check(scope, bytes(received), sent)
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        except ClientDisconnect:
            raise
        except Exception as error:
            # A caller sees a 500, which it may well try again: nothing else would tell of it.
            self._github.breaches.append(f"{scope['method']} {scope['path']} failed: {error!r}")
            raise

    def _check(self, scope: Scope, body: bytes, sent: list[Message]) -> None:
        response = _response(sent)
        if response.status_code != 501:  # what is not simulated has no contract to keep
            self._github.take(_request(scope, body), response)


def _request(scope: Scope, body: bytes) -> MockRequest:
    query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
    return MockRequest(
        _HOST,
        scope["method"],
        scope["path"].removeprefix("/api/v3"),
        args={name: values[-1] for name, values in query.items()},
        headers={name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
        data=body,
    )


def _response(sent: list[Message]) -> MockResponse:
    start = sent[0]
    headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    body = b"".join(message.get("body", b"") for message in sent)
    content_type = headers.get("content-type", "").partition(";")[0]
    return MockResponse(body, start["status"], headers, content_type)


def _texts(error: Exception) -> Iterable[str]:
    schema_errors = getattr(error.__cause__, "schema_errors", None)
    return [_named(each) for each in schema_errors] if schema_errors else [f"{error!r} {error.__cause__ or ''}"]


def _named(error: ValidationError) -> str:
    """The field, then what is wrong with it."""
    deepest = best_match([error]) or error
    return f"{deepest.json_path}: {deepest.message[:300]}"


@cache
def _openapi(file: str) -> OpenAPI:
    description = json.loads((_CONTRACT / file).read_text())
    description["servers"] = [{"url": _HOST}]
    # GitHub describes an installation's `account` as a user *and* an enterprise in this list (`allOf`), and as one of
    # the two (`anyOf`) wherever else an installation is described.
    listed = description["paths"]["/app/installations"]["get"]["responses"]["200"]["content"]["application/json"]
    account = listed["schema"]["items"]["properties"]["account"]
    account["anyOf"] = account.pop("allOf")
    # A job that has not ended has no conclusion: `nullable` says so, and the `enum` beside it forgets it.
    description["components"]["schemas"]["job"]["properties"]["conclusion"]["enum"].append(None)
    # The description itself is not validated: only what it says of the operations.
    return OpenAPI.from_dict(description, config=Config(spec_validator_cls=None))


@cache
def _event_validator(action: str) -> Draft202012Validator:
    schemas = json.loads((_CONTRACT / "workflow_job.webhook.schemas.json").read_text())
    return Draft202012Validator(schemas[action], format_checker=Draft202012Validator.FORMAT_CHECKER)

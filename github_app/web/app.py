"""The routes. A delivery goes: headers -> size -> signature over the raw bytes -> decode -> record -> answer."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus

import msgspec
import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from github_app.counts import Counted
from github_app.errors import DeliveryError, GitHubError, StoreError
from github_app.jobs.intake import digest_of
from github_app.jobs.service import Answer, Service, Status
from github_app.model import JobEvent
from github_app.web import delivery
from github_app.web.metrics import Metrics
from github_app.web.seldom import Seldom

# GitHub gives the whole exchange ten seconds.
_BODY_WITHIN_S = 15.0
# Of all bodies that are being read together, what is more than a `workflow_job` has: until a body is whole, nobody
# knows whether GitHub has signed it, and those are never turned away for what others send.
_USUAL = 64 * 1024
_MOST_IN_FLIGHT = 32 * 1024 * 1024

_log = structlog.get_logger(__name__)
# An organisation may have a thousand jobs of other runners for each of ours; GitHub shows our answer to each.
_ignored = Seldom()


def create_app(
    service: Service,
    webhook_secrets: Sequence[SecretStr],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
    metrics: Metrics | None = None,
    dashboard: ASGIApp | None = None,
) -> Starlette:
    """Make the ASGI application; `lifespan` prepares what it needs and lets go of it.

    `dashboard` has every other address. A delivery signed with any of `webhook_secrets` is taken: while one is being
    changed there are two.
    """
    secrets = [secret.get_secret_value() for secret in webhook_secrets]
    bodies = _Bodies()
    service.tallies.keep()

    async def webhook(request: Request) -> Response:
        outcome, answer = await _webhook(request, service, secrets, bodies)
        service.tallies.counts.add(Counted.DELIVERIES, outcome, str(answer.status_code))
        return answer

    async def healthz(_request: Request) -> Response:
        return await _healthz(service)

    app = Starlette(
        routes=[
            Route("/webhook", webhook, methods=["POST"]),
            Route("/healthz", healthz),
            *([Route("/metrics", metrics.answer)] if metrics else []),
            *([] if dashboard else [Route("/", _front)]),
        ],
        lifespan=lifespan,
    )
    if dashboard:
        # A mount at the root would take what is sent to `/webhook` by another method, too.
        app.router.default = dashboard
    return app


# For whoever follows the URL: anyone may, so it tells of nobody's jobs.
_FRONT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Modal Runner</title>
<h1>Modal Runner</h1>
<p>This is a GitHub App that runs queued GitHub Actions jobs in Modal Sandboxes. It shows nothing here: the
dashboard is off, or has no <code>GITHUB_CLIENT_ID</code> and <code>GITHUB_CLIENT_SECRET</code> with which people could
sign in. <code>modal-runner setup --add-sign-in</code> sees to that.</p>
<p>GitHub delivers to <code>/webhook</code>; <code>/healthz</code> says whether the app is up. What is going on,
<code>modal-runner status</code> tells those who hold its Modal token.</p>
</html>
"""


async def _front(_request: Request) -> Response:
    return HTMLResponse(_FRONT)


async def _healthz(service: Service) -> Response:
    """Always 200 while the process answers: to start it anew would mend nothing that `status` may tell of."""
    try:
        stopped = await service.stopped()
    except StoreError as error:
        return _json({"status": "impaired", "reason": str(error)})
    return _json({"status": "ok"} if stopped is None else {"status": "stopped", "reason": stopped})


async def _webhook(
    request: Request, service: Service, secrets: Sequence[str], bodies: "_Bodies"
) -> tuple[str, Response]:
    """Answer a delivery, and say in a word what became of it."""
    began = time.perf_counter()
    # The context lasts for the launch too, which runs as this response's background task.
    structlog.contextvars.clear_contextvars()
    # Looked up often; of a name that is there twice the first counts, as for Starlette.
    headers = dict(reversed(request.headers.items()))
    structlog.contextvars.bind_contextvars(delivery=delivery.guid_of(headers))
    try:
        answer = await _answer(request, headers, service, secrets, bodies)
    except ClientDisconnect:
        _log.info("delivery_aborted")
        return "aborted", Response(status_code=HTTPStatus.BAD_REQUEST)
    except DeliveryError as error:
        _log.warning("delivery_rejected", http_status=int(error.status), reason=str(error))
        # Whatever of the body is still to come is not waited for.
        refused = {"status": "rejected", "reason": str(error)}
        return "rejected", _json(refused, error.status, {"Connection": "close"})
    except (StoreError, GitHubError) as error:
        # Not 2xx, so that GitHub lists the delivery as failed and it can be redelivered.
        _log.error("delivery_failed", reason=str(error))
        return "failed", _json(
            {"status": "failed", "reason": "the store or GitHub did not answer; redeliver this delivery"},
            HTTPStatus.SERVICE_UNAVAILABLE,
        )
    if answer.status is Status.IGNORED:
        if count := _ignored.due():
            _log.info("deliveries_ignored", count=count, reason=answer.reason)
    else:
        took = round((time.perf_counter() - began) * 1000, 1)
        _log.info("delivery_answered", status=answer.status.value, reason=answer.reason, duration_ms=took)
    said = _json(
        {"status": answer.status, "reason": answer.reason},
        HTTPStatus.OK if answer.status is Status.PONG else HTTPStatus.ACCEPTED,
    )
    said.background = BackgroundTask(answer.afterwards) if answer.afterwards else None
    return answer.status, said


def _json(body: object, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")


async def _answer(
    request: Request, headers: Mapping[str, str], service: Service, secrets: Sequence[str], bodies: "_Bodies"
) -> Answer:
    delivery.check_headers(headers)
    body = await bodies.read(request)
    delivery.check_signature(headers, body, secrets)
    delivery.check_guid(headers)
    try:
        said = delivery.decode(headers, body)
    except DeliveryError as error:
        await _park(delivery.guid_of(headers), body, error, service)
        raise
    match said:
        case delivery.Ping():
            return Answer(Status.PONG)
        case delivery.Other(reason):
            return Answer(Status.IGNORED, reason)
        case JobEvent() as event:
            structlog.contextvars.bind_contextvars(job=event.job_id, repo=event.repository, action=event.action.value)
            return await service.handle(body, event)


async def _park(guid: str | None, body: bytes, error: DeliveryError, service: Service) -> None:
    """Have the sweep report what GitHub signed and nobody understands; GitHub keeps it in its list of failures."""
    if guid is not None:
        try:
            await service.intake.park(guid, digest_of(body), str(error))
        except StoreError as failure:
            _log.error("delivery_not_parked", reason=str(failure))


class _Bodies:
    """Reads bodies: of each never more than the cap, of all together never more than there is memory for, in time."""

    def __init__(self) -> None:
        self._in_flight = 0

    async def read(self, request: Request) -> bytes:
        """Read a request's body.

        Raises:
            DeliveryError: 413, 408 when it takes long, 503 when too much is being read at this moment.
        """
        body, counted = bytearray(), 0
        try:
            async with asyncio.timeout(_BODY_WITHIN_S):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > delivery.MAX_BODY:
                        raise delivery.too_large()
                    more = max(0, len(body) + len(chunk) - _USUAL) - counted
                    if more and self._in_flight + more > _MOST_IN_FLIGHT:
                        raise DeliveryError(HTTPStatus.SERVICE_UNAVAILABLE, "Too much is being read; redeliver this.")
                    body += chunk
                    counted += more
                    self._in_flight += more
            return bytes(body)
        except TimeoutError:
            raise DeliveryError(HTTPStatus.REQUEST_TIMEOUT, f"No whole body in {_BODY_WITHIN_S:.0f} s.") from None
        finally:
            self._in_flight -= counted

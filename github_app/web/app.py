"""The routes. A delivery goes: headers -> size -> signature over the raw bytes -> decode -> record -> answer."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus

import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from github_app.errors import DeliveryError, GitHubError, StoreError
from github_app.model import JobEvent
from github_app.service import Answer, Service, Status
from github_app.web import delivery

_log = structlog.get_logger(__name__)


def create_app(
    service: Service,
    webhook_secrets: Sequence[SecretStr],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
) -> Starlette:
    """Make the ASGI application; `lifespan` prepares what it needs and lets go of it.

    A delivery signed with any of `webhook_secrets` is taken: while one is being changed there are two.
    """
    secrets = [secret.get_secret_value() for secret in webhook_secrets]

    async def webhook(request: Request) -> Response:
        return await _webhook(request, service, secrets)

    async def healthz(_request: Request) -> Response:
        return await _healthz(service)

    return Starlette(
        routes=[Route("/webhook", webhook, methods=["POST"]), Route("/healthz", healthz)], lifespan=lifespan
    )


async def _healthz(service: Service) -> Response:
    """Always 200 while the process answers: to start it anew would mend nothing that `status` may tell of."""
    try:
        stopped = await service.stopped()
    except StoreError as error:
        return JSONResponse({"status": "impaired", "reason": str(error)})
    return JSONResponse({"status": "ok"} if stopped is None else {"status": "stopped", "reason": stopped})


async def _webhook(request: Request, service: Service, secrets: Sequence[str]) -> Response:
    began = time.perf_counter()
    # The context lasts for the launch too, which runs as this response's background task.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(delivery=request.headers.get("x-github-delivery"))
    try:
        answer = await _answer(request, service, secrets)
    except DeliveryError as error:
        _log.warning("delivery_rejected", http_status=int(error.status), reason=str(error))
        return JSONResponse({"status": "rejected", "reason": str(error)}, error.status)
    except (StoreError, GitHubError) as error:
        # Not 2xx, so that GitHub lists the delivery as failed and it can be redelivered.
        _log.error("delivery_failed", reason=str(error))
        return JSONResponse(
            {"status": "failed", "reason": "the store or GitHub did not answer; redeliver this delivery"},
            HTTPStatus.SERVICE_UNAVAILABLE,
        )
    took = round((time.perf_counter() - began) * 1000, 1)
    _log.info("delivery_answered", status=answer.status.value, reason=answer.reason, duration_ms=took)
    return JSONResponse(
        {"status": answer.status.value, "reason": answer.reason},
        HTTPStatus.OK if answer.status is Status.PONG else HTTPStatus.ACCEPTED,
        background=BackgroundTask(answer.afterwards) if answer.afterwards else None,
    )


async def _answer(request: Request, service: Service, secrets: Sequence[str]) -> Answer:
    delivery.check_headers(request.headers)
    body = await _read(request)
    delivery.check_signature(request.headers, body, secrets)
    delivery.check_guid(request.headers)
    digest = hashlib.sha256(body).hexdigest()
    try:
        said = delivery.decode(request.headers, body)
    except DeliveryError as error:
        await _park(request, digest, error, service)
        raise
    match said:
        case delivery.Ping():
            return Answer(Status.PONG)
        case delivery.Other(reason):
            return Answer(Status.IGNORED, reason)
        case JobEvent() as event:
            structlog.contextvars.bind_contextvars(job=event.job_id, repo=event.repository, action=event.action.value)
            return await service.handle(digest, event)


async def _park(request: Request, digest: str, error: DeliveryError, service: Service) -> None:
    """Have the sweep report what GitHub signed and nobody understands; GitHub keeps it in its list of failures."""
    if guid := request.headers.get("x-github-delivery"):
        try:
            await service.intake.park(guid, digest, str(error))
        except StoreError as failure:
            _log.error("delivery_not_parked", reason=str(failure))


async def _read(request: Request) -> bytes:
    """Read the body, never more of it than the cap."""
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > delivery.MAX_BODY:
            raise delivery.too_large()
        body += chunk
    return bytes(body)

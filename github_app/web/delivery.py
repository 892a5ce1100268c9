"""One webhook request, from headers and bytes to what it says. Pure: nothing is read, sent or recorded here.

Rules from GitHub's docs: "Validating webhook deliveries", "Webhook events and payloads".
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from github_app.errors import DeliveryError
from github_app.github.wire import Id, Job, Repository, job_event
from github_app.model import Action, JobEvent

# GitHub caps payloads at 25 MB; those of `workflow_job` are under 64 kB. What a longer one of another event says, as of
# an installation on thousands of repositories, the sweep finds out by itself.
MAX_BODY = 1024 * 1024
# GUIDs are UUIDs (docs: "Webhook events and payloads", delivery headers).
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Ping:
    """GitHub's test delivery at registration."""


@dataclass(frozen=True)
class Other:
    """An event or action that is nothing to act on."""

    reason: str


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse by content type and declared size, before the body is read.

    Raises:
        DeliveryError: 415 or 413.
    """
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise DeliveryError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Set the webhook's content type to application/json on the App's page."
        )
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_BODY:
        raise too_large()


def too_large() -> DeliveryError:
    """The refusal of a body that is over the cap, declared or not."""
    return DeliveryError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is over {MAX_BODY} bytes.")


def check_signature(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Compare `X-Hub-Signature-256` with our own over the raw bytes, in constant time, by each secret.

    Raises:
        DeliveryError: 401; the computed signature is in no message.
    """
    # Header values are any bytes; Starlette decodes them as latin-1, which loses none.
    given = headers.get("x-hub-signature-256", "").encode("latin-1")
    expected = [b"sha256=" + hmac.digest(each.encode(), body, "sha256").hex().encode() for each in secrets]
    if not any([hmac.compare_digest(given, each) for each in expected]):  # noqa: C419 - each is compared, always
        raise DeliveryError(HTTPStatus.UNAUTHORIZED, "X-Hub-Signature-256 is missing or does not match WEBHOOK_SECRET.")


def guid_of(headers: Mapping[str, str]) -> str | None:
    """The GUID, if the header has one: whatever else it has is nobody's, and goes into no log."""
    guid = headers.get("x-github-delivery", "")
    return guid if _GUID.fullmatch(guid) else None


def check_guid(headers: Mapping[str, str]) -> None:
    """Refuse what cannot be a GUID, which nobody has signed and which becomes part of records.

    Raises:
        DeliveryError: 400.
    """
    if headers.get("x-github-delivery") and guid_of(headers) is None:
        raise DeliveryError(HTTPStatus.BAD_REQUEST, "The header X-GitHub-Delivery is no GUID.")


def decode(headers: Mapping[str, str], body: bytes) -> Ping | Other | JobEvent:
    """Read a delivery whose signature was checked.

    Raises:
        DeliveryError: 400, naming the header or field that is wrong.
    """
    event = headers.get("x-github-event", "")
    if not event:
        raise DeliveryError(HTTPStatus.BAD_REQUEST, "The header X-GitHub-Event is missing.")
    if event == "ping":
        return Ping()
    if event != "workflow_job":
        return Other(f"the event {event!r} is nothing to act on")
    if not headers.get("x-github-delivery"):
        raise DeliveryError(HTTPStatus.BAD_REQUEST, "The header X-GitHub-Delivery is missing.")
    try:
        payload = msgspec.json.decode(body, type=_Payload)
        return _job_event(payload)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        # msgspec names the field and never quotes the body. A body may nest too deep for it (RecursionError), and a
        # time may be one that has no Unix time (ValueError, OverflowError).
        raise DeliveryError(HTTPStatus.BAD_REQUEST, f"The payload is malformed: {error}") from None


class _Installation(msgspec.Struct):
    id: Id


class _Organization(msgspec.Struct):
    """There when the repository belongs to one."""


class _Payload(msgspec.Struct):
    action: str
    workflow_job: Job
    repository: Repository
    # Deliveries of a repository's or organisation's own webhook lack it; those of an App have it.
    installation: _Installation | None = None
    organization: _Organization | None = None


def _job_event(payload: _Payload) -> JobEvent | Other:
    if payload.installation is None:
        return Other(
            "not an App's delivery but one of a webhook of the repository or organisation itself: delete that webhook "
            "(Settings > Webhooks)"
        )
    if payload.action not in set(Action):
        return Other(f"the action {payload.action!r} is nothing to act on")
    return job_event(
        Action(payload.action),
        payload.workflow_job,
        payload.repository,
        payload.installation.id,
        of_organization=payload.organization is not None,
    )

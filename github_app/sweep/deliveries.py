"""Deliveries that GitHub failed to hand over: asked for again, once each.

GitHub never retries by itself, and keeps what it failed to deliver for three days (docs: "Handling failed webhook
deliveries").
"""

import uuid
from typing import Protocol

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.github import FailedDelivery
from github_app.model import Redelivered, Watermark
from github_app.store import REDELIVERED, WATERMARKS, ModalDictStore
from github_app.sweep.report import SweepReport

_KEY = "deliveries"
# GitHub refuses to redeliver what is older.
_WINDOW_S = 3 * 24 * 3600.0


class App(Protocol):
    """What is needed of GitHub."""

    async def failed_deliveries(self, after: int) -> tuple[list[FailedDelivery], int]:
        """Failures with a greater id, and the greatest id seen."""
        ...

    async def redeliver(self, delivery_id: int) -> None:
        """Ask for one again."""


async def redeliver_failures(app: App, store: ModalDictStore, clock: Clock, report: SweepReport) -> None:
    """Redeliver what failed since the watermark, oldest first, each GUID once whoever sweeps.

    A redelivery that fails is a delivery of its own with a greater id: asking for that one too would never end.

    Raises:
        GitHubError, StoreError: the watermark stays where all before it were asked for.
    """
    mark = await store.get(WATERMARKS, _KEY)
    after = mark.delivery_id if mark else 0
    failed, greatest = await app.failed_deliveries(after)
    for delivery in sorted(failed, key=lambda each: each.id):
        if delivery.event != "workflow_job" or delivery.redelivery or _too_old(delivery, clock):
            continue
        if report.dry_run:
            report.redelivered += 1
            continue
        await _redeliver_once(app, store, clock, delivery, report)
        await store.put(WATERMARKS, _KEY, Watermark(delivery.id, clock.now()))
    if greatest > after and not report.dry_run:
        await store.put(WATERMARKS, _KEY, Watermark(greatest, clock.now()))


async def _redeliver_once(
    app: App, store: ModalDictStore, clock: Clock, delivery: FailedDelivery, report: SweepReport
) -> None:
    key, asked = f"asked/{delivery.guid}", Redelivered(uuid.uuid4().hex, clock.now())
    if not await store.put_new(REDELIVERED, key, asked):
        return
    try:
        await app.redeliver(delivery.id)
    except GitHubError as error:
        if error.retryable:
            await store.take(REDELIVERED, key)
            raise
        # One that GitHub will not hand over again must not keep back those after it.
        report.problems.append(f"redelivery of {delivery.id}: {error}")
        return
    report.redelivered += 1


def _too_old(delivery: FailedDelivery, clock: Clock) -> bool:
    return delivery.delivered_at is not None and clock.now() - delivery.delivered_at.timestamp() > _WINDOW_S

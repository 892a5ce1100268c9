"""Deliveries that GitHub failed to hand over: asked for again, once each.

GitHub never retries by itself, and keeps what it failed to deliver for three days (docs: "Handling failed webhook
deliveries").
"""

from typing import Protocol

from github_app.clock import Clock
from github_app.github import FailedDelivery
from github_app.model import Watermark
from github_app.store import WATERMARKS, ModalDictStore
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
    """Redeliver what failed since the watermark, oldest first.

    Raises:
        GitHubError, StoreError: the watermark stays where all before it were asked for.
    """
    mark = await store.get(WATERMARKS, _KEY)
    after = mark.delivery_id if mark else 0
    failed, greatest = await app.failed_deliveries(after)
    for delivery in sorted(failed, key=lambda each: each.id):
        if delivery.event != "workflow_job" or _too_old(delivery, clock):
            continue
        report.redelivered += 1
        if not report.dry_run:
            await app.redeliver(delivery.id)
            await store.put(WATERMARKS, _KEY, Watermark(delivery.id, clock.now()))
    if greatest > after and not report.dry_run:
        await store.put(WATERMARKS, _KEY, Watermark(greatest, clock.now()))


def _too_old(delivery: FailedDelivery, clock: Clock) -> bool:
    return delivery.delivered_at is not None and clock.now() - delivery.delivered_at.timestamp() > _WINDOW_S

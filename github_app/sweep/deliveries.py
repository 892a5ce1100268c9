"""Deliveries that GitHub failed to hand over: asked for again, once each.

GitHub never retries by itself, and hands over again for three days, a server for seven (docs: "Handling failed webhook
deliveries").
"""

import uuid
from typing import Protocol

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.github import FailedDelivery
from github_app.runners.write_limit import THE_APP, WriteBudget
from github_app.store import PARKED, REDELIVERED, WATERMARKS, ModalDictStore
from github_app.store.notes import Redelivered, Watermark
from github_app.sweep.report import SweepReport

_KEY = "deliveries"
# A delivery may be listed some time after one with a greater id: so long the watermark stays behind.
_LISTED_LATE_S = 120.0


class Redelivery(Protocol):
    """Hands deliveries over again."""

    async def failed_deliveries(self, after: int) -> tuple[list[FailedDelivery], bool]:
        """Failures with a greater id, and whether these are all."""
        ...

    async def redeliver(self, delivery_id: int) -> None:
        """Ask for one again."""


class Deliveries:
    """Asks for failed deliveries again."""

    def __init__(
        self, *, app: Redelivery, store: ModalDictStore, budget: WriteBudget, window_s: float, clock: Clock
    ) -> None:
        """GitHub refuses to redeliver what is older than `window_s`."""
        self._app = app
        self._store = store
        self._budget = budget
        self._window_s = window_s
        self._clock = clock

    async def redeliver(self, report: SweepReport) -> None:
        """Ask for what failed since the watermark, oldest first, each GUID once whoever sweeps.

        A redelivery that fails is a delivery of its own with a greater id: asking for that one too would never end.

        Raises:
            GitHubError, StoreError: the watermark stays where all before it were asked for.
        """
        # An older version kept them under their GUID.
        parked = {each.guid or key for key, each in (await self._store.all(PARKED)).items()}
        mark = await self._store.get(WATERMARKS, _KEY)
        failed, complete = await self._app.failed_deliveries(mark.delivery_id if mark else 0)
        if not complete:
            report.problems.append(
                "deliveries: more have failed than can be read; the oldest are left to the sweep of jobs"
            )
        now = self._clock.now()
        for delivery in sorted(failed, key=lambda each: each.id):
            if self._is_wanted(delivery) and delivery.guid not in parked and not await self._ask_once(delivery, report):
                return
            listed_by_now = delivery.delivered_at and now - delivery.delivered_at.timestamp() > _LISTED_LATE_S
            if listed_by_now and not report.dry_run:
                await self._store.put(WATERMARKS, _KEY, Watermark(delivery.id, now))

    def _is_wanted(self, delivery: FailedDelivery) -> bool:
        at = delivery.delivered_at
        too_old = at is not None and self._clock.now() - at.timestamp() > self._window_s
        return delivery.event == "workflow_job" and not delivery.redelivery and not too_old

    async def _ask_once(self, delivery: FailedDelivery, report: SweepReport) -> bool:
        """Ask for a delivery, unless someone has; tell whether the next may be asked for."""
        key, asked = f"asked/{delivery.guid}", Redelivered(uuid.uuid4().hex, self._clock.now())
        if report.dry_run:
            report.redelivered += await self._store.get(REDELIVERED, key) is None
            return True
        if not await self._store.put_new(REDELIVERED, key, asked):
            return True
        if isinstance(await self._budget.wait(THE_APP), float):
            await self._store.take(REDELIVERED, key)
            return False
        try:
            await self._app.redeliver(delivery.id)
        except GitHubError as error:
            self._budget.heed(THE_APP, error)
            if error.retryable:
                await self._store.take(REDELIVERED, key)
                raise
            # One that GitHub will not hand over again must not keep back those after it.
            report.problems.append(f"redelivery of {delivery.id}: {error}")
        else:
            report.redelivered += 1
        return True

"""Our own records: what nobody stands behind is given back or dropped, and what a person should know is told."""

import uuid
from collections.abc import Mapping

import structlog

from github_app.clock import Clock
from github_app.model import Claim, RunnerRecord, Slot
from github_app.routing.warm import is_seat
from github_app.runners.capacity import release_slots
from github_app.runners.claims import Claims
from github_app.runners.records import change_runner
from github_app.runners.second_looks import Suspicions
from github_app.runners.versions import RunnerVersion
from github_app.store import CLAIMS, JOBS, PARKED, RELEASES, RUNNERS, SEEN, SLOTS, ModalDictStore
from github_app.sweep.questions import lost_its_runner
from github_app.sweep.report import SweepReport

# Between a slot and the claim of its launch lie at most the half minute that is waited for GitHub's write limit.
_SLOT_IS_ORPHANED_S = 60.0
# Its slots are given back right after a runner's end is recorded. What is read of them before may be old.
_SLOTS_ARE_LEFT_S = 30.0
# A claim may be there before its job's record is.
_CLAIM_IS_LEFT_S = 60.0
# Whoever has the right to give a slot back has done so by now, or has ended: then another may.
_RELEASED_WITHIN_S = 600.0
# Repositories with a job of ours in so many seconds are asked for queued jobs before all others.
SEEN_LATELY_S = 7 * 24 * 3600.0
# As long as GitHub can redeliver.
_PARKED_FOR_S = 3 * 24 * 3600.0

# What a seat's next attempt goes by.
_SEAT_KEPT_S = 24 * 3600.0

_log = structlog.get_logger(__name__)


class Upkeep:
    """Looks after the store."""

    def __init__(
        self, *, store: ModalDictStore, claims: Claims, suspicions: Suspicions, version: RunnerVersion, clock: Clock
    ) -> None:
        self._store = store
        self._claims = claims
        self._suspicions = suspicions
        self._version = version
        self._clock = clock

    async def release_slots(self, report: SweepReport) -> None:
        """Give back slots that no runner and no sandbox stands behind, and take again those that a runner has lost."""
        slots, now = await self._store.all(SLOTS), self._clock.now()
        for key, slot in slots.items():
            runner = await self._store.get(RUNNERS, slot.runner)
            ended = runner is not None and runner.ended_at is not None and now - runner.ended_at > _SLOTS_ARE_LEFT_S
            orphaned = runner is None and now - slot.taken_at > _SLOT_IS_ORPHANED_S
            if ended or (orphaned and await self._has_crashed(slot.runner)):
                report.slots_released += 1
                if not report.dry_run:
                    await release_slots(self._store, (key,), slot.runner, now)
        for runner in (await self._store.all(RUNNERS)).values():
            if runner.ended_at is None and not report.dry_run:
                await self._keep_slots(runner, slots)

    async def _has_crashed(self, name: str) -> bool:
        """Tell whether the launch of a runner is over and has left no record of it.

        Its claim is looked at first: a launch that ends between the two looks has recorded its runner before.
        """
        return not await self._claims.lives(name) and await self._store.get(RUNNERS, name) is None

    async def _keep_slots(self, runner: RunnerRecord, slots: Mapping[str, Slot]) -> None:
        """A slot that was taken for an orphan's, while its launch stood still, is its runner's again if it is free.

        By what its owner was it must not be given back any more: it may be another's by now.
        """
        if runner.slots_owner and any(
            key not in slots or slots[key].owner != runner.slots_owner for key in runner.slots
        ):
            await change_runner(self._store, runner.name, slots_owner="")
        for key in [key for key in runner.slots if key not in slots]:
            current = await self._store.get(RUNNERS, runner.name)
            again = Slot(uuid.uuid4().hex, runner.name, self._clock.now())
            if current is not None and current.ended_at is None and await self._store.put_new(SLOTS, key, again):
                _log.warning("slot_taken_again", runner=runner.name, slot=key)

    async def tell(self, report: SweepReport) -> None:
        """Report what is stuck, what was not understood, and whether launches are stopped."""
        runners = await self._store.all(RUNNERS)
        report.stopped = await self._version.refused()
        report.parked = len(await self._store.all(PARKED))
        report.stuck = [
            f"job {job.event.job_id} of {job.event.repository} is stuck at GitHub: its runner {job.runner_name} is "
            "gone; cancel it and run it again"
            for job in (await self._store.all(JOBS)).values()
            if lost_its_runner(job, runners)
        ]

    async def drop_what_is_over(self, report: SweepReport) -> None:
        """Remove claims of jobs that are over, and what is too old to matter."""
        # Claims first: each is put with its job's record or after it, and within half a minute both are there.
        lately = self._clock.now() - _CLAIM_IS_LEFT_S
        claims = {key: each for key, each in (await self._store.all(CLAIMS)).items() if each.renewed_at < lately}
        jobs = await self._store.all(JOBS)
        runners = await self._store.all(RUNNERS)
        over = [key for key in claims if key.split("-")[0] not in jobs and f"modal-{key}" not in runners]
        kept = _last_of_seats(claims, self._clock.now())
        over = [key for key in over if key not in kept]
        report.records_removed += len(over)
        if report.dry_run:
            return
        for key in over:
            await self._store.take(CLAIMS, key)
        now = self._clock.now()
        for digest, parked in (await self._store.all(PARKED)).items():
            if now - parked.at > _PARKED_FOR_S:
                await self._store.take(PARKED, digest)
        for key, seen in (await self._store.all(SEEN)).items():
            if now - seen.at > SEEN_LATELY_S:
                await self._store.take(SEEN, key)
        for owner, release in (await self._store.all(RELEASES)).items():
            if now - release.at > _RELEASED_WITHIN_S:
                await self._store.take(RELEASES, owner)
        await self._suspicions.forget_old()


def _last_of_seats(claims: Mapping[str, Claim], now: float) -> frozenset[str]:
    """The keys of each seat's last attempt, which no job's record keeps."""
    last: dict[str, int] = {}
    for key, claim in claims.items():
        seat_id, attempt = key.split("-")
        if is_seat(int(seat_id)) and max(claim.renewed_at, claim.not_before or 0.0) > now - _SEAT_KEPT_S:
            last[seat_id] = max(int(attempt), last.get(seat_id, 0))
    return frozenset(f"{seat_id}-{attempt}" for seat_id, attempt in last.items())

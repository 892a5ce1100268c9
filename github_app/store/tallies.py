"""What processes have counted, and how that outlives them (docs/decisions/0013).

Each process writes all that it has counted under a key of its own, over what it wrote before. The sweep adds up the
records of those that write no more, into one that stays.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping

import structlog

from github_app.clock import Clock
from github_app.counts import Counts
from github_app.errors import StoreError
from github_app.store.kinds import TALLIES
from github_app.store.modal_dict import ModalDictStore
from github_app.store.notes import Quota, Tally

# The record of those that are gone.
_GONE = "gone"
# The first counts after a silence are written so much later, and then once a minute at most.
_SOON_S, _EVERY_S = 20.0, 60.0
# Who has written nothing for so long takes another key, for its record may have been added up.
_KEY_IS_GOOD_FOR_S = 300.0
# Whose record is so old writes it no more: a put may arrive a minute late, and clocks differ by seconds.
_GONE_AFTER_S = 900.0
# So many minutes' processes are added up in one go: each sweep is a process of its own on Modal.
_ADDED_UP_AFTER_S = 1800.0
# By then whoever reads has seen that a record was added up, and so has a sweep that overlaps.
_SEEN_BY_ALL_S = 300.0
_REMEMBERED_S = 3600.0
# GitHub's limit is one of an hour.
_QUOTA_IS_GOOD_FOR_S = 3600.0

_log = structlog.get_logger(__name__)


class Tallies:
    """Writes down what this process counts, and adds up what others have left."""

    def __init__(self, store: ModalDictStore, counts: Counts, clock: Clock) -> None:
        self.counts = counts
        self._store = store
        self._clock = clock
        self._key = uuid.uuid4().hex
        # What stands under other keys, and what was written last, whether it arrived or not.
        self._before: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._tried_at = float("-inf")
        self._written: Counter[str] = Counter()
        self._writing = asyncio.Lock()
        self._alarm: asyncio.Task[None] | None = None

    def keep(self) -> None:
        """From now on write down what is counted, within about a minute: this process serves for good."""
        self.counts.changed = self._changed

    def _changed(self) -> None:
        if self._alarm is None or self._alarm.done():
            self._alarm = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        since = self._clock.now() - self._tried_at
        await self._clock.sleep(max(_SOON_S, _EVERY_S - since))
        self._alarm = None
        await self.flush()

    async def flush(self) -> None:
        """Write down what was counted since the last time, if anything was. Never raises."""
        async with self._writing:
            if self.counts.sums == self._written:
                return
            now, sums = self._clock.now(), self.counts.sums.copy()
            if now - self._tried_at > _KEY_IS_GOOD_FOR_S:
                self._key, self._before = uuid.uuid4().hex, self._tried
            self._tried, self._tried_at = sums, now
            quotas = {str(key): Quota(*each) for key, each in self.counts.quotas.items()}
            try:
                await self._store.put(TALLIES, self._key, Tally(now, dict(sums - self._before), quotas))
            except StoreError as error:
                # The next time all of it is written again.
                _log.warning("counts_not_written", reason=str(error))
            else:
                self._written = sums

    async def add_up(self) -> None:
        """Add up the records of processes that are gone, and remove those that were added up a while ago.

        Raises:
            StoreError: the store did not answer; the next sweep does it.
        """
        found, now = await self._store.all(TALLIES), self._clock.now()
        if f"{TALLIES.name}/{_GONE}" in self._store.unreadable:
            # It would be begun anew.
            return
        known = found.pop(_GONE, Tally(now))
        old = {key: each for key, each in found.items() if key not in known.added and now - each.at > _GONE_AFTER_S}
        if any(now - each.at > _ADDED_UP_AFTER_S for each in old.values()):
            added = {key: at for key, at in known.added.items() if key in found or now - at < _REMEMBERED_S}
            whole = in_all({_GONE: known, **old}, now)
            await self._store.put(TALLIES, _GONE, Tally(now, whole.sums, whole.quotas, added | dict.fromkeys(old, now)))
        over = [key for key in found if now - known.added.get(key, now) > _SEEN_BY_ALL_S]
        await asyncio.gather(*(self._store.take(TALLIES, key) for key in over))


def in_all(found: Mapping[str, Tally], now: float) -> Tally:
    """What all have counted since the beginning, and of each installation the newest that GitHub has said."""
    added = found[_GONE].added if _GONE in found else {}
    counted = [each for key, each in found.items() if key not in added]
    sums: Counter[str] = Counter()
    for each in counted:
        sums.update(each.sums)
    quotas: dict[str, Quota] = {}
    for installation, quota in (pair for each in counted for pair in each.quotas.items()):
        known = quotas.get(installation)
        if now - quota.at < _QUOTA_IS_GOOD_FOR_S and (known is None or known.at < quota.at):
            quotas[installation] = quota
    return Tally(now, dict(sums), quotas)

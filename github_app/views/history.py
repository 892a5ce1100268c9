"""Jobs that are over, as far as they are known one by one."""

import asyncio

from github_app.lifecycle import GATED
from github_app.model import JobRecord
from github_app.store import HISTORY, ModalDictStore

# Modal forgets by itself what nobody reads or writes for so long, and this reads it.
_KEPT_S = 7 * 86400.0
# For so long GitHub waits for an approval (docs: "Managing environments for deployment").
_GATED_KEPT_S = 30 * 86400.0
_MOST_FORGOTTEN = 100


async def read_history(store: ModalDictStore, now: float) -> dict[str, JobRecord]:
    """Read the jobs that were over within the last seven days, by id; older ones are forgotten, some at a time.

    Raises:
        StoreError: the store did not answer.
    """
    history = await store.all(HISTORY)
    old = {key for key, record in history.items() if _is_old(record, now)}
    # What cannot be forgotten now is read again.
    some = list(old)[:_MOST_FORGOTTEN]
    await asyncio.gather(*(store.take(HISTORY, key) for key in some), return_exceptions=True)
    return {key: record for key, record in history.items() if key not in old}


def _is_old(record: JobRecord, now: float) -> bool:
    since = record.completed_at or max(record.changed_at, record.recorded_at)
    return now - since > (_GATED_KEPT_S if record.conclusion == GATED else _KEPT_S)

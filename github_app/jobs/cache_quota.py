"""How many caches by label a repository may use: each is a volume, which stays until someone deletes it."""

from github_app.clock import Clock
from github_app.store import CACHES, ModalDictStore
from github_app.store.notes import CacheUsed

# As long as the store keeps what nobody looks at.
_LATELY_S = 7 * 24 * 3600.0
_DAY_S = 86400.0
_FULL_FOR_S = 60.0


class CacheQuota:
    """Counts them, under `<owner/repo>/<cache>`."""

    def __init__(self, store: ModalDictStore, most: int, clock: Clock) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        # Until when a repository is known to have its fill: a storm of labels must not read everything each time.
        self._full_until: dict[str, float] = {}

    async def admits(self, repository: str, cache: str) -> bool:
        """Tell whether a repository may use a cache of this name, and take note that it does.

        Raises:
            StoreError: the store did not answer.
        """
        prefix, now = f"{repository.lower()}/", self._clock.now()
        known = await self._store.get(CACHES, prefix + cache)
        if (known is None or now - known.at > _LATELY_S) and await self._is_full(prefix, now):
            return False
        if known is None or now - known.at > _DAY_S:
            await self._store.put(CACHES, prefix + cache, CacheUsed(now))
        return True

    async def _is_full(self, prefix: str, now: float) -> bool:
        """Tell whether a repository has its fill, by what is recorded, or was a moment ago."""
        self._full_until = {each: until for each, until in self._full_until.items() if until > now}
        if prefix in self._full_until:
            return True
        used = [each.at for key, each in (await self._store.all(CACHES)).items() if key.startswith(prefix)]
        if sum(now - at <= _LATELY_S for at in used) < self._most:
            return False
        self._full_until[prefix] = now + _FULL_FOR_S
        return True

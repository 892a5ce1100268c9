"""Second looks: an absence counts only when two readings apart in time agree on it, with no sighting between."""

from github_app.clock import Clock
from github_app.store import SUSPECTS, ModalDictStore
from github_app.store.notes import Suspect

# Apart enough for a wrong answer of GitHub's to have passed.
SECOND_LOOK_S = 45.0
_OLD_S = 3600.0


class Suspicions:
    """What looked wrong once, and when."""

    def __init__(self, store: ModalDictStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # Those that there were when a sweep began, and those that this process has put since.
        self._open: set[str] = set()

    async def load(self) -> None:
        """Read what is suspected, once a sweep.

        Raises:
            StoreError: the store did not answer.
        """
        self._open |= set(await self._store.all(SUSPECTS))

    async def confirmed(
        self,
        key: str,
        *,
        dry_run: bool = False,
        age: float = SECOND_LOOK_S,
        sighted_at: float = float("-inf"),
        good_for: float = _OLD_S,
    ) -> bool:
        """Tell whether this is the second look, more than `age` seconds after the first.

        A sighting in between, at `sighted_at`, makes it the first again; so does a first look that is older than
        `good_for`, for nobody may have told of what was sighted since.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        suspect = await self._store.get(SUSPECTS, key)
        if suspect is None or suspect.first_seen < max(sighted_at, now - good_for):
            if not dry_run:
                self._open.add(key)
                await self._store.put(SUSPECTS, key, Suspect(now))
            return False
        return now - suspect.first_seen > age

    async def drop(self, key: str, *, surely: bool = False) -> bool:
        """Take a suspicion back, if there is one: what was missing is there; tell whether there was.

        `surely`: also one that another process may have put since this sweep began, which costs a call.

        Raises:
            StoreError: the store did not answer.
        """
        if key not in self._open and not surely:
            return False
        self._open.discard(key)
        return await self._store.take(SUSPECTS, key) is not None

    async def forget_old(self) -> None:
        """Forget what came to nothing.

        Raises:
            StoreError: the store did not answer.
        """
        for key, suspect in (await self._store.all(SUSPECTS)).items():
            if self._clock.now() - suspect.first_seen > _OLD_S:
                self._open.discard(key)
                await self._store.take(SUSPECTS, key)

"""Modal's Dict as the store.

Atomic there are put-if-absent and pop, one RPC each; there is no compare-and-swap and no transaction
(modal.com/docs/reference/modal.Dict). Values are JSON bytes, so that any version of this package can read them.
"""

from typing import TypeVar

import modal
import modal.exception
import msgspec
import structlog

from github_app.errors import StoreError
from github_app.modal_errors import Boundary
from github_app.store.kinds import KINDS, Kind

T = TypeVar("T", bound=msgspec.Struct)
# GitHub waits ten seconds for the answer to a delivery.
_store_errors = Boundary(StoreError, 20.0)

_log = structlog.get_logger(__name__)


def _decode(kind: Kind[T], key: str, value: bytes) -> T:
    try:
        return msgspec.json.decode(value, type=kind.type)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"record {key!r} in the Dict of {kind.name} cannot be read: {error}", retryable=False
        ) from None


class ModalDictStore:
    """Reads and writes records; every method raises `StoreError` when Modal does not do its part."""

    def __init__(self, app_name: str, client: modal.Client | None = None, *, create: bool = True) -> None:
        """Without `create` nothing is made: what is missing reads as empty."""
        self._names = {kind.name: f"{app_name}-{kind.name}" for kind in KINDS}
        self._client = client
        self._dicts = {kind: self.open(name, create=create) for kind, name in self._names.items()}
        # Records that `all` left out, as `<kind>/<key>`.
        self.unreadable: set[str] = set()

    def open(self, name: str, *, create: bool) -> modal.Dict:
        """Refer to a Dict; nothing is asked yet."""
        return modal.Dict.from_name(name, create_if_missing=create, client=self._client)

    async def put(self, kind: Kind[T], key: str, record: T) -> None:
        """Write `record` over whatever is there."""
        async with _store_errors(f"put in the Dict of {kind.name}"):
            await self._dicts[kind.name].put.aio(key, msgspec.json.encode(record))

    async def put_new(self, kind: Kind[T], key: str, record: T) -> bool:
        """Write `record` if nothing is there, and tell whether it is there now.

        The SDK repeats a put whose answer was lost, and the repetition finds the first: then what is there is ours.
        So a record that several may put needs a field that tells them apart.
        """
        value = msgspec.json.encode(record)
        async with _store_errors(f"put-if-absent in the Dict of {kind.name}"):
            if await self._dicts[kind.name].put.aio(key, value, skip_if_exists=True):
                return True
            return bool(await self._dicts[kind.name].get.aio(key) == value)

    async def get(self, kind: Kind[T], key: str) -> T | None:
        """Read one record."""
        async with _store_errors(f"get in the Dict of {kind.name}"):
            try:
                value = await self._dicts[kind.name].get.aio(key)
            except modal.exception.NotFoundError:
                return None
        return None if value is None else _decode(kind, key, value)

    async def take(self, kind: Kind[T], key: str) -> T | None:
        """Remove one record; of many who try at once, one gets it."""
        async with _store_errors(f"pop in the Dict of {kind.name}"):
            value = await self._dicts[kind.name].pop.aio(key, None)
        return None if value is None else _decode(kind, key, value)

    async def all(self, kind: Kind[T]) -> dict[str, T]:
        """Read all records of a kind, by key. One that cannot be read is left out and told of in `unreadable`."""
        async with _store_errors(f"items in the Dict of {kind.name}"):
            try:
                values = {key: value async for key, value in self._dicts[kind.name].items.aio()}
            except modal.exception.NotFoundError:
                values = {}
        self.unreadable -= {each for each in self.unreadable if each.startswith(f"{kind.name}/")}
        records = {}
        for key, value in values.items():
            try:
                records[key] = _decode(kind, key, value)
            except StoreError as error:
                self.unreadable.add(f"{kind.name}/{key}")
                _log.error("record_unreadable", reason=str(error))
        return records

    async def delete_everything(self) -> None:
        """Delete the Dict of every kind, if it is there.

        Raises:
            StoreError: the store did not answer; to delete again is safe.
        """
        for kind, name in self._names.items():
            async with _store_errors(f"deleting in the Dict of {kind}"):
                await modal.Dict.objects.delete.aio(name, allow_missing=True, client=self._client)
